"""To and from SimpleITK and nibabel images in memory; values and geometry stay as they are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from medseg.errors import InputRefused
from medseg.io.checks import checked_geometry, color, not_real, require_finite, spatial_shape
from medseg.types import Modality, Unit, Volume

if TYPE_CHECKING:
    import nibabel
    import SimpleITK

_UNIT_MM = {"meter": 1000.0, "micron": 0.001}
_REMEDY = "give the image a valid affine"


def to_simpleitk(volume: Volume) -> SimpleITK.Image:
    """The volume as a SimpleITK image (both are LPS mm).

    Raises ValueError for a sheared grid: ITK's filters take the axes to be square to each other.
    """
    import SimpleITK

    geometry = volume.geometry
    if not geometry.is_orthogonal:
        msg = "the grid is sheared; SimpleITK takes its axes to be square to each other"
        raise ValueError(msg)
    array = volume.array.astype(np.float32) if volume.array.dtype == np.float16 else volume.array
    image = SimpleITK.GetImageFromArray(np.ascontiguousarray(array))
    image.SetSpacing(tuple(reversed(geometry.spacing_mm)))
    image.SetOrigin(geometry.origin_mm)
    image.SetDirection(geometry.direction[:, ::-1].ravel().tolist())
    return image


def from_simpleitk(
    image: SimpleITK.Image,
    *,
    modality: Modality = "unknown",
    unit: Unit = "unknown",
) -> Volume:
    """A copy of a SimpleITK image as a volume; trailing axes of length 1 are dropped.

    Raises InputRefused (`not-3d`, `color-image`, `not-real`, `not-finite`).
    """
    import SimpleITK

    name = "SimpleITK image"
    channels = image.GetNumberOfComponentsPerPixel()
    if channels in (3, 4):
        raise color(name)
    if channels != 1:
        raise not_real(name, f"of {channels} numbers each")
    shape = spatial_shape(image.GetSize(), name)
    count = image.GetDimension()
    direction = np.asarray(image.GetDirection()).reshape(count, count)[:3, :3]
    affine = np.eye(4)
    affine[:3, :3] = (direction * np.asarray(image.GetSpacing())[:3])[:, ::-1]
    affine[:3, 3] = image.GetOrigin()[:3]
    array = SimpleITK.GetArrayFromImage(image).reshape(shape)
    if array.dtype.kind not in "iuf":
        raise not_real(name, "complex numbers")
    require_finite(array, name)
    geometry = checked_geometry(shape, affine, name, _REMEDY)
    return Volume(array, geometry, modality, unit)


def to_nibabel(volume: Volume) -> nibabel.Nifti1Image:
    """The volume as a NIfTI image in memory: RAS, axes (i, j, k) = (x, y, z), array as a view."""
    from medseg.io.images import storable
    from medseg.io.nifti import nifti_image

    image: nibabel.Nifti1Image = nifti_image(storable(volume.array), volume.geometry)
    return image


def from_nibabel(
    image: Any,
    *,
    modality: Modality = "unknown",
    unit: Unit = "unknown",
) -> Volume:
    """A nibabel image as a volume, C-ordered (z, y, x); trailing axes of length 1 are dropped.

    Its `affine` holds, in full precision. A NIfTI header with neither sform nor qform is refused,
    since nibabel makes up an affine for it.

    Raises InputRefused (`affine-missing`, `affine-singular`, `not-3d`, `not-real`, ...).
    """
    from medseg.io.nifti import lps_from_ras

    name = "nibabel image"
    header = image.header
    coded = [int(header[key]) for key in ("sform_code", "qform_code") if key in header]
    if image.affine is None or (coded and max(coded) <= 0):
        raise InputRefused(
            code="affine-missing",
            subject=name,
            detail="neither sform nor qform is set",
            remedy=_REMEDY,
        )
    shape = spatial_shape(image.shape, name)
    values = np.asanyarray(image.dataobj)
    if values.dtype.fields is not None:
        raise color(name)
    if values.dtype.kind not in "iuf":
        raise not_real(name, "complex numbers")
    array = np.array(values.reshape(shape[::-1]).T, order="C")
    array = array.astype(array.dtype.newbyteorder("="), copy=False)
    require_finite(array, name)
    affine = lps_from_ras(image.affine)
    if hasattr(header, "get_xyzt_units"):
        affine[:3] *= _UNIT_MM.get(header.get_xyzt_units()[0], 1.0)
    return Volume(array, checked_geometry(shape, affine, name, _REMEDY), modality, unit)
