"""NRRD: header fields, geometry in a named patient space, values, and writing them."""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO, NoReturn, cast

import nrrd
import numpy as np
from numpy.typing import NDArray

from medseg.errors import InputRefused
from medseg.io.checks import checked_geometry, color, corrupt, not_real, spatial_shape
from medseg.io.payload import Encoding, ImageHeader, Payload, read_payload
from medseg.types import Geometry

_MAX_HEADER_BYTES = 1 << 26
_TO_LPS = {
    "left-posterior-superior": (1.0, 1.0, 1.0),
    "lps": (1.0, 1.0, 1.0),
    "right-anterior-superior": (-1.0, -1.0, 1.0),
    "ras": (-1.0, -1.0, 1.0),
    "left-anterior-superior": (1.0, -1.0, 1.0),
    "las": (1.0, -1.0, 1.0),
}
_UNIT_MM = {
    "mm": 1.0,
    "millimeter": 1.0,
    "millimeters": 1.0,
    "cm": 10.0,
    "m": 1000.0,
    "um": 0.001,
    "µm": 0.001,
    "micron": 0.001,
    "microns": 0.001,
}
_ENCODINGS = {"raw": "raw", "gzip": "gzip", "gz": "gzip", "bzip2": "bzip2", "bz2": "bzip2"}
_TYPES = {
    "char": "i1",
    "uchar": "u1",
    "unsigned char": "u1",
    "short": "i2",
    "ushort": "u2",
    "unsigned short": "u2",
    "int": "i4",
    "uint": "u4",
    "unsigned": "u4",
    "long long": "i8",
    "longlong": "i8",
    "ulonglong": "u8",
    "unsigned long long": "u8",
    "float": "f4",
    "double": "f8",
    **{np.dtype(code).name: code for code in ("i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8")},
}
_COLOR_KINDS = ("rgb-color", "rgba-color", "hsv-color", "xyz-color")
_NO_DIRECTION = (np.nan, np.nan, np.nan)
_REMEDY_AFFINE = "write it again with its space, directions and origin"


@dataclass(frozen=True)
class NrrdHeader:
    """A NRRD header: its fields, the grid of its three space axes, where its values lie.

    `list_axis` is the C-order index of the one axis outside space that is longer than 1, or None.
    """

    fields: Mapping[str, Any]
    geometry: Geometry
    payload: Payload
    list_axis: int | None


def read_nrrd_header(path: Path) -> ImageHeader:
    """What a NRRD file (.nrrd, or .nhdr with its data file) says of its image.

    The space must name where left, posterior and superior are: LPS, RAS or LAS. "scanner-xyz"
    turns with the patient and the "3D-...-handed" spaces name no side, so they are refused.

    Raises InputRefused (`not-3d`, `color-image`, `affine-missing`, `file-corrupt`, ...).
    """
    name = path.name
    header = parse_nrrd(path)
    if header.list_axis is not None:
        _refuse_axis(header, name)
    files = (path,) if header.payload.path == path else (path, header.payload.path)
    return ImageHeader("NRRD", files, header.geometry, (), partial(read_nrrd_values, header, name))


def parse_nrrd(path: Path) -> NrrdHeader:
    """The header of a NRRD file with three space axes and at most one more axis."""
    name = path.name
    lines, start = _header_lines(path)
    try:
        fields = dict(nrrd.read_header(iter(lines)))
        sizes = [int(size) for size in fields["sizes"]]
        rows = fields.get("space directions", [])
        rows = [_NO_DIRECTION if row is None else row for row in rows]
        space = np.asarray(rows, dtype=np.float64)
    except (nrrd.NRRDError, ValueError, KeyError, IndexError, TypeError) as error:
        raise corrupt(name, "its NRRD header makes no sense") from error
    if len(sizes) != fields.get("dimension") or min(sizes, default=0) < 1:
        raise corrupt(name, "its dimension and sizes make no sense")
    axes = _space_axes(fields, sizes, space, name)
    payload = _payload(path, fields, start, sizes)
    others = [axis for axis in range(len(sizes)) if axis not in axes and sizes[axis] > 1]
    if len(others) > 1:
        spatial_shape(sizes, name)
    shape = spatial_shape([sizes[axis] for axis in axes], name)
    geometry = _geometry(fields, space[list(axes)], shape, name)
    last = len(sizes) - 1
    return NrrdHeader(fields, geometry, payload, last - others[0] if others else None)


def read_nrrd_values(header: NrrdHeader, name: str) -> NDArray[Any]:
    """The values: (z, y, x), or with the list axis first, (layer, z, y, x)."""
    array = read_payload(header.payload, name)
    if header.list_axis is None:
        return array.reshape(header.geometry.shape)
    layers = np.moveaxis(array, header.list_axis, 0)
    return layers.reshape(layers.shape[0], *header.geometry.shape)


