"""NIfTI-1 and NIfTI-2: one file or a pair, RAS (i, j, k) there, LPS (z, y, x) here."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any, cast

import nibabel
import numpy as np
from nibabel.spatialimages import HeaderDataError
from numpy.typing import NDArray

from medseg.errors import InputRefused
from medseg.io.checks import checked_geometry, color, corrupt, not_real, spatial_shape, unreadable
from medseg.io.formats import is_nifti
from medseg.io.payload import ImageHeader, Payload, first_bytes, read_payload
from medseg.types import Geometry, InputWarning

Matrix = NDArray[np.float64]

_RAS_TO_LPS = np.diag([-1.0, -1.0, 1.0, 1.0])
_KJI = [2, 1, 0, 3]
_UNIT_MM = {0: 1.0, 1: 1000.0, 2: 1.0, 3: 0.001}
_REMEDY_AFFINE = "convert it again from the DICOM series, or set its sform"
_TOLERANCE_VOXELS = 0.1
"""Single precision quaternions lose up to about 3e-4 rad (NIfTI-1 method 2): 0.1 mm in 300 mm."""


def read_nifti_header(path: Path) -> ImageHeader:
    """What a NIfTI file, or either file of a pair, says of its image.

    The sform is used where its code is above 0, else the qform; where both are set and lead
    apart by more than a tenth of a voxel, the sform holds and a warning says by how much.

    Raises InputRefused (`file-corrupt`, `not-3d`, `color-image`, `not-real`, `affine-missing`,
    `affine-singular`, `geometry-invalid`, ...).
    """
    name = path.name
    header_path, data_path = _pair(path)
    header = _parse(header_path, name)
    shape = _shape(header, name)
    dtype = _dtype(header, name)
    affine, warnings = nifti_affine(header, shape, name)
    payload = Payload(
        path=data_path,
        encoding="gzip" if _is_gzip(data_path) else "raw",
        start=0,
        skip=_offset(header, single=header_path == data_path),
        dtype=dtype,
        shape=shape,
    )
    try:
        slope, inter = header.get_slope_inter()
    except HeaderDataError as error:
        raise corrupt(name, "its scaling (scl_slope, scl_inter) is not a number") from error
    files = (path,) if header_path == data_path else (header_path, data_path)
    load = partial(_load, payload, name, 1.0 if slope is None else slope, inter or 0.0)
    return ImageHeader(
        "NIfTI", files, checked_geometry(shape, affine, name, _REMEDY_AFFINE), warnings, load
    )


def nifti_affine(
    header: Any, shape: tuple[int, int, int], name: str
) -> tuple[Matrix, tuple[InputWarning, ...]]:
    """Index (z, y, x) to LPS mm from a nibabel header, and what is to be said of it."""
    sform, qform = header.get_sform(coded=True)[0], _qform(header)
    if sform is None and qform is None:
        raise InputRefused(
            code="affine-missing",
            subject=name,
            detail="neither sform nor qform is set",
            remedy=_REMEDY_AFFINE,
        )
    scale, warnings = _unit_scale(header)
    candidates = [
        np.diag([scale, scale, scale, 1.0]) @ lps_from_ras(one)
        for one in (sform, qform)
        if one is not None
    ]
    chosen = candidates[0]
    if len(candidates) == 2:
        apart = _farthest_mm(chosen, candidates[1], shape)
        edges = np.linalg.norm(chosen[:3, :3], axis=0)
        if not apart <= _TOLERANCE_VOXELS * float(edges.min()):
            detail = (
                f"sform and qform lead up to {apart:.3g} mm apart; the sform was used"
                if np.isfinite(apart)
                else "the qform is not usable; the sform was used"
            )
            warnings = (*warnings, InputWarning("sform-qform-differ", detail))
    return chosen, warnings


def lps_from_ras(affine: Matrix) -> Matrix:
    """From (i, j, k) -> RAS mm to (z, y, x) -> LPS mm."""
    return (_RAS_TO_LPS @ affine)[:, _KJI]


def ras_from_lps(affine: Matrix) -> Matrix:
    """From (z, y, x) -> LPS mm to (i, j, k) -> RAS mm."""
    return (_RAS_TO_LPS @ affine)[:, _KJI]


def nifti_image(array: NDArray[Any], geometry: Geometry) -> Any:
    """A nibabel image of `array` (z, y, x): sform with code 1, and a qform where it can be.

    A qform cannot hold shear, so a sheared grid has none. NIfTI-2 where an axis is too long
    for NIfTI-1. Header matrices are in single precision in NIfTI-1.
    """
    kind: Any = (
        nibabel.Nifti2Image if max(array.shape) > np.iinfo(np.int16).max else nibabel.Nifti1Image
    )
    ras = ras_from_lps(geometry.affine)
    image = kind(array.T, ras, dtype=array.dtype)
    image.header.set_xyzt_units("mm")
    if geometry.is_orthogonal:
        image.header.set_qform(ras, code=1)
    else:
        image.header.set_qform(None, code=0)
        image.header.set_zooms(tuple(reversed(geometry.spacing_mm)))
    image.header.set_sform(ras, code=1)
    return image


def write_nifti(array: NDArray[Any], geometry: Geometry, path: Path) -> None:
    """Write `array` (z, y, x) as .nii or .nii.gz."""
    nifti_image(array, geometry).to_filename(path)


def _is_gzip(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(2) == b"\x1f\x8b"


def _pair(path: Path) -> tuple[Path, Path]:
    """The files of header and values; they are one file, unless it is a .hdr/.img pair."""
    name = path.name
    for mine, others in ((".hdr", ".img"), (".img", ".hdr")):
        for end in ("", ".gz"):
            if not name.lower().endswith(mine + end):
                continue
            stem = name[: -len(mine + end)]
            choices = [path.with_name(stem + others + tail) for tail in (end, "", ".gz")]
            other = next((one for one in choices if one.is_file()), None)
            if other is None:
                raise InputRefused(
                    code="path-missing",
                    subject=name,
                    detail=f"its other half {choices[0].name} is missing",
                    remedy="add it",
                )
            return (path, other) if mine == ".hdr" else (other, path)
    return path, path


def _parse(path: Path, name: str) -> Any:
    try:
        raw = first_bytes(path, 544)
    except OSError as error:
        raise unreadable(name, error) from error
    if not is_nifti(raw):
        raise InputRefused(
            code="format-unknown",
            subject=name,
            detail="its header is no NIfTI header",
            remedy="convert the image to NIfTI",
        )
    two = raw[4:8] in (b"n+2\0", b"ni2\0")
    kind: Any = nibabel.Nifti2Header if two else nibabel.Nifti1Header
    size = kind.sizeof_hdr
    if len(raw) < size:
        raise corrupt(name, "its header is cut short")
    header = kind(raw[:size], check=False)
    # pixdim[0], the handedness, is 1 where a writer left it 0 (NIfTI-1, method 2).
    if header["pixdim"][0] == 0:
        header["pixdim"][0] = 1
    return header


def _shape(header: Any, name: str) -> tuple[int, int, int]:
    try:
        lengths = [int(length) for length in header.get_data_shape()]
    except HeaderDataError as error:
        raise corrupt(name, "its dimensions make no sense") from error
    if any(length < 0 for length in lengths) or not 0 <= int(header["dim"][0]) <= 7:
        raise corrupt(name, "its dimensions make no sense")
    return spatial_shape(lengths, name)


def _dtype(header: Any, name: str) -> np.dtype[Any]:
    try:
        dtype: np.dtype[Any] = np.dtype(header.get_data_dtype())
    except HeaderDataError as error:
        raise InputRefused(
            code="format-unknown",
            subject=name,
            detail=f"data type {int(header['datatype'])} is not known",
            remedy="convert it to a usual number type",
        ) from error
    if dtype.fields is not None:
        raise color(name)
    if dtype.kind not in "iuf":
        raise not_real(name, "complex numbers")
    return dtype


def _offset(header: Any, *, single: bool) -> int:
    offset = int(header["vox_offset"])
    if not single:
        return max(0, offset)
    return max(offset, int(header["sizeof_hdr"]) + 4)


def _qform(header: Any) -> Matrix | None:
    """The qform, None where its code is 0, NaN where it is not usable."""
    if int(header["qform_code"]) <= 0:
        return None
    bcd = [float(header[key]) for key in ("quatern_b", "quatern_c", "quatern_d")]
    length = float(np.linalg.norm(bcd))
    if 1 < length < 1 + 1e-4:
        for key, value in zip(("quatern_b", "quatern_c", "quatern_d"), bcd, strict=True):
            header[key] = value / length
    try:
        return cast("Matrix", header.get_qform(coded=True)[0])
    except (HeaderDataError, ValueError):
        return np.full((4, 4), np.nan)


def _unit_scale(header: Any) -> tuple[float, tuple[InputWarning, ...]]:
    code = int(header["xyzt_units"]) & 7
    scale = _UNIT_MM.get(code)
    if scale is None or code == 0:
        return 1.0, (
            InputWarning("unit-of-length-assumed", "the file names no unit of length; mm assumed"),
        )
    return scale, ()


def _farthest_mm(one: Matrix, other: Matrix, shape: tuple[int, int, int]) -> float:
    ends = np.array([[0.0, n - 1.0] for n in shape])
    corners = np.stack(np.meshgrid(*ends, [1.0], indexing="ij"), axis=-1).reshape(-1, 4)
    apart = corners @ (one - other)[:3].T
    return float(np.linalg.norm(apart, axis=1).max())


def _load(payload: Payload, name: str, slope: float, inter: float) -> NDArray[Any]:
    raw = read_payload(payload, name)
    if slope == 1 and inter == 0:
        return raw.astype(np.float64) if raw.dtype.itemsize > 8 else raw
    small = raw.dtype.kind in "iu" and raw.dtype.itemsize <= 2
    if small and slope == 1 and float(inter).is_integer() and abs(inter) < 2**30:
        return raw.astype(np.int32) + np.int32(inter)
    # 24 bits of mantissa hold 16-bit values and their scaling; wider ones need 53.
    scaled = raw.astype(np.float64)
    scaled *= slope
    scaled += inter
    single = small or raw.dtype == np.float32
    return scaled.astype(np.float32) if single else scaled
