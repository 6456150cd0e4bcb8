"""What a layer of medseg knows of itself: `layer.metadata["medseg"]`."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from medseg.types import Instances, Volume
from medseg_napari.view.placement import Placement

if TYPE_CHECKING:
    from napari.layers import Layer

KEY = "medseg"
AXIS_LABELS = ("z", "y", "x")
UNITS = ("mm", "mm", "mm")


@dataclass(frozen=True)
class StudySource:
    """What finds an image again; `series` and `volume` choose it in DICOM, as in `medseg.read`.

    Without a path the image was made, as phantoms are.
    """

    path: str | None = None
    series: str | None = None
    volume: int | None = None

    def as_dict(self) -> dict[str, Any]:
        """The fields by name, for JSON; what is None is left out."""
        return {name: value for name, value in vars(self).items() if value is not None}


@dataclass(frozen=True, eq=False)
class LayerFacts:
    """The truth behind a layer: its image or its objects on the image's own grid, and its source.

    Every number is taken from these, never from what napari holds. `range_limits` are the ends of
    the slider of an image's window.
    """

    placement: Placement
    source: StudySource = field(default_factory=StudySource)
    volume: Volume | None = None
    instances: Instances | None = None
    range_limits: tuple[float, float] | None = None

    def __deepcopy__(self, memo: dict[int, Any]) -> LayerFacts:
        return self  # nothing of it changes, and a copied layer is of the same study


def facts_of(layer: Layer) -> LayerFacts | None:
    """The facts of a layer, None where it is not one of medseg's."""
    found = layer.metadata.get(KEY)
    return found if isinstance(found, LayerFacts) else None


def volume_layers(layers: Iterable[Layer]) -> list[Layer]:
    """The layers that show an image that medseg read, in their order."""
    found = ((layer, facts_of(layer)) for layer in layers)
    return [layer for layer, facts in found if facts is not None and facts.volume is not None]


def instance_layers(layers: Iterable[Layer]) -> list[Layer]:
    """The layers that show objects that medseg knows, in their order."""
    found = ((layer, facts_of(layer)) for layer in layers)
    return [layer for layer, facts in found if facts is not None and facts.instances is not None]


def placement_keywords(placement: Placement) -> dict[str, Any]:
    """The keywords with which a layer of (z, y, x) stands where it should, in millimetres."""
    return {
        "scale": placement.scale_mm,
        "translate": placement.translate_mm,
        "units": UNITS,
        "axis_labels": AXIS_LABELS,
    }
