"""What the Segment panel asks for, without Qt: model, channels, region, and what is missing."""

from __future__ import annotations

import json
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
from medseg.types import Box, Volume
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
        return f"{self.card.modality}, {self.card.body_part}. Finds {classes}."

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
    """The place of the first model for the image's modality; 0 where there is none."""
    fits = (n for n, one in enumerate(choices) if one.card.modality == volume.modality)
    return next(fits, 0)


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


def _figures(path: Path) -> Mapping[str, Any]:
    """The held-out figures of a package; none where the file is missing or is no JSON."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
