"""Augmentation as a recipe asks for it: MONAI's transforms, and an elastic one of ours."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from math import radians
from typing import Any

import torch
from monai.config.type_definitions import KeysCollection
from monai.transforms import (
    Compose,
    MapTransform,
    RandAdjustContrastd,
    RandAffined,
    RandBiasFieldd,
    RandFlipd,
    RandGaussianNoised,
    RandGaussianSmoothd,
    RandomizableTransform,
    RandScaleIntensityd,
    RandShiftIntensityd,
    RandSimulateLowResolutiond,
)
from torch import Tensor
from torch.nn import functional

from medseg.training.recipe import Augmentation

IMAGE, MASKS = "image", "masks"
AXES = {"z": 0, "y": 1, "x": 2}


class RandElasticd(RandomizableTransform, MapTransform):
    """Displace voxels smoothly: offsets drawn at control points, interpolated in between.

    Offsets along each axis are uniform in ±`magnitude_mm` at control points about
    `control_spacing_mm` apart. Values come trilinearly; beyond the border its voxels are repeated.
    """

    def __init__(
        self,
        keys: KeysCollection,
        *,
        spacing_mm: Sequence[float],
        magnitude_mm: float,
        control_spacing_mm: float,
        prob: float,
    ) -> None:
        MapTransform.__init__(self, keys)
        RandomizableTransform.__init__(self, prob)
        self.spacing_mm = tuple(spacing_mm)
        self.magnitude_mm = magnitude_mm
        self.control_spacing_mm = control_spacing_mm
        self.offsets = torch.zeros(1, 3, 2, 2, 2)

    def randomize(self, data: Sequence[int]) -> None:
        """Draw the control points' offsets for an array of these lengths (z, y, x)."""
        super().randomize(None)
        counts = [
            max(round(length * mm / self.control_spacing_mm), 1) + 1
            for length, mm in zip(data, self.spacing_mm, strict=True)
        ]
        drawn = self.R.uniform(-self.magnitude_mm, self.magnitude_mm, (3, *counts))
        voxels = torch.as_tensor(drawn, dtype=torch.float32)
        self.offsets = voxels[None] / torch.tensor(self.spacing_mm).view(1, 3, 1, 1, 1)

    def __call__(self, data: Mapping[Hashable, Tensor]) -> dict[Hashable, Tensor]:
        """The same keys, moved together."""
        shape = tuple(data[next(self.key_iterator(data))].shape[1:])
        self.randomize(shape)
        if not self._do_transform:
            return dict(data)
        grid = _sampling_grid(self.offsets, shape)
        moved = {key: _sampled(data[key], grid) for key in self.key_iterator(data)}
        return {**data, **moved}


def _sampling_grid(offsets: Tensor, shape: Sequence[int]) -> Tensor:
    """Where to sample, (1, Z, Y, X, 3) in torch's units; offsets in voxels at control points."""
    field = functional.interpolate(offsets, size=tuple(shape), mode="trilinear", align_corners=True)
    half = torch.tensor([max(length - 1, 1) / 2 for length in shape]).view(1, 3, 1, 1, 1)
    still = functional.affine_grid(torch.eye(3, 4)[None], [1, 1, *shape], align_corners=True)
    return still + (field / half).flip(1).permute(0, 2, 3, 4, 1)


def _sampled(values: Tensor, grid: Tensor) -> Tensor:
    return functional.grid_sample(
        torch.as_tensor(values, dtype=torch.float32)[None],
        grid,
        mode="bilinear",
        padding_mode="border",
        align_corners=True,
    )[0]


def augmentation(recipe: Augmentation, spacing_mm: Sequence[float]) -> Compose:
    """The transforms of a recipe over "image" (C, Z, Y, X) and "masks" (N, Z, Y, X).

    Space is deformed first, alike for both; then intensities of the image. Unseeded: the caller
    gives each sample its own `set_random_state`.
    """
    steps = [*_spatial(recipe, spacing_mm), *_intensity(recipe)]
    return Compose(steps)


def _spatial(recipe: Augmentation, spacing_mm: Sequence[float]) -> list[Callable[..., Any]]:
    both = [IMAGE, MASKS]
    steps: list[Callable[..., Any]] = []
    turn, scale = recipe.rotation, recipe.scale
    for prob, part in ((turn and turn.prob, "rotate"), (scale and scale.prob, "scale")):
        if not prob:
            continue
        ranges = (
            [radians(degrees) for degrees in turn.max_degrees] if turn and part == "rotate" else 0.0
        )
        stretch = [(scale.low - 1, scale.high - 1)] * 3 if scale and part == "scale" else None
        steps.append(
            RandAffined(
                both,
                prob=prob,
                rotate_range=ranges,
                scale_range=stretch,
                mode=["bilinear", "bilinear"],
                padding_mode=["border", "zeros"],
            )
        )
    if recipe.elastic is not None:
        steps.append(
            RandElasticd(
                both,
                spacing_mm=spacing_mm,
                magnitude_mm=recipe.elastic.magnitude_mm,
                control_spacing_mm=recipe.elastic.spacing_mm,
                prob=recipe.elastic.prob,
            )
        )
    if recipe.flip is not None:
        flip = recipe.flip
        steps += [RandFlipd(both, prob=flip.prob, spatial_axis=AXES[axis]) for axis in flip.axes]
    return steps


def _intensity(recipe: Augmentation) -> list[Callable[..., Any]]:
    made: list[Callable[..., Any]] = []
    if (low := recipe.low_resolution) is not None:
        zoom = (1 / low.high, 1 / low.low)
        made.append(RandSimulateLowResolutiond(IMAGE, prob=low.prob, zoom_range=zoom))
    if (blur := recipe.blur) is not None:
        sigma = (0.0, blur.maximum)
        made.append(
            RandGaussianSmoothd(IMAGE, prob=blur.prob, sigma_x=sigma, sigma_y=sigma, sigma_z=sigma)
        )
    if (bias := recipe.bias_field) is not None:
        made.append(RandBiasFieldd(IMAGE, prob=bias.prob, coeff_range=(0.0, bias.maximum)))
    if (gamma := recipe.gamma) is not None:
        made.append(RandAdjustContrastd(IMAGE, prob=gamma.prob, gamma=(gamma.low, gamma.high)))
    if (contrast := recipe.contrast) is not None:
        factors = (contrast.low - 1, contrast.high - 1)
        made.append(RandScaleIntensityd(IMAGE, prob=contrast.prob, factors=factors))
    if (brightness := recipe.brightness) is not None:
        shift = (-brightness.maximum, brightness.maximum)
        made.append(RandShiftIntensityd(IMAGE, prob=brightness.prob, offsets=shift))
    if (noise := recipe.noise) is not None:
        made.append(RandGaussianNoised(IMAGE, prob=noise.prob, std=noise.maximum))
    return made
