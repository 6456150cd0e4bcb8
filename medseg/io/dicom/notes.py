"""What is worth knowing of a series and is no reason to refuse it."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from medseg.io.dicom.codecs import LOSSY
from medseg.io.dicom.records import Frame, Stack
from medseg.io.dicom.volumes import BY_NUMBER
from medseg.types import InputWarning

STEP_TOLERANCE = 0.01
OFF_GRID_MM = 0.01


def notes_of(frames: Sequence[Frame], *, copies: int, localizers: int) -> tuple[InputWarning, ...]:
    """Warnings about the kept frames of a series and about what was left out of it."""
    found: list[InputWarning] = []
    if copies:
        found.append(InputWarning("copies-dropped", f"{copies} byte-equal copies of files"))
    if localizers:
        found.append(InputWarning("localizers-dropped", f"{localizers} scout images"))
    marks = (
        ("derived-image", "ImageType is DERIVED", _is_derived),
        ("lossy-compression", "pixels were compressed with loss", is_lossy),
        ("burned-in-annotation", "BurnedInAnnotation is YES", _is_annotated),
    )
    for code, detail, test in marks:
        count = sum(map(test, frames))
        if count:
            found.append(InputWarning(code, f"{detail} ({count} of {len(frames)} images)"))
    return (*found, *_count_notes(frames))


def _is_derived(frame: Frame) -> bool:
    return frame.file.image_type[:1] == ("DERIVED",)


def is_lossy(frame: Frame) -> bool:
    """Whether the header or the transfer syntax says that its pixels were compressed with loss."""
    return frame.file.facts["lossy"] == "01" or frame.file.syntax in LOSSY


def _is_annotated(frame: Frame) -> bool:
    return frame.file.facts["burned_in"] == "YES"


def _count_notes(frames: Sequence[Frame]) -> tuple[InputWarning, ...]:
    """Where the header tells of more images than there are: the last slices may be missing."""
    announced = _most(frame.file.announced_images for frame in frames)
    if announced <= len(frames):
        return ()
    detail = f"the header tells of {announced:g} images, there are {len(frames)}"
    return (InputWarning("fewer-images-than-announced", detail),)


def _most(announced: Iterable[float | None]) -> float:
    """The largest number that a header states; 0 where none does."""
    return max((n for n in announced if n is not None and math.isfinite(n)), default=0.0)


def stack_notes(stack: Stack) -> tuple[InputWarning, ...]:
    """Warnings about the slices of one volume."""
    if stack.geometry is None:
        return ()
    found: list[InputWarning] = []
    step_mm = stack.geometry.spacing_mm[0]
    stated = {f.spacing_between for f in stack.frames if f.spacing_between is not None}
    if any(not abs(value - step_mm) <= STEP_TOLERANCE * step_mm for value in stated):
        detail = f"SpacingBetweenSlices differs from the measured {step_mm:.3f} mm, which is used"
        found.append(InputWarning("spacing-tag-differs", detail))
    if stack.off_mm > OFF_GRID_MM:
        detail = f"a slice lies {stack.off_mm:.3f} mm off its place on an even grid"
        found.append(InputWarning("slices-off-grid", detail))
    announced = _most(frame.file.announced_slices for frame in stack.frames)
    if announced > len(stack.frames):
        detail = f"the header tells of {announced:g} slices, there are {len(stack.frames)}"
        found.append(InputWarning("fewer-images-than-announced", detail))
    if stack.label.startswith(BY_NUMBER):
        detail = (
            "no tag sets the volumes of the series apart; which images belong together was taken "
            "from the order of InstanceNumber, or of frames, at each position: look at them"
        )
        found.append(InputWarning("volumes-by-number", detail))
    return tuple(found)
