"""What the Segment panel asks for, without Qt: model, channels, region, and what is missing."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from medseg.card import Card
from medseg.models import card_of, shipped
from medseg.models.packages import FIGURES, package_folder
from medseg.models.readme import render_readme
from medseg.types import Box, Geometry, Instances, Volume
from medseg_napari.run import JobEstimate, JobState, bytes_in_words, seconds_in_words
from medseg_napari.view.placement import Placement

_PHASES: Mapping[str, str] = {
    "starting": "Starting",
    "loading": "Loading the model",
    "estimating": "Timing one window",
    "segmenting": "Segmenting",
    "collecting": "Fetching the result",
    "working": "Working",
    "done": "Done",
    "failed": "Failed",
    "cancelled": "Cancelled; nothing was written",
}

_WIDER_PARTS: Mapping[str, Sequence[str]] = {
    "HIPPOCAMPUS": ("BRAIN", "HEAD"),
    "LUNG": ("CHEST", "THORAX"),
}
"""What scanners call images that hold the body part of a card (DICOM PS3.16, annex L)."""


@dataclass(frozen=True)
class ModelChoice:
    """A model to choose: a shipped one's name, or a package's folder."""

    name: str
    card: Card
    figures: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, name_or_folder: str | Path) -> ModelChoice:
        """The choice of a name or folder. Raises ModelError."""
        folder = package_folder(name_or_folder)
        return cls(str(name_or_folder), card_of(name_or_folder), _figures(folder / FIGURES))

    @property
    def title(self) -> str:
        """One line for a list."""
        return f"{self.card.name} {self.card.version}"

    @property
    def summary(self) -> str:
        """The task in a few words."""
        classes = ", ".join(one.name for one in self.card.classes)
        does = "Finds" if self.card.pointed is None else "Outlines what is pointed at:"
        return f"{self.card.modality}, {self.card.body_part}. {does} {classes}."

    @property
    def page(self) -> str:
        """The model's card for people, as Markdown: task, held-out figures, limits, licence."""
        pictured = ("worst", "reliability")
        known = {name: part for name, part in self.figures.items() if name not in pictured}
        return render_readme(self.card, known)


def model_choices() -> list[ModelChoice]:
    """The models that come with medseg."""
    return [ModelChoice.of(name) for name in shipped()]


def suggested(choices: Sequence[ModelChoice], volume: Volume) -> int:
    """The place of the model for the image's modality that differs least from it; 0 without one.

    First a model of another part of the body than the image's is put behind, then one whose
    training images had other voxels and sizes, along the more axes the further; the first of equals
    is taken. A model that does not say what it was trained on differs along all of them.
    """
    fits = [n for n, one in enumerate(choices) if one.card.modality == volume.modality]
    return min(fits, key=lambda n: _differences(choices[n].card, volume), default=0)


def pointed(choices: Sequence[ModelChoice], volume: Volume | None) -> list[ModelChoice]:
    """The models that outline what is pointed at in an image of that modality; none without one."""
    found = []
    for one in choices if volume is not None else ():
        alone = sum(channel.required for channel in one.card.channels) == 1
        if one.card.pointed is not None and alone and not missing(one.card, _alone(one, volume)):
            found.append(one)
    return found


def to_point(card: Card, geometry: Geometry) -> str:
    """What to do with a model that outlines what is pointed at; "" where it can run as it is.

    It can on a crop, in whose middle the object is, and where it is no such model.
    """
    longest = max(n * mm for n, mm in zip(geometry.shape, geometry.spacing_mm, strict=True))
    if card.pointed is None or longest <= card.pointed.largest_crop_mm:
        return ""
    what = " or ".join(one.name for one in card.classes)
    return (
        f"{card.name} outlines the {what} that you point at. Begin, then in Correct press Add by "
        f"click with this model; or draw a box of at most {card.pointed.largest_crop_mm:g} mm with "
        f"a {what} in its middle."
    )


def nothing_yet(card: Card, geometry: Geometry) -> Instances:
    """The empty result that work with a model begins on which outlines what is pointed at."""
    said = {"model": f"{card.name} {card.version} at clicks"}
    return Instances(geometry, [], card.instance_classes, (), said)


def missing(card: Card, given: Mapping[str, Volume | None]) -> str:
    """What has to be chosen before a model can run, in words; "" where nothing is missing."""
    lost = [one.name for one in card.channels if one.required and given.get(one.name) is None]
    if lost:
        return f"Choose an image for {', '.join(lost)}."
    first = given[card.channels[0].name]
    if first is not None and first.modality not in (card.modality, "unknown"):
        return f"This model is for {card.modality}; the image is {first.modality}."
    return ""


