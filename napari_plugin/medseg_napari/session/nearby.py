"""Which lesions' relations to organs a step may have changed; the others need not be measured."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from medseg.types import Box, Geometry, Instance, box_inside, box_outside, tight_box, union_box
from medseg_napari.session.packing import lengths

Touched = Mapping[int, tuple[Instance | None, Instance | None]]
"""The instances of a step by id, before and after it."""

_SLACK = 1e-6


def organ_changes(touched: Touched) -> list[Box]:
    """The boxes in which a step changed organs: of one that stays, around what it got or lost."""
    found: list[Box | None] = []
    for before, after in touched.values():
        organs = [one for one in (before, after) if one is not None and one.kind == "organ"]
        if len(organs) == 2 and organs[0].class_name == organs[1].class_name:
            found.append(_difference(organs[0], organs[1]))
        else:
            found += [one.box for one in organs]
    return [box for box in found if box is not None]


def near_changes(
    lesions: Sequence[Instance], rows: pd.DataFrame, changed: Sequence[Box], geometry: Geometry
) -> set[int]:
    """The ids of lesions whose organ or nearest organ may be another one now.

    `rows` holds what is known of them by id: `organ` and `nearest_organ_mm`. One that lies in an
    organ may have another where a change meets its box. One outside of all may where a change is
    no further off than its nearest organ is; where there was none, wherever it lies.
    """
    if not lesions or not changed:
        return set()
    ids = [item.id for item in lesions]
    known = rows.loc[ids]
    inside = known["organ"].fillna("").to_numpy(dtype=object) != ""
    reach_mm = known["nearest_organ_mm"].to_numpy(dtype=np.float64)
    reach_mm = np.where(inside, 0.0, np.where(np.isnan(reach_mm), np.inf, reach_mm))
    starts, stops = (
        np.asarray([[getattr(part, end) for part in item.box] for item in lesions])
        for end in ("start", "stop")
    )
    least_mm = np.min([_least_mm(starts, stops, box, geometry) for box in changed], axis=0)
    near = least_mm <= reach_mm * (1 + _SLACK)
    return {number for number, is_near in zip(ids, near.tolist(), strict=True) if is_near}


def _difference(one: Instance, other: Instance) -> Box | None:
    """The box around the voxels that one of two instances has alone; None where there is none."""
    if one.box == other.box and one.mask is other.mask:
        return None
    box = union_box([one.box, other.box])
    differ = np.zeros(lengths(box), dtype=np.bool_)
    for item in (one, other):
        differ[box_inside(item.box, box)] ^= item.mask
    tight = tight_box(differ)
    return None if tight is None else box_outside(tight, box)


def _least_mm(
    starts: NDArray[np.int64], stops: NDArray[np.int64], box: Box, geometry: Geometry
) -> NDArray[np.float64]:
    """No voxel of the boxes (N, 3) is nearer to one of `box` than this, (N,)."""
    low = np.asarray([part.start for part in box])
    high = np.asarray([part.stop for part in box])
    apart = np.maximum(0, np.maximum(low - (stops - 1), starts - (high - 1)))
    if geometry.is_orthogonal:
        found: NDArray[np.float64] = np.linalg.norm(apart * geometry.spacing_mm, axis=1)
        return found
    shortest = float(np.linalg.svd(geometry.affine[:3, :3], compute_uv=False).min())
    return np.asarray(np.linalg.norm(apart, axis=1) * shortest)
