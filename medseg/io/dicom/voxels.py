"""Frames of a checked volume to real values on its grid."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medseg.io.dicom.codecs import NATIVE
from medseg.io.dicom.pixels import PixelError, Wanted, files_of, padding_mask, stored_frames
from medseg.io.dicom.records import Checked, Frame, ImageFile, Stack
from medseg.io.dicom.refusals import refusal
from medseg.io.dicom.rescale import slope_and_intercept
from medseg.io.dicom.streams import Stored
from medseg.types import Geometry, Modality

CT_PADDING_HU = -1024
_INT16 = np.iinfo(np.int16)


def voxels(checked: Checked, stack: Stack, geometry: Geometry) -> tuple[NDArray[Any], int]:
    """Real values (z, y, x), and how many voxels were padding.

    Raises InputRefused (`pixel-data-corrupt`, `pixel-format-unsupported`).
    """
    array = np.empty(geometry.shape, dtype=array_dtype(checked.modality, stack.frames))
    padded = 0
    files, places = _places(stack.frames)
    wanted = [
        (file, [Wanted(stack.frames[place].index, array[place]) for place in places[file.order]])
        for file in files
    ]
    try:
        for place, stored in zip(
            (place for file in files for place in places[file.order]),
            stored_frames(wanted),
            strict=True,
        ):
            padded += _fill(checked, stack.frames[place], stored, array[place])
    except PixelError as error:
        raise refusal(checked.series, "pixel-data-corrupt", str(error)) from error
    return array, padded


def _places(frames: Sequence[Frame]) -> tuple[tuple[ImageFile, ...], dict[int, list[int]]]:
    """Each file, and the slices of the volume that it holds, so that no file is opened twice."""
    places: dict[int, list[int]] = {}
    for place, frame in enumerate(frames):
        places.setdefault(frame.file.order, []).append(place)
    return files_of(frames), places


def array_dtype(modality: Modality, frames: Sequence[Frame]) -> np.dtype[Any]:
    """The type of a volume: whole numbers where nothing is lost by them, else float32."""
    pairs = {slope_and_intercept(frame) for frame in frames}
    if modality == "MR" and pairs == {(1.0, 0.0)}:
        kinds = {f"{'i' if f.file.signed else 'u'}{f.file.bits[0] // 8}" for f in frames}
        return np.result_type(*map(np.dtype, sorted(kinds)))
    if modality == "CT" and len(pairs) == 1 and all(value.is_integer() for value in pairs.pop()):
        return np.dtype(np.int16)
    return np.dtype(np.float32)


def _fill(checked: Checked, frame: Frame, stored: Stored, out: NDArray[Any]) -> int:
    """Put the real values of one frame into `out`; the number of voxels that are padding."""
    outside = padding_mask(frame.file, stored)
    if outside is None or not outside.any():
        _check_range(checked, frame, stored)
        _rescale(frame, stored, out)
        return 0
    if not outside.all():
        _check_range(checked, frame, stored[~outside])
    _rescale(frame, stored, out)
    out[outside] = CT_PADDING_HU if checked.modality == "CT" else 0
    return int(np.count_nonzero(outside))


def _check_range(checked: Checked, frame: Frame, stored: Stored) -> None:
    """CT values fit into 16 bits with a sign; others mean that sign or bits are stated wrongly.

    The values are looked at only where their type has some that would not fit.
    """
    if checked.modality != "CT" or _fits(_real(frame, _possible(frame.file, stored))):
        return
    ends = _real(frame, (float(stored.min()), float(stored.max())))
    if not _fits(ends):
        detail = f"CT values from {min(ends):g} to {max(ends):g} HU: sign or bits stated wrongly"
        raise refusal(checked.series, "pixel-format-unsupported", detail)


def _possible(file: ImageFile, stored: Stored) -> tuple[float, float]:
    """The least and the greatest stored value that there can be."""
    bits = 8 * stored.dtype.itemsize
    if file.syntax in NATIVE:  # bits above the high bit were taken away; decoders may keep them
        bits = min(bits, file.bits[1])
    return (-(2.0 ** (bits - 1)), 2.0 ** (bits - 1) - 1) if file.signed else (0.0, 2.0**bits - 1)


def _real(frame: Frame, ends: tuple[float, float]) -> tuple[float, float]:
    slope, intercept = slope_and_intercept(frame)
    return ends[0] * slope + intercept, ends[1] * slope + intercept


def _fits(ends: tuple[float, float]) -> bool:
    return min(ends) >= _INT16.min and max(ends) <= _INT16.max


def _rescale(frame: Frame, stored: Stored, out: NDArray[Any]) -> None:
    """Stored values times slope plus intercept.

    Whole numbers are reckoned modulo 2^16, which is exact where the outcome fits, and the range
    was checked; all others in float64.
    """
    slope, intercept = slope_and_intercept(frame)
    if out.dtype.kind == "f" and (slope, intercept) != (1.0, 0.0):
        scaled = np.multiply(stored, slope, dtype=np.float64)
        scaled += intercept
        out[...] = scaled
        return
    there = stored.base is out.base and stored.dtype.itemsize == out.dtype.itemsize
    if not there or out.dtype.kind == "f":
        np.copyto(out, stored, casting="unsafe")
    if slope != 1:
        out *= _wrapped(slope, out.dtype)
    if intercept != 0:
        out += _wrapped(intercept, out.dtype)


def _wrapped(value: float, dtype: np.dtype[Any]) -> NDArray[Any]:
    """A whole number modulo the range of an integer type, shape ()."""
    bits = np.asarray(int(value) % 2 ** (8 * dtype.itemsize), dtype=f"u{dtype.itemsize}")
    return bits.view(dtype)
