"""Why a DICOM series is refused, and the way out of each refusal."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from medseg.errors import InputRefused
from medseg.io.dicom.records import Series

REMEDIES: Mapping[str, str] = MappingProxyType(
    {
        "path-missing": "check the path",
        "path-unreadable": "check the path and its permissions",
        "archive": "unpack it first and pass the folder",
        "no-image-series": "pass a folder with CT, MR or PET images",
        "file-corrupt": "export the series again, or move the damaged file out of the folder",
        "several-patients": "pass the images of one patient",
        "several-series": "choose one with --series (its number or its code in the list)",
        "series-unknown": "choose one of the listed numbers or codes",
        "duplicate-uid": "export the series again",
        "sop-class-unsupported": "pass the original CT, MR or PET series",
        "localizer": "pass the volume series, not its scout",
        "mosaic": "convert it with dcm2niix and pass the NIfTI file",
        "color-image": "pass the original series in shades of grey",
        "photometric-unsupported": "pass the original series (MONOCHROME2)",
        "not-biped": "images of animals are not supported",
        "too-large": "pass a smaller series, or crop it",
        "geometry-missing": "pass the original series with its positions",
        "geometry-invalid": "export the series again",
        "mixed-matrix": "pass only the images of one part",
        "mixed-orientation": "remove the scout images, or pass one part",
        "mixed-frame-of-reference": "pass only the images of one part",
        "too-few-slices": "a volume of at least three slices is needed; pass the whole folder",
        "several-volumes": "choose one with --volume K",
        "volume-unknown": "choose one of the listed volumes",
        "duplicate-slices": "remove the copies",
        "gantry-tilt": "resample it first (dcm2niix writes a file named _Tilt_1)",
        "missing-slices": "fetch the missing slices",
        "uneven-spacing": "pass a reconstruction with even spacing",
        "rescale-missing": "pass the original series with RescaleSlope and RescaleIntercept",
        "rescale-invalid": "export the series again",
        "pixel-format-unsupported": "export the series again",
        "transfer-syntax-unsupported": "decompress it first (gdcmconv -w, dcmconv)",
        "pixel-data-corrupt": "export the series again",
    }
)
"""The way out that is shown with each code of this reader."""


def counted(number: int, noun: str) -> str:
    """The number with its noun, which takes an s except after 1."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def refusal(series: Series, code: str, detail: str) -> InputRefused:
    """The error for a series; `detail` holds numbers and names of tags only."""
    return InputRefused(code, series.subject, detail, REMEDIES[code])


def path_refusal(code: str, detail: str) -> InputRefused:
    """The error for what was passed as a whole; a path may name a patient, so it is not shown."""
    return InputRefused(code, "DICOM input", detail, REMEDIES[code])
