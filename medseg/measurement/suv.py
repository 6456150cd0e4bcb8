"""Peak values of PET, and what is multiplied from them; the arithmetic holds for any unit."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from medseg.compiled import compiled
from medseg.errors import InputRefused
from medseg.io import require_same_grid
from medseg.measurement.lattice import steps_within
from medseg.types import Box, Instance, Instances, Volume

PEAK_RADIUS_MM = (3 * 1000 / (4 * math.pi)) ** (1 / 3)
"""Radius of a ball of 1 mL, 6.2035 mm."""

_AT_ONCE = 2**21  # voxels of a crop in float64 at a time: a large organ does not fill the memory
_ALL_FINITE = np.empty((0, 0, 0))


@dataclass(frozen=True, eq=False)
class Peaks:
    """Means over balls of 1 mL in the image's unit, all (N,) in the order of `items`.

    `local_peak` and `global_peak` are NaN where no voxel of the instance is finite. A whole ball
    holds `ball_voxels` voxels. `cut` says where the image's border cuts one of the two balls;
    `left_out` counts the NaN and infinite voxels of the ball that has more of them.
    """

    local_peak: NDArray[np.float64]
    global_peak: NDArray[np.float64]
    cut: NDArray[np.bool_]
    left_out: NDArray[np.int64]
    ball_voxels: int


def suv_peaks(instances: Instances, volume: Volume) -> Peaks:
    """SUVpeak of each instance, local and global: `peaks` of an image in SUVbw.

    Raises InputRefused (`unit-mismatch`) for another unit and (`grid-mismatch`) for another grid.
    """
    if volume.unit != "SUVbw":
        raise InputRefused(
            code="unit-mismatch",
            subject="image",
            detail=f"its unit is {volume.unit}, SUVpeak needs SUVbw",
            remedy="give the PET in SUVbw",
        )
    return peaks(instances, volume)


def peaks(instances: Instances, volume: Volume) -> Peaks:
    """Local and global peak of each instance, in the image's unit.

    A peak is the mean of all image voxels whose centre lies within `PEAK_RADIUS_MM` of a voxel's
    centre, also those outside the instance. Local: around the instance's largest voxel, of equal
    ones the one with the highest mean. Global: the highest mean around any of its voxels. A voxel
    that is not finite is neither averaged nor a centre; nothing stands in for voxels beyond the
    image's border. No instance gives arrays of shape (0,).

    Raises InputRefused (`grid-mismatch`) where the image has another grid.

    Source: IBSI 1, local and global intensity peak (Zwanenburg et al., Radiology 2020), after
    PERCIST (Wahl et al., J Nucl Med 2009).
    """
    require_same_grid(volume.geometry, instances.geometry, "image", other="objects")
    ball = steps_within(instances.geometry, PEAK_RADIUS_MM)
    means = np.full((len(instances), 2), np.nan)
    cut = np.zeros(len(instances), dtype=np.bool_)
    left_out = np.zeros(len(instances), dtype=np.int64)
    for row, item in enumerate(instances.items):
        best = _best_balls(item, volume.array, ball)
        if best is not None:
            means[row] = best.means
            if not best.whole:
                cut[row], left_out[row] = _missing(volume.array, best.centres, ball)
    return Peaks(means[:, 0], means[:, 1], cut, left_out, len(ball))


def total_lesion_glycolysis_g(
    suv_mean: NDArray[np.float64], volume_ml: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Mean SUVbw (g/mL) times volume in grams, (N,); NaN where one of the two is."""
    return np.asarray(suv_mean * volume_ml, dtype=np.float64)


class _Best(NamedTuple):
    """Local and global peak (2,), where they lie (2, 3), and whether no voxel was missing."""

    means: NDArray[np.float64]
    centres: NDArray[np.int64]
    whole: bool


def _best_balls(item: Instance, array: NDArray[Any], ball: NDArray[np.int64]) -> _Best | None:
    """The best balls of an instance; None where none of its voxels is finite."""
    values = array[item.box][item.mask]
    if values.dtype.kind == "f":
        values = values[np.isfinite(values)]
    if not values.size:
        return None
    largest = float(values.max())
    means, centres, whole = np.full(2, -np.inf), np.zeros((2, 3), dtype=np.int64), True
    margin = ball.max(axis=0)
    for box, mask in _parts(item, margin):
        padded = _with_margin(array, box, margin)
        finite = np.isfinite(padded)
        number, own = _ALL_FINITE, np.ascontiguousarray(mask)
        if not finite.all():
            whole, number = False, finite.astype(np.float64)
            inner = (slice(n, length - n) for n, length in zip(margin, padded.shape, strict=True))
            own = own & finite[tuple(inner)]
            padded[~finite] = 0.0
        found = np.full((2, 4), -np.inf)
        _search(padded, number, own.view(np.uint8), ball + margin, largest, found)
        better = found[:, 0] > means
        means[better] = found[better, 0]
        centres[better] = found[better, 1:] + [part.start for part in box]
    return _Best(means, centres, whole)


