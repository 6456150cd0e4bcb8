"""A recipe: all that decides a training, read from a TOML file and checked before anything starts.

Paths inside a recipe are relative to a data root that the caller gives, or else to the recipe's
own folder: recipes travel inside the package, data does not.
"""

from __future__ import annotations

import tomllib
from collections.abc import Collection, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, Literal, Self, cast

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    model_validator,
)

from medseg.card import Card, TrainingData
from medseg.errors import InputRefused
from medseg.training.problems import closest, describe

Probability = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[float, Field(gt=0)]
AtLeastOne = Annotated[int, Field(ge=1)]
Axis = Literal["z", "y", "x"]
CaseIds = tuple[str, ...]
Generator = Literal["touching_lesions", "nested_lesions", "toy_cubes", "lobed_lesions"]
"""Phantoms that a recipe may name."""

UNTRAINED = TrainingData(name="not trained", cases=0, minutes=0.0, device="none")
"""What the card of a recipe says of its training, until there was one."""

LEFT_TO_TRAINING = ("training", "weights_sha256")
"""The parts of a card that training writes and a recipe does not hold."""


_LOSS_WEIGHTS = ("training", "loss_weights")


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class _SplitById(_Part):
    """Which cases do what; a case that no list names is trained on."""

    name: str
    validation: CaseIds = ()
    held_out: CaseIds = ()
    exclude: CaseIds = ()
    label_values: Literal["class", "instance"] = "class"

    @model_validator(mode="after")
    def _each_case_once(self) -> Self:
        seen: dict[str, str] = {}
        for part in ("validation", "held_out", "exclude"):
            for case in cast("CaseIds", getattr(self, part)):
                if case in seen:
                    msg = f"case {case!r} stands in {seen[case]} and again in {part}"
                    raise ValueError(msg)
                seen[case] = part
        return self


class FolderData(_SplitById):
    """Images and labels in folders, paired by file name.

    `images` is a folder, or for several channels a table of channel and folder. A folder may be
    written as a pattern that holds `{id}`, such as "images/{id}_flair.nii.gz".
    """

    kind: Literal["folders"]
    images: str | dict[str, str]
    labels: str

    def image_folders(self, first_channel: str) -> dict[str, str]:
        """The folder of each channel; one folder alone is the first channel's."""
        if isinstance(self.images, str):
            return {first_channel: self.images}
        return dict(self.images)


class DecathlonData(_SplitById):
    """A data set laid out as the Medical Segmentation Decathlon's: a `dataset.json` lists it."""

    kind: Literal["decathlon"]
    dataset_json: str = "dataset.json"


class PhantomData(_Part):
    """Windows made from seeds; each pair of seeds is [first, one past the last]."""

    kind: Literal["phantom"]
    name: str
    generator: Generator
    training_seeds: tuple[int, int]
    validation_seeds: tuple[int, int]
    held_out_seeds: tuple[int, int] | None = None
    shape: tuple[AtLeastOne, AtLeastOne, AtLeastOne] = (48, 64, 64)

    @property
    def seeds(self) -> dict[str, range]:
        """The seeds of each part."""
        held_out = self.held_out_seeds or (0, 0)
        return {
            "training_seeds": range(*self.training_seeds),
            "validation_seeds": range(*self.validation_seeds),
            "held_out_seeds": range(*held_out),
        }

    @model_validator(mode="after")
    def _ranges_are_apart(self) -> Self:
        for key, seeds in self.seeds.items():
            empty_by_choice = key == "held_out_seeds" and self.held_out_seeds is None
            if not empty_by_choice and (seeds.start < 0 or len(seeds) == 0):
                msg = f"{key} = [{seeds.start}, {seeds.stop}] holds no seed from 0 up"
                raise ValueError(msg)
        ordered = sorted((part for part in self.seeds.items() if part[1]), key=lambda x: x[1].start)
        for (left, before), (right, after) in pairwise(ordered):
            if after.start < before.stop:
                msg = f"{left} and {right} share seed {after.start}"
                raise ValueError(msg)
        return self


