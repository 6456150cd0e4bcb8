"""A recipe: all that decides a training, read from a TOML file and checked before anything starts.

Paths inside a recipe are relative to a data root that the caller gives, or else to the recipe's
own folder: recipes travel inside the package, data does not.
"""

from __future__ import annotations

import tomllib
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import BeforeValidator, Field, ValidationError, model_validator

from medseg.card import Card, Domain, TrainingData
from medseg.errors import InputRefused
from medseg.training.problems import closest, describe
from medseg.training.sections import (
    Augmentation,
    DecathlonData,
    FolderData,
    Part,
    PhantomData,
    Synthesis,
    TrainingSection,
)

UNTRAINED = TrainingData(name="not trained", cases=0, minutes=0.0, device="none")
"""What the card of a recipe says of its training, until there was one."""

LEFT_TO_TRAINING = ("training", "weights_sha256", "domain", "calibration")
"""The parts of a card that training or packaging writes and a recipe does not hold."""


DENSE_HEADS = ("border_core", "center_offset", "components")
"""Heads whose losses leave out voxels of which nothing is known."""

NAMED = 5
"""So many further problems of a recipe are named by their keys."""

_LOSS_WEIGHTS = ("training", "loss_weights")


def _as_untrained(model: object) -> object:
    if not isinstance(model, Mapping):
        return model
    for key in LEFT_TO_TRAINING:
        if key in model:
            msg = f"{key} is written by training; leave it out"
            raise ValueError(msg)
    return {**model, "training": UNTRAINED}


class Recipe(Part):
    """Model, data, training and augmentation: what `medseg train` needs; read by `read_recipe`.

    `model` is the card of the model to be; its training is `UNTRAINED`.
    """

    model: Annotated[Card, BeforeValidator(_as_untrained)]
    data: Annotated[FolderData | DecathlonData | PhantomData, Field(discriminator="kind")]
    training: TrainingSection
    augmentation: Augmentation = Augmentation()
    synthesis: Synthesis | None = None

    @model_validator(mode="after")
    def _data_fits_model(self) -> Self:
        if isinstance(self.data, FolderData):
            _check_channels(self.model, self.data.image_folders(self.model.channels[0].name))
        head, spacing_mm = self.model.head.name, self.model.spacing_mm
        if self.training.beyond_image == "ignored" and head not in DENSE_HEADS:
            msg = f"training.beyond_image: {head} cannot ignore; {', '.join(DENSE_HEADS)} can"
            raise ValueError(msg)
        if self.augmentation.transpose is not None and len(set(spacing_mm)) > 1:
            msg = "augmentation.transpose goes with one model.spacing_mm along all axes"
            raise ValueError(msg)
        self._check_sides()
        self._check_possible()
        kinds = [one.kind for one in self.model.classes]
        by_instance = getattr(self.data, "label_values", "class") == "instance"
        if by_instance and kinds != ["lesion"]:
            msg = 'data.label_values "instance" goes with one class, of kind "lesion"'
            raise ValueError(msg)
        if self.training.balance_volumes and getattr(self.data, "partly_drawn", False):
            msg = "training.balance_volumes needs organs drawn in full, not data.partly_drawn"
            raise ValueError(msg)
        if self.synthesis is not None:
            self._check_synthesis(kinds)
        return self

    def _check_sides(self) -> None:
        if self.augmentation.sides is None:
            return
        kinds = {one.name: one.kind for one in self.model.classes}
        paired = [name for pair in self.augmentation.sides.pairs for name in pair]
        for name in paired:
            if name not in kinds:
                msg = f"augmentation.sides: the model has no class {name!r}{closest(name, kinds)}"
                raise ValueError(msg)
        if len(set(paired)) < len(paired):
            msg = "augmentation.sides: a class has one other side; name each once"
            raise ValueError(msg)
        if any(kinds[one] != kinds[other] for one, other in self.augmentation.sides.pairs):
            msg = "augmentation.sides: both of a pair are organs, or both are lesions"
            raise ValueError(msg)

    def _check_possible(self) -> None:
        possible = {} if isinstance(self.data, PhantomData) else self.data.possible_ml
        organs = [one.name for one in self.model.classes if one.kind == "organ"]
        for name in possible:
            if name not in organs:
                near = closest(name, organs)
                msg = f"data.possible_ml.{name}: the model has no such organ{near}"
                raise ValueError(msg)

    def _check_synthesis(self, kinds: Sequence[str]) -> None:
        if kinds != ["lesion"] or isinstance(self.data, PhantomData):
            msg = 'synthesis goes with files and one class, of kind "lesion"'
            raise ValueError(msg)
        unheeded = {
            "training.click_jitter": self.training.click_jitter is not None,
            "training.beyond_image": self.training.beyond_image == "ignored",
            "augmentation.transpose": self.augmentation.transpose is not None,
            "augmentation.sides": self.augmentation.sides is not None,
        }
        said = [name for name, is_said in unheeded.items() if is_said]
        if said:
            msg = f"synthesis does not heed {', '.join(said)}; leave it out"
            raise ValueError(msg)

    def fold(self, number: int) -> Recipe:
        """The recipe whose held-out cases are those of fold `number`, counted from 1.

        Raises InputRefused (`recipe-invalid`) where there is no such fold.
        """
        folds = () if isinstance(self.data, PhantomData) else self.data.folds
        if isinstance(self.data, PhantomData) or not 1 <= number <= len(folds):
            detail = f"there is no fold {number}: the recipe has {len(folds) or 'none'}"
            raise InputRefused("recipe-invalid", "data.folds", detail, "give one that it has")
        held_out = (*self.data.held_out, *folds[number - 1])
        data = self.data.model_copy(update={"held_out": held_out, "folds": ()})
        return self.model_copy(update={"data": data})

    def card(
        self, *, training: TrainingData, weights_sha256: str = "", domain: Domain | None = None
    ) -> Card:
        """The card of the model that this training gave; its scores are not calibrated yet."""
        return self.model.model_copy(
            update={"training": training, "weights_sha256": weights_sha256, "domain": domain}
        )


