"""Which DICOM objects there are, as far as reading volumes goes: facts of PS3.4 B.5 and PS3.6 A."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from pydicom import uid

from medseg.types import Modality

CLASSIC: Mapping[str, Modality] = MappingProxyType(
    {
        str(uid.CTImageStorage): "CT",
        str(uid.MRImageStorage): "MR",
        str(uid.PositronEmissionTomographyImageStorage): "PT",
    }
)
"""One image a file."""

ENHANCED: Mapping[str, Modality] = MappingProxyType(
    {
        str(uid.EnhancedCTImageStorage): "CT",
        str(uid.LegacyConvertedEnhancedCTImageStorage): "CT",
        str(uid.EnhancedMRImageStorage): "MR",
        str(uid.LegacyConvertedEnhancedMRImageStorage): "MR",
        str(uid.EnhancedPETImageStorage): "PT",
        str(uid.LegacyConvertedEnhancedPETImageStorage): "PT",
    }
)
"""Many images a file, each described by functional groups."""

SUPPORTED: Mapping[str, Modality] = MappingProxyType({**CLASSIC, **ENHANCED})

LABEL_MAP = "1.2.840.10008.5.1.4.1.1.66.7"  # label map segmentation, not in pydicom 3.0

NO_IMAGES = frozenset(
    map(
        str,
        (
            uid.SegmentationStorage,
            LABEL_MAP,
            uid.SurfaceSegmentationStorage,
            uid.ParametricMapStorage,
            uid.RTDoseStorage,
        ),
    )
)
"""Objects with rows and columns that are made from images and are none themselves."""

DIRECTORY = str(uid.MediaStorageDirectoryStorage)
CLASS_PREFIX = b"1.2.840.10008.5.1.4.1.1."

NAMES: Mapping[str, str] = MappingProxyType(
    {
        **dict.fromkeys(CLASSIC, "image"),
        **dict.fromkeys(ENHANCED, "enhanced image"),
        str(uid.SegmentationStorage): "SEG",
        LABEL_MAP: "SEG",
        str(uid.RTStructureSetStorage): "RTSTRUCT",
        str(uid.RTDoseStorage): "RTDOSE",
        str(uid.ParametricMapStorage): "parametric map",
        str(uid.SecondaryCaptureImageStorage): "secondary capture",
        str(uid.NuclearMedicineImageStorage): "NM",
        str(uid.UltrasoundImageStorage): "US",
        str(uid.UltrasoundMultiFrameImageStorage): "US",
        str(uid.XRayAngiographicImageStorage): "XA",
        str(uid.EncapsulatedPDFStorage): "PDF",
        str(uid.BasicTextSRStorage): "SR",
        str(uid.EnhancedSRStorage): "SR",
        str(uid.ComprehensiveSRStorage): "SR",
        str(uid.Comprehensive3DSRStorage): "SR",
    }
)


def class_name(sop_class: str) -> str:
    """A short name of a SOP class for messages."""
    return NAMES.get(sop_class, "another kind of object")


PROJECTIONS = frozenset(
    {
        "MAX_IP",
        "MIN_IP",
        "MINIP",
        "MIP",
        "MNIP",
        "PROJECTION",
        "PROJECTION IMAGE",
        "SURFACE_RENDER",
        "VOLUME_RENDER",
    }
)
"""Values of ImageType from the third on that mark what is computed along rays, not slices."""