def write_nrrd(
    layers: Sequence[NDArray[Any]], geometry: Geometry, path: Path, keys: Mapping[str, str]
) -> None:
    """Write one array (z, y, x), or several of one type as a list axis, gzipped, in LPS.

    `keys` are the custom key/value pairs. Written here and not by pynrrd, whose header names the
    time of writing, so that equal input gives equal bytes.
    """
    first = layers[0]
    dtype = first.dtype.newbyteorder("<")
    with path.open("wb") as file:
        file.write(_header_text(dtype, geometry, len(layers), keys).encode())
        packer = zlib.compressobj(level=1, wbits=31)
        for z in range(first.shape[0]):
            part = first[z] if len(layers) == 1 else np.stack([one[z] for one in layers], axis=-1)
            file.write(packer.compress(np.ascontiguousarray(part, dtype=dtype).tobytes()))
        file.write(packer.flush())


def unescaped(value: str) -> str:
    r"""A key's value with `\n` and `\\` turned back (NRRD format, key/value pairs)."""
    return value.replace("\\\\", "\0").replace("\\n", "\n").replace("\0", "\\")


def _header_text(
    dtype: np.dtype[Any], geometry: Geometry, layers: int, keys: Mapping[str, str]
) -> str:
    several = layers > 1
    names = {"f4": "float", "f8": "double"}
    kind = names.get(dtype.str[1:], dtype.newbyteorder("=").name)
    vectors = [_vector(geometry.affine[:3, axis]) for axis in (2, 1, 0)]
    lines = [
        "NRRD0005",
        f"type: {kind}",
        f"dimension: {4 if several else 3}",
        "space: left-posterior-superior",
        "sizes: " + " ".join(str(n) for n in [layers] * several + [*reversed(geometry.shape)]),
        "space directions: " + " ".join(["none"] * several + vectors),
        "kinds: " + " ".join(["list"] * several + ["domain"] * 3),
        "endian: little",
        "encoding: gzip",
        f"space origin: {_vector(geometry.affine[:3, 3])}",
    ]
    lines += [f"{key}:={_escaped(value)}" for key, value in keys.items()]
    return "\n".join(lines) + "\n\n"


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace("\n", "\\n").replace("\r", " ")


def _vector(values: NDArray[np.float64]) -> str:
    return "(" + ",".join(f"{float(value):.17g}" for value in values) + ")"


def _header_lines(path: Path) -> tuple[list[str], int]:
    """The header's lines up to the blank one, and where the bytes after it start."""
    lines: list[str] = []
    with path.open("rb") as file:
        while line := file.readline(_MAX_HEADER_BYTES):
            if file.tell() > _MAX_HEADER_BYTES:
                break
            text = line.decode("utf-8", errors="replace").rstrip("\r\n")
            lines.append(text)
            if not text:
                return lines, file.tell()
    if any(_key(line) in ("data file", "datafile") for line in lines):
        return lines, 0
    raise corrupt(path.name, "its NRRD header does not end")


def _key(line: str) -> str:
    return line.split(":", 1)[0].strip().lower()


def _space_axes(
    fields: Mapping[str, Any], sizes: list[int], space: NDArray[np.float64], name: str
) -> list[int]:
    """The three axes that lie in space, in file order."""
    kinds = [str(kind).lower() for kind in fields.get("kinds", [])]
    if space.shape == (len(sizes), 3):
        axes = [axis for axis in range(len(sizes)) if np.isfinite(space[axis]).all()]
    else:
        axes = [axis for axis in range(len(sizes)) if _may_be_space(kinds, axis)]
        spatial_shape([sizes[axis] for axis in axes], name)
        _refuse_affine(name, "it has no space directions")
    if any(kind in _COLOR_KINDS for kind in kinds):
        raise color(name)
    if len(axes) != 3:
        spatial_shape([sizes[axis] for axis in axes], name)
        raise corrupt(name, "its space directions make no sense")
    return axes


def _may_be_space(kinds: list[str], axis: int) -> bool:
    return axis >= len(kinds) or kinds[axis] in ("domain", "space", "???", "none")


def _geometry(
    fields: Mapping[str, Any],
    directions: NDArray[np.float64],
    shape: tuple[int, int, int],
    name: str,
) -> Geometry:
    space = str(fields.get("space", "")).lower()
    sides = _TO_LPS.get(space)
    if sides is None:
        said = f"its space {space!r} does not say where left is" if space else "it names no space"
        _refuse_affine(name, said)
    origin = np.asarray(fields.get("space origin", []), dtype=np.float64)
    if origin.shape != (3,):
        _refuse_affine(name, "it has no space origin")
    affine = np.eye(4)
    affine[:3, :3] = directions[::-1].T
    affine[:3, 3] = origin
    scale = _unit_mm(fields, name)
    affine[:3] *= np.multiply(sides, scale)[:, None]
    return checked_geometry(shape, affine, name, _REMEDY_AFFINE)


