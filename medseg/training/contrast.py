"""Augmentation of contrast: tissues and objects get grey values that no training case has."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence

import numpy as np
import torch
from monai.config.type_definitions import KeysCollection
from monai.transforms import MapTransform, RandomizableTransform
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from medseg.training.sections import Augmentation

KNOTS = 6
"""Of a curve of intensities, from a channel's lowest to its highest."""

BLOTCH_VOXELS = 12
"""Distance of the points between which an object's new grey value varies."""

RIMS_VOXELS = (5, 7, 9)
"""Lengths of the cubes that a voxel's surroundings are looked at in, to say how deep it lies."""

DEEP = 0.85
"""From this share of the cube inside the object on, a voxel counts as deep, fully at 1."""


class RandRemapd(RandomizableTransform, MapTransform):
    """Send the grey values of each channel through a random curve, so that contrasts change.

    The curve is linear between `KNOTS` equally spaced intensities, each moved by up to a share of
    the channel's range that is itself drawn up to `maximum`: dark may become bright. Mean and
    standard deviation of the channel are kept, as the model's normalisation would give it them.
    After Zhou et al. 2019 (Models Genesis), whose curves are Bezier's.
    """

    def __init__(self, keys: KeysCollection, *, maximum: float, prob: float) -> None:
        MapTransform.__init__(self, keys)
        RandomizableTransform.__init__(self, prob)
        if not maximum > 0:
            msg = f"RandRemapd needs maximum > 0; got {maximum}"
            raise ValueError(msg)
        self.maximum = maximum
        self.curves: NDArray[np.float64] = np.linspace(0.0, 1.0, KNOTS)[None]

    def randomize(self, data: int) -> None:
        """Draw the curves of so many channels, (channels, KNOTS)."""
        super().randomize(None)
        strength = self.R.uniform(0.0, self.maximum)
        moved = self.R.uniform(-strength, strength, (data, KNOTS))
        self.curves = np.linspace(0.0, 1.0, KNOTS) + moved

    def __call__(self, data: Mapping[Hashable, Tensor]) -> dict[Hashable, Tensor]:
        """The same keys, (C, Z, Y, X) each, with other contrasts."""
        out = dict(data)
        for key in self.key_iterator(out):
            image = torch.as_tensor(out[key])
            self.randomize(len(image))
            if self._do_transform:
                curves = torch.as_tensor(self.curves, dtype=torch.float32, device=image.device)
                pairs = zip(image, curves, strict=True)
                out[key] = torch.stack([_remapped(one, curve) for one, curve in pairs])
        return out


class RandObjectContrastd(RandomizableTransform, MapTransform):
    """Make each object brighter or darker than it is, evenly and in blotches.

    Added to `image` inside each of `masks` is a constant, and a smooth field that varies between
    points `BLOTCH_VOXELS` apart; both are drawn in ±`maximum` standard deviations of the channel.
    The change fades over about a voxel at the object's border.
    """

    def __init__(self, image: Hashable, masks: Hashable, *, maximum: float, prob: float) -> None:
        MapTransform.__init__(self, (image, masks))
        RandomizableTransform.__init__(self, prob)
        if not maximum > 0:
            msg = f"RandObjectContrastd needs maximum > 0; got {maximum}"
            raise ValueError(msg)
        self.image, self.masks, self.maximum = image, masks, maximum
        self.even: NDArray[np.float64] = np.zeros((1, 1))
        self.blotches: NDArray[np.float64] = np.zeros((1, 1, 2, 2, 2))

    def randomize(self, data: Sequence[int]) -> None:
        """Draw for (objects, channels, Z, Y, X): a constant, and values at points in between."""
        super().randomize(None)
        self.even = self.R.uniform(-self.maximum, self.maximum, tuple(data[:2]))
        shape = (*data[:2], *_points(data[2:]))
        self.blotches = self.R.uniform(-self.maximum, self.maximum, shape)

    def __call__(self, data: Mapping[Hashable, Tensor]) -> dict[Hashable, Tensor]:
        """The same keys; "masks" (N, Z, Y, X) as they were."""
        image, masks = torch.as_tensor(data[self.image]), torch.as_tensor(data[self.masks])
        self.randomize((len(masks), *image.shape))
        if not self._do_transform:
            return dict(data)
        even = torch.as_tensor(self.even, dtype=torch.float32, device=image.device)
        amount = _field(self.blotches, image) + even[..., None, None, None]
        soft = functional.avg_pool3d(masks.float(), 3, stride=1, padding=1)
        spread = image.float().std(dim=(1, 2, 3), keepdim=True)
        changed = image + spread * (amount * soft[:, None]).sum(dim=0)
        return {**data, self.image: changed}


