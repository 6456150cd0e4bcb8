"""Step three: the voxels of a checked series."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.uid import UID

from medseg.io.dicom.codecs import Stored
from medseg.io.dicom.frames import code_text
from medseg.io.dicom.notes import stack_notes
from medseg.io.dicom.pixels import PixelError, files_of, padding_mask, stored_frames
from medseg.io.dicom.records import Checked, Frame, ImageFile, Stack
from medseg.io.dicom.refusals import refusal
from medseg.io.dicom.rescale import slope_and_intercept, unit_of
from medseg.types import Geometry, Modality, Volume

CT_PADDING_HU = -1024
_INT16 = np.iinfo(np.int16)
_MOST_LISTED = 12


def read_checked(checked: Checked, volume: int | None = None) -> Volume:
    """The one volume of a checked series, or number `volume` of several, counted from 1.

    Shapes: array (z, y, x), z along the normal of the slices. CT is int16 HU where slope and
    intercept are whole and the same everywhere; an MR image without rescale keeps its stored type;
    all else is float32. Padding becomes -1024 (CT) or 0.

    Raises InputRefused (`several-volumes`, `volume-unknown`, `pixel-format-unsupported`,
    `pixel-data-corrupt`, or why this volume is not sound).
    """
    stack = choose_stack(checked, volume)
    if stack.refused is not None or stack.geometry is None:
        raise stack.refused or refusal(checked.series, "geometry-invalid", "no grid")
    array, padded = _voxels(checked, stack, stack.geometry)
    frames = stack.frames
    return Volume(
        array=array,
        geometry=stack.geometry,
        modality=checked.modality,
        unit=unit_of(frames),
        slice_thickness_mm=_thickness_mm(frames),
        acquisition_axis=0,
        meta=_meta(checked, stack, padded),
        warnings=(*checked.warnings, *stack_notes(stack)),
    )


def choose_stack(checked: Checked, volume: int | None) -> Stack:
    """The only volume, or number `volume` counted from 1.

    Raises InputRefused (`several-volumes`, `volume-unknown`).
    """
    stacks = checked.stacks
    if volume is None and len(stacks) == 1:
        return stacks[0]
    listed = "; ".join(f"{n} ({one.label})" for n, one in enumerate(stacks[:_MOST_LISTED], 1))
    more = f" and {len(stacks) - _MOST_LISTED} more" if len(stacks) > _MOST_LISTED else ""
    shape = (len(stacks[0].frames), stacks[0].frames[0].file.rows, stacks[0].frames[0].file.columns)
    detail = f"{len(stacks)} volumes of {shape}: {listed}{more}"
    if volume is None:
        raise refusal(checked.series, "several-volumes", detail)
    if not 1 <= volume <= len(stacks):
        there = detail if len(stacks) > 1 else "there is one volume"
        raise refusal(checked.series, "volume-unknown", f"no volume {volume}; {there}")
    return stacks[volume - 1]


def _thickness_mm(frames: Sequence[Frame]) -> float | None:
    """SliceThickness where it is stated, possible and the same everywhere."""
    stated = {frame.thickness for frame in frames}
    thickness = stated.pop() if len(stated) == 1 else None
    return thickness if thickness is not None and 0 < thickness < np.inf else None


def _voxels(checked: Checked, stack: Stack, geometry: Geometry) -> tuple[NDArray[Any], int]:
    """Real values on the grid, and how many voxels were padding."""
    array = np.empty(geometry.shape, dtype=_dtype(checked.modality, stack.frames))
    padded = 0
    for file, places in _places(stack.frames):
        wanted = [stack.frames[place].index for place in places]
        try:
            for place, stored in zip(places, stored_frames(file, wanted), strict=True):
                values = _real(stack.frames[place], stored, array.dtype)
                outside = padding_mask(file, stored)
                if outside is not None and outside.any():
                    padded += int(np.count_nonzero(outside))
                    values[outside] = CT_PADDING_HU if checked.modality == "CT" else 0
                _check_range(checked, values)
                array[place] = values
        except PixelError as error:
            raise refusal(checked.series, "pixel-data-corrupt", str(error)) from error
    return array, padded


def _places(frames: Sequence[Frame]) -> Iterator[tuple[ImageFile, list[int]]]:
    """Each file with the slices of the volume that it holds, so that no file is opened twice."""
    places: dict[int, list[int]] = {}
    for place, frame in enumerate(frames):
        places.setdefault(frame.file.order, []).append(place)
    for file in files_of(frames):
        yield file, places[file.order]


def _dtype(modality: Modality, frames: Sequence[Frame]) -> np.dtype[Any]:
    pairs = {slope_and_intercept(frame) for frame in frames}
    if modality == "MR" and pairs == {(1.0, 0.0)}:
        kinds = {f"{'i' if f.file.signed else 'u'}{f.file.bits[0] // 8}" for f in frames}
        return np.result_type(*map(np.dtype, sorted(kinds)))
    if modality == "CT" and len(pairs) == 1 and all(value.is_integer() for value in pairs.pop()):
        return np.dtype(np.int16)
    return np.dtype(np.float32)


def _real(frame: Frame, stored: Stored, dtype: np.dtype[Any]) -> NDArray[Any]:
    """Stored values times slope plus intercept, wide enough for any of them; always a new array."""
    slope, intercept = slope_and_intercept(frame)
    if (slope, intercept) == (1.0, 0.0):
        return stored.astype(stored.dtype, copy=True)
    if dtype.kind == "i":
        return np.asarray(stored.astype(np.int64) * int(slope) + int(intercept))
    return np.asarray(stored.astype(np.float64) * slope + intercept)


def _check_range(checked: Checked, values: NDArray[Any]) -> None:
    """CT values fit into 16 bits with a sign; others mean that sign or bits are stated wrongly."""
    low, high = float(values.min()), float(values.max())
    if checked.modality == "CT" and not (_INT16.min <= low and high <= _INT16.max):
        detail = f"CT values from {low:g} to {high:g} HU: sign or bits are stated wrongly"
        raise refusal(checked.series, "pixel-format-unsupported", detail)


def _meta(checked: Checked, stack: Stack, padded: int) -> dict[str, Any]:
    """What is kept of the headers: technical facts, hashes and counts; nobody's name or id."""
    frames, file = stack.frames, stack.frames[0].file
    pairs = sorted({slope_and_intercept(frame) for frame in frames})
    return {
        "format": "DICOM",
        "series": checked.series.pseudonym,
        "volume": stack.label,
        "files": len(files_of(frames)),
        "frame_of_reference": file.frame_of_reference or None,
        "manufacturer": file.facts["manufacturer"] or None,
        "body_part": file.facts["body_part"] or None,
        "image_type": [word for value in frames[0].frame_type if (word := code_text(value))],
        "transfer_syntaxes": sorted({UID(one.syntax).name for one in files_of(frames)}),
        "rescale_slope": [pairs[0][0], pairs[-1][0]],
        "rescale_intercept": [min(b for _, b in pairs), max(b for _, b in pairs)],
        "padding_voxels": padded,
        "slice_deviation_mm": round(stack.off_mm, 6),
    }