def box_around(
    placement: Placement, corners_world_mm: ArrayLike, slice_axis: int, depth_mm: float
) -> Box | None:
    """The box of the image's own grid around a rectangle that was drawn in a slice.

    `corners_world_mm` (N, 3) are points of napari's world, `slice_axis` the layer's axis across
    which slices are shown. The box reaches `depth_mm` to both sides of the slice; 0: through all
    slices. None where the rectangle lies outside the image or holds no voxel.
    """
    index = placement.world_to_index(corners_world_mm)
    low, high = index.min(axis=0), index.max(axis=0)
    axis = placement.own_axis(slice_axis)
    shape, spacing = placement.geometry.shape, placement.geometry.spacing_mm
    if depth_mm > 0:
        middle = (low[axis] + high[axis]) / 2
        low[axis], high[axis] = (middle + sign * depth_mm / spacing[axis] for sign in (-1, 1))
    else:
        low[axis], high[axis] = 0, shape[axis] - 1
    starts = np.clip(np.ceil(low - 1e-6), 0, None).astype(int)
    stops = np.minimum(np.floor(high + 1e-6).astype(int) + 1, shape)
    if (stops <= starts).any():
        return None
    z, y, x = (slice(int(a), int(b)) for a, b in zip(starts, stops, strict=True))
    return z, y, x


def box_in_words(box: Box, spacing_mm: Sequence[float]) -> str:
    """The size of a box: "64 × 80 × 80 voxels, 96 × 60 × 60 mm"."""
    lengths = [part.stop - part.start for part in box]
    size = [n * mm for n, mm in zip(lengths, spacing_mm, strict=True)]
    voxels = " × ".join(str(n) for n in lengths)
    return f"{voxels} voxels, {' × '.join(f'{mm:.0f}' for mm in size)} mm (z, y, x)"


def estimate_in_words(found: JobEstimate) -> str:
    """What is said before the start."""
    windows = "1 window" if found.windows == 1 else f"{found.windows} windows"
    memory = f"{bytes_in_words(found.memory_bytes)} of memory"
    if found.device_bytes:
        memory += f" and {bytes_in_words(found.device_bytes)} of the graphics card"
    about = seconds_in_words(found.seconds)
    about = about if about.startswith("under") else f"about {about}"
    return f"{about[0].upper()}{about[1:]} on {found.device}, {memory} ({windows})."


def state_in_words(state: JobState) -> str:
    """How far a job is."""
    words = _PHASES[state.phase]
    if state.is_over or not state.total:
        return words if state.is_over else f"{words} …"
    if state.phase == "segmenting" and state.done == state.total:
        return "Putting the objects together …"
    count = f"{words}: {state.done} of {state.total}"
    if state.seconds_left is None:
        return count
    return f"{count}, {seconds_in_words(state.seconds_left)} left"


def _alone(choice: ModelChoice, volume: Volume | None) -> Mapping[str, Volume | None]:
    return {choice.card.channels[0].name: volume}


def _differences(card: Card, volume: Volume) -> tuple[bool, int]:
    """Whether an image is of another part of the body, and along how many axes its grid differs."""
    said = re.sub("[^A-Z]", "", str(volume.meta.get("body_part") or "").upper())
    own = card.body_part.upper()
    names = {*re.findall("[A-Z]{4,}", own), *_WIDER_PARTS.get(own, ())}
    is_other = bool(said) and not any(name in said for name in names)
    if card.domain is None:
        return is_other, 2 * len(volume.geometry.shape)
    trained = card.domain
    shown = Placement.of(volume.geometry).shown
    spacing, axes = shown.spacing_mm, range(len(shown.shape))
    ranges = [(spacing, trained.least_spacing_mm, trained.largest_spacing_mm)]
    if card.pointed is None and card.localiser is None:  # those look at a part of any image
        z, y, x = (n * mm for n, mm in zip(shown.shape, spacing, strict=True))
        ranges.append(((z, y, x), trained.least_extent_mm, trained.largest_extent_mm))
    return is_other, sum(
        not low[n] <= value[n] <= high[n] for value, low, high in ranges for n in axes
    )


def _figures(path: Path) -> Mapping[str, Any]:
    """The held-out figures of a package; none where the file is missing or is no JSON."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
