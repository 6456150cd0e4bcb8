"""Boxes of voxels: around several, what two share, and counted from another's corner."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from medseg.types.geometry import Box


def union_box(boxes: Iterable[Box]) -> Box:
    """The smallest box that holds all of `boxes`, at least one."""
    z, y, x = (
        slice(min(part.start for part in axis), max(part.stop for part in axis))
        for axis in zip(*boxes, strict=True)
    )
    return z, y, x


def meeting(box: Box, other: Box) -> Box | None:
    """What two boxes have in common; None where they have nothing."""
    z, y, x = (
        slice(max(one.start, two.start), min(one.stop, two.stop))
        for one, two in zip(box, other, strict=True)
    )
    return (z, y, x) if all(part.start < part.stop for part in (z, y, x)) else None


def box_inside(box: Box, outer: Box) -> Box:
    """`box` counted from the corner of `outer`, which holds it."""
    z, y, x = (
        slice(part.start - around.start, part.stop - around.start)
        for part, around in zip(box, outer, strict=True)
    )
    return z, y, x


def box_outside(inside: Sequence[slice], outer: Box) -> Box:
    """The box that `box_inside` counts as `inside` from the corner of `outer`."""
    z, y, x = (
        slice(part.start + around.start, part.stop + around.start)
        for part, around in zip(inside, outer, strict=True)
    )
    return z, y, x
