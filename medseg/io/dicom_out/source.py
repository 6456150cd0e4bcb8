"""The DICOM series that a result belongs to: its headers in slice order, and its grid."""

from __future__ import annotations

import os
from dataclasses import dataclass

from pydicom.dataset import Dataset

from medseg.errors import InputRefused
from medseg.io.dicom import Checked, Frame, PetUnits, Stack, check, choose_stack, read_checked
from medseg.io.dicom.access import choose_series
from medseg.io.dicom.header import read_header
from medseg.io.dicom.pixels import files_of
from medseg.io.dicom.records import ImageFile
from medseg.io.dicom.tags import PARSE_ERRORS, quiet_pydicom
from medseg.types import Geometry, Modality, Volume

UTF_8 = "ISO_IR 192"
_KEPT_GROUPS = frozenset({0x0008, 0x0010, 0x0012, 0x0018, 0x0020, 0x0028, 0x0040, 0x0054, 0x5200})
"""Patient, study, equipment, place and look; private tags, overlays and pixels stay behind."""
_MAY_BE_EMPTY = (
    "PatientName",
    "PatientID",
    "PatientBirthDate",
    "PatientSex",
    "StudyDate",
    "StudyTime",
    "StudyID",
    "AccessionNumber",
    "ReferringPhysicianName",
    "SliceThickness",
)
"""Type 2 of the standard: a value may be unknown, but the attribute is there (PS3.3 C.7)."""


@dataclass(frozen=True, slots=True)
class SliceReference:
    """The image behind one slice; `frame` counts from 1 inside a multi-frame file, else None."""

    sop_class_uid: str
    sop_instance_uid: str
    frame: int | None


@dataclass(frozen=True, eq=False, repr=False)
class Source:
    """A sound series that DICOM output refers to.

    `datasets` are the headers of its files, without pixels, in the order of the slices (a
    multi-frame file once), with text in UTF-8 and every attribute of type 2. `slices` has one
    entry for each index along z of `geometry`. They hold the patient's name and ids: for files
    that belong to the same patient only, never for messages.
    """

    datasets: tuple[Dataset, ...]
    slices: tuple[SliceReference, ...]
    geometry: Geometry
    modality: Modality
    checked: Checked
    stack: Stack

    @property
    def subject(self) -> str:
        """How messages name it: by a running number and a hash."""
        return self.checked.series.subject

    @property
    def frame_of_reference_uid(self) -> str:
        """The frame in which the positions of `geometry` are."""
        return str(self.datasets[0].FrameOfReferenceUID)

    @property
    def series_uid(self) -> str:
        """SeriesInstanceUID of the images."""
        return self.checked.series.uid

    @property
    def study_uid(self) -> str:
        """StudyInstanceUID of the images."""
        return str(self.datasets[0].StudyInstanceUID)

    def volume(self, *, pet: PetUnits = "physical") -> Volume:
        """The voxels; read when asked for. PET is in Bq/ml unless `pet` says another unit.

        Raises InputRefused as `read_checked` does.
        """
        number = self.checked.stacks.index(self.stack) + 1
        return read_checked(self.checked, number, pet=pet)

    def __repr__(self) -> str:
        return f"Source({self.subject}, {self.modality}, {self.geometry!r})"


def read_source(
    path: str | os.PathLike[str], series: str | int | None = None, volume: int | None = None
) -> Source:
    """The series at a path as the source of DICOM output; choices as in `read_dicom`.

    Raises InputRefused with a code of DICOM where the series is not sound, and
    `frame-of-reference-missing` where nothing says in which frame its positions are.
    """
    return source_of(check(choose_series(path, series)), volume)


def source_of(checked: Checked, volume: int | None = None) -> Source:
    """The one volume of a checked series, or number `volume` of several, as a source.

    Raises InputRefused (`several-volumes`, `volume-unknown`, `frame-of-reference-missing`, or why
    the volume is not sound).
    """
    stack = choose_stack(checked, volume)
    if stack.refused is not None:
        raise stack.refused
    if stack.geometry is None:
        msg = "a volume without a refusal has a geometry"
        raise ValueError(msg)
    if not stack.frames[0].file.frame_of_reference:
        raise InputRefused(
            "frame-of-reference-missing",
            checked.series.subject,
            "FrameOfReferenceUID is absent, so no DICOM result can say where it lies",
            "take NIfTI and CSV as the result, or pass the original series",
        )
    return Source(
        datasets=tuple(_mended(file, checked) for file in files_of(stack.frames)),
        slices=tuple(_reference(frame) for frame in stack.frames),
        geometry=stack.geometry,
        modality=checked.modality,
        checked=checked,
        stack=stack,
    )


def _reference(frame: Frame) -> SliceReference:
    file = frame.file
    return SliceReference(
        file.sop_class, file.instance_uid, frame.index + 1 if file.frames > 1 else None
    )


def _mended(file: ImageFile, checked: Checked) -> Dataset:
    """A header as writers need it: text in UTF-8, no private tags, type 2 attributes there."""
    try:
        with quiet_pydicom():
            header = read_header(file.path, file.file_bytes)
            if isinstance(header, str):
                raise _unusable(checked, file)
            ds = _kept(header.dataset)
            ds.decode()
            ds.SpecificCharacterSet = UTF_8
            for keyword in _MAY_BE_EMPTY:
                if keyword not in ds:
                    setattr(ds, keyword, None)
            if not ds.get("StudyInstanceUID"):
                raise _unusable(checked, file)
    except (*PARSE_ERRORS, OSError) as error:
        raise _unusable(checked, file) from error
    return ds


def _kept(whole: Dataset) -> Dataset:
    ds = Dataset()
    for tag in list(whole.keys()):  # an element that is looked at takes a new place among them
        if tag.group in _KEPT_GROUPS and not tag.is_private:
            ds[tag] = whole[tag]
    return ds


def _unusable(checked: Checked, file: ImageFile) -> InputRefused:
    return InputRefused(
        "file-corrupt",
        checked.series.subject,
        f"patient or study of file {file.order} in name order cannot be read from its header",
        "export the series again",
    )
