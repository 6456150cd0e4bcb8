"""How large instances are, where they lie, and which box holds them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from medseg.compiled import compiled
from medseg.measurement.pairs import common_part, meeting_boxes
from medseg.types import Box, Instance, Instances, box_inside, boxes_apart, union_box


def voxel_counts(instances: Instances) -> NDArray[np.int64]:
    """Voxels in each mask, (N,), in the order of `items`."""
    return np.asarray([item.voxel_count for item in instances.items], dtype=np.int64)


def volumes_ml(instances: Instances) -> NDArray[np.float64]:
    """Volume of each instance in millilitres by voxel count, (N,), in the order of `items`."""
    return voxel_counts(instances).astype(np.float64) * instances.geometry.voxel_ml


def boxes(instances: Instances) -> NDArray[np.int64]:
    """Box of each instance, (N, 6): z start, z stop, y start, y stop, x start, x stop."""
    return _ends(instances.items)


def _ends(items: Sequence[Instance]) -> NDArray[np.int64]:
    ends = [[end for part in item.box for end in (part.start, part.stop)] for item in items]
    return np.asarray(ends, dtype=np.int64).reshape(-1, 6)


def centroids_lps_mm(instances: Instances) -> NDArray[np.float64]:
    """Mean position of each instance's voxel centres in LPS millimetres, (N, 3) as (x, y, z)."""
    index = np.empty((len(instances), 3), dtype=np.float64)
    for row, item in zip(index, instances.items, strict=True):
        count = z = y = x = 0
        for box in boxes_apart(item.mask):
            voxels = np.ascontiguousarray(item.mask[box]).view(np.uint8)
            voxels.flags.writeable = False  # always, so that one compiled version does
            more, sum_z, sum_y, sum_x = _index_sums(voxels)
            first_z, first_y, first_x = (part.start for part in box)
            count += more
            z, y, x = (
                z + sum_z + first_z * more,
                y + sum_y + first_y * more,
                x + sum_x + first_x * more,
            )
        corner = (part.start for part in item.box)
        row[:] = [start + total / count for start, total in zip(corner, (z, y, x), strict=True)]
    return instances.geometry.index_to_world(index)


@compiled
def _index_sums(
    mask: NDArray[np.uint8],
) -> tuple[int, int, int, int]:  # pragma: no cover - compiled
    """Number of voxels of a crop, and the sums of their z, y and x in it."""
    count = sum_z = sum_y = sum_x = 0
    for z in range(mask.shape[0]):
        for y in range(mask.shape[1]):
            in_row = 0
            for x in range(mask.shape[2]):
                in_row += mask[z, y, x]
                sum_x += x * mask[z, y, x]
            count += in_row
            sum_z += z * in_row
            sum_y += y * in_row
    return count, sum_z, sum_y, sum_x


def touches_border(instances: Instances) -> NDArray[np.bool_]:
    """Whether each instance reaches the first or last plane of the grid along any axis, (N,)."""
    ends = boxes(instances)
    at_start = ends[:, 0::2] == 0
    at_stop = ends[:, 1::2] == np.asarray(instances.geometry.shape)
    touches: NDArray[np.bool_] = np.any(at_start | at_stop, axis=1)
    return touches


def union(items: Iterable[Instance]) -> tuple[Box, NDArray[np.bool_]] | None:
    """All masks as one: the box around them and the mask in it; None where there is no item."""
    members = list(items)
    if not members:
        return None
    box = union_box(item.box for item in members)
    mask = np.zeros([part.stop - part.start for part in box], dtype=np.bool_)
    for item in members:
        mask[box_inside(item.box, box)] |= item.mask
    return box, mask


def union_voxels(items: Iterable[Instance]) -> int:
    """Voxels that at least one of the masks holds.

    Of each mask those count that none before it holds, so that masks which lie far apart take no
    room between them.
    """
    members = list(items)
    ends = _ends(members)
    left = [one.mask for one in members]
    for n, m in meeting_boxes(ends, ends).tolist():
        if m < n:
            own, theirs = common_part(members[n].box, members[m].box)
            if left[n] is members[n].mask:
                left[n] = members[n].mask.copy()
            left[n][own] &= ~members[m].mask[theirs]
    return sum(int(np.count_nonzero(mask)) for mask in left)
