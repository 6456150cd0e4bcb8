"""Windows: which values of an image are drawn black and white, and in which colours."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from medseg.io.preview_views import scene, window
from medseg.types import Instances, Volume
from medseg_napari.view.adapter import unwrapped
from medseg_napari.view.facts import facts_of, volume_layers

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Image


class Preset(NamedTuple):
    """A window by name: the values, in the image's unit, that are drawn black and white."""

    name: str
    low: float
    high: float


CT_PRESETS = (
    Preset("Soft tissue", -160.0, 240.0),
    Preset("Liver", -45.0, 105.0),
    Preset("Lung", -1350.0, 150.0),
    Preset("Bone", -500.0, 1300.0),
    Preset("Brain", 0.0, 80.0),
)
PET_PRESETS = (
    Preset("SUV 0 to 5", 0.0, 5.0),
    Preset("SUV 0 to 10", 0.0, 10.0),
    Preset("SUV 0 to 20", 0.0, 20.0),
)
AUTOMATIC = "Automatic"

CT_TOP_HU = 3071.0
"""The largest value that CT stores in twelve bits."""
_PET_FIRST = 1


def presets_of(volume: Volume) -> tuple[Preset, ...]:
    """The windows to offer for an image; the first is the one that it opens with.

    CT in HU and PET in SUV have named ones; of all other images the values mean nothing by
    themselves, and percentiles make a window.
    """
    if volume.unit == "HU":
        return CT_PRESETS
    if volume.unit == "SUVbw":
        first = PET_PRESETS[_PET_FIRST]
        return (first, *(one for one in PET_PRESETS if one is not first))
    low, high = window(scene(volume, Instances(volume.geometry, [])), None)
    return (Preset(AUTOMATIC, low, high),)


def range_limits(volume: Volume, presets: Sequence[Preset]) -> tuple[float, float]:
    """How far the ends of a window's slider go: over all presets, and all HU or the image's values.

    A preset beyond it would widen it without a word.
    """
    if volume.unit == "HU":
        low, high = 0.0, CT_TOP_HU
    else:
        low, high = float(np.min(volume.array)), float(np.max(volume.array))
    lows, highs = [one.low for one in presets], [one.high for one in presets]
    return min(low, *lows), max(high, *highs)


def colormap_of(volume: Volume) -> str:
    """The name of napari's colours for an image."""
    return "inferno" if volume.modality == "PT" else "gray"


def apply_preset(layer: Image, preset: Preset) -> None:
    """Draw an image in a window; the slider keeps its range unless the window leaves it."""
    layer.contrast_limits = (preset.low, preset.high)


def show_window(viewer: ViewerModel, name: str | None) -> bool:
    """Draw one image in a window by name, with None in the one that it opens with.

    It is the selected one, else the uppermost on display, among those whose unit has that window.
    False where none has it.
    """
    own = unwrapped(viewer)
    active = own.layers.selection.active
    layers = [layer for layer in reversed(volume_layers(own.layers)) if layer.visible]
    for layer in sorted(layers, key=lambda one: one is not active):
        facts = facts_of(layer)
        if facts is None or facts.volume is None:
            continue
        if name is not None and facts.volume.unit not in ("HU", "SUVbw"):
            continue
        offered = presets_of(facts.volume)
        found = next((one for one in offered if name in (None, one.name)), None)
        if found is not None:
            apply_preset(layer, found)
            return True
    return False


def set_range(layer: Image) -> None:
    """Let the slider of an image's window reach over all that it may be set to."""
    facts = facts_of(layer)
    if facts is not None and facts.range_limits is not None:
        layer.contrast_limits_range = facts.range_limits
