"""Dense targets of the centre-offset head, drawn from the objects of a window."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from medseg.card import CardClass
from medseg.heads.contract import WindowTarget, lesion_ids, organ_ids

SMALLEST_SIGMA, LARGEST_SIGMA = 1.5, 3.0
"""Limits of the heat map's standard deviation, in voxels."""


@dataclass(frozen=True)
class DenseTarget:
    """What the network should have given for a batch.

    Shapes: organ (B, Z, Y, X) positions, 0 for background; lesion (B, lesions, Z, Y, X) 0 or 1;
    centre (B, lesions, Z/2, Y/2, X/2) in 0..1, exactly 1 at a centre;
    offset_mm (B, 3 * lesions, Z/2, Y/2, X/2); owned (B, lesions, Z/2, Y/2, X/2) true where an
    offset is defined. beyond (B, Z, Y, X) is true where no class is known; None is nowhere.
    undrawn (B, 1 + organs) is true for organs that nobody drew; None is for none.
    """

    organ: Tensor
    lesion: Tensor
    centre: Tensor
    offset_mm: Tensor
    owned: Tensor
    beyond: Tensor | None = None
    undrawn: Tensor | None = None


def dense_target(
    targets: Sequence[WindowTarget],
    classes: Sequence[CardClass],
    shape: tuple[int, int, int],
    spacing_mm: Sequence[float],
    *,
    device: torch.device | str = "cpu",
) -> DenseTarget:
    """Draw the targets of a batch of windows of `shape` (Z, Y, X), lengths even, on `device`."""
    drawn = [_draw(one, classes, shape, np.asarray(spacing_mm)) for one in targets]
    organ, lesion, centre, offset, owned = (
        torch.from_numpy(np.stack([window[n] for window in drawn])).to(device) for n in range(5)
    )
    beyond, undrawn = _beyond(targets, shape, device), _undrawn(targets, classes, device)
    return DenseTarget(organ, lesion, centre, offset, owned, beyond, undrawn)


def _undrawn(
    targets: Sequence[WindowTarget], classes: Sequence[CardClass], device: torch.device | str
) -> Tensor | None:
    if not any(one.undrawn for one in targets):
        return None
    organs = organ_ids(classes)
    rows = [[False, *(position in one.undrawn for position in organs)] for one in targets]
    return torch.tensor(rows, device=device)


def _beyond(
    targets: Sequence[WindowTarget], shape: tuple[int, int, int], device: torch.device | str
) -> Tensor | None:
    if all(one.beyond is None for one in targets):
        return None
    known = np.zeros(shape, dtype=np.bool_)
    drawn = [known if one.beyond is None else one.beyond for one in targets]
    return torch.from_numpy(np.stack(drawn)).to(device)


def _draw(
    target: WindowTarget,
    classes: Sequence[CardClass],
    shape: tuple[int, int, int],
    spacing_mm: NDArray[np.float64],
) -> tuple[NDArray[np.generic], ...]:
    organs = {position: n + 1 for n, position in enumerate(organ_ids(classes))}
    lesions = {position: n for n, position in enumerate(lesion_ids(classes))}
    cells = tuple(length // 2 for length in shape)
    organ = np.zeros(shape, dtype=np.int64)
    lesion = np.zeros((len(lesions), *shape), dtype=np.float32)
    centre = np.zeros((len(lesions), *cells), dtype=np.float32)
    offset = np.zeros((len(lesions), 3, *cells), dtype=np.float32)
    nearest = np.full((len(lesions), *cells), np.inf, dtype=np.float32)
    for n, position in enumerate(target.class_ids):
        box, mask = target.boxes[n], target.masks[n]
        window = tuple(slice(int(a), int(b)) for a, b in zip(box[:3], box[3:], strict=True))
        if int(position) in organs:
            organ[window][mask] = organs[int(position)]
            continue
        channel = lesions[int(position)]
        lesion[channel][window][mask] = 1.0
        _draw_centre(centre[channel], box, target.centres[n])
        _draw_offset(offset[channel], nearest[channel], (box, mask), target.centres[n], spacing_mm)
    owned = np.isfinite(nearest)
    return organ, lesion, centre, offset.reshape(-1, *cells), owned


def _draw_centre(
    heat: NDArray[np.float32], box: NDArray[np.int64], centre: NDArray[np.float64]
) -> None:
    """Raise `heat` (stride 2) to a Gaussian around `centre`; its nearest cell becomes 1."""
    cell = (centre + 0.5) / 2 - 0.5
    half = float(np.mean(box[3:] - box[:3])) / 2
    sigma = min(max(half / 4, SMALLEST_SIGMA), LARGEST_SIGMA) / 2
    reach = int(np.ceil(3 * sigma)) + 1
    low = np.maximum(np.floor(cell).astype(int) - reach, 0)
    high = np.minimum(np.floor(cell).astype(int) + reach + 1, heat.shape)
    if (high <= low).any():
        return
    z, y, x = np.ogrid[low[0] : high[0], low[1] : high[1], low[2] : high[2]]
    squared = (z - cell[0]) ** 2 + (y - cell[1]) ** 2 + (x - cell[2]) ** 2
    part = heat[low[0] : high[0], low[1] : high[1], low[2] : high[2]]
    np.maximum(part, np.exp(-squared / (2 * sigma**2)), out=part)
    peak = np.rint(cell).astype(int)
    if (peak >= 0).all() and (peak < heat.shape).all():
        heat[tuple(peak)] = 1.0


def _draw_offset(
    offset_mm: NDArray[np.float32],
    nearest: NDArray[np.float32],
    drawn: tuple[NDArray[np.int64], NDArray[np.bool_]],
    centre: NDArray[np.float64],
    spacing_mm: NDArray[np.float64],
) -> None:
    """Write offsets to `centre` where this object is nearer, for its size, than those before."""
    box, mask = drawn
    half = np.maximum((box[3:] - box[:3]) / 2, 1.0)
    z, y, x = ((np.argwhere(mask) + box[:3]) // 2).T
    inside = (z < nearest.shape[0]) & (y < nearest.shape[1]) & (x < nearest.shape[2])
    cells = np.zeros(nearest.shape, dtype=np.bool_)
    cells[z[inside], y[inside], x[inside]] = True
    z, y, x = np.nonzero(cells)
    towards = centre - (2 * np.stack([z, y, x], axis=-1) + 0.5)
    distance = np.linalg.norm(towards / half, axis=-1).astype(np.float32)
    nearer = distance < nearest[z, y, x]
    z, y, x = z[nearer], y[nearer], x[nearer]
    nearest[z, y, x] = distance[nearer]
    offset_mm[:, z, y, x] = (towards[nearer] * spacing_mm).T
