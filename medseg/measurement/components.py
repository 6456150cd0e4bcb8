"""Connected components as instances of their own."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from medseg.measurement.parts import Connectivity, check_connectivity, labelled_parts
from medseg.types import Box, Instance, Instances


def split_components(instances: Instances, *, connectivity: Connectivity = 26) -> Instances:
    """Each lesion as its connected components, each organ as it is; ids are given anew.

    The order is by class (as in `classes`), then by the first voxel's z, y, x; ids run 1..n in
    it. Components keep class, score and their part of the probability. No instance gives none.

    Raises ValueError for another connectivity than 6, 18 or 26 (faces, edges, corners).
    """
    check_connectivity(connectivity)
    parts: list[Instance] = []
    for item in instances.items:
        parts.extend([item] if item.kind == "organ" else _components(item, connectivity))
    rank = {one.name: position for position, one in enumerate(instances.classes)}
    parts.sort(key=lambda part: (rank[part.class_name], _first_voxel(part)))
    return replace(
        instances, items=[replace(part, id=number) for number, part in enumerate(parts, start=1)]
    )


def _components(item: Instance, connectivity: Connectivity) -> list[Instance]:
    labels, count = labelled_parts(item.mask, connectivity)
    if count == 1:
        return [item]
    found = ndimage.find_objects(labels)
    return [_component(item, labels, n, box) for n, box in enumerate(found, start=1)]


def _component(item: Instance, labels: NDArray[Any], number: int, inside: Box) -> Instance:
    z, y, x = (
        slice(part.start + outer.start, part.stop + outer.start)
        for part, outer in zip(inside, item.box, strict=True)
    )
    crop = item.probability
    return replace(
        item,
        box=(z, y, x),
        mask=labels[inside] == number,
        probability=None if crop is None else crop[item.core][inside].copy(),
        probability_box=None,
    )


def _first_voxel(item: Instance) -> tuple[int, ...]:
    offset = np.unravel_index(int(np.argmax(item.mask)), item.mask.shape)
    return tuple(part.start + int(n) for part, n in zip(item.box, offset, strict=True))
