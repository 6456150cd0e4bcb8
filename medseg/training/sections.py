"""The sections of a recipe: its data, its training and its augmentation."""

from __future__ import annotations

from itertools import pairwise
from typing import Annotated, Literal, Self, cast

from pydantic import BaseModel, ConfigDict, Field, model_validator

Probability = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[float, Field(gt=0)]
AtLeastOne = Annotated[int, Field(ge=1)]
Axis = Literal["z", "y", "x"]
CaseIds = tuple[str, ...]
Generator = Literal["touching_lesions", "nested_lesions", "toy_cubes", "lobed_lesions"]
"""Phantoms that a recipe may name."""


class Part(BaseModel):
    """Base of all sections: unknown keys are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class _SplitById(Part):
    """Which cases do what; a case that no list names is trained on.

    Each of `folds` is held out in one training of a cross-validation. Where data are
    `partly_drawn`, an organ without a voxel in a case is one that nobody drew, not one that is
    absent. `possible_ml` names the smallest and largest volume that an organ can have.
    """

    name: str
    validation: CaseIds = ()
    held_out: CaseIds = ()
    exclude: CaseIds = ()
    folds: tuple[CaseIds, ...] = ()
    label_values: Literal["class", "instance"] = "class"
    partly_drawn: bool = False
    possible_ml: dict[str, tuple[Positive, Positive]] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _each_case_once(self) -> Self:
        seen: dict[str, str] = {}
        lists = {part: self.cases(part) for part in ("validation", "held_out", "exclude")}
        lists |= {f"fold {n}": cases for n, cases in enumerate(self.folds, start=1)}
        for part, cases in lists.items():
            for case in cases:
                if case in seen:
                    msg = f"case {case!r} stands in {seen[case]} and again in {part}"
                    raise ValueError(msg)
                seen[case] = part
        return self

    @model_validator(mode="after")
    def _smallest_is_below_largest(self) -> Self:
        for name, (least, most) in self.possible_ml.items():
            if least >= most:
                msg = f"possible_ml.{name}: {least:g} is not below {most:g}"
                raise ValueError(msg)
        return self

    def cases(self, part: str) -> CaseIds:
        """The cases of the list that is called `part`."""
        return cast("CaseIds", getattr(self, part))


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


class PhantomData(Part):
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


class TrainingSection(Part):
    """How the weights are found.

    Units: `crop_shape` is voxels (z, y, x) of the model's grid; `loss_weights` replace the
    head's own by name, those not named stay; `ema_decay` 0 keeps no average of the weights.
    `balance_volumes` shifts the organs' logits after the last step until, on the validation cases,
    the median volume error is 0. With `click_jitter` every window lies around the middle of an
    object, moved along each axis by up to this share of the object's half length. `beyond_image`
    says what voxels of a window are that lie beyond the image, whose border is repeated there:
    background, or not asked for. `init` names the model to begin from, shipped or a package's
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
    click_jitter: Annotated[float, Field(ge=0, le=1)] | None = None
    beyond_image: Literal["background", "ignored"] = "background"
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


class Synthesis(Part):
    """Windows with painted lesions and in new contrasts (`medseg.training.synthesis`).

    `masks` is a folder of label maps, or a pattern of file names that holds `{id}`: lesions of
    patients whose images need not be there, on the grid of the cases. `painted` is the probability
    that a window gets some of them, `healed` that its own lesions are replaced by the tissue
    around them then, `recoloured` that its tissues get new grey values. `mirror` says that the
    space is symmetric: half the patients are painted mirrored in x. Units: `shift` and `bend` are
    how far lesions are moved together and deformed, in voxels; a lesion's contrast is one of the
    case's own times a factor between `faintest` and `strongest`; `tissue_shift` is in standard
    deviations of the normalised image.
    """

    masks: str
    painted: Probability = 0.6
    healed: Probability = 0.5
    recoloured: Probability = 0.5
    mirror: bool = True
    shift: Annotated[float, Field(ge=0)] = 4.0
    bend: Annotated[float, Field(ge=0)] = 1.0
    faintest: Positive = 0.75
    strongest: Positive = 1.3
    tissue_shift: Positive = 0.6

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.faintest > self.strongest:
            msg = f"faintest {self.faintest} is above strongest {self.strongest}"
            raise ValueError(msg)
        return self


class Between(Part):
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


class Rotation(Part):
    """Turns about the axes z, y, x by up to `max_degrees` each way."""

    prob: Probability
    max_degrees: tuple[
        Annotated[float, Field(ge=0, le=180)],
        Annotated[float, Field(ge=0, le=180)],
        Annotated[float, Field(ge=0, le=180)],
    ]


class Elastic(Part):
    """A smooth displacement of up to `magnitude_mm`, from control points `spacing_mm` apart."""

    prob: Probability
    magnitude_mm: Positive
    spacing_mm: Positive


class Flip(Part):
    """Mirrors each of `axes` with probability `prob`."""

    prob: Probability
    axes: Annotated[tuple[Axis, ...], Field(min_length=1)]


class Sides(Part):
    """Mirrors left and right with probability `prob`, and exchanges the classes of each of `pairs`.

    So what is drawn on the left teaches what the right looks like, and the reverse.
    """

    prob: Probability
    pairs: Annotated[tuple[tuple[str, str], ...], Field(min_length=1)]


class UpTo(Part):
    """A strength drawn between 0 and `maximum` with probability `prob`."""

    prob: Probability
    maximum: Positive


class Augmentation(Part):
    """What varies a training crop; a part that is left out is off.

    Units: noise and brightness are in standard deviations of the normalised image; bias_field
    is how large the coefficients of its polynomial may be, above or below 0
    (`medseg.training.bias`); blur is a sigma in voxels; low_resolution is the factor by which
    the grid is made coarser, thick_slices that along one axis alone. sides mirrors left and
    right and exchanges classes. transpose is the probability that the axes come in a random
    order, for models of one spacing along all three. remap moves the knots of a curve of grey
    values by shares of their range; object_contrast shifts the grey values of objects alone, in
    standard deviations; hollow takes up to this share of the brightness in the middle of
    objects away (`medseg.training.contrast`). channel_dropout is the probability with which
    each channel that the model can do without is missing.
    """

    rotation: Rotation | None = None
    scale: Between | None = None
    elastic: Elastic | None = None
    flip: Flip | None = None
    sides: Sides | None = None
    gamma: Between | None = None
    contrast: Between | None = None
    brightness: UpTo | None = None
    noise: UpTo | None = None
    bias_field: UpTo | None = None
    blur: UpTo | None = None
    low_resolution: Between | None = None
    thick_slices: Between | None = None
    transpose: Probability | None = None
    remap: UpTo | None = None
    object_contrast: UpTo | None = None
    hollow: UpTo | None = None
    channel_dropout: Probability = 0.0
