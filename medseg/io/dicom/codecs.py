"""Which transfer syntaxes are read, and how the frames of each are compressed (PS3.5 annex A)."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from pydicom import uid

from medseg.io.dicom.streams import Kind

COMPRESSED: Mapping[str, Kind] = MappingProxyType(
    {
        str(uid.RLELossless): "rle",
        str(uid.JPEGBaseline8Bit): "jpeg",
        str(uid.JPEGExtended12Bit): "jpeg",
        str(uid.JPEGLossless): "jpeg",
        str(uid.JPEGLosslessSV1): "jpeg",
        str(uid.JPEGLSLossless): "jpeg-ls",
        str(uid.JPEGLSNearLossless): "jpeg-ls",
        str(uid.JPEG2000Lossless): "jpeg-2000",
        str(uid.JPEG2000): "jpeg-2000",
        str(uid.HTJ2KLossless): "jpeg-2000",
        str(uid.HTJ2KLosslessRPCL): "jpeg-2000",
        str(uid.HTJ2K): "jpeg-2000",
    }
)
"""Transfer syntaxes that are decoded, each with the kind of its frames."""

LOSSY = frozenset(map(str, (uid.JPEGBaseline8Bit, uid.JPEGExtended12Bit, uid.JPEGLSNearLossless)))
"""Transfer syntaxes that always lose something; JPEG 2000 and HTJ2K may, and a tag tells."""

NATIVE = frozenset(
    map(
        str,
        (
            uid.ImplicitVRLittleEndian,
            uid.ExplicitVRLittleEndian,
            uid.ExplicitVRBigEndian,
            uid.DeflatedExplicitVRLittleEndian,
        ),
    )
)
"""Transfer syntaxes whose pixel data are plain values."""
