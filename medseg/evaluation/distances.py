"""From marked grid points to the nearest of others, exactly, on straight and on slanted grids.

On a straight grid: squared distances along x, then the lower envelope of their parabolas along y,
then a search along z that ends where no further plane can be nearer. The cost grows with the box,
not with the number of pairs. On a sheared grid: a k-d tree of the points.
Source: Felzenszwalb and Huttenlocher, Theory of Computing 2012;8:415-428.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from medseg.compiled import compiled

_SQUARE = 1e-5  # cosine between axes up to which distances are as on a straight grid


def nearest_mm(
    here: NDArray[np.bool_], there: NDArray[np.bool_], axes_mm: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Distance from each point of `here` to the nearest of `there`, (P,), in scan order.

    Both are (z, y, x), of one shape; column i of `axes_mm` (3, 3) is one step along axis i in
    millimetres. A cosine between axes of up to 1e-5, as rounded files have it, is taken as 0, which
    changes a distance by less than 1e-5 of itself. Infinite where `there` holds no point.
    """
    lengths = np.linalg.norm(axes_mm, axis=0)
    cosines = (axes_mm / lengths).T @ (axes_mm / lengths) - np.eye(3)
    if np.abs(cosines).max() > _SQUARE:
        return _nearest_of_points(np.argwhere(here), np.argwhere(there), axes_mm)
    found = np.empty(np.count_nonzero(here), dtype=np.float64)
    _nearest_on_grid(
        np.ascontiguousarray(here).view(np.uint8),
        np.ascontiguousarray(there).view(np.uint8),
        lengths,
        found,
    )
    return found


def _nearest_of_points(
    here: NDArray[np.intp], there: NDArray[np.intp], axes_mm: NDArray[np.float64]
) -> NDArray[np.float64]:
    from scipy.spatial import cKDTree

    if not len(there):
        return np.full(len(here), np.inf)
    distances, _ = cKDTree(there @ axes_mm.T).query(here @ axes_mm.T)
    return np.asarray(distances, dtype=np.float64)


@compiled
def _nearest_on_grid(
    here: NDArray[np.uint8],
    there: NDArray[np.uint8],
    spacing_mm: NDArray[np.float64],
    found: NDArray[np.float64],
) -> None:  # pragma: no cover - compiled
    depth, height, width = here.shape
    squared = np.empty((depth, height, width), dtype=np.float64)
    for z in range(depth):
        _in_plane(there[z], spacing_mm, squared[z])
    n = 0
    for z in range(depth):
        reach = max(z, depth - 1 - z)
        for y in range(height):
            for x in range(width):
                if not here[z, y, x]:
                    continue
                best = squared[z, y, x]
                for step in range(1, reach + 1):
                    apart = (step * spacing_mm[0]) ** 2
                    if apart >= best:
                        break
                    if z >= step:
                        best = min(best, squared[z - step, y, x] + apart)
                    if z + step < depth:
                        best = min(best, squared[z + step, y, x] + apart)
                found[n] = np.sqrt(best)
                n += 1


@compiled
def _in_plane(
    there: NDArray[np.uint8], spacing_mm: NDArray[np.float64], squared: NDArray[np.float64]
) -> None:  # pragma: no cover - compiled
    """Squared distance in the plane from each voxel to the nearest marked one, infinite if none."""
    height, width = there.shape
    any_marked = False
    for y in range(height):
        any_marked = _along_row(there[y], spacing_mm[2], squared[y]) or any_marked
    if not any_marked:
        return
    sites, starts, heights = np.empty(height), np.empty(height + 1), np.empty(height)
    for x in range(width):
        _down_column(squared[:, x], spacing_mm[1], sites, starts, heights)


@compiled
def _along_row(
    there: NDArray[np.uint8], step_mm: float, squared: NDArray[np.float64]
) -> bool:  # pragma: no cover - compiled
    width = there.size
    away = np.inf
    for x in range(width):
        away = 0.0 if there[x] else away + 1.0
        squared[x] = away
    if away == np.inf:
        return False
    away = np.inf
    for x in range(width - 1, -1, -1):
        away = 0.0 if there[x] else away + 1.0
        squared[x] = (min(away, squared[x]) * step_mm) ** 2
    return True


@compiled
def _down_column(
    squared: NDArray[np.float64],
    step_mm: float,
    sites: NDArray[np.float64],
    starts: NDArray[np.float64],
    heights: NDArray[np.float64],
) -> None:  # pragma: no cover - compiled
    """Replace a column by the lower envelope of the parabolas that stand on its values."""
    count = 0
    for y in range(squared.size):
        if squared[y] == np.inf:
            continue
        place, height, start = y * step_mm, squared[y], -np.inf
        while count:
            site = sites[count - 1]
            cross = 0.5 * ((height - heights[count - 1]) / (place - site) + place + site)
            if cross > starts[count - 1]:
                start = cross
                break
            count -= 1
        sites[count], starts[count], heights[count] = place, start, height
        count += 1
    starts[count] = np.inf
    now = 0
    for y in range(squared.size):
        place = y * step_mm
        while starts[now + 1] < place:
            now += 1
        squared[y] = (place - sites[now]) ** 2 + heights[now]
