"""DICOM in three steps: scan headers, check a series, read its voxels.

Nothing is guessed: what is not plainly sound is refused with a code of `medseg.errors`.
"""

from medseg.io.dicom.access import (
    looks_like_dicom,
    read_dicom,
    read_dicom_volumes,
    series_of_files,
)
from medseg.io.dicom.check import check
from medseg.io.dicom.folders import FolderScan, scan_folders
from medseg.io.dicom.read import choose_stack, read_checked
from medseg.io.dicom.records import Checked, Frame, Scan, Series, Stack
from medseg.io.dicom.report import SeriesReport, describe_dicom
from medseg.io.dicom.scan import scan, scan_files, scan_tree
from medseg.io.dicom.suv import PetUnits

__all__ = [
    "Checked",
    "FolderScan",
    "Frame",
    "PetUnits",
    "Scan",
    "Series",
    "SeriesReport",
    "Stack",
    "check",
    "choose_stack",
    "describe_dicom",
    "looks_like_dicom",
    "read_checked",
    "read_dicom",
    "read_dicom_volumes",
    "scan",
    "scan_files",
    "scan_folders",
    "scan_tree",
    "series_of_files",
]
