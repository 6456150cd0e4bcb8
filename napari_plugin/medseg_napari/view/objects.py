"""Objects from files for what is open already, and what painting in napari made of them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medseg.errors import InputRefused
from medseg.io import read_instances
from medseg.io.dicom_objects import is_dicom_object
from medseg.types import Geometry, Instance, InstanceClass, Instances
from medseg_napari.view.facts import LayerFacts
from medseg_napari.view.layer_data import drawn
from medseg_napari.view.placement import Placement

PAINTED = InstanceClass("object", "lesion", 1)
"""The class of what was painted under a number that no object had."""


def read_objects(path: str | Path, images: Iterable[LayerFacts] = ()) -> Instances:
    """The objects of a file: a label map, a .seg.nrrd, a DICOM SEG or RTSTRUCT.

    A SEG holds the slices that it uses alone, an RTSTRUCT no voxels at all: both are put on the
    grid of the first of the open `images` that they were drawn on.

    Raises InputRefused as `read_instances` does.
    """
    place = Path(path)
    if is_dicom_object(place):
        for facts in images:
            try:
                return read_instances(place, source=_drawn_on(facts))
            except InputRefused:
                continue  # drawn on another image; which one is said below, where none fits
    return read_instances(place)


def as_painted(instances: Instances, placement: Placement, labels: NDArray[Any]) -> Instances:
    """The instances after what was painted in napari: every voxel that changed goes its way.

    `labels` (z, y, x) is the layer's array. A voxel leaves the object that was on top of it and
    joins the one whose number it has now; what lies hidden under another stays whole. A number
    that no object had becomes an object of the class `PAINTED`, one that lost all is gone.
    """
    before = drawn(instances, placement)
    if np.array_equal(before, labels):
        return instances
    changed = placement.to_own(np.asarray(before != labels))
    old, new = placement.to_own(before)[changed], placement.to_own(labels)[changed].astype(np.int64)
    where = np.argwhere(changed)
    touched = {int(one) for one in (*np.unique(old), *np.unique(new)) if one}
    items = [item if item.id not in touched else None for item in instances.items]
    known = {item.id: n for n, item in enumerate(instances.items)}
    made: list[Instance] = []
    for number in sorted(touched):
        item = instances.items[known[number]] if number in known else None
        edited = _edited(item, number, where[new == number], where[old == number])
        if number in known:
            items[known[number]] = edited
        elif edited is not None:
            made.append(edited)
    classes = instances.classes
    if made and PAINTED.name not in {one.name for one in classes}:
        label = max((one.label for one in classes), default=0) + 1
        classes = (*classes, replace(PAINTED, label=label))
    left = [item for item in items if item is not None]
    return replace(instances, items=[*left, *made], classes=classes)


def _edited(
    item: Instance | None, number: int, joined: NDArray[np.int64], lost: NDArray[np.int64]
) -> Instance | None:
    """An object with voxels (N, 3) more and others less; None where nothing is left."""
    ends = list(_ends(item, joined))
    low = np.min([end[0] for end in ends], axis=0)
    high = np.max([end[1] for end in ends], axis=0)
    mask = np.zeros(high - low, dtype=np.bool_)
    if item is not None:
        inner = tuple(
            slice(part.start - start, part.stop - start)
            for part, start in zip(item.box, low.tolist(), strict=True)
        )
        mask[inner] = item.mask
        mask[tuple((lost - low).T)] = False
    mask[tuple((joined - low).T)] = True
    name, kind = (PAINTED.name, PAINTED.kind) if item is None else (item.class_name, item.kind)
    z, y, x = low.tolist()
    return Instance.from_mask(
        mask,
        id=number,
        class_name=name,
        kind=kind,
        score=1.0 if item is None else item.score,
        offset=(z, y, x),
    )


def _ends(
    item: Instance | None, joined: NDArray[np.int64]
) -> Iterator[tuple[list[int], list[int]]]:
    if item is not None:
        yield [part.start for part in item.box], [part.stop for part in item.box]
    if len(joined):
        yield joined.min(axis=0).tolist(), (joined.max(axis=0) + 1).tolist()


def _drawn_on(facts: LayerFacts) -> Any:
    """The image behind a layer as a source of objects: its DICOM series, else its grid."""
    source = facts.source
    if source.path is None or source.series is None:
        geometry: Geometry = facts.placement.geometry
        return geometry
    from medseg.io.dicom_out import read_source

    return read_source(Path(source.path), source.series, source.volume)
