"""A body with organs and lesions on any grid, as CT or as MR sees it."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal, cast

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from medseg.phantom.lesions import LESION_CLASSES, draw_lesions
from medseg.phantom.shapes import (
    Phantom,
    Point,
    Superellipsoid,
    rasterise,
    small_rotation,
    truth_of,
)
from medseg.phantom.signal import bias_field, contrast_map
from medseg.types import Geometry, InstanceClass, Instances, Shape, Volume

ORGAN_CLASSES = (
    InstanceClass("liver", "organ", 1, (221, 130, 101)),
    InstanceClass("spleen", "organ", 2, (157, 108, 162)),
    InstanceClass("kidney_left", "organ", 3, (185, 102, 83)),
    InstanceClass("kidney_right", "organ", 4, (207, 141, 117)),
    InstanceClass("vertebra", "organ", 5, (226, 202, 134)),
)
CLASSES = ORGAN_CLASSES + LESION_CLASSES

# Centres and semi-axes in mm, LPS, of an adult lying on the back; the middle of the body is 0.
# They leave room for the changes of `_organs`: no two organs ever share a point.
_SKIN = Superellipsoid("skin", (0, 0, 0), (170, 120, 400), exponent=2.4)
_MUSCLE = Superellipsoid("muscle", (0, 0, 0), (152, 102, 400), exponent=2.4)
_ORGANS = (
    Superellipsoid("liver", (-68, -22, 34), (66, 56, 58), exponent=2.4),
    Superellipsoid("spleen", (98, 22, 40), (26, 42, 44)),
    Superellipsoid("kidney_left", (62, 48, -48), (25, 27, 46)),
    Superellipsoid("kidney_right", (-62, 48, -66), (25, 27, 40)),
    Superellipsoid("vertebra", (0, 66, -10), (24, 19, 15), exponent=4.0),
)
_HALF_BOX_MM = (175.0, 125.0, 112.0)  # what must fit on the grid: all organs and lesions do
_ORGAN_TURN_DEGREES, _ORGAN_SIZE = 3.0, (0.94, 1.04)


@dataclass(frozen=True)
class _Look:
    """Mean value of each tissue, contrast of each lesion, and what spoils the image."""

    unit: Literal["HU", "arbitrary"]
    tissue: dict[str, float]
    contrast: dict[str, float]
    noise_sd: float
    bias_sd: float


# CT: HU in the portal venous phase, orders of magnitude as in textbooks; MR: arbitrary.
_LOOKS: dict[str, _Look] = {
    "CT": _Look(
        "HU",
        {
            "air": -1000, "skin": -100, "muscle": 55, "liver": 110, "spleen": 120,
            "kidney_left": 170, "kidney_right": 170, "vertebra": 230,
        },
        {"tumor": 80, "cyst": -90},
        noise_sd=12,
        bias_sd=0,
    ),
    "MR": _Look(
        "arbitrary",
        {
            "air": 0, "skin": 900, "muscle": 260, "liver": 380, "spleen": 480,
            "kidney_left": 540, "kidney_right": 540, "vertebra": 620,
        },
        {"tumor": 240, "cyst": -200},
        noise_sd=20,
        bias_sd=0.12,
    ),
}  # fmt: skip
_BLUR_VOXELS = 0.6
_BIAS_SCALE_MM = 120.0


def make_phantom(
    seed: int,
    *,
    modality: Literal["CT", "MR"] = "CT",
    shape: Shape = (80, 96, 128),
    spacing_mm: Sequence[float] = (3.0, 3.0, 3.0),
    geometry: Geometry | None = None,
) -> Phantom:
    """A trunk with five organs and ten to thirteen lesions, int16, in HU (CT) or arbitrary (MR).

    Lesions lie alone, touch, overlap and nest in the liver, in other organs and outside all of
    them. The body lies straight in LPS amid the grid, whose `shape` and `spacing_mm` are (z, y, x)
    unless a `geometry` of any axes is given; it shrinks where the grid is smaller than an adult.
    An organ's mask includes its lesions. The same seed gives the same solids for either modality.

    Raises ValueError where the grid is too coarse for the smallest lesion.
    """
    if modality not in _LOOKS:
        msg = f"modality is 'CT' or 'MR'; got {modality!r}"
        raise ValueError(msg)
    grid = geometry or Geometry.from_spacing(shape, spacing_mm)
    rng = np.random.default_rng(seed)
    organs = _organs(rng)
    lesions = draw_lesions(rng, organs)
    scale, middle = _fit(grid)
    solids = [_scaled(one, scale, middle) for one in (*organs, *lesions)]
    truth = truth_of(solids, grid, CLASSES)
    outer = [_scaled(one, scale, middle) for one in (_SKIN, _MUSCLE)]
    array = _image(rng, truth, outer, _LOOKS[modality])
    volume = Volume(
        array,
        grid,
        modality,
        _LOOKS[modality].unit,
        slice_thickness_mm=grid.spacing_mm[0],
        acquisition_axis=0,
    )
    return Phantom(volume, truth, tuple(solids))


def _organs(rng: np.random.Generator) -> list[Superellipsoid]:
    return [
        replace(
            one,
            semi_axes_mm=cast(
                "Point", tuple(np.multiply(one.semi_axes_mm, rng.uniform(*_ORGAN_SIZE, 3)).tolist())
            ),
            rotation=small_rotation(rng, _ORGAN_TURN_DEGREES),
        )
        for one in _ORGANS
    ]


def _fit(grid: Geometry) -> tuple[float, NDArray[np.float64]]:
    """How far the body shrinks to lie inside the grid, and the grid's middle in LPS mm."""
    half = (np.asarray(grid.shape) - 1) / 2
    signs = np.array(list(itertools.product((-1, 1), repeat=3)))
    corners = (signs * _HALF_BOX_MM) @ np.linalg.inv(grid.affine[:3, :3]).T
    scale = float(np.min(half / np.abs(corners).max(axis=0)))
    return min(scale, 1.0), grid.index_to_world(half)