def _check_channels(card: Card, folders: Mapping[str, str]) -> None:
    known = [one.name for one in card.channels]
    for channel in folders:
        if channel not in known:
            msg = f"data.images.{channel}: the model has no such channel{closest(channel, known)}"
            raise ValueError(msg)
    for one in card.channels:
        if one.required and one.name not in folders:
            msg = f"data.images: no folder for the required channel {one.name!r}"
            raise ValueError(msg)


def read_recipe(
    path: Path,
    *,
    heads: Collection[str] | None = None,
    backbones: Collection[str] | None = None,
) -> Recipe:
    """Read and check a recipe; `heads` and `backbones` are the names there are, None is any.

    Where `heads` maps names to parts with `loss_weights`, as `medseg.heads.HEADS` does, the names
    of losses are checked too.

    Raises:
        InputRefused: `recipe-invalid` with the first problem, the key it concerns, the key that
            was probably meant, and how many problems there are besides, with their keys.
    """
    raw = _read_toml(path)
    recipe: Recipe | None = None
    problems = _unknown_names(raw, {"head": heads, "backbone": backbones})
    problems += _unknown_losses(raw, heads)
    try:
        recipe = Recipe.model_validate(raw)
    except ValidationError as error:
        problems = [*describe(error, Recipe, hidden=LEFT_TO_TRAINING), *problems]
    if problems or recipe is None:
        raise _invalid(path, problems)
    return recipe


def _read_toml(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as file:
            return tomllib.load(file)
    except FileNotFoundError as error:
        detail, remedy = "there is no such recipe", "give the path of a recipe, a TOML file"
        raise InputRefused("path-missing", path.name, detail, remedy) from error
    except OSError as error:
        detail = f"cannot be read ({error.strerror})"
        raise InputRefused("path-unreadable", path.name, detail, "give a TOML file") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise _invalid(path, [f"is no TOML: {error}"]) from error


def _unknown_names(
    raw: Mapping[str, Any], known: Mapping[str, Collection[str] | None]
) -> list[str]:
    problems = []
    for part, names in known.items():
        found = _at(raw, "model", part, "name")
        if names is not None and isinstance(found, str) and found not in names:
            hint = closest(found, names)
            problems.append(f"model.{part}.name: unknown {part} {found!r}{hint}")
    return problems


def _unknown_losses(raw: Mapping[str, Any], heads: Collection[str] | None) -> list[str]:
    head = _at(raw, "model", "head", "name")
    if not isinstance(heads, Mapping) or not isinstance(head, str):
        return []
    known, given = getattr(heads.get(head), "loss_weights", None), _at(raw, *_LOSS_WEIGHTS)
    if not isinstance(known, Mapping) or not isinstance(given, Mapping):
        return []
    place = ".".join(_LOSS_WEIGHTS)
    return [
        f"{place}.{name}: unknown key{closest(name, known)}" for name in given if name not in known
    ]


def _at(raw: Any, *keys: str) -> Any:
    """What stands under a key inside a key; None where there is no such."""
    for key in keys:
        raw = raw.get(key) if isinstance(raw, Mapping) else None
    return raw


def _invalid(path: Path, problems: Sequence[str]) -> InputRefused:
    keys = [one.partition(":")[0] for one in problems[1:]]
    named = ", ".join(keys[:NAMED]) + (", …" if len(keys) > NAMED else "")
    more = f" (and {len(keys)} more: {named})" if keys else ""
    remedy = "mend the recipe" if more else "mend that key of the recipe"
    return InputRefused("recipe-invalid", path.name, f"{problems[0]}{more}", remedy)
