"""Reading and writing instances: label maps in any image format, .seg.nrrd, DICOM objects."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from numpy.typing import NDArray

from medseg.errors import InputRefused, OutputError
from medseg.io.atomic import atomic_path
from medseg.io.checks import must_exist
from medseg.io.formats import file_format, has_suffix
from medseg.io.grey import check_values
from medseg.io.images import VOLUME_SUFFIXES, read, write_array, write_volume
from medseg.types import (
    Box,
    Geometry,
    InstanceClass,
    Instances,
    Kind,
    Volume,
    as_labels,
    label_boxes,
)

if TYPE_CHECKING:
    from medseg.io.dicom_out.source import Source


def read_instances(
    path: str | Path,
    *,
    values: Literal["instance", "class"] = "instance",
    kind: Kind | None = None,
    classes: Sequence[InstanceClass] | None = None,
    source: str | Path | Source | Geometry | None = None,
) -> Instances:
    """Read a label map (NIfTI, NRRD, MetaImage), a .seg.nrrd, a DICOM SEG or RTSTRUCT.

    Ids are the file's.

    `values` says what a value of a label map stands for: "instance", one lesion named "object"
    a value, or "class", one organ "class_<value>" a value. `kind` is that of what no file says
    otherwise, also of segments that medseg did not write: by default a lesion, and an organ where
    values are classes. `classes` names the values of a label map of classes, or the one class of a
    label map of instances; a .seg.nrrd and DICOM name their own. Whole numbers stored as floats
    are read.

    `source` is the DICOM series that an RTSTRUCT or SEG was drawn on: its path, or a `Source`. An
    RTSTRUCT needs it, as contours have no voxels. A SEG without it lies on the grid of the slices
    that it uses; a `Geometry` does as well. Of other files the grid is their own, and `source` is
    not looked at.

    Raises InputRefused: `labels-not-integer`, `not-a-label-map` for an image of whole numbers
    (`medseg.io.grey`, which warns where it is not sure),
    `names-invalid` where a value is none of `classes`, `geometry-missing` for an RTSTRUCT without
    a source, and what `read` and the readers of SEG and RTSTRUCT refuse.
    """
    place = Path(path)
    if values not in ("instance", "class"):
        msg = f"values is 'instance' or 'class'; got {values!r}"
        raise ValueError(msg)
    kind = kind or ("organ" if values == "class" else "lesion")
    must_exist(place)
    if place.is_dir() or file_format(place) == "DICOM":
        from medseg.io.dicom_objects import read_dicom_instances

        _refuse_names(classes, place.name)
        return read_dicom_instances(place, source, kind)
    if holds_segments(place):
        from medseg.io.seg_nrrd import read_seg_nrrd

        _refuse_names(classes, place.name)
        return read_seg_nrrd(place, kind)
    return _from_volume(read(place), values, kind, classes, place.name)


def _refuse_names(classes: Sequence[InstanceClass] | None, name: str) -> None:
    if classes is not None:
        raise InputRefused(
            code="names-invalid",
            subject=name,
            detail="is a segmentation that names its objects itself",
            remedy="leave the names out, or give a label map",
        )


def holds_segments(path: Path) -> bool:
    """Whether what lies there names its objects: 3D Slicer's format, or DICOM."""
    if path.is_dir() or file_format(path) == "DICOM":
        return True
    if file_format(path) != "NRRD":
        return False
    from medseg.io.nrrd_image import parse_nrrd
    from medseg.io.seg_nrrd import has_segments

    return has_segments(parse_nrrd(path))


def write(what: Volume | Instances, path: str | Path) -> None:
    """Write a volume (.nii, .nii.gz, .nrrd, .mha), or instances (the same, or .seg.nrrd).

    A file appears whole or not at all. Instances that overlap need .seg.nrrd; classes, kinds and
    scores are kept only there, a label map keeps ids.

    Raises OutputError (`format-unsupported`, `overlap`, `sheared`, `not-writable`, `disk-full`,
    ...).
    """
    place = Path(path)
    if isinstance(what, Volume):
        write_volume(what, place)
    elif has_suffix(place, ".seg.nrrd"):
        from medseg.io.seg_nrrd import write_seg_nrrd

        with atomic_path(place) as temporary:
            write_seg_nrrd(what, temporary)
    else:
        _write_labelmap(what, place)


def _write_labelmap(instances: Instances, path: Path) -> None:
    if not has_suffix(path, *VOLUME_SUFFIXES):
        raise OutputError(
            code="format-unsupported",
            subject=path.name,
            detail="no instances are written under this suffix",
            remedy=f"use .seg.nrrd or one of {', '.join(VOLUME_SUFFIXES)}",
        )
    try:
        labels = instances.to_labelmap(on_overlap="error")
    except ValueError as error:
        raise OutputError(
            code="overlap",
            subject=path.name,
            detail=str(error),
            remedy="write .seg.nrrd, or a label map of `to_labelmap(on_overlap='higher_score')`",
        ) from error
    write_array(labels, instances.geometry, path)


def _from_volume(
    volume: Volume,
    values: Literal["instance", "class"],
    kind: Kind,
    classes: Sequence[InstanceClass] | None,
    name: str,
) -> Instances:
    labels = _labels(volume, name)
    boxes = label_boxes(labels)
    warnings = (*volume.warnings, *check_values(labels, boxes, values, name))
    if classes is None:
        classes = _unnamed(boxes, values, kind)
    elif values == "class":
        _require_names(boxes, classes, name)
    found = Instances.from_labelmap(labels, volume.geometry, classes, values, boxes=boxes)
    return Instances(found.geometry, found.items, found.classes, warnings, dict(volume.meta))


def _labels(volume: Volume, name: str) -> NDArray[Any]:
    try:
        return as_labels(volume.array)
    except ValueError as error:
        raise InputRefused(
            code="labels-not-integer",
            subject=name,
            detail=str(error),
            remedy="give a label map, not an image or a probability map",
        ) from error


def _unnamed(
    boxes: Mapping[int, Box], values: Literal["instance", "class"], kind: Kind
) -> Sequence[InstanceClass]:
    if values == "instance":
        return [InstanceClass("object", kind, 1)]
    return [InstanceClass(f"class_{value}", kind, value) for value in boxes]


def _require_names(boxes: Mapping[int, Box], classes: Sequence[InstanceClass], name: str) -> None:
    unnamed = sorted(boxes.keys() - {one.label for one in classes})
    if unnamed:
        raise InputRefused(
            code="names-invalid",
            subject=name,
            detail=f"{len(unnamed)} of its {len(boxes)} values have no name, {unnamed[0]} first",
            remedy="name every value of the label map",
        )
