"""What a model package says of itself: `card.toml`, read and checked."""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from medseg.errors import ModelError
from medseg.types import InstanceClass, Kind

Triple = tuple[float, float, float]
WindowShape = tuple[int, int, int]
Side = Literal["left", "right"]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class CTWindow(_Part):
    """Clip to [low_hu, high_hu], then scale to mean 0 and standard deviation 1."""

    kind: Literal["ct_window"]
    low_hu: float
    high_hu: float
    mean_hu: float
    std_hu: Annotated[float, Field(gt=0)]

    @model_validator(mode="after")
    def _low_is_below_high(self) -> Self:
        if self.low_hu >= self.high_hu:
            msg = f"low_hu {self.low_hu:g} is not below high_hu {self.high_hu:g}"
            raise ValueError(msg)
        return self


class ZScore(_Part):
    """Mean 0 and standard deviation 1 over the voxels of the foreground, after clipping.

    The foreground is where the value is above the volume's minimum; clipping is at these
    percentiles of it.
    """

    kind: Literal["z_score"]
    low_percentile: Annotated[float, Field(ge=0, lt=50)] = 0.5
    high_percentile: Annotated[float, Field(gt=50, le=100)] = 99.5


class SUVScale(_Part):
    """Clip SUVbw to [0, high_suv], then scale to [0, 1]."""

    kind: Literal["suv"]
    high_suv: Annotated[float, Field(gt=0)]


Normalisation = Annotated[CTWindow | ZScore | SUVScale, Field(discriminator="kind")]


class Channel(_Part):
    """One input image of a model."""

    name: str
    required: bool = True
    normalisation: Normalisation


class CodedTerm(_Part):
    """A term of a coding scheme, for DICOM."""

    scheme: str
    value: str
    meaning: str


class CardClass(_Part):
    """A class that the model finds; `label` is its value in label maps of classes.

    `node` says that its lesions are lymph nodes, which RECIST measures by their short axis.
    """

    name: str
    kind: Kind
    label: Annotated[int, Field(ge=1)]
    color: tuple[int, int, int] | None = None
    node: bool = False
    category: CodedTerm | None = None
    type: CodedTerm | None = None
    modifier: CodedTerm | None = None

    @model_validator(mode="after")
    def _a_node_is_a_lesion(self) -> Self:
        if self.node and self.kind != "lesion":
            msg = f"node is for lesions; {self.name!r} is of kind {self.kind!r}"
            raise ValueError(msg)
        return self

    def as_instance_class(self) -> InstanceClass:
        """The part of it that instances carry."""
        return InstanceClass(self.name, self.kind, self.label, self.color, self.node)


class BackboneSpec(_Part):
    """Which backbone, and its arguments."""

    name: str
    arguments: dict[str, Any] = Field(default_factory=dict)


class HeadSpec(_Part):
    """Which head, the arguments of its network, and those of its decoder."""

    name: str
    network: dict[str, Any] = Field(default_factory=dict)
    decoder: dict[str, Any] = Field(default_factory=dict)


class Licence(_Part):
    """SPDX identifiers of the training data and of the weights, and whom to name."""

    data: str
    weights: str
    attribution: str


class TrainingData(_Part):
    """What the weights were trained on."""

    name: str
    cases: Annotated[int, Field(ge=0)]
    minutes: Annotated[float, Field(ge=0)]
    device: str
    statistics: dict[str, Any] = Field(default_factory=dict)


class Spread(_Part):
    """One number of the training images: its middle and scale, and the least and largest seen.

    `middle` and `scale` are on the scale on which differences count (a logarithm for some
    numbers), `low` and `high` in the number's own unit.
    """

    middle: float
    scale: Annotated[float, Field(gt=0)]
    low: float
    high: float


class ChannelLooks(_Part):
    """How one channel of the training images looks, by number, and how far an image may be off."""

    limit: Annotated[float, Field(gt=0)]
    numbers: dict[str, Spread]


class Domain(_Part):
    """What the training images have in common: the out-of-domain check compares with it.

    Units: spacings and extents are millimetres (z, y, x) of images turned to S, P, L, the least
    and the largest of each axis.
    """

    cases: Annotated[int, Field(ge=1)]
    least_spacing_mm: Triple
    largest_spacing_mm: Triple
    least_extent_mm: Triple
    largest_extent_mm: Triple
    channels: dict[str, ChannelLooks]


class ScoreMap(_Part):
    """How a class's raw scores become probabilities, measured on cases not trained on.

    The probability is that of the object being true by `criterion`: it meets a true object of its
    class with Dice of 0.7 or more, with IoU of 0.5 or more, or in any voxel. Both lists rise from
    the score 0 to 1; between their points lie straight lines.
    """

    class_name: str
    criterion: Literal["dice 0.7", "iou 0.5", "overlap"]
    objects: Annotated[int, Field(ge=1)]
    scores: Annotated[tuple[float, ...], Field(min_length=2)]
    probabilities: Annotated[tuple[float, ...], Field(min_length=2)]

    @model_validator(mode="after")
    def _rises(self) -> Self:
        if len(self.scores) != len(self.probabilities):
            msg = "scores and probabilities are of one length"
            raise ValueError(msg)
        if (self.scores[0], self.scores[-1]) != (0.0, 1.0):
            msg = "scores reach from 0 to 1"
            raise ValueError(msg)
        for values in (self.scores, self.probabilities):
            if any(low >= high for low, high in pairwise(values)):
                msg = "scores and probabilities rise at every point"
                raise ValueError(msg)
        if self.probabilities[0] < 0 or self.probabilities[-1] > 1:
            msg = "probabilities lie in 0 to 1"
            raise ValueError(msg)
        return self


