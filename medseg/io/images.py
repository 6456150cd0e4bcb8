"""Reading a volume from any file or folder, and writing one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from medseg.errors import InputRefused, OutputError
from medseg.io.atomic import atomic_path
from medseg.io.checks import must_exist, require_finite, unreadable
from medseg.io.formats import IMAGE_SUFFIXES, KNOWN, file_format, has_suffix
from medseg.io.payload import ImageHeader, sha256_of
from medseg.types import Geometry, Modality, Unit, Volume

if TYPE_CHECKING:
    from medseg.io.dicom import PetUnits

T = TypeVar("T")

VOLUME_SUFFIXES = (".nii", ".nii.gz", ".nrrd", ".mha")


def read(
    path: str | Path,
    *,
    series: str | int | None = None,
    volume: int | None = None,
    modality: Modality | None = None,
    unit: Unit | None = None,
    pet: PetUnits = "physical",
) -> Volume:
    """Read the one volume at `path`: a NIfTI, NRRD or MetaImage file, or DICOM (file or folder).

    `series` and `volume` choose where DICOM holds several. NIfTI, NRRD and MetaImage do not say
    what their values are: `modality` and `unit` stay "unknown" unless given here. DICOM PET is
    read in the unit that its tags give, "SUVbw" or "Bq/ml"; with `unit` or `pet` "SUVbw" always in
    SUV by body weight, or refused (`suv-not-computable`), with `pet` "stored" in whatever the file
    stores. `pet` means nothing for other images. The array is (z, y, x), the geometry LPS mm; a
    constant image is read, NaN and infinity are not.

    Raises InputRefused with the code of what is wrong.
    """
    place = Path(path)
    if is_dicom(place):
        from medseg.io.dicom import read_dicom  # pydicom loads here

        wanted: PetUnits = "SUVbw" if pet == "physical" and unit == "SUVbw" else pet
        found = _read_folder(
            place, lambda: read_dicom(place, series=series, volume=volume, pet=wanted)
        )
        return with_said(found, modality, unit, place.name)
    _refuse_choice(place.name, series, volume)
    header = open_image(place)
    array = _loaded(header, place.name)
    require_finite(array, place.name)
    return Volume(
        array=array,
        geometry=header.geometry,
        modality=modality or "unknown",
        unit=unit or "unknown",
        meta={"format": header.format, "sha256": sha256_of(header.files)},
        warnings=header.warnings,
    )


def read_volumes(path: str | Path, *, pet: PetUnits = "physical") -> list[Volume]:
    """Read every volume at `path`: all of a DICOM folder, or the one of an image file.

    `pet` says in which unit DICOM PET is read, as for `read`.

    Raises InputRefused with the code of what is wrong.
    """
    place = Path(path)
    if is_dicom(place):
        from medseg.io.dicom import read_dicom_volumes  # pydicom loads here

        return _read_folder(place, lambda: read_dicom_volumes(place, pet=pet))
    return [read(place)]


def is_dicom(path: Path) -> bool:
    """Whether `path` is a folder, or a file of DICOM; refuses what is neither that nor an image."""
    must_exist(path)
    return path.is_dir() or file_format(path) == "DICOM"


def open_image(path: Path) -> ImageHeader:
    """The header of an image file that is not DICOM.

    Raises InputRefused with the code of what is wrong.
    """
    must_exist(path)
    kind = file_format(path)
    try:
        return _header_reader(kind, path.name)(path)
    except OSError as error:
        raise unreadable(path.name, error) from error


def write_volume(volume: Volume, path: Path) -> None:
    """Write a volume as .nii, .nii.gz, .nrrd or .mha, whole or not at all.

    Values and geometry are kept; modality, unit and meta are not, since these formats have no
    place for them. NIfTI-1 rounds the affine to single precision.

    Raises OutputError (`format-unsupported`, `sheared`, and those of `atomic_path`).
    """
    if not has_suffix(path, *VOLUME_SUFFIXES) or has_suffix(path, ".seg.nrrd"):
        raise OutputError(
            code="format-unsupported",
            subject=path.name,
            detail="no volume is written under this suffix",
            remedy=f"use one of {', '.join(VOLUME_SUFFIXES)}",
        )
    write_array(volume.array, volume.geometry, path)


def write_array(array: NDArray[Any], geometry: Geometry, path: Path) -> None:
    """Write an array (z, y, x) under one of `VOLUME_SUFFIXES`."""
    values = storable(array)
    if has_suffix(path, ".mha") and not geometry.is_orthogonal:
        raise OutputError(
            code="sheared",
            subject=path.name,
            detail="the grid is sheared, and a MetaImage's axes are square to each other",
            remedy="write .nrrd or .nii.gz, which hold shear",
        )
    with atomic_path(path) as temporary:
        if has_suffix(path, ".nii", ".nii.gz"):
            from medseg.io.nifti import write_nifti

            write_nifti(values, geometry, temporary)
        elif has_suffix(path, ".mha"):
            from medseg.io.metaimage import write_metaimage

            write_metaimage(values, geometry, temporary)
        else:
            from medseg.io.nrrd_image import write_nrrd

            write_nrrd([values], geometry, temporary, {})


def _header_reader(kind: str, name: str) -> Callable[[Path], ImageHeader]:
    """Imported when needed: a user of one format does not wait for the libraries of the others."""
    if kind == "NIfTI":
        from medseg.io.nifti import read_nifti_header

        return read_nifti_header
    if kind == "NRRD":
        from medseg.io.nrrd_image import read_nrrd_header

        return read_nrrd_header
    if kind == "MetaImage":
        from medseg.io.metaimage import read_metaimage_header

        return read_metaimage_header
    raise InputRefused(
        code="format-unknown",
        subject=name,
        detail="is DICOM where an image file is wanted",
        remedy="give a NIfTI, NRRD or MetaImage file",
    )


def _loaded(header: ImageHeader, name: str) -> NDArray[Any]:
    try:
        return header.load()
    except OSError as error:
        raise unreadable(name, error) from error


def _read_folder(path: Path, reader: Callable[[], T]) -> T:
    """Read DICOM; where a folder has none, say what it has instead."""
    try:
        return reader()
    except InputRefused as error:
        if error.code != "no-image-series" or not path.is_dir():
            raise
        names = sorted(one.name for one in path.iterdir())
        images = [name for name in names if name.lower().endswith(IMAGE_SUFFIXES)]
        if images:
            detail = f"holds no DICOM image, but {len(images)} image files"
            remedy = f"give one of them, for example {images[0]}"
        elif not names:
            detail, remedy = "the folder is empty", KNOWN
        else:
            raise
        raise InputRefused(
            code="no-image-series", subject=path.name, detail=detail, remedy=remedy
        ) from error


def _refuse_choice(name: str, series: str | int | None, volume: int | None) -> None:
    if series is not None:
        raise InputRefused(
            code="series-unknown",
            subject=name,
            detail="is one image file, which has no series",
            remedy="leave the series out",
        )
    if volume is not None:
        raise InputRefused(
            code="volume-unknown",
            subject=name,
            detail="is one image file, which holds one volume",
            remedy="leave the volume out",
        )


def with_said(found: Volume, modality: Modality | None, unit: Unit | None, name: str) -> Volume:
    """Fill what DICOM leaves unknown by what the caller says; refuse what contradicts it."""
    for said, stored, what in (
        (modality, found.modality, "modality"),
        (unit, found.unit, "unit"),
    ):
        if said is not None and stored not in ("unknown", said):
            raise InputRefused(
                code=f"{what}-mismatch",
                subject=name,
                detail=f"its {what} is {stored}, not {said}",
                remedy=f"leave the {what} out",
            )
    return replace(found, modality=modality or found.modality, unit=unit or found.unit)


def storable(array: NDArray[Any]) -> NDArray[Any]:
    """The array in a type that every format has; float16 fits into float32 without loss."""
    if array.dtype == np.float16:
        return array.astype(np.float32)
    if array.dtype.kind not in "iuf" or array.dtype.itemsize > 8:
        msg = f"no format stores {array.dtype}; convert the array to float64 or an integer first"
        raise ValueError(msg)
    return array
