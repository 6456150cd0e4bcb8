"""Augmentation as a recipe asks for it: MONAI's transforms, and an elastic one of ours."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any, Literal

import numpy as np
import torch
from monai.config.type_definitions import KeysCollection
from monai.transforms import (
    Compose,
    MapTransform,
    RandAdjustContrastd,
    RandFlipd,
    RandGaussianNoised,
    RandGaussianSmoothd,
    RandomizableTransform,
    RandScaleIntensityd,
    RandShiftIntensityd,
    RandSimulateLowResolutiond,
)
from scipy.spatial.transform import Rotation
from torch import Tensor
from torch.nn import functional

from medseg.training.bias import RandScannerBiasd
from medseg.training.contrast import contrasts
from medseg.training.sections import Augmentation

IMAGE, MASKS, INSIDE = "image", "masks", "inside"
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
        MapTransform.__init__(self, keys, allow_missing_keys=True)
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
        first = data[next(self.key_iterator(data))]
        shape = tuple(first.shape[1:])
        self.randomize(shape)
        if not self._do_transform:
            return dict(data)
        grid = _sampling_grid(self.offsets.to(first.device), shape)
        moved = {key: _sampled(data[key], grid) for key in self.key_iterator(data)}
        return {**data, **moved}


def _sampling_grid(offsets: Tensor, shape: Sequence[int]) -> Tensor:
    """Where to sample, (1, Z, Y, X, 3) in torch's units; offsets in voxels at control points."""
    field = functional.interpolate(offsets, size=tuple(shape), mode="trilinear", align_corners=True)
    half = torch.tensor([max(length - 1, 1) / 2 for length in shape], device=offsets.device)
    unmoved = torch.eye(3, 4, device=offsets.device)[None]
    still = functional.affine_grid(unmoved, [1, 1, *shape], align_corners=True)
    half = half.view(1, 3, 1, 1, 1)
    return still + (field / half).flip(1).permute(0, 2, 3, 4, 1)


def _sampled(
    values: Tensor, grid: Tensor, *, beyond: Literal["zeros", "border"] = "border"
) -> Tensor:
    return functional.grid_sample(
        torch.as_tensor(values, dtype=torch.float32)[None],
        grid,
        mode="bilinear",
        padding_mode=beyond,
        align_corners=True,
    )[0]


class RandTurnd(RandomizableTransform, MapTransform):
    """Turn about the middle and stretch along the axes, in millimetres, in one interpolation.

    Angles about z, y, x are uniform in ±`max_degrees`, with probability `turn_prob`; factors of
    each axis are uniform between `low` and `high`, with probability `stretch_prob`. Beyond the
    border "image" repeats its voxels; "masks" and "inside" are 0. MONAI's `RandAffined` turns in
    voxels, which shears what lies on thick slices.
    """

    def __init__(
        self,
        keys: KeysCollection,
        *,
        spacing_mm: Sequence[float],
        max_degrees: Sequence[float],
        turn_prob: float,
        low: float,
        high: float,
        stretch_prob: float,
    ) -> None:
        MapTransform.__init__(self, keys, allow_missing_keys=True)
        RandomizableTransform.__init__(self, 1.0)
        self.spacing_mm = np.asarray(spacing_mm, dtype=np.float64)
        self.max_degrees, self.turn_prob = tuple(max_degrees), turn_prob
        self.low, self.high, self.stretch_prob = low, high, stretch_prob
        self.matrix = np.eye(3)

    def randomize(self, data: None = None) -> None:
        """Draw the map from millimetres (z, y, x) around the middle to where values come from."""
        super().randomize(data)
        turn, stretch = self.R.random() < self.turn_prob, self.R.random() < self.stretch_prob
        degrees = [self.R.uniform(-most, most) if turn else 0.0 for most in self.max_degrees]
        factors = [self.R.uniform(self.low, self.high) if stretch else 1.0 for _ in range(3)]
        turned = Rotation.from_euler("xyz", degrees, degrees=True).as_matrix()
        self.matrix = turned @ np.diag(1.0 / np.asarray(factors))

    def __call__(self, data: Mapping[Hashable, Tensor]) -> dict[Hashable, Tensor]:
        """The same keys, moved together."""
        self.randomize()
        if np.array_equal(self.matrix, np.eye(3)):
            return dict(data)
        first = data[next(self.key_iterator(data))]
        shape = tuple(first.shape[1:])
        # torch's units: -1 and 1 at the first and last voxel's centres, axes in the order x, y, z.
        half_mm = np.array([max(length - 1, 1) / 2 for length in shape]) * self.spacing_mm
        units = (self.matrix * half_mm[None, :] / half_mm[:, None])[::-1, ::-1]
        theta = torch.as_tensor(np.hstack([units, np.zeros((3, 1))]), dtype=torch.float32)
        grid = functional.affine_grid(
            theta[None].to(first.device), [1, 1, *shape], align_corners=True
        )
        moved = {
            key: _sampled(data[key], grid, beyond="zeros" if key in (MASKS, INSIDE) else "border")
            for key in self.key_iterator(data)
        }
        return {**data, **moved}


