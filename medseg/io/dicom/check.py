"""Step two: whether a series is plainly sound, and its geometry, from headers alone."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Sequence

from medseg.errors import InputRefused
from medseg.io.dicom import geometry as geo
from medseg.io.dicom.classes import PROJECTIONS, SUPPORTED, class_name
from medseg.io.dicom.notes import notes_of
from medseg.io.dicom.pixels import ALLOCATED, files_of, format_fault
from medseg.io.dicom.records import Checked, Frame, ImageFile, Series, Stack
from medseg.io.dicom.refusals import counted, refusal
from medseg.io.dicom.rescale import rescale_fault
from medseg.io.dicom.volumes import split_volumes
from medseg.io.dicom.voxels import array_dtype

MAX_BYTES = 4 * 1024**3
SPACING_TOLERANCE_MM = 1e-4


def check(series: Series) -> Checked:
    """Geometry and all other facts of a series.

    The order of checks is that of the list of codes, and the first failure names the series. A
    series of several volumes passes; `read_checked` asks for a choice.

    Raises InputRefused with a code of `REFUSAL_CODES`.
    """
    _check_kind(series)
    frames, copies = _without_copies(series)
    _check_objects(series, frames)
    kept = tuple(frame for frame in frames if not _is_localizer(frame))
    if not kept:
        raise refusal(
            series, "localizer", f"{counted(len(frames), 'image')}, all of type LOCALIZER"
        )
    for code, test in _IMAGE_CHECKS:
        for file in files_of(kept):
            if (detail := test(file)) is not None:
                raise refusal(series, code, detail)
    _check_geometry_tags(series, kept)
    _check_alike(series, kept)
    stacks = _stacks(series, kept)
    if len(stacks) == 1 and stacks[0].refused is not None:
        raise stacks[0].refused
    notes = notes_of(kept, copies=copies, localizers=len(frames) - len(kept))
    return Checked(series, SUPPORTED[kept[0].file.sop_class], stacks, notes)


def _check_kind(series: Series) -> None:
    if series.damaged:
        wholes = f"{series.damaged} of {series.files} files have a header that cannot be used"
        raise refusal(series, "file-corrupt", wholes)
    if series.kind == "other":
        names = ", ".join(sorted({class_name(one) for one in series.sop_classes}))
        raise refusal(
            series, "no-image-series", f"{counted(series.files, 'file')} without images ({names})"
        )
    if len(series.patients) > 1:
        detail = f"{len(series.patients)} different PatientIDs in one series"
        raise refusal(series, "several-patients", detail)


def _without_copies(series: Series) -> tuple[tuple[Frame, ...], int]:
    """The frames of each file once; byte-equal copies of a file are dropped and counted."""
    same_uid: dict[str, dict[str, ImageFile]] = defaultdict(dict)
    for frame in series.frames:
        same_uid[frame.file.instance_uid][str(frame.file.path)] = frame.file
    dropped: set[int] = set()
    for files in same_uid.values():
        if len(files) == 1:
            continue
        first, *others = files.values()
        content = _content(series, first)
        if any(_content(series, other) != content for other in others):
            detail = f"{len(files)} files share one SOPInstanceUID and differ in content"
            raise refusal(series, "duplicate-uid", detail)
        dropped.update(other.order for other in others)
    kept = tuple(frame for frame in series.frames if frame.file.order not in dropped)
    return kept, len(dropped)


def _content(series: Series, file: ImageFile) -> bytes:
    try:
        return file.path.read_bytes()
    except OSError as error:
        detail = f"file {file.order} in name order cannot be read ({error.strerror})"
        raise refusal(series, "path-unreadable", detail) from error


def _check_objects(series: Series, frames: Sequence[Frame]) -> None:
    classes = series.sop_classes
    for one in classes:
        if one not in SUPPORTED:
            raise refusal(series, "sop-class-unsupported", f"the objects are {class_name(one)}")
    if len({SUPPORTED[one] for one in classes}) > 1:
        raise refusal(series, "sop-class-unsupported", "the series mixes CT, MR or PET objects")
    for frame in frames:
        marks = PROJECTIONS.intersection(frame.frame_type[2:])
        if marks or PROJECTIONS.intersection(frame.file.image_type[2:]):
            detail = "ImageType says that the images are projections"
            raise refusal(series, "sop-class-unsupported", detail)
    if len({frame.file.order for frame in series.frames}) < series.files:
        detail = "an enhanced object has no functional groups that place its frames"
        raise refusal(series, "geometry-missing", detail)


def _is_localizer(frame: Frame) -> bool:
    return "LOCALIZER" in frame.frame_type[2:] or "LOCALIZER" in frame.file.image_type[2:]


def _mosaic(file: ImageFile) -> str | None:
    return "ImageType holds MOSAIC" if "MOSAIC" in file.image_type else None


def _colour(file: ImageFile) -> str | None:
    if file.samples == 1 and file.photometric in ("MONOCHROME1", "MONOCHROME2", ""):
        return None
    return f"{counted(file.samples, 'sample')} a pixel, and no scale of grey"


def _photometric(file: ImageFile) -> str | None:
    if file.photometric == "MONOCHROME2":
        return None
    known = file.photometric == "MONOCHROME1"
    return "MONOCHROME1" if known else "PhotometricInterpretation is absent"


def _animal(file: ImageFile) -> str | None:
    quadruped = file.facts["biped"] == "QUADRUPED"
    return "AnatomicalOrientationType is QUADRUPED" if quadruped else None


def _size(file: ImageFile) -> str | None:
    predicted = file.rows * file.columns * file.frames * max(1, file.bits[0] // 8)
    if predicted <= MAX_BYTES:
        return None
    return f"the header announces {predicted / 1e9:.1f} GB in one file"


_IMAGE_CHECKS: tuple[tuple[str, Callable[[ImageFile], str | None]], ...] = (
    ("mosaic", _mosaic),
    ("color-image", _colour),
    ("photometric-unsupported", _photometric),
    ("not-biped", _animal),
    ("too-large", _size),
)


def _check_geometry_tags(series: Series, frames: Sequence[Frame]) -> None:
    faults = [(frame, fault) for frame in frames if (fault := geo.frame_fault(frame)) is not None]
    for code in ("geometry-missing", "geometry-invalid"):
        named = [fault for _, fault in faults if fault.code == code]
        if named:
            places = f" ({len(named)} of {len(frames)} images)"
            raise refusal(series, code, named[0].detail + places)


def _check_alike(series: Series, frames: Sequence[Frame]) -> None:
    """Matrix, orientation, PixelSpacing and frame of reference are the same everywhere.

    PixelSpacing comes after orientation: where both differ, another orientation says more.
    """
    matrices = {(frame.file.rows, frame.file.columns) for frame in frames}
    if len(matrices) > 1:
        shown = ", ".join(f"{rows} x {columns}" for rows, columns in sorted(matrices)[:4])
        raise refusal(series, "mixed-matrix", f"rows x columns differ: {shown}")
    spread = geo.orientation_spread_deg(frames)
    if spread > geo.ORIENTATION_TOLERANCE_DEG:
        raise refusal(series, "mixed-orientation", f"orientations differ by {spread:.2f} degrees")
    for axis in (0, 1):
        values = [(frame.spacing or (math.nan, math.nan))[axis] for frame in frames]
        if max(values) - min(values) > SPACING_TOLERANCE_MM:
            detail = f"PixelSpacing changes from {min(values):g} to {max(values):g} mm"
            raise refusal(series, "mixed-matrix", detail)
    references = len({frame.file.frame_of_reference for frame in frames})
    if references > 1:
        raise refusal(
            series, "mixed-frame-of-reference", f"{references} different FrameOfReferenceUIDs"
        )


def _stacks(series: Series, frames: Sequence[Frame]) -> tuple[Stack, ...]:
    places = geo.by_position(frames)
    if len(places) < geo.FEWEST_POSITIONS:
        detail = f"{counted(len(frames), 'image')} at {counted(len(places), 'slice position')}"
        raise refusal(series, "too-few-slices", detail)
    counts = {len(place) for place in places}
    if counts == {1}:
        return (_stack(series, "", tuple(place[0] for place in places)),)
    if len(counts) > 1:
        detail = f"{min(counts)} to {max(counts)} images at each of {len(places)} positions"
        raise refusal(series, "duplicate-slices", detail)
    volumes = split_volumes(places)
    if volumes is None:
        raise InputRefused(
            "several-volumes",
            series.subject,
            f"{counts.pop()} images at every position, and no tag sets them apart",
            "export each volume as a series of its own",
        )
    return tuple(_stack(series, label, ordered) for label, ordered in volumes)


def _stack(series: Series, label: str, frames: tuple[Frame, ...]) -> Stack:
    line = geo.line_through(frames)
    fault = (
        _total_fault(frames)
        or geo.line_fault(frames, line)
        or rescale_fault(frames)
        or format_fault(frames)
    )
    if fault is not None:
        refused = refusal(series, fault.code, fault.detail)
        return Stack(label, frames, None, line.off_mm, refused)
    return Stack(label, frames, geo.geometry_of(frames, line), line.off_mm, None)


def _total_fault(frames: Sequence[Frame]) -> geo.Fault | None:
    file = frames[0].file
    sound = all(frame.file.bits[0] in ALLOCATED for frame in frames)
    kept = array_dtype(SUPPORTED[file.sop_class], frames).itemsize if sound else 1
    predicted = file.rows * file.columns * len(frames) * kept
    if predicted <= MAX_BYTES:
        return None
    return geo.Fault("too-large", f"{predicted / 1e9:.1f} GB in one volume")