class TrainingSection(_Part):
    """How the weights are found.

    Units: `crop_shape` is voxels (z, y, x) of the model's grid; `loss_weights` multiply the
    head's losses by name, those not named by 1; `ema_decay` 0 keeps no average of the weights.
    `balance_volumes` shifts the organs' logits after the last step until, on the validation cases,
    the median volume error is 0. `init` names the model to begin from, shipped or a package's
    folder: weights whose name and shape agree are taken.
    """

    seed: Annotated[int, Field(ge=0)]
    steps: AtLeastOne
    batch_size: AtLeastOne
    crop_shape: tuple[AtLeastOne, AtLeastOne, AtLeastOne]
    learning_rate: Annotated[float, Field(gt=0, le=1)]
    weight_decay: Annotated[float, Field(ge=0, lt=1)] = 0.0
    schedule: Literal["polynomial", "cosine", "constant", "trapezoidal"] = "polynomial"
    warmup_steps: Annotated[int, Field(ge=0)] = 0
    gradient_clip: Positive = 5.0
    precision: Literal["32", "bf16"] = "32"
    ema_decay: Annotated[float, Field(ge=0, lt=1)] = 0.0
    foreground_fraction: Probability = 0.5
    loss_weights: dict[str, Annotated[float, Field(ge=0)]] = Field(default_factory=dict)
    validate_every: AtLeastOne
    checkpoint_every_steps: AtLeastOne | None = None
    checkpoint_every_minutes: Positive = 5.0
    threads: AtLeastOne | None = None
    balance_volumes: bool = False
    init: Annotated[str, Field(min_length=1)] | None = None

    @model_validator(mode="after")
    def _warmup_ends(self) -> Self:
        if self.warmup_steps >= self.steps:
            msg = f"warmup_steps {self.warmup_steps} leaves nothing of {self.steps} steps"
            raise ValueError(msg)
        return self


class Between(_Part):
    """A value drawn between `low` and `high`, both above 0, with probability `prob`.

    `scale` draws one for each axis.
    """

    prob: Probability
    low: Positive
    high: Positive

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.low > self.high:
            msg = f"low {self.low} is above high {self.high}"
            raise ValueError(msg)
        return self


class Rotation(_Part):
    """Turns about the axes z, y, x by up to `max_degrees` each way."""

    prob: Probability
    max_degrees: tuple[
        Annotated[float, Field(ge=0, le=180)],
        Annotated[float, Field(ge=0, le=180)],
        Annotated[float, Field(ge=0, le=180)],
    ]


class Elastic(_Part):
    """A smooth displacement of up to `magnitude_mm`, from control points `spacing_mm` apart."""

    prob: Probability
    magnitude_mm: Positive
    spacing_mm: Positive


class Flip(_Part):
    """Mirrors each of `axes` with probability `prob`."""

    prob: Probability
    axes: Annotated[tuple[Axis, ...], Field(min_length=1)]


class UpTo(_Part):
    """A strength drawn between 0 and `maximum` with probability `prob`."""

    prob: Probability
    maximum: Positive


class Augmentation(_Part):
    """What varies a training crop; a part that is left out is off.

    Units: noise and brightness are in standard deviations of the normalised image; bias_field is
    the largest coefficient that MONAI's `RandBiasField` may draw for its polynomial; blur is a
    sigma in voxels; low_resolution is the factor by which the grid is made coarser.
    """

    rotation: Rotation | None = None
    scale: Between | None = None
    elastic: Elastic | None = None
    flip: Flip | None = None
    gamma: Between | None = None
    contrast: Between | None = None
    brightness: UpTo | None = None
    noise: UpTo | None = None
    bias_field: UpTo | None = None
    blur: UpTo | None = None
    low_resolution: Between | None = None


def _as_untrained(model: object) -> object:
    if not isinstance(model, Mapping):
        return model
    for key in LEFT_TO_TRAINING:
        if key in model:
            msg = f"{key} is written by training; leave it out"
            raise ValueError(msg)
    return {**model, "training": UNTRAINED}


class Recipe(_Part):
    """Model, data, training and augmentation: what `medseg train` needs; read by `read_recipe`.

    `model` is the card of the model to be; its training is `UNTRAINED`.
    """

    model: Annotated[Card, BeforeValidator(_as_untrained)]
    data: Annotated[FolderData | DecathlonData | PhantomData, Field(discriminator="kind")]
    training: TrainingSection
    augmentation: Augmentation = Augmentation()

    @model_validator(mode="after")
    def _data_fits_model(self) -> Self:
        if isinstance(self.data, FolderData):
            _check_channels(self.model, self.data.image_folders(self.model.channels[0].name))
        kinds = [one.kind for one in self.model.classes]
        by_instance = getattr(self.data, "label_values", "class") == "instance"
        if by_instance and kinds != ["lesion"]:
            msg = 'data.label_values "instance" goes with one class, of kind "lesion"'
            raise ValueError(msg)
        return self

    def card(self, *, training: TrainingData, weights_sha256: str = "") -> Card:
        """The card of the model that this training gave."""
        return self.model.model_copy(
            update={"training": training, "weights_sha256": weights_sha256}
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
            was probably meant, and how many problems there are besides.
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
    more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
    remedy = "mend the recipe" if more else "mend that key of the recipe"
    return InputRefused("recipe-invalid", path.name, f"{problems[0]}{more}", remedy)
