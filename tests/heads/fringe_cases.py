"""Probability maps of known solids, and the slabs that a perfect network would leave of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from modelling import card
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from medseg.heads.contract import DenseDecoder, Slab
from medseg.inference.dense import blended_slabs
from medseg.inference.windows import plan_windows
from medseg.models import decoder_of
from medseg.transforms.grids import GridMap
from medseg.types import Geometry, Instance, InstanceClass, Instances, Shape

SAME = GridMap((1.0, 1.0, 1.0), (0.0, 0.0, 0.0))
SPOT = [{"name": "spot", "kind": "lesion", "label": 1}]

Maps = dict[str, NDArray[np.float32]]


def spots(**arguments: float) -> DenseDecoder:
    """The decoder of one class of lesions by components."""
    return decoder_of(card(SPOT, head={"name": "components", "decoder": arguments}))


def blurred(
    inside: Callable[..., NDArray[np.bool_]],
    shape: Shape,
    spacing_mm: Sequence[float],
    blur_mm: float,
    fine: int = 3,
) -> NDArray[np.float32]:
    """Share of each voxel in a solid, `inside(z, y, x)` in mm, after a Gaussian PSF."""
    axes = [
        ((np.arange(n * fine) + 0.5) / fine - 0.5) * mm
        for n, mm in zip(shape, spacing_mm, strict=True)
    ]
    solid = inside(*np.meshgrid(*axes, indexing="ij", sparse=True)).astype(np.float32)
    soft = gaussian_filter(solid, [fine * blur_mm / mm for mm in spacing_mm], mode="nearest")
    z, y, x = shape
    return soft.reshape(z, fine, y, fine, x, fine).mean(axis=(1, 3, 5))


def ball(centre_mm: Sequence[float], radius_mm: float) -> Callable[..., NDArray[np.bool_]]:
    """Whether a place is in a ball."""
    return lambda z, y, x: (
        (z - centre_mm[0]) ** 2 + (y - centre_mm[1]) ** 2 + (x - centre_mm[2]) ** 2 <= radius_mm**2
    )


def whole_slab(maps: Maps, grid: GridMap = SAME, shape: Shape | None = None) -> Slab:
    """The maps (C, Z, Y, X), all of stride 1, as one slab of an image of `shape`."""
    lengths = shape or next(iter(maps.values())).shape[1:]
    return Slab(
        0,
        lengths[0],
        lengths,
        maps,
        dict.fromkeys(maps, grid),
        dict.fromkeys(maps, 0),
        dict.fromkeys(maps, (0, 0)),
    )


def cut_slabs(
    decoder: DenseDecoder, maps: Maps, depth: int, grid: GridMap, shape: Shape
) -> list[Slab]:
    """The same in slabs as windows of `depth` slices leave them."""
    lengths = next(iter(maps.values())).shape[1:]
    plan = plan_windows(lengths, (depth, *lengths[1:]), overlap=0.5, multiple=2)

    def run(start: Shape) -> Maps:
        return {
            name: values[:, start[0] : start[0] + plan.window[0]] for name, values in maps.items()
        }

    return list(blended_slabs(run, decoder.maps, plan, shape, grid))


def decoded(values: NDArray[np.float32], spacing_mm: Sequence[float], **arguments: float):
    """Spots and their geometry from the map (Z, Y, X) of their class."""
    items = spots(**arguments).group([whole_slab({"lesion": values[None]})], spacing_mm)
    return as_study(items, values.shape, spacing_mm, (InstanceClass("spot", "lesion", 1),))


def as_study(
    items: list[Instance],
    shape: Sequence[int],
    spacing_mm: Sequence[float],
    classes: tuple[InstanceClass, ...],
) -> Instances:
    return Instances(Geometry.from_spacing(shape, spacing_mm), items, classes)
