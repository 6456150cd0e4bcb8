"""Volumes whose truth is known in closed form, for tests, documents and benchmarks."""

from typing import TYPE_CHECKING, Any

from medseg.phantom.body import make_phantom
from medseg.phantom.markers import orientation_marker, ramp
from medseg.phantom.packed import packed_lesions
from medseg.phantom.shapes import Phantom, Superellipsoid, rasterise, truth_of
from medseg.phantom.windows import nested_lesions, touching_lesions

if TYPE_CHECKING:
    from medseg.phantom.dicom import write_dicom_series

__all__ = [
    "Phantom",
    "Superellipsoid",
    "make_phantom",
    "nested_lesions",
    "orientation_marker",
    "packed_lesions",
    "ramp",
    "rasterise",
    "touching_lesions",
    "truth_of",
    "write_dicom_series",
]


def __getattr__(name: str) -> Any:
    if name == "write_dicom_series":  # pydicom loads only for who writes DICOM
        from medseg.phantom.dicom import write_dicom_series

        return write_dicom_series
    msg = f"module {__name__!r} has no attribute {name!r}"
    raise AttributeError(msg)
