"""The cores of a window's lesions: what is left of each when its border is taken off."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.ndimage import binary_dilation, distance_transform_edt, find_objects
from torch import Tensor

from medseg.card import CardClass
from medseg.heads.contract import WindowTarget, lesion_ids
from medseg.measurement.parts import labelled_parts

THICKNESS_MM = 2.0
"""Of the border: a voxel of the core lies at least so deep in its object."""

DEEPEST_SHARE = 0.6
"""In a thin object a voxel of the core lies at least at this share of the depth of the deepest."""

WEAKER = (1.0, 0.75, 0.5, 0.25, 0.0)
"""So much of the depth is asked for, one after the other, until the core is in one piece."""

Owners = NDArray[np.int32]


class CoreTarget(NamedTuple):
    """What the network should have given of the cores of a batch.

    Shapes: core (B, lesions, Z, Y, X) 0 or 1; owner (B, lesions, Z, Y, X) the object of each voxel,
    numbered from 1 over the whole batch, 0 where no lesion is.
    """

    core: Tensor
    owner: Tensor


def core_target(
    targets: Sequence[WindowTarget],
    classes: Sequence[CardClass],
    shape: tuple[int, int, int],
    spacing_mm: Sequence[float],
    thickness_mm: float = THICKNESS_MM,
) -> CoreTarget:
    """Draw the cores of a batch of windows of `shape` (Z, Y, X).

    Voxels that objects of a class share go to the smaller, which has fewer of its own to be known
    by. An object in several connected pieces (26) is as many objects here.
    """
    channels = (len(targets), len(lesion_ids(classes)), *shape)
    core, owner = np.zeros(channels, dtype=np.float32), np.zeros(channels, dtype=np.int32)
    spacing, count = np.asarray(spacing_mm, dtype=np.float64), 0
    for window, target in enumerate(targets):
        owned = owners(target, classes, shape)
        for channel, one in enumerate(owned):
            core[window, channel] = cores(one, spacing, thickness_mm)
        owner[window] = np.where(owned, owned + count, 0)
        count += int(owned.max(initial=0))
    return CoreTarget(torch.from_numpy(core), torch.from_numpy(owner))


def owners(
    target: WindowTarget, classes: Sequence[CardClass], shape: tuple[int, int, int]
) -> Owners:
    """The connected piece of a lesion that each voxel belongs to, (lesions, Z, Y, X), from 1.

    Of pieces that hold the same voxel it is the smaller object's. No two have one number.
    """
    lesions = {position: n for n, position in enumerate(lesion_ids(classes))}
    owner = np.zeros((len(lesions), *shape), dtype=np.int32)
    count = 0
    for n in _largest_first(target):
        channel = lesions.get(int(target.class_ids[n]))
        if channel is None:
            continue
        box = target.boxes[n]
        place = tuple(slice(int(a), int(b)) for a, b in zip(box[:3], box[3:], strict=True))
        pieces, found = labelled_parts(target.masks[n])
        inside = pieces > 0
        owner[channel][place][inside] = pieces[inside] + count
        count += found
    return owner


def _largest_first(target: WindowTarget) -> list[int]:
    """The order in which objects are drawn; it does not depend on that in which they are listed."""
    size = [int(np.count_nonzero(mask)) for mask in target.masks]
    return sorted(range(len(size)), key=lambda n: (-size[n], *target.boxes[n].tolist()))


def cores(
    owner: Owners, spacing_mm: NDArray[np.float64], thickness_mm: float = THICKNESS_MM
) -> NDArray[np.bool_]:
    """Where the core of an object is, (Z, Y, X), from the numbers of objects, 0 for none.

    A core is one connected piece (26) of its object's voxels that lie deep enough: from the border
    at least `thickness_mm` and a voxel and a half, or `DEEPEST_SHARE` of the deepest's distance
    where that is less, and less again where the core would fall apart. Distances are those to the
    nearest voxel of something else; what the window cuts ends nowhere. No voxel of a core touches
    (26) another object, unless all of the object's do: of two such that touch, the cores merge.
    """
    core = np.zeros(owner.shape, dtype=np.bool_)
    thickness = max(thickness_mm, 1.5 * float(spacing_mm.min()))
    for place, n in _each(owner):
        own = owner[place] == n
        depth = _depth(own, spacing_mm)
        wanted = min(thickness, DEEPEST_SHARE * float(depth.max()))
        allowed = own & ~_beside_others(owner[place], n)
        core[place] |= _one_piece(allowed if allowed.any() else own, depth, wanted)
    return core


def _one_piece(
    allowed: NDArray[np.bool_], depth: NDArray[np.float64], wanted: float
) -> NDArray[np.bool_]:
    """The voxels at least `wanted` deep, or less where that joins them; else the largest piece."""
    # Contact may have taken the deepest voxels away: something is always left.
    wanted = min(wanted, float(depth[allowed].max()))
    for share in WEAKER:
        pieces, count = labelled_parts(allowed & (depth >= share * wanted))
        if count == 1:
            return np.asarray(pieces > 0)
    sizes = np.bincount(pieces.ravel())
    sizes[0] = 0
    return np.asarray(pieces == sizes.argmax())


def _each(owner: Owners) -> Iterator[tuple[tuple[slice, ...], int]]:
    """A box around each object, a voxel wider where the window goes on, and its number."""
    for n, box in enumerate(find_objects(owner), start=1):
        if box is None:  # another object covers it
            continue
        place = tuple(slice(max(part.start - 1, 0), part.stop + 1) for part in box)
        yield place, n


def _depth(own: NDArray[np.bool_], spacing_mm: NDArray[np.float64]) -> NDArray[np.float64]:
    """Distance in mm of each voxel to the nearest outside; infinite where there is none."""
    if own.all():
        return np.full(own.shape, np.inf)
    return np.asarray(distance_transform_edt(own, sampling=spacing_mm))


def _beside_others(owner: Owners, n: int) -> NDArray[np.bool_]:
    """Voxels with one of another object than `n` among their 26 neighbours, or in one."""
    others: NDArray[np.bool_] = (owner > 0) & (owner != n)
    if not others.any():
        return others
    return np.asarray(binary_dilation(others, np.ones((3, 3, 3), dtype=np.bool_)))
