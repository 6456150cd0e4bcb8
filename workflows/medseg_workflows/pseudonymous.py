"""A DICOM source that names codes where it named a patient."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from pydicom.dataset import Dataset

if TYPE_CHECKING:
    from medseg.io.dicom_out import Source

_KEPT = (
    "SpecificCharacterSet",
    "SOPClassUID",
    "SOPInstanceUID",
    "StudyInstanceUID",
    "SeriesInstanceUID",
    "FrameOfReferenceUID",
    "Modality",
    "Manufacturer",
    "ManufacturerModelName",
    "SoftwareVersions",
)
"""UIDs stay, since results refer to the images by them; all else about the patient goes."""
_EMPTIED = (
    "PatientBirthDate",
    "PatientSex",
    "StudyDate",
    "StudyTime",
    "AccessionNumber",
    "ReferringPhysicianName",
)


def pseudonymous(source: Source, *, patient: str, study: str) -> Source:
    """The source with these codes as PatientName, PatientID and StudyID.

    Dates, accession number, physicians, institution, descriptions and private tags are gone; UIDs
    are those of the images.
    """
    datasets = tuple(_coded(header, patient, study) for header in source.datasets)
    return replace(source, datasets=datasets)


def _coded(header: Dataset, patient: str, study: str) -> Dataset:
    ds = Dataset()
    for keyword in _KEPT:
        if keyword in header:
            ds[keyword] = header[keyword]
    for keyword in _EMPTIED:
        setattr(ds, keyword, None)
    ds.PatientName = ds.PatientID = patient
    ds.StudyID = study
    ds.PatientIdentityRemoved = "YES"
    ds.DeidentificationMethod = "medseg: codes for patient and study; UIDs kept"
    return ds