def _unit_mm(fields: Mapping[str, Any], name: str) -> NDArray[np.float64]:
    units = [str(unit).strip().lower() for unit in fields.get("space units", [])][:3]
    if not any(units):
        return np.ones(3)  # patient spaces are in mm unless the file says otherwise (NRRD, 4)
    known = [_UNIT_MM.get(unit, 0.0) for unit in units]
    if len(known) != 3 or not all(known):
        raise InputRefused(
            code="geometry-invalid",
            subject=name,
            detail=f"its space units {units} are no lengths",
            remedy=_REMEDY_AFFINE,
        )
    return np.asarray(known)


def _refuse_affine(name: str, detail: str) -> NoReturn:
    raise InputRefused(code="affine-missing", subject=name, detail=detail, remedy=_REMEDY_AFFINE)


def _refuse_axis(header: NrrdHeader, name: str) -> None:
    sizes = [int(size) for size in header.fields["sizes"]]
    kinds = [str(kind).lower() for kind in header.fields.get("kinds", [])]
    kind = kinds[len(sizes) - 1 - cast("int", header.list_axis)] if kinds else ""
    if kind == "complex":
        raise not_real(name, "complex numbers")
    if "vector" in kind or "matrix" in kind or "color" in kind or kind == "quaternion":
        raise not_real(name, f"of the kind {kind!r}")
    size = " x ".join(str(length) for length in sizes)
    raise InputRefused(
        code="not-3d",
        subject=name,
        detail=f"has {len(sizes)} dimensions ({size}), three are wanted",
        remedy="read a segmentation with read_instances; split anything else into 3D images",
    )


def _payload(path: Path, fields: Mapping[str, Any], start: int, sizes: list[int]) -> Payload:
    name = path.name
    encoding = _ENCODINGS.get(str(fields.get("encoding", "")).lower())
    if encoding is None:
        raise InputRefused(
            code="format-unknown",
            subject=name,
            detail=f"the encoding {fields.get('encoding')!r} is not read",
            remedy="write it again with the encoding raw or gzip",
        )
    dtype = _dtype(fields, name)
    data_path = _data_path(path, fields)
    payload = Payload(
        data_path,
        cast("Encoding", encoding),
        start if data_path == path else 0,
        0,
        dtype,
        tuple(reversed(sizes)),
    )
    return _skipped(payload, fields, name)


def _skipped(payload: Payload, fields: Mapping[str, Any], name: str) -> Payload:
    """With lines and bytes skipped: lines in the file, bytes after decompression."""
    lines = int(fields.get("line skip", fields.get("lineskip", 0)))
    skip = int(fields.get("byte skip", fields.get("byteskip", 0)))
    start = payload.start
    if lines:
        with payload.path.open("rb") as file:
            start = _after_lines(file, start, lines)
    if skip == -1 and payload.encoding == "raw":
        start, skip = payload.path.stat().st_size - payload.size_bytes, 0
        if start < payload.start:
            raise corrupt(name, "holds fewer bytes than its values need")
    if skip < 0 or lines < 0:
        raise corrupt(name, "its byte skip or line skip makes no sense")
    return Payload(payload.path, payload.encoding, start, skip, payload.dtype, payload.shape)


def _after_lines(file: BinaryIO, start: int, lines: int) -> int:
    file.seek(start)
    for _ in range(lines):
        file.readline()
    return file.tell()


def _data_path(path: Path, fields: Mapping[str, Any]) -> Path:
    other = fields.get("data file", fields.get("datafile"))
    if other is None:
        return path
    if str(other).split()[0] == "LIST" or "%" in str(other):
        raise InputRefused(
            code="format-unknown",
            subject=path.name,
            detail="its values lie in several files",
            remedy="write it as one file",
        )
    found = path.parent / str(other)
    if not found.is_file():
        raise InputRefused(
            code="path-missing",
            subject=path.name,
            detail=f"its data file {found.name} is missing",
            remedy="add it",
        )
    return found


def _dtype(fields: Mapping[str, Any], name: str) -> np.dtype[Any]:
    said = str(fields.get("type", "")).lower()
    code = _TYPES.get(said.removesuffix(" int").removesuffix("_t").removeprefix("signed "))
    if code is None:
        raise not_real(name, f"of the type {said!r}")
    dtype = np.dtype(code)
    if dtype.itemsize == 1:
        return dtype
    order = {"little": "<", "big": ">"}.get(str(fields.get("endian", "")).lower())
    if order is None:
        raise corrupt(name, "its header does not name the byte order")
    return dtype.newbyteorder(cast("Any", order))