def _parts(item: Instance, margin: NDArray[np.int64]) -> Iterator[tuple[Box, NDArray[np.bool_]]]:
    """The instance in slabs of whole slices, each with its box and mask, the first slice first."""
    z, y, x = item.box
    area = (y.stop - y.start + 2 * int(margin[1])) * (x.stop - x.start + 2 * int(margin[2]))
    slices = max(_AT_ONCE // area, 2 * int(margin[0]) + 1)
    for start in range(z.start, z.stop, slices):
        stop = min(start + slices, z.stop)
        yield (slice(start, stop), y, x), item.mask[start - z.start : stop - z.start]


def _with_margin(array: NDArray[Any], box: Box, margin: NDArray[np.int64]) -> NDArray[np.float64]:
    """The box of `array` grown by `margin` (z, y, x) each way; NaN beyond the array."""
    wide = [(part.start - n, part.stop + n) for part, n in zip(box, margin.tolist(), strict=True)]
    inside = [
        slice(max(start, 0), min(stop, length))
        for (start, stop), length in zip(wide, array.shape, strict=True)
    ]
    values = array[tuple(inside)].astype(np.float64, order="C")
    missing = [
        (part.start - start, stop - part.stop)
        for part, (start, stop) in zip(inside, wide, strict=True)
    ]
    if not any(map(any, missing)):
        return values
    return np.pad(values, missing, constant_values=np.nan)


@compiled
def _add_lines(
    values: NDArray[np.float64],
    steps: NDArray[np.int64],
    corner: tuple[int, int, int],
    total: NDArray[np.float64],
) -> None:  # pragma: no cover - compiled
    """Put the sums over the balls of neighbours along x into `total`; `corner` is the first."""
    total[:] = 0.0
    for k in range(steps.shape[0]):
        z, y, x = corner[0] + steps[k, 0], corner[1] + steps[k, 1], corner[2] + steps[k, 2]
        line = values[z, y, x : x + total.size]
        for n in range(total.size):
            total[n] += line[n]


@compiled
def _search(
    values: NDArray[np.float64],
    number: NDArray[np.float64],
    mask: NDArray[np.uint8],
    steps: NDArray[np.int64],
    largest: float,
    found: NDArray[np.float64],
) -> None:  # pragma: no cover - compiled
    """Put the highest mean and its voxel (z, y, x) into `found` (2, 4): local, then global.

    Shapes: mask (Z, Y, X); values larger by the margin each way; number the same, 1 where a value
    counts, or empty where all do; steps (K, 3) from a mask's voxel to the values of its ball, the
    middle one to its own.
    """
    own = steps[steps.shape[0] // 2]
    width = mask.shape[2]
    total, count = np.empty(width, np.float64), np.empty(width, np.float64)
    count[:] = steps.shape[0]
    for z in range(mask.shape[0]):
        for y in range(mask.shape[1]):
            first, stop = 0, width
            while first < stop and mask[z, y, first] == 0:
                first += 1
            while first < stop and mask[z, y, stop - 1] == 0:
                stop -= 1
            if first == stop:
                continue
            length = stop - first
            _add_lines(values, steps, (z, y, first), total[:length])
            if number.size:
                _add_lines(number, steps, (z, y, first), count[:length])
            for x in range(first, stop):
                mean = total[x - first] / max(count[x - first], 1.0)  # 0 only beside the mask
                at_largest = values[z + own[0], y + own[1], x + own[2]] == largest
                for kind in range(2):
                    better = mask[z, y, x] != 0 and mean > found[kind, 0]
                    if better and (kind == 1 or at_largest):
                        found[kind, 0], found[kind, 1] = mean, z
                        found[kind, 2], found[kind, 3] = y, x


def _missing(
    array: NDArray[Any], centres: NDArray[np.int64], ball: NDArray[np.int64]
) -> tuple[bool, int]:
    """Whether a ball at one of `centres` (M, 3) leaves the array; the most not finite in one."""
    voxels = centres[:, None] + ball
    inside = np.all((voxels >= 0) & (voxels < array.shape), axis=-1)
    not_finite = [
        int(np.count_nonzero(~np.isfinite(array[tuple(one[there].T)])))
        for one, there in zip(voxels, inside, strict=True)
    ]
    return bool(not inside.all()), max(not_finite)
