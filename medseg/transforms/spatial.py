"""Spatial MONAI transforms that MONAI lacks."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence

import torch
from monai.config.type_definitions import KeysCollection
from monai.data.meta_tensor import MetaTensor
from monai.transforms.inverse import InvertibleTransform
from monai.transforms.transform import MapTransform
from monai.utils.enums import TraceKeys

from medseg.transforms.bridge import geometry_of, with_geometry
from medseg.transforms.grids import GridMap
from medseg.transforms.resampling import resample_linear, spacing_grid
from medseg.types import Geometry


class AntialiasedSpacingd(MapTransform, InvertibleTransform):
    """Resample images (C, Z, Y, X) to a spacing: linear, smoothed along axes it down-samples.

    The grid is that of MONAI's `Spacingd` for square axes; a sheared grid keeps its shear, so that
    the way back stays exact. Axes whose spacing fits within 1e-3 are left alone, and an image that
    fits altogether keeps its very values and type. The inverse follows the same rule, onto the very
    grid that the image had. For images; label maps have `medseg.transforms.labels`.
    """

    def __init__(
        self,
        keys: KeysCollection,
        *,
        spacing_mm: Sequence[float],
        allow_missing_keys: bool = False,
    ) -> None:
        super().__init__(keys, allow_missing_keys)
        if len(spacing_mm) != 3 or min(spacing_mm) <= 0:
            msg = f"spacing_mm is three numbers above 0; got {tuple(spacing_mm)}"
            raise ValueError(msg)
        self.spacing_mm = tuple(float(mm) for mm in spacing_mm)

    def __call__(self, data: Mapping[Hashable, MetaTensor]) -> dict[Hashable, MetaTensor]:
        """The data with the images of `keys` resampled."""
        out = dict(data)
        for key in self.key_iterator(out):
            out[key] = self._resample(out[key])
        return out

    def inverse(self, data: Mapping[Hashable, MetaTensor]) -> dict[Hashable, MetaTensor]:
        """The data with the images of `keys` back on the grid they came from."""
        out = dict(data)
        for key in self.key_iterator(out):
            done = self.pop_transform(out[key])
            before = Geometry(
                done[TraceKeys.ORIG_SIZE], done[TraceKeys.EXTRA_INFO]["affine_lps"].numpy()
            )
            out[key] = on_grid(out[key], before)
        return out

    def _resample(self, image: MetaTensor) -> MetaTensor:
        before = geometry_of(image)
        out = on_grid(image, spacing_grid(before, self.spacing_mm))
        affine = torch.from_numpy(before.affine.copy())
        self.push_transform(  # type: ignore[no-untyped-call]
            out, orig_size=before.shape, extra_info={"affine_lps": affine}
        )
        return out


def on_grid(image: MetaTensor, target: Geometry) -> MetaTensor:
    """An image (C, Z, Y, X) on a grid parallel to its own; linear, smoothed where down-sampled.

    Raises ValueError where the grids are not parallel.
    """
    source = geometry_of(image)
    values = image.as_tensor()
    if not source.same_grid(target):
        values = resample_linear(values, GridMap.between(target, source), target.shape)
    return with_geometry(values, image, target)
