"""Which reader a file needs, by its content first and its name second."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Literal

from medseg.errors import InputRefused
from medseg.io.checks import corrupt, unreadable
from medseg.io.payload import first_bytes

FileFormat = Literal["NIfTI", "NRRD", "MetaImage", "DICOM"]

IMAGE_SUFFIXES = (
    ".nii",
    ".nii.gz",
    ".hdr",
    ".hdr.gz",
    ".img",
    ".img.gz",
    ".nrrd",
    ".nhdr",
    ".mha",
    ".mhd",
)
KNOWN = "NIfTI, NRRD, MetaImage (.mha, .mhd) and DICOM are read"

_ARCHIVES = {
    b"PK\x03\x04": "zip",
    b"PK\x05\x06": "zip",
    b"7z\xbc\xaf\x27\x1c": "7z",
    b"Rar!": "rar",
    b"BZh": "bzip2",
    b"\xfd7zXZ": "xz",
    b"\x28\xb5\x2f\xfd": "zstd",
}
_NIFTI_1_BYTES = 348
_NIFTI_1_SIZES = (b"\x5c\x01\x00\x00", b"\x00\x00\x01\x5c")
_NIFTI_2_SIZES = (b"\x1c\x02\x00\x00", b"\x00\x00\x02\x1c")
_HEADER_SIZES = _NIFTI_1_SIZES + _NIFTI_2_SIZES
_META_KEY = re.compile(rb"^\s*(ObjectType|NDims|Comment|ObjectSubType)\s*=")


def file_format(path: Path) -> FileFormat:
    """The format of an existing file.

    Raises InputRefused (`path-unreadable`, `file-corrupt`, `archive`, `format-unknown`).
    """
    name = path.name
    try:
        raw = _head(path)
        head = first_bytes(path, 544)
    except OSError as error:
        raise unreadable(name, error) from error
    if not raw:
        raise corrupt(name, "the file is empty")
    if has_suffix(path, ".img", ".img.gz") and head[128:132] != b"DICM":
        return "NIfTI"  # values without a mark of their own: the header lies beside them
    _refuse_archive(name, raw, head)
    found = _by_content(head)
    if found is not None:
        return found
    return _by_name(path, raw, head)


def has_suffix(path: Path, *suffixes: str) -> bool:
    """Whether the name ends in one of the suffixes, in any case of letters."""
    return path.name.lower().endswith(suffixes)


def is_nifti(head: bytes) -> bool:
    """Whether these first bytes are a NIfTI-1 or NIfTI-2 header, in either byte order."""
    if head[:4] in _NIFTI_1_SIZES:
        return head[344:348] in (b"n+1\x00", b"ni1\x00")
    return head[:4] in _NIFTI_2_SIZES and head[4:8] in (b"n+2\x00", b"ni2\x00")


def _head(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(512)


def _refuse_archive(name: str, raw: bytes, head: bytes) -> None:
    kind = next((kind for magic, kind in _ARCHIVES.items() if raw.startswith(magic)), None)
    if head[257:262] == b"ustar":
        kind = "tar"
    if kind is not None:
        raise InputRefused(
            code="archive", subject=name, detail=f"is a {kind} archive", remedy="unpack it first"
        )


def _by_content(head: bytes) -> FileFormat | None:
    if head[128:132] == b"DICM":
        return "DICOM"
    if is_nifti(head):
        return "NIfTI"
    if head.startswith(b"NRRD00"):
        return "NRRD"
    if _META_KEY.match(head):
        return "MetaImage"
    return None


def _by_name(path: Path, raw: bytes, head: bytes) -> FileFormat:
    name = path.name
    if has_suffix(path, ".dcm", ".dicom", ".ima"):
        return "DICOM"
    # Old DICOM files without a preamble begin with an element of group 0002 or 0008.
    if raw[:2] in (b"\x02\x00", b"\x08\x00") and raw[3:4] == b"\x00":
        return "DICOM"
    cut = len(head) < _NIFTI_1_BYTES and not _is_text(head)
    if cut and (head[:4] in _HEADER_SIZES or raw.startswith(b"\x1f\x8b")):
        raise corrupt(name, "its header is damaged or cut short")
    if has_suffix(path, ".hdr", ".hdr.gz", ".nii", ".nii.gz") and head[:4] in _NIFTI_1_SIZES:
        raise InputRefused(
            code="affine-missing",
            subject=name,
            detail="an Analyze 7.5 header does not say where its voxels lie",
            remedy="convert the image to NIfTI with the program that wrote it",
        )
    if has_suffix(path, *IMAGE_SUFFIXES):
        wanted = _wanted(path)
        detail = f"its content is no {wanted}{' (it is text)' if _is_text(head) else ''}"
    else:
        detail = "no reader knows its content"
    raise InputRefused(
        code="format-unknown",
        subject=name,
        detail=detail,
        remedy=f"{KNOWN}; convert it to one of them",
    )


def _wanted(path: Path) -> str:
    if has_suffix(path, ".nrrd", ".nhdr"):
        return "NRRD"
    return "MetaImage" if has_suffix(path, ".mha", ".mhd") else "NIfTI"


def _is_text(head: bytes) -> bool:
    return bool(head) and all(byte in b"\t\n\r\x0c" or byte >= 32 for byte in head)
