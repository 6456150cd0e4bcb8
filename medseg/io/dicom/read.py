"""Step three: the voxels of a checked series."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from pydicom.uid import UID

from medseg.io.dicom.frames import code_text
from medseg.io.dicom.geometry import Fault
from medseg.io.dicom.notes import stack_notes
from medseg.io.dicom.pixels import files_of
from medseg.io.dicom.records import Checked, Frame, Stack
from medseg.io.dicom.refusals import refusal
from medseg.io.dicom.rescale import slope_and_intercept, unit_of
from medseg.io.dicom.suv import PetScale, PetUnits, pet_scale
from medseg.io.dicom.voxels import voxels
from medseg.types import Volume

_MOST_LISTED = 12


def read_checked(
    checked: Checked, volume: int | None = None, *, pet: PetUnits = "physical"
) -> Volume:
    """The one volume of a checked series, or number `volume` of several, counted from 1.

    Shapes: array (z, y, x), z along the normal of the slices. CT is int16 HU where slope and
    intercept are whole and the same everywhere; an MR image without rescale keeps its stored type;
    all else is float32. Padding becomes -1024 (CT) or 0. `pet` says in which unit PET is read; how
    SUV came about stands in `meta["suv"]`.

    Raises InputRefused (`several-volumes`, `volume-unknown`, `pixel-format-unsupported`,
    `pixel-data-corrupt`, `suv-not-computable`, or why this volume is not sound).
    """
    stack = choose_stack(checked, volume)
    if stack.refused is not None or stack.geometry is None:
        raise stack.refused or refusal(checked.series, "geometry-invalid", "no grid")
    frames = stack.frames
    scale = _scale(checked, stack, pet)
    array, padded = voxels(checked, stack, stack.geometry)
    if scale.factor != 1:
        array *= array.dtype.type(scale.factor)
    return Volume(
        array=array,
        geometry=stack.geometry,
        modality=checked.modality,
        unit=scale.unit,
        slice_thickness_mm=_thickness_mm(frames),
        acquisition_axis=0,
        meta=_meta(checked, stack, padded) | ({"suv": dict(scale.parts)} if scale.parts else {}),
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


def _scale(checked: Checked, stack: Stack, pet: PetUnits) -> PetScale:
    if checked.modality != "PT":
        return PetScale(unit_of(stack.frames))
    scale = pet_scale(stack.frames, pet)
    if isinstance(scale, Fault):
        raise refusal(checked.series, scale.code, scale.detail)
    return scale


def _thickness_mm(frames: Sequence[Frame]) -> float | None:
    """SliceThickness where it is stated, possible and the same everywhere."""
    stated = {frame.thickness for frame in frames}
    thickness = stated.pop() if len(stated) == 1 else None
    return thickness if thickness is not None and 0 < thickness < np.inf else None


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
