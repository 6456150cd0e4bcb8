"""Volumes and instances as layers: the tuples that napari's readers give, and their updates."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from medseg.errors import InputRefused
from medseg.io.colors import class_colors
from medseg.types import Box, Instance, InstanceClass, Instances, Volume, box_inside, meeting
from medseg_napari.view.facts import KEY, LayerFacts, StudySource, facts_of, placement_keywords
from medseg_napari.view.placement import Placement
from medseg_napari.view.presets import colormap_of, presets_of, range_limits

if TYPE_CHECKING:
    from napari.layers import Labels

LayerData = tuple[NDArray[Any], dict[str, Any], Literal["image", "labels"]]

LARGEST_ID = int(np.iinfo(np.uint16).max)
_CLEAR = "#00000000"
_OPACITY = 0.6


def image_data(
    volume: Volume, *, name: str = "image", source: StudySource | None = None
) -> LayerData:
    """A volume as an image layer; its values are not copied.

    Shapes: the data are (z, y, x) towards S, P, L, in millimetres, with scale and translation
    alone. The window is the first of `presets_of`.
    """
    placement = Placement.of(volume.geometry)
    presets = presets_of(volume)
    limits = range_limits(volume, presets)
    facts = LayerFacts(placement, source or StudySource(), volume, None, limits)
    return (
        placement.to_shown(volume.array),
        {
            "name": name,
            **placement_keywords(placement),
            "colormap": colormap_of(volume),
            "contrast_limits": (presets[0].low, presets[0].high),
            "blending": "additive" if volume.modality == "PT" else "translucent_no_depth",
            "rgb": False,
            "multiscale": False,
            "metadata": {KEY: facts},
        },
        "image",
    )


def labels_data(
    instances: Instances, *, name: str = "objects", source: StudySource | None = None
) -> LayerData:
    """Instances as a labels layer: the value of a voxel is the id of the object on top.

    A lesion lies above an organ, the higher score above the lower, the smaller object above the
    larger; what overlaps is whole in the facts of the layer. Values are uint8, or uint16 where ids
    pass 255; a class has one colour.

    Raises InputRefused (`labels-not-integer`) for an id above 65535.
    """
    placement = Placement.of(instances.geometry)
    facts = LayerFacts(placement, source or StudySource(), None, instances)
    return (
        drawn(instances, placement),
        {
            "name": name,
            **placement_keywords(placement),
            "colormap": label_colors(instances),
            "opacity": _OPACITY,
            "multiscale": False,
            "metadata": {KEY: facts},
        },
        "labels",
    )


def drawn(
    instances: Instances, placement: Placement, least_id: int = 0
) -> NDArray[np.unsignedinteger[Any]]:
    """The label map (z, y, x) of a layer; its type has room for ids up to `least_id` too."""
    largest = max((least_id, *(item.id for item in instances.items)))
    if largest > LARGEST_ID:
        raise InputRefused(
            code="labels-not-integer",
            subject="objects",
            detail=f"object {largest} has a number above {LARGEST_ID}, which no layer shows",
            remedy="number the objects anew before opening them",
        )
    dtype = np.uint8 if largest <= np.iinfo(np.uint8).max else np.uint16
    labels = np.zeros(placement.shown.shape, dtype=dtype)
    for item in rising(instances.items):
        labels[placement.shown_box(item.box)][placement.shown_mask(item.mask)] = item.id
    return labels


def redraw(layer: Labels, instances: Instances, *boxes: Box) -> None:
    """Let a layer show the instances as they are now, in boxes of the image's own grid alone.

    Cost grows with the boxes and the objects in them. The layer's facts follow; its colours do
    where `recolor` is called; its own undo does not, and is emptied: the session is where one
    undoes.

    Raises ValueError where an id does not fit into the layer's type: draw a new layer then.
    """
    from medseg_napari.view.adapter import forget_strokes

    facts = facts_of(layer)
    if facts is None or facts.instances is None:
        msg = f"layer {layer.name!r} shows no objects of medseg"
        raise ValueError(msg)
    room = np.iinfo(layer.data.dtype).max
    inside = [item for item in instances.items if any(meeting(item.box, box) for box in boxes)]
    if any(item.id > room for item in inside):
        msg = f"an id above {room} does not fit into layer {layer.name!r}"
        raise ValueError(msg)
    ordered = rising(inside)
    for box in boxes:
        _draw(layer.data, ordered, facts.placement, box)
    layer.metadata[KEY] = LayerFacts(facts.placement, facts.source, None, instances)
    forget_strokes(layer)
    layer.refresh()


def _draw(
    labels: NDArray[np.unsignedinteger[Any]],
    items: Sequence[Instance],
    placement: Placement,
    box: Box,
) -> None:
    part = labels[placement.shown_box(box)]
    part[:] = 0
    for item in items:
        shared = meeting(item.box, box)
        if shared is None:
            continue
        crop = placement.shown_mask(item.mask[box_inside(shared, item.box)])
        part[box_inside(placement.shown_box(shared), placement.shown_box(box))][crop] = item.id


def recolor(layer: Labels, hidden: Collection[int] = ()) -> None:
    """Give each object that a layer shows the colour of its class; what is hidden is clear."""
    facts = facts_of(layer)
    if facts is not None and facts.instances is not None:
        layer.colormap = label_colors(facts.instances, hidden)


def label_colors(instances: Instances, hidden: Collection[int] = ()) -> dict[int | None, str]:
    """The colour of each id, #rrggbbaa; what is hidden is clear.

    napari knows words again that it has seen, numbers it converts each time: of 20,000 ids that
    takes half a second.
    """
    colors = {
        name: "#{:02x}{:02x}{:02x}ff".format(*rgb)
        for name, rgb in class_colors(instances.classes).items()
    }
    shown: dict[int | None, str] = {None: _CLEAR, 0: _CLEAR}
    shown |= {item.id: colors[item.class_name] for item in instances.items}
    return shown | dict.fromkeys(hidden, _CLEAR)


def taken_as_instances(
    labels: NDArray[Any], placement: Placement, classes: Sequence[InstanceClass] | None = None
) -> Instances:
    """What any labels layer holds, as instances on the image's own grid: each value an object."""
    own = placement.to_own(labels)
    return Instances.from_labelmap(own, placement.geometry, classes)


def rising(items: Iterable[Instance]) -> list[Instance]:
    """In the order of drawing: lesions above organs, higher scores above lower ones.

    Of equal scores the smaller object lies above: what people drew has no other score than 1, and a
    lesion in a lesion would not be seen.
    """
    return sorted(
        items, key=lambda one: (one.kind == "lesion", one.score, -one.voxel_count, -one.id)
    )