class RandThickSlicesd(RandomizableTransform, MapTransform):
    """Show an image as slices that are thick along one of its axes, as CT often is along z.

    Along an axis drawn anew each time, means over about `low` to `high` voxels are taken and
    interpolated between, on the grid as it was.
    """

    def __init__(self, keys: KeysCollection, *, low: float, high: float, prob: float) -> None:
        MapTransform.__init__(self, keys)
        RandomizableTransform.__init__(self, prob)
        self.low, self.high = low, high
        self.axis, self.factor = 0, 1.0

    def randomize(self, data: None = None) -> None:
        """Draw the axis and the thickness in voxels."""
        super().randomize(data)
        self.axis = int(self.R.randint(3))
        self.factor = float(self.R.uniform(self.low, self.high))

    def __call__(self, data: Mapping[Hashable, Tensor]) -> dict[Hashable, Tensor]:
        """The same keys, (C, Z, Y, X) each, as thick slices show them."""
        self.randomize()
        if not self._do_transform:
            return dict(data)
        return {**data, **{key: self._thick(data[key]) for key in self.key_iterator(data)}}

    def _thick(self, values: Tensor) -> Tensor:
        shape = tuple(values.shape[1:])
        fewer = [
            max(round(length / self.factor), 1) if axis == self.axis else length
            for axis, length in enumerate(shape)
        ]
        means = functional.interpolate(torch.as_tensor(values)[None], size=fewer, mode="area")
        return functional.interpolate(means, size=shape, mode="trilinear", align_corners=False)[0]


def augmentation(recipe: Augmentation, spacing_mm: Sequence[float]) -> Compose:
    """The transforms of a recipe over "image" (C, Z, Y, X) and "masks" (N, Z, Y, X).

    Space is deformed first, alike for both, and for "inside" (1, Z, Y, X) where that is given; then
    intensities of the image. Unseeded: the caller gives each sample its own `set_random_state`.
    """
    return Compose(
        [*_spatial(recipe, spacing_mm), *contrasts(recipe, IMAGE, MASKS), *_intensity(recipe)]
    )


def _spatial(recipe: Augmentation, spacing_mm: Sequence[float]) -> list[Callable[..., Any]]:
    moved = [IMAGE, MASKS, INSIDE]
    steps: list[Callable[..., Any]] = []
    turn, scale = recipe.rotation, recipe.scale
    if turn is not None or scale is not None:
        steps.append(
            RandTurnd(
                moved,
                spacing_mm=spacing_mm,
                max_degrees=turn.max_degrees if turn else (0.0, 0.0, 0.0),
                turn_prob=turn.prob if turn else 0.0,
                low=scale.low if scale else 1.0,
                high=scale.high if scale else 1.0,
                stretch_prob=scale.prob if scale else 0.0,
            )
        )
    if recipe.elastic is not None:
        steps.append(
            RandElasticd(
                moved,
                spacing_mm=spacing_mm,
                magnitude_mm=recipe.elastic.magnitude_mm,
                control_spacing_mm=recipe.elastic.spacing_mm,
                prob=recipe.elastic.prob,
            )
        )
    if recipe.flip is not None:
        flip = recipe.flip
        steps += [
            RandFlipd(moved, prob=flip.prob, spatial_axis=AXES[axis], allow_missing_keys=True)
            for axis in flip.axes
        ]
    return steps


def _intensity(recipe: Augmentation) -> list[Callable[..., Any]]:
    made: list[Callable[..., Any]] = []
    if (thick := recipe.thick_slices) is not None:
        made.append(RandThickSlicesd(IMAGE, low=thick.low, high=thick.high, prob=thick.prob))
    if (low := recipe.low_resolution) is not None:
        zoom = (1 / low.high, 1 / low.low)
        # Means: MONAI's default rounds down, which moves the image off its masks.
        made.append(
            RandSimulateLowResolutiond(
                IMAGE, prob=low.prob, zoom_range=zoom, downsample_mode="area"
            )
        )
    if (blur := recipe.blur) is not None:
        sigma = (0.0, blur.maximum)
        made.append(
            RandGaussianSmoothd(IMAGE, prob=blur.prob, sigma_x=sigma, sigma_y=sigma, sigma_z=sigma)
        )
    if (bias := recipe.bias_field) is not None:
        made.append(RandScannerBiasd(IMAGE, maximum=bias.maximum, prob=bias.prob))
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
