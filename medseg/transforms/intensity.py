"""Intensity transforms of the cards, as MONAI transforms."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence

import numpy as np
import torch
from monai.config.type_definitions import KeysCollection
from monai.data.meta_obj import get_track_meta
from monai.data.meta_tensor import MetaTensor
from monai.transforms.intensity.array import ScaleIntensityRange
from monai.transforms.transform import MapTransform
from monai.utils.type_conversion import convert_to_tensor
from numpy.typing import NDArray
from torch import Tensor

from medseg.errors import InputRefused
from medseg.transforms.bridge import UNIT, with_meta


class CTWindowd(MapTransform):
    """Clip Hounsfield units to [low_hu, high_hu], then subtract mean_hu and divide by std_hu."""

    def __init__(
        self,
        keys: KeysCollection,
        *,
        low_hu: float,
        high_hu: float,
        mean_hu: float,
        std_hu: float,
        allow_missing_keys: bool = False,
    ) -> None:
        super().__init__(keys, allow_missing_keys)
        if not low_hu < high_hu or not std_hu > 0:
            msg = f"CTWindowd needs low_hu < high_hu and std_hu > 0; got {low_hu, high_hu, std_hu}"
            raise ValueError(msg)
        ends = ((low_hu - mean_hu) / std_hu, (high_hu - mean_hu) / std_hu)
        self.scale = ScaleIntensityRange(low_hu, high_hu, ends[0], ends[1], clip=True)

    def __call__(self, data: Mapping[Hashable, Tensor]) -> dict[Hashable, Tensor]:
        """The data with the images of `keys` scaled."""
        return _each(
            data, self.key_iterator(dict(data)), lambda _, image: _scaled(self.scale, image)
        )


class SUVScaled(MapTransform):
    """Clip SUV to [0, high_suv], then scale to [0, 1]."""

    def __init__(
        self, keys: KeysCollection, *, high_suv: float, allow_missing_keys: bool = False
    ) -> None:
        super().__init__(keys, allow_missing_keys)
        if not high_suv > 0:
            msg = f"SUVScaled needs high_suv > 0; got {high_suv}"
            raise ValueError(msg)
        self.scale = ScaleIntensityRange(0.0, high_suv, 0.0, 1.0, clip=True)

    def __call__(self, data: Mapping[Hashable, Tensor]) -> dict[Hashable, Tensor]:
        """The data with the images of `keys` scaled."""
        return _each(
            data, self.key_iterator(dict(data)), lambda _, image: _scaled(self.scale, image)
        )


class ForegroundZScored(MapTransform):
    """Clip to percentiles of the foreground, then give it mean 0 and standard deviation 1.

    The foreground is each voxel above the channel's minimum; the background is clipped and scaled
    with it. Each channel of a tensor (C, Z, Y, X) has its own statistics.

    Raises InputRefused: "not-finite", or "constant-image" where the foreground has one value.
    """

    def __init__(
        self,
        keys: KeysCollection,
        *,
        low_percentile: float = 0.5,
        high_percentile: float = 99.5,
        allow_missing_keys: bool = False,
    ) -> None:
        super().__init__(keys, allow_missing_keys)
        if not 0 <= low_percentile < high_percentile <= 100:
            msg = (
                "ForegroundZScored needs 0 <= low_percentile < high_percentile <= 100; "
                f"got {low_percentile, high_percentile}"
            )
            raise ValueError(msg)
        self.percentiles = (low_percentile, high_percentile)

    def __call__(self, data: Mapping[Hashable, Tensor]) -> dict[Hashable, Tensor]:
        """The data with the images of `keys` scaled."""
        return _each(data, self.key_iterator(dict(data)), self._scale)

    def _scale(self, key: Hashable, image: Tensor) -> Tensor:
        channels = [self._scale_channel(key, channel) for channel in image]
        return torch.stack(channels)

    def _scale_channel(self, key: Hashable, values: Tensor) -> Tensor:
        low, high, mean, std = foreground_statistics(
            values.cpu().numpy(), self.percentiles, subject=f"channel {str(key)!r}"
        )
        clipped = values.to(torch.float32).clamp(low, high)
        return clipped.sub_(mean).div_(std)


def foreground_statistics(
    values: NDArray[np.generic], percentiles: Sequence[float], *, subject: str
) -> tuple[float, float, float, float]:
    """Low and high clip, then mean and standard deviation of the clipped foreground.

    Raises InputRefused as `ForegroundZScored` says, about `subject`.
    """
    numbers = values.astype(np.float32)
    lowest, highest = float(numbers.min()), float(numbers.max())
    if not np.isfinite([lowest, highest]).all():
        raise InputRefused(
            "not-finite", subject, "it holds NaN or infinite values", "mend or leave out the image"
        )
    foreground = numbers[numbers > lowest]
    if foreground.size:
        low, high = np.percentile(foreground, percentiles, overwrite_input=True)
        np.clip(foreground, low, high, out=foreground)
        mean, std = (
            float(foreground.mean(dtype=np.float64)),
            float(foreground.std(dtype=np.float64)),
        )
        if std > 1e-9 * max(abs(float(low)), abs(float(high))):
            return float(low), float(high), mean, std
    raise InputRefused(
        "constant-image",
        subject,
        f"all but its extreme voxels have the same value ({highest:g}; minimum {lowest:g})",
        "give an image with contrast",
    )


def _scaled(scale: ScaleIntensityRange, image: Tensor) -> Tensor:
    values: Tensor = convert_to_tensor(scale(image), track_meta=False)
    return values


def _each(
    data: Mapping[Hashable, Tensor],
    keys: Iterable[Hashable],
    scale: Callable[[Hashable, Tensor], Tensor],
) -> dict[Hashable, Tensor]:
    """The data with `scale` applied to plain tensors; meta is kept, its unit is arbitrary then."""
    out = dict(data)
    for key in keys:
        image = convert_to_tensor(out[key], track_meta=get_track_meta())
        out[key] = scale(key, image.as_tensor() if isinstance(image, MetaTensor) else image)
        if isinstance(image, MetaTensor):
            out[key] = with_meta(out[key], image, **{UNIT: "arbitrary"})
    return out
