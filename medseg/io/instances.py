"""Reading and writing instances: label maps in any image format, and .seg.nrrd."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from medseg.errors import InputRefused, OutputError
from medseg.io.atomic import atomic_path
from medseg.io.checks import must_exist
from medseg.io.formats import file_format, has_suffix
from medseg.io.images import VOLUME_SUFFIXES, read, write_array, write_volume
from medseg.types import Instances, Kind, Volume, as_labels


def read_instances(
    path: str | Path, *, values: Literal["instance", "class"] = "instance"
) -> Instances:
    """Read a label map (NIfTI, NRRD, MetaImage) or a .seg.nrrd; ids are the file's.

    `values` says what a value of a label map stands for: "instance", one lesion named "object"
    a value, or "class", one organ "class_<value>" a value. In a .seg.nrrd it gives the kind of
    segments that medseg did not write. Whole numbers stored as floats are read.

    Raises InputRefused: `labels-not-integer`, and what `read` refuses.
    """
    place = Path(path)
    if values not in ("instance", "class"):
        msg = f"values is 'instance' or 'class'; got {values!r}"
        raise ValueError(msg)
    must_exist(place)
    if place.is_dir() or file_format(place) == "DICOM":
        raise InputRefused(
            code="format-unknown",
            subject=place.name,
            detail="is DICOM or a folder where a label map is wanted",
            remedy="give a NIfTI, NRRD or MetaImage label map, or a .seg.nrrd file",
        )
    if holds_segments(place):
        from medseg.io.seg_nrrd import read_seg_nrrd

        kind: Kind = "organ" if values == "class" else "lesion"
        return read_seg_nrrd(place, kind)
    return _from_volume(read(place), values, place.name)


def holds_segments(path: Path) -> bool:
    """Whether a file is a segmentation of 3D Slicer's format, whatever its name."""
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


def _from_volume(volume: Volume, values: Literal["instance", "class"], name: str) -> Instances:
    try:
        labels = as_labels(volume.array)
    except ValueError as error:
        raise InputRefused(
            code="labels-not-integer",
            subject=name,
            detail=str(error),
            remedy="give a label map, not an image or a probability map",
        ) from error
    found = Instances.from_labelmap(labels, volume.geometry, values=values)
    return Instances(found.geometry, found.items, found.classes, volume.warnings, dict(volume.meta))
