"""Augmentation by the uneven brightness that receiver coils give an MR image."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Self

import numpy as np
import torch
from monai.config.type_definitions import KeysCollection
from monai.transforms import MapTransform, RandBiasField, RandomizableTransform
from torch import Tensor


class RandScannerBiasd(RandomizableTransform, MapTransform):
    """Multiply grey values by a smooth field, the same for all channels, above or below 1 alike.

    What a scanner multiplies is what it measured, whose 0 is about a channel's minimum: normalised
    values are multiplied from there. Coefficients of the field's polynomials, of up to the third
    degree, are drawn in ±`maximum` (MONAI's RandBiasField, which multiplies about 0 and draws them
    above it).
    """

    def __init__(self, keys: KeysCollection, *, maximum: float, prob: float) -> None:
        MapTransform.__init__(self, keys)
        RandomizableTransform.__init__(self, prob)
        if not maximum > 0:
            msg = f"RandScannerBiasd needs maximum > 0; got {maximum}"
            raise ValueError(msg)
        self.field = RandBiasField(prob=1.0, coeff_range=(-maximum, maximum))

    def set_random_state(
        self, seed: int | None = None, state: np.random.RandomState | None = None
    ) -> Self:
        """Seed what draws the field too."""
        super().set_random_state(seed, state)
        self.field.set_random_state(seed, state)
        return self

    def __call__(self, data: Mapping[Hashable, Tensor]) -> dict[Hashable, Tensor]:
        """The same keys, (C, Z, Y, X) each."""
        out = dict(data)
        self.randomize(None)
        for key in self.key_iterator(out) if self._do_transform else ():
            image = torch.as_tensor(out[key])
            least = image.amin(dim=(1, 2, 3), keepdim=True)
            out[key] = torch.as_tensor(self.field(image - least)) + least
        return out
