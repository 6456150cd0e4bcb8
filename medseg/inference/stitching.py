"""Objects that neighbouring windows found apart become one: matched, merged, doubles removed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.cluster.hierarchy import DisjointSet

from medseg.heads.contract import WindowInstance
from medseg.heads.window_objects import (
    box_ends,
    pairs_of_a_class,
    repeated,
    voxel_counts,
    window_instance,
    without_doubles,
)
from medseg.inference.stitching_kernel import Packed, agreements
from medseg.inference.windows import WindowPlan
from medseg.types import Box, Shape, union_box

SAME = 0.5
"""Two windows show one object where its masks agree so well in what both see (weighted IoU)."""

PIECE = 0.6
"""What was not well seen is a piece of an object that holds this share of its voxels."""

SEEN, WELL_SEEN = 0.5, 0.8
"""How well an object's windows saw it, of the best that windows could: doubted, and trusted."""

DEPTH = 0.25
"""So far inside a window, in lengths of it, a voxel counts in full."""


@dataclass(frozen=True, eq=False)
class PlacedInstance:
    """An object as the window at `window` (slices of the volume) shows it; its box likewise."""

    instance: WindowInstance
    window: Box


def placed(found: Sequence[WindowInstance], start: Shape, length: Shape) -> list[PlacedInstance]:
    """The objects of the window of `length` voxels at `start`, in the volume's indices."""
    z, y, x = (slice(first, first + size) for first, size in zip(start, length, strict=True))
    return [PlacedInstance(_shifted(one, start), (z, y, x)) for one in found]


def stitch(
    found: Sequence[PlacedInstance],
    plan: WindowPlan,
    shape: Shape,
    *,
    least_score: float = 0.0,
    double_iou: float = 0.5,
) -> list[WindowInstance]:
    """One object for all that windows saw of it, with boxes in a volume of `shape` (z, y, x).

    Two windows show the same object where the masks agree in the region that both see, voxels
    weighted by how far inside both windows they lie. Best agreements are joined first; what one
    window holds apart is never joined. An object's probability and score are the weighted means
    of those of its windows. What scores less than `least_score` then is dropped, and takes nothing
    with it. Of two objects of a class that meet at an IoU above `double_iou`, and of two classes
    where they are as good as the same, the better is kept.
    What no window saw well is dropped where it is a piece of another object, or where other windows
    of `plan` had a much better look and saw none of it. Work grows with the objects' boxes alone.
    """
    if not found:
        return []
    found = sorted(found, key=_place)  # what order they come in decides nothing
    groups = _joined(found, _agreements(found, shape))
    best = _best_depths(plan, shape)
    merged = [_merged([found[n] for n in group], best, shape) for group in groups]
    objects = [
        (item, seen)
        for item, seen in merged
        if item is not None and seen >= SEEN and item.score >= least_score
    ]
    return _without_pieces(objects, double_iou)


def _joined(
    found: Sequence[PlacedInstance], edges: Sequence[tuple[float, int, int]]
) -> list[list[int]]:
    """Groups of positions, by union-find over the edges in the given order."""
    groups = DisjointSet(range(len(found)))
    windows = {n: {_corner(item.window)} for n, item in enumerate(found)}
    for _, one, other in edges:
        ours, theirs = windows[groups[one]], windows[groups[other]]
        # What one window holds apart are two objects, however well a third agrees with both.
        if not groups.connected(one, other) and not ours & theirs:
            groups.merge(one, other)
            windows[groups[one]] = ours | theirs
    return [sorted(group) for group in groups.subsets()]


def _agreements(found: Sequence[PlacedInstance], shape: Shape) -> list[tuple[float, int, int]]:
    """Which two show one object and how well they agree on it, the best first."""
    pairs = pairs_of_a_class([item.instance for item in found])
    windows = box_ends([item.window for item in found])
    apart = (windows[pairs[:, 0]] != windows[pairs[:, 1]]).any(axis=1)
    pairs = np.ascontiguousarray(pairs[apart])
    masks = [(item.instance.probability > 0.5).ravel() for item in found]
    packed = Packed(
        box_ends([item.instance.box for item in found]),
        windows,
        np.concatenate(masks).view(np.uint8),
        np.cumsum([0, *(mask.size for mask in masks[:-1])]),
    )
    iou = np.empty(len(pairs))
    agreements(pairs, packed, np.array(shape), DEPTH, iou)
    same = np.flatnonzero(iou > SAME)
    best_first = same[np.argsort(-iou[same], kind="stable")]
    return [(float(iou[k]), int(pairs[k, 0]), int(pairs[k, 1])) for k in best_first]


def _best_depths(plan: WindowPlan, shape: Shape) -> list[NDArray[np.float32]]:
    """How deep, along each axis, a voxel lies in the window that sees it best."""
    best = []
    for starts, window, length in zip(plan.starts, plan.window, shape, strict=True):
        depths = np.zeros(length, dtype=np.float32)
        for start in starts:
            inner = slice(start, min(start + window, length))
            face = slice(start, start + window)
            depths[inner] = np.maximum(depths[inner], _axis_depths(face, inner, length))
        best.append(depths)
    return best


