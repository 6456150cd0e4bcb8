"""Dense maps over a volume, blended window by window and handed on slab by slab."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from medseg.heads.contract import MapSpec, Slab
from medseg.inference.windows import WindowPlan, blending_weights
from medseg.transforms.grids import GridMap
from medseg.types import Shape

Maps = Mapping[str, NDArray[np.float32]]
NEIGHBOURS = 2
"""Finished slices of a map kept for the next slab: what interpolation and peaks look back at."""


@dataclass
class _Ring:
    """Sums of one map over the slices that windows still reach."""

    spec: MapSpec
    total: NDArray[np.float32]
    weight: NDArray[np.float32]
    first: int
    tail: NDArray[np.float32]

    @classmethod
    def empty(cls, spec: MapSpec, plan: WindowPlan) -> _Ring:
        depth = plan.window[0] // spec.stride
        height, width = (length // spec.stride for length in plan.padded[1:])
        return cls(
            spec,
            np.zeros((spec.channels, depth, height, width), dtype=np.float32),
            np.zeros((depth, height, width), dtype=np.float32),
            0,
            np.zeros((spec.channels, 0, height, width), dtype=np.float32),
        )

    def add(
        self, values: NDArray[np.float32], weights: NDArray[np.float32], y: int, x: int
    ) -> None:
        rows = slice(y // self.spec.stride, y // self.spec.stride + values.shape[2])
        columns = slice(x // self.spec.stride, x // self.spec.stride + values.shape[3])
        self.total[:, :, rows, columns] += values * weights
        self.weight[:, rows, columns] += weights

    def finish(self, slices: int) -> NDArray[np.float32]:
        """Take the first slices out, averaged, and make room for as many at the end."""
        done = self.total[:, :slices] / self.weight[:slices]
        for sums, axis in ((self.total, 1), (self.weight, 0)):
            kept = [slice(None)] * sums.ndim
            kept[axis] = slice(slices, None)
            emptied = np.zeros_like(np.take(sums, range(slices), axis=axis))
            sums[...] = np.concatenate([sums[tuple(kept)], emptied], axis)
        return done


def blended_slabs(
    run: Callable[[tuple[int, int, int]], Maps],
    specs: Sequence[MapSpec],
    plan: WindowPlan,
    shape: Shape,
    to_model: GridMap,
    progress: Callable[[int, int], None] | None = None,
) -> Iterator[Slab]:
    """Run every window and yield the slabs that no later window touches, from the first slice up.

    `run(start)` gives the maps of the window at `start` (z, y, x), activated. `shape` is the
    image's grid (turned to S, P, L), `to_model` its map onto the model's. At no time are more
    slices held than one window has: memory does not grow with the volume's depth.
    """
    rings = {spec.name: _Ring.empty(spec, plan) for spec in specs}
    weights = {spec.name: blending_weights(plan.window, spec.stride) for spec in specs}
    layers = [*plan.starts[0], plan.padded[0]]
    settled = done = 0
    for z, following in pairwise(layers):
        for y in plan.starts[1]:
            for x in plan.starts[2]:
                maps = run((z, y, x))
                for name, ring in rings.items():
                    ring.add(maps[name], weights[name], y, x)
                done += 1
                if progress is not None:
                    progress(done, plan.count)
        last = following == plan.padded[0]
        stop = shape[0] if last else _settled(rings, following, to_model, shape[0])
        yield _slab(rings, (settled, stop), following - z, shape, to_model, last=last)
        settled = max(settled, stop)


def _settled(rings: Mapping[str, _Ring], following: int, to_model: GridMap, depth: int) -> int:
    """Image slices before this one lie, in every map, at or before the last finished slice."""
    stop = depth
    for ring in rings.values():
        grid = to_model.strided(ring.spec.stride)
        edge = following // ring.spec.stride - 1
        stop = min(stop, int(np.floor((edge - grid.offset[0]) / grid.scale[0] + 1e-9)) + 1)
    return max(stop, 0)


def _slab(
    rings: Mapping[str, _Ring],
    settled: tuple[int, int],
    slices: int,
    shape: Shape,
    to_model: GridMap,
    *,
    last: bool,
) -> Slab:
    maps, grids, starts, margins = {}, {}, {}, {}
    for name, ring in rings.items():
        kept = ring.tail.shape[1]
        maps[name] = np.concatenate([ring.tail, ring.finish(slices // ring.spec.stride)], axis=1)
        starts[name] = ring.first - kept
        grids[name] = to_model.strided(ring.spec.stride).shifted((starts[name], 0, 0))
        # The last finished slice lacks its upper neighbour until the next slab looks back at it.
        margins[name] = (max(kept - 1, 0), 0 if last else 1)
        ring.first += slices // ring.spec.stride
        ring.tail = maps[name][:, -NEIGHBOURS:]
    return Slab(settled[0], max(settled), shape, maps, grids, starts, margins)
