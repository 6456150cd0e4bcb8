"""What a model package says of itself: `card.toml`, read and checked."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from medseg.errors import ModelError
from medseg.types import InstanceClass, Kind

Triple = tuple[float, float, float]
WindowShape = tuple[int, int, int]


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


class Card(_Part):
    """All that a model package says of itself; read it with `read_card`.

    Units: `spacing_mm` and `window_shape` are (z, y, x) on a grid whose axes lead to S, P, L.
    Every window is also run mirrored along each of `mirror_axes`, and the results averaged.
    """

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]*$")]
    version: str
    summary: str
    intended_use: str
    limits: str
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
    training: TrainingData
    weights_sha256: str = ""

    @model_validator(mode="after")
    def _names_and_labels_differ(self) -> Self:
        for what, values in (
            ("channel", [one.name for one in self.channels]),
            ("class", [one.name for one in self.classes]),
            ("label", [one.label for one in self.classes]),
        ):
            if len(set(values)) != len(values):
                msg = f"two entries share one {what}: {values}"
                raise ValueError(msg)
        if not self.channels[0].required:
            msg = "the first channel gives the grid and must be required"
            raise ValueError(msg)
        if min(self.spacing_mm) <= 0 or min(self.window_shape) < 1:
            msg = "spacing_mm and window_shape are above 0"
            raise ValueError(msg)
        return self

    @property
    def instance_classes(self) -> tuple[InstanceClass, ...]:
        """The classes as instances carry them."""
        return tuple(one.as_instance_class() for one in self.classes)


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