def _merged(
    items: Sequence[PlacedInstance], best: Sequence[NDArray[np.float32]], shape: Shape
) -> tuple[WindowInstance | None, float]:
    """One object from what several windows show, None where no voxel is left above 0.5.

    And how well they saw it: the depth of its voxels in them over that in the best of all windows.
    """
    box = items[0].instance.box
    for item in items[1:]:
        box = union_box([box, item.instance.box])
    z, y, x = (slice(0, length) for length in shape)
    if len(items) == 1 and items[0].window == (z, y, x):  # nothing to weigh
        return items[0].instance, 1.0
    box = _within(box, (z, y, x))
    total = np.zeros([part.stop - part.start for part in box], dtype=np.float32)
    weight, deepest = np.zeros_like(total), np.zeros_like(total)
    scores, shares = [], []
    for item in items:
        part = _within(box, item.window)
        inner = _inside(part, box)
        weights = _weights(item.window, part, shape)
        mass = weights * _probability(item.instance, part)
        total[inner] += mass
        weight[inner] += weights
        deepest[inner] = np.maximum(deepest[inner], weights)
        scores.append(item.instance.score)
        shares.append(float(mass.sum()))
    if not sum(shares):
        return None, 0.0
    probability = total / np.maximum(weight, np.finfo(np.float32).tiny)
    score = float(np.average(scores, weights=shares))
    corner = [part.start for part in box]
    ideal = _lowest(*(depths[part] for depths, part in zip(best, box, strict=True)))
    seen = float(deepest[probability > 0.5].sum() / max(ideal[probability > 0.5].sum(), 1e-9))
    return window_instance(items[0].instance.class_id, score, corner, probability), seen


def _without_pieces(
    objects: Sequence[tuple[WindowInstance, float]], double_iou: float
) -> list[WindowInstance]:
    """The well seen first, by falling score, without doubles and pieces; with how well seen."""
    ordered = sorted(objects, key=lambda one: (one[1] < WELL_SEEN, -one[0].score))
    items = [item for item, _ in ordered]
    pairs = pairs_of_a_class(items)
    poor = np.array([seen < WELL_SEEN for _, seen in ordered], dtype=bool)
    pieces = np.where(poor, PIECE * voxel_counts([one.probability > 0.5 for one in items]), np.inf)
    dropped = repeated(items, pairs, np.full(len(pairs), double_iou), pieces[pairs[:, 1]])
    left = [item for item, gone in zip(items, dropped, strict=True) if not gone]
    return without_doubles(left, double_iou)  # of two classes too


def _weights(window: Box, part: Box, shape: Shape) -> NDArray[np.float32]:
    """How far inside the window the voxels of `part` lie, 1 from a `DEPTH` of it on."""
    return _lowest(*map(_axis_depths, window, part, shape))


def _axis_depths(face: slice, inner: slice, length: int) -> NDArray[np.float32]:
    """`depth` of every index of `inner` in the window's `face`, at once."""
    full = DEPTH * (face.stop - face.start)
    index = np.arange(inner.start, inner.stop, dtype=np.float32)
    inside = np.full(len(index), full, dtype=np.float32)
    if face.start > 0:
        inside = np.minimum(inside, index - (face.start - 0.5))
    if face.stop < length:
        inside = np.minimum(inside, face.stop - 0.5 - index)
    return inside / np.float32(full)


def _lowest(
    z: NDArray[np.float32], y: NDArray[np.float32], x: NDArray[np.float32]
) -> NDArray[np.float32]:
    """The least of three values, one of each axis, for every voxel."""
    return np.minimum(np.minimum(z[:, None, None], y[:, None]), x)


def _probability(item: WindowInstance, part: Box) -> NDArray[np.float32]:
    """The object's probability over `part`, 0 where it has no crop."""
    values = np.zeros([axis.stop - axis.start for axis in part], dtype=np.float32)
    shared = _within(item.box, part)
    values[_inside(shared, part)] = item.probability[_inside(shared, item.box)]
    return values


def _inside(box: Box, outer: Box) -> Box:
    """`box` in the indices of a crop that covers `outer`."""
    z, y, x = (
        slice(part.start - around.start, part.stop - around.start)
        for part, around in zip(box, outer, strict=True)
    )
    return z, y, x


def _shifted(one: WindowInstance, start: Shape) -> WindowInstance:
    z, y, x = (
        slice(part.start + first, part.stop + first)
        for part, first in zip(one.box, start, strict=True)
    )
    return WindowInstance(one.class_id, one.score, (z, y, x), one.probability)


def _place(item: PlacedInstance) -> tuple[object, ...]:
    """What tells two objects of a study apart: class, score, window and box."""
    boxes = [(part.start, part.stop) for part in (*item.window, *item.instance.box)]
    return (boxes, item.instance.class_id, -item.instance.score)


def _corner(window: Box) -> tuple[int, int, int]:
    z, y, x = (part.start for part in window)
    return z, y, x


def _within(one: Box, outer: Box) -> Box:
    """The part of a box inside another; an empty one at its edge where they do not meet."""
    z, y, x = (
        slice(start := min(max(a.start, b.start), b.stop), max(min(a.stop, b.stop), start))
        for a, b in zip(one, outer, strict=True)
    )
    return z, y, x
