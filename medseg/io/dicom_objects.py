"""Objects that DICOM holds: a SEG or an RTSTRUCT as instances, whichever it is."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from medseg.errors import InputRefused
from medseg.io.dicom_out.source import Source, read_source
from medseg.io.dicom_seg import SEG_CLASSES, read_dicom_seg, sop_class_of
from medseg.io.grids import covering, on_grid
from medseg.io.images import is_dicom, open_image
from medseg.io.rtstruct import read_rtstruct
from medseg.types import Geometry, InputWarning, Instances, Kind

RTSTRUCT_CLASS = "1.2.840.10008.5.1.4.1.1.481.3"
_OBJECTS = SEG_CLASSES | {RTSTRUCT_CLASS}


def read_dicom_instances(
    path: Path, source: str | Path | Source | Geometry | None, kind: Kind
) -> Instances:
    """The objects of a SEG or RTSTRUCT file, or of the only one in a folder.

    On the grid of `source` where it is given, which an RTSTRUCT needs.

    Raises InputRefused (`format-unknown`, `several-series`, `geometry-missing`, `grid-mismatch`,
    `mixed-frame-of-reference`, and what the readers of SEG, RTSTRUCT and series refuse).
    """
    file, sop_class = _only_object(path)
    if isinstance(source, str | Path):
        source = read_source(source)
    if sop_class == RTSTRUCT_CLASS:
        if not isinstance(source, Source):
            raise InputRefused(
                "geometry-missing",
                "RTSTRUCT",
                "contours have no voxels, and the series that they were drawn on was not given",
                "give the images too (measure: --image, evaluate: --source, Python: source=)",
            )
        return read_rtstruct(file, source, kind=kind)
    wanted = source.geometry if isinstance(source, Source) else source
    found = read_dicom_seg(file, kind, wanted)
    if wanted is None:
        return replace(found, warnings=(*found.warnings, *_without_images(found)))
    if isinstance(source, Source):
        _check_frame(found, source)
    return on_grid(found, wanted, "SEG")


def _without_images(found: Instances) -> list[InputWarning]:
    """What a SEG alone leaves open."""
    detail = (
        "a SEG holds the slices that it uses alone: which of them is the image's first or last "
        "is not known, so touches_border may be wrong; give the images too"
    )
    notes = [InputWarning("slices-unknown", detail)]
    if not found.provenance["slice_distance_sure"]:
        step_mm = found.geometry.spacing_mm[0]
        detail = (
            "the SEG leaves open how far its slices are apart: no tag says it that two slices side "
            f"by side bear out; they are taken to be {step_mm:g} mm, and volumes are wrong where "
            "they are not; give the images too"
        )
        notes.append(InputWarning("slice-distance-unknown", detail))
    return notes


def is_dicom_object(path: Path) -> bool:
    """Whether a file is a SEG or an RTSTRUCT."""
    return path.is_file() and sop_class_of(path) in _OBJECTS


def comparing_grid(reference: Path, prediction: Path) -> Geometry | None:
    """The grid on which two files are compared, if one of them is a SEG; None where none is.

    That of the label map, or for two SEG, which hold only the slices they use, of both together.

    Raises InputRefused `grid-mismatch` where voxels of the two do not coincide.
    """
    segs = [one for one in (reference, prediction) if sop_class_of(one) in SEG_CLASSES]
    if not segs:
        return None
    if len(segs) == 1:
        other = prediction if segs[0] is reference else reference
        return None if is_dicom_object(other) else open_image(other).geometry
    one, other_one = (read_dicom_seg(file).geometry for file in (reference, prediction))
    return covering(one, other_one, prediction.name)


def drawn_on(
    labels: Path, image: Path | None, series: str | None = None, volume: int | None = None
) -> Source | Geometry | None:
    """What a SEG or RTSTRUCT is read onto where `image` is measured with it; None for others.

    Raises InputRefused as `read_source` and the readers of images do.
    """
    if image is None or not is_dicom_object(labels):
        return None
    if is_dicom(image):
        return read_source(image, series, volume)
    return open_image(image).geometry


def _only_object(path: Path) -> tuple[Path, str]:
    """The file and its SOP class."""
    files = sorted(path.iterdir()) if path.is_dir() else [path]
    classes = ((one, sop_class_of(one)) for one in files if one.is_file())
    found = [(one, name) for one, name in classes if name in _OBJECTS]
    if len(found) == 1:
        return found[0]
    if found:
        raise InputRefused(
            "several-series",
            "DICOM input",
            f"holds {len(found)} SEG or RTSTRUCT objects",
            "give one of the files",
        )
    raise InputRefused(
        "format-unknown",
        path.name,
        "is DICOM or a folder without a SEG or RTSTRUCT, where objects are wanted",
        "give a SEG, an RTSTRUCT, a NIfTI, NRRD or MetaImage label map, or a .seg.nrrd file",
    )


def _check_frame(found: Instances, source: Source) -> None:
    theirs = found.provenance.get("frame_of_reference")
    if theirs and theirs != source.frame_of_reference_uid:
        raise InputRefused(
            "mixed-frame-of-reference",
            "SEG",
            "its frame of reference is not that of the images",
            "give the series that it was made of",
        )
