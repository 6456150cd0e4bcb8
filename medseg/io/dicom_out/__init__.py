"""DICOM out: results as objects that viewers and archives open.

A `Source` is the series that a result belongs to; SEG, SR and RTSTRUCT refer to it.
"""

from medseg.io.dicom_out.codes import ClassCodes, Term, codes_for, codes_of_card, read_codes
from medseg.io.dicom_out.identity import Algorithm, algorithm_of
from medseg.io.dicom_out.source import SliceReference, Source, read_source, source_of
from medseg.io.dicom_out.write import (
    FILES,
    FORMATS,
    DicomFormat,
    DicomObjects,
    dicom_objects,
    write_dicom,
)

__all__ = [
    "FILES",
    "FORMATS",
    "Algorithm",
    "ClassCodes",
    "DicomFormat",
    "DicomObjects",
    "SliceReference",
    "Source",
    "Term",
    "algorithm_of",
    "codes_for",
    "codes_of_card",
    "dicom_objects",
    "read_codes",
    "read_source",
    "source_of",
    "write_dicom",
]