class Localiser(_Part):
    """How both sides of a paired organ are found in a whole head, for a model of crops of one.

    `template` comes with medseg; `left_mm` is the middle of the left organ in its world, LPS
    (x, y, z), and the right one mirrors it. Crops have the shape of the card's window and lie as
    the template, turned by `pitch_degrees` about x, front down, as the training's crops lie.
    Images with an axis longer than `least_extent_mm` are searched, smaller ones are crops
    themselves. `volume_ml` is what all classes of a side may hold together, `reach_mm` how far a
    side may lie from where the template has it.
    """

    template: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]*$")]
    left_mm: Triple
    pitch_degrees: Annotated[float, Field(ge=-90, le=90)] = 0.0
    least_extent_mm: Annotated[float, Field(gt=0)] = 80.0
    volume_ml: tuple[float, float]
    reach_mm: Annotated[float, Field(gt=0)]

    @property
    def sites_mm(self) -> dict[Side, Triple]:
        """The middle of each side in the template's world, LPS (x, y, z)."""
        x, y, z = self.left_mm
        return {"left": (x, y, z), "right": (-x, y, z)}


class Pointed(_Part):
    """The model segments one object, in the middle of what it sees: the one that is pointed at.

    Images with no axis longer than `largest_crop_mm` are crops with the object in their middle;
    larger ones want a point or a box.
    """

    largest_crop_mm: Annotated[float, Field(gt=0)]


class Card(_Part):
    """All that a model package says of itself; read it with `read_card`.

    Units: `spacing_mm` and `window_shape` are (z, y, x) on a grid whose axes lead to S, P, L.
    Every window is also run mirrored along each of `mirror_axes`, and the results averaged.
    `caveat` is told with every result, as a warning: what a number must not be taken for.
    """

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]*$")]
    version: str
    summary: str
    intended_use: str
    limits: str
    caveat: str | None = None
    modality: Literal["CT", "MR", "PT"]
    body_part: str
    licence: Licence
    channels: Annotated[tuple[Channel, ...], Field(min_length=1)]
    classes: Annotated[tuple[CardClass, ...], Field(min_length=1)]
    spacing_mm: Triple
    window_shape: WindowShape
    window_overlap: Annotated[float, Field(ge=0, lt=1)] = 0.5
    mirror_axes: tuple[Literal["z", "y", "x"], ...] = ()
    backbone: BackboneSpec
    head: HeadSpec
    localiser: Localiser | None = None
    pointed: Pointed | None = None
    training: TrainingData
    weights_sha256: str = ""
    domain: Domain | None = None
    calibration: tuple[ScoreMap, ...] = ()

    @model_validator(mode="after")
    def _names_and_labels_differ(self) -> Self:
        for what, values in (
            ("channel", [one.name for one in self.channels]),
            ("class", [one.name for one in self.classes]),
            ("label", [one.label for one in self.classes]),
            ("score map", [one.class_name for one in self.calibration]),
        ):
            if len(set(values)) != len(values):
                msg = f"two entries share one {what}: {values}"
                raise ValueError(msg)
        _require_known("calibration", [one.class_name for one in self.calibration], self.classes)
        if self.domain is not None:
            _require_known("domain.channels", list(self.domain.channels), self.channels)
        self._check_localiser()
        if not self.channels[0].required:
            msg = "the first channel gives the grid and must be required"
            raise ValueError(msg)
        if min(self.spacing_mm) <= 0 or min(self.window_shape) < 1:
            msg = "spacing_mm and window_shape are above 0"
            raise ValueError(msg)
        return self

    def _check_localiser(self) -> None:
        if self.localiser is None:
            return
        if any(one.kind != "organ" for one in self.classes):
            msg = "localiser goes with classes of kind organ alone"
            raise ValueError(msg)
        longest = max(n * mm for n, mm in zip(self.window_shape, self.spacing_mm, strict=True))
        if longest > self.localiser.least_extent_mm:
            msg = f"localiser.least_extent_mm is below a window's {longest:g} mm"
            raise ValueError(msg)

    @property
    def instance_classes(self) -> tuple[InstanceClass, ...]:
        """The classes as instances carry them."""
        return tuple(one.as_instance_class() for one in self.classes)

    @property
    def side_classes(self) -> tuple[CardClass, ...]:
        """The classes of a whole head: each of both sides, named by its side, left ones first."""
        if self.localiser is None:
            return ()
        step = max(one.label for one in self.classes)
        return tuple(
            one.model_copy(update={"name": f"{one.name}_{side}", "label": one.label + n * step})
            for n, side in enumerate(self.localiser.sites_mm)
            for one in self.classes
        )


def _require_known(key: str, names: list[str], parts: Sequence[CardClass | Channel]) -> None:
    lost = [name for name in names if name not in {one.name for one in parts}]
    if lost:
        msg = f"{key} names {lost[0]!r}, which the card does not have"
        raise ValueError(msg)


def read_card(path: Path) -> Card:
    """Read and check a `card.toml`.

    Raises ModelError (`model-invalid`) that names the first key that is wrong.
    """
    remedy = "fetch the model package again, or mend the key"
    try:
        with path.open("rb") as file:
            return Card.model_validate(tomllib.load(file))
    except OSError as error:
        raise ModelError(
            "model-invalid", path.name, f"cannot be read ({error.strerror})", remedy
        ) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ModelError("model-invalid", path.name, f"is no TOML: {error}", remedy) from error
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"]) or "card"
        raise ModelError("model-invalid", path.name, f"{key}: {first['msg']}", remedy) from error