def _scaled(solid: Superellipsoid, scale: float, middle_mm: NDArray[np.float64]) -> Superellipsoid:
    centre = np.asarray(solid.centre_mm) * scale + middle_mm
    axes = np.asarray(solid.semi_axes_mm) * scale
    return replace(
        solid,
        centre_mm=cast("Point", tuple(centre.tolist())),
        semi_axes_mm=cast("Point", tuple(axes.tolist())),
    )


def _image(
    rng: np.random.Generator, truth: Instances, outer: Sequence[Superellipsoid], look: _Look
) -> NDArray[np.int16]:
    grid = truth.geometry
    image = np.full(grid.shape, look.tissue["air"], dtype=np.float32)
    for solid in outer:
        drawn = rasterise(solid, grid)
        if drawn is not None:
            image[drawn[0]][drawn[1]] = look.tissue[solid.class_name]
    for item in truth:
        if item.kind == "organ":
            image[item.box][item.mask] = look.tissue[item.class_name]
    lesions = [item for item in truth if item.kind == "lesion"]
    image += contrast_map(grid.shape, lesions, [look.contrast[one.class_name] for one in lesions])
    image = gaussian_filter(image, _BLUR_VOXELS)
    if look.bias_sd:
        z, y, x = (_BIAS_SCALE_MM / mm for mm in grid.spacing_mm)
        image *= bias_field(rng, grid.shape, sd=look.bias_sd, scale_voxels=(z, y, x))
    image += look.noise_sd * rng.standard_normal(grid.shape, dtype=np.float32)
    if look.unit == "arbitrary":  # the magnitude of a complex signal: Rician noise
        image = np.hypot(image, look.noise_sd * rng.standard_normal(grid.shape, dtype=np.float32))
    return np.asarray(np.rint(image), dtype=np.int16)