class RandHollowd(RandomizableTransform, MapTransform):
    """Take away what is bright in the middle of objects, in blotches, as necrosis does in PET.

    Deep inside each of `masks`, `image` moves towards the median of what lies outside all of them,
    by a share that is drawn up to `maximum`. An object's rim, of 2 to 4 voxels, stays.
    """

    def __init__(self, image: Hashable, masks: Hashable, *, maximum: float, prob: float) -> None:
        MapTransform.__init__(self, (image, masks))
        RandomizableTransform.__init__(self, prob)
        if not 0 < maximum <= 1:
            msg = f"RandHollowd needs 0 < maximum <= 1; got {maximum}"
            raise ValueError(msg)
        self.image, self.masks, self.maximum = image, masks, maximum
        self.rim = RIMS_VOXELS[0]
        self.blotches: NDArray[np.float64] = np.zeros((1, 1, 2, 2, 2))

    def randomize(self, data: Sequence[int]) -> None:
        """Draw the rim, and for (Z, Y, X) shares at points in between."""
        super().randomize(None)
        self.rim = int(self.R.choice(RIMS_VOXELS))
        share = self.R.uniform(0.0, self.maximum)
        # Above 1 is cut below: most of a hollow is even, its edge is not.
        self.blotches = self.R.uniform(0.0, 2.0, (1, 1, *_points(data))) * share

    def __call__(self, data: Mapping[Hashable, Tensor]) -> dict[Hashable, Tensor]:
        """The same keys; "masks" (N, Z, Y, X) as they were."""
        image, masks = torch.as_tensor(data[self.image]), torch.as_tensor(data[self.masks]).float()
        self.randomize(image.shape[1:])
        outside = masks.amax(dim=0) < 0.5
        if not self._do_transform or not bool(outside.any()):
            return dict(data)
        inside = functional.avg_pool3d(masks, self.rim, stride=1, padding=self.rim // 2)
        deep = ((inside.amax(dim=0) - DEEP) / (1 - DEEP)).clamp(0, 1)
        share = deep * _field(self.blotches, image)[0, 0].clamp(max=self.maximum)
        quiet = image[:, outside].median(dim=1).values[:, None, None, None]
        return {**data, self.image: torch.lerp(image, quiet.expand_as(image), share)}


def contrasts(recipe: Augmentation, image: Hashable, masks: Hashable) -> list[MapTransform]:
    """What a recipe asks for of these, over the keys of the image and of its objects' masks."""
    made: list[MapTransform] = []
    if (hollow := recipe.hollow) is not None:
        made.append(RandHollowd(image, masks, maximum=hollow.maximum, prob=hollow.prob))
    if (shade := recipe.object_contrast) is not None:
        made.append(RandObjectContrastd(image, masks, maximum=shade.maximum, prob=shade.prob))
    if (remap := recipe.remap) is not None:
        made.append(RandRemapd(image, maximum=remap.maximum, prob=remap.prob))
    return made


def _points(lengths: Sequence[int]) -> list[int]:
    """How many points lie `BLOTCH_VOXELS` apart along each axis, 2 at least."""
    return [max(round(length / BLOTCH_VOXELS), 1) + 1 for length in lengths]


def _field(drawn: NDArray[np.float64], image: Tensor) -> Tensor:
    """Values at points (N, C, z, y, x), interpolated over `image`: (N, C, Z, Y, X)."""
    values = torch.as_tensor(drawn, dtype=torch.float32, device=image.device)
    shape = image.shape[1:]
    return functional.interpolate(values, size=shape, mode="trilinear", align_corners=True)


def _remapped(values: Tensor, curve: Tensor) -> Tensor:
    """One channel through a curve (KNOTS,) over its range; a constant one is kept."""
    low, high = values.min(), values.max()
    if not bool(high > low):
        return values
    place = (values - low) / (high - low) * (len(curve) - 1)
    before = place.floor().clamp(max=len(curve) - 2).long()
    sent = torch.lerp(curve[before], curve[before + 1], place - before)
    mean, spread = values.mean(), values.std()
    return (sent - sent.mean()) / sent.std().clamp(min=1e-6) * spread + mean
