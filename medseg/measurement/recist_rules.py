"""The rules of RECIST 1.1: what is measurable, what a node is, and a proposal of targets.

Source: Eisenhauer et al., European Journal of Cancer 45, 2009. Software proposes, a reader
decides: nothing here is meant to overrule one.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import cache
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from medseg.types import Geometry, Instances

NodeStatus = Literal["target", "non-target", "normal"]

LESION_MM, NODE_TARGET_MM, NODE_MM = 10.0, 15.0, 10.0
"""Least long diameter of a lesion, and least short ones of a target node and of any node."""
TOLERANCE_MM = 1e-6
"""A diameter that falls short of a limit by less has reached it: rounding decides nothing."""
MOST_TARGETS, MOST_TARGETS_AN_ORGAN = 5, 2
NODES = "lymph nodes"
"""The organ of all lymph nodes together."""

_SIDES = frozenset({"left", "right", "l", "r", "lt", "rt"})
_LOBES = frozenset({"upper", "middle", "lower", "lobe"})


class Plane(NamedTuple):
    """The slices to measure in: across which array axis, and whether that is known."""

    axis: int
    known: bool


def acquisition_plane(geometry: Geometry, acquisition_axis: int | None) -> Plane:
    """The plane in which slices were acquired; where that is unknown, the one nearest to axial.

    Axial slices lie across the array axis that leads most nearly from foot to head.

    Raises ValueError where `acquisition_axis` is neither None nor 0, 1 or 2.
    """
    if acquisition_axis not in (None, 0, 1, 2):
        msg = f"an array has the axes 0, 1, 2; acquisition_axis is {acquisition_axis}"
        raise ValueError(msg)
    if acquisition_axis is None:
        return Plane(geometry.closest_axes()[0][0], known=False)
    return Plane(int(acquisition_axis), known=True)


def are_nodes(instances: Instances) -> NDArray[np.bool_]:
    """Whether the class of each instance is one of lymph nodes, (N,), in the order of `items`."""
    nodes = {one.name for one in instances.classes if one.node}
    return np.asarray([item.class_name in nodes for item in instances], dtype=np.bool_)


def measurable(
    long_mm: ArrayLike,
    short_mm: ArrayLike,
    *,
    slice_thickness_mm: float | None,
    plane_known: bool,
    node: ArrayLike,
) -> list[bool | None]:
    """Whether each of N objects is measurable; None where that cannot be said.

    A lesion is from a longest diameter of 10 mm on, where slices are at most 5 mm thick, else
    from twice the thickness. A node is from a short diameter of 15 mm on; for it, too, twice the
    thickness is asked where slices are thicker than 5 mm, which is our reading: the source
    recommends at most 5 mm for nodes and states the rule for lesions. Without the acquisition
    plane, without a thickness above 0, or for a diameter that is NaN the answer is None.
    """
    long, short, nodes = _columns(long_mm, short_mm, node)
    thickness = np.nan if slice_thickness_mm is None else float(slice_thickness_mm)
    if not plane_known or not 0 < thickness < np.inf:
        return [None] * len(long)
    # At 5 mm both rules ask for 10 mm, so that twice the thickness only counts above it.
    least = np.maximum(np.where(nodes, NODE_TARGET_MM, LESION_MM), 2 * thickness)
    values = np.where(nodes, short, long)
    return [
        None if np.isnan(value) else bool(value >= limit - TOLERANCE_MM)
        for value, limit in zip(values, least, strict=True)
    ]


def node_status(short_mm: ArrayLike) -> list[NodeStatus | None]:
    """What a node is by its short diameter: target from 15 mm on, normal below 10 mm.

    Between them it is a non-target. NaN gives None.
    """
    return [_status(float(mm)) for mm in np.asarray(short_mm, dtype=np.float64)]


def _status(mm: float) -> NodeStatus | None:
    if np.isnan(mm):
        return None
    if mm >= NODE_TARGET_MM - TOLERANCE_MM:
        return "target"
    return "non-target" if mm >= NODE_MM - TOLERANCE_MM else "normal"


def recist_values_mm(
    long_mm: ArrayLike, short_mm: ArrayLike, *, node: ArrayLike
) -> NDArray[np.float64]:
    """What counts of each object, (N,): the short diameter of a node, else the long one."""
    long, short, nodes = _columns(long_mm, short_mm, node)
    return np.where(nodes, short, long)


def target_organs(
    class_names: Sequence[str], organs: Sequence[str | None] | None = None, *, node: ArrayLike
) -> list[str]:
    """The organ in which each object counts, by the rule that at most two an organ are targets.

    All nodes are in one. The two of a pair are one, as are the lobes of a lung: words for sides
    ("left", "l") at either end of a name, and for lobes, are left out. Where the organ is not
    known (None or empty), the name of the object's class stands for it.
    """
    given = [None] * len(class_names) if organs is None else organs
    rows = zip(class_names, given, np.asarray(node, dtype=np.bool_), strict=True)
    return [NODES if is_node else _whole_organ(organ or name) for name, organ, is_node in rows]


@cache
def _whole_organ(name: str) -> str:
    words = [word for word in re.split(r"[\s_-]+", name.strip().lower()) if word]
    kept = words
    if "lobe" in kept:
        kept = [word for word in kept if word not in _LOBES]
    while kept and kept[0] in _SIDES:
        kept = kept[1:]
    while kept and kept[-1] in _SIDES:
        kept = kept[:-1]
    return " ".join(kept or words)


def propose_targets(
    values_mm: ArrayLike, eligible: Sequence[bool | None], organs: Sequence[str]
) -> NDArray[np.int64]:
    """Positions of the objects proposed as target lesions, the largest first.

    At most five, at most two an organ, by what counts of each object (`recist_values_mm`); of
    equal ones (within 1e-6 mm) the first. `eligible` is from `measurable`, `organs` from
    `target_organs`. What is not measurable, or not known to be, is not proposed; say False of
    what is no lesion. Nothing to propose gives an empty array.

    Raises ValueError where the three differ in length.
    """
    values = np.asarray(values_mm, dtype=np.float64)
    rows = list(zip(values.tolist(), eligible, organs, strict=True))
    able = [n for n, (value, yes, _) in enumerate(rows) if yes and not np.isnan(value)]
    taken: Counter[str] = Counter()
    proposed: list[int] = []
    for n in sorted(able, key=lambda n: (-round(rows[n][0] / TOLERANCE_MM), n)):
        organ = rows[n][2]
        if len(proposed) < MOST_TARGETS and taken[organ] < MOST_TARGETS_AN_ORGAN:
            taken[organ] += 1
            proposed.append(n)
    return np.asarray(proposed, dtype=np.int64)


def sum_of_diameters_mm(values_mm: ArrayLike, targets: Iterable[int]) -> float:
    """Sum over the targets of what counts of each (`recist_values_mm`); without a target 0.

    It may be above 0 in complete response: a node that is normal again still has a diameter.
    """
    values = np.asarray(values_mm, dtype=np.float64)
    return float(sum(values[n] for n in targets))


def _columns(
    long_mm: ArrayLike, short_mm: ArrayLike, node: ArrayLike
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.bool_]]:
    long, short = np.asarray(long_mm, dtype=np.float64), np.asarray(short_mm, dtype=np.float64)
    nodes = np.asarray(node, dtype=np.bool_)
    if long.ndim != 1 or not long.shape == short.shape == nodes.shape:
        msg = f"one entry an object is wanted; got {long.shape}, {short.shape}, {nodes.shape}"
        raise ValueError(msg)
    return long, short, nodes
