"""MetaImage (.mha, .mhd): LPS like DICOM, one key a line, the values behind or beside them."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medseg.errors import InputRefused
from medseg.io.checks import checked_geometry, color, corrupt, not_real, spatial_shape
from medseg.io.payload import Encoding, ImageHeader, Payload, read_payload
from medseg.types import Geometry, InputWarning, Shape

_MAX_HEADER_BYTES = 1 << 20
_TYPES = {
    "MET_CHAR": "i1",
    "MET_UCHAR": "u1",
    "MET_SHORT": "i2",
    "MET_USHORT": "u2",
    "MET_INT": "i4",
    "MET_UINT": "u4",
    "MET_LONG": "i4",
    "MET_ULONG": "u4",
    "MET_LONG_LONG": "i8",
    "MET_ULONG_LONG": "u8",
    "MET_FLOAT": "f4",
    "MET_DOUBLE": "f8",
}
_NAMES = {code: name for name, code in _TYPES.items() if name not in ("MET_LONG", "MET_ULONG")}
_ORIGIN = ("Offset", "Origin", "Position")
_MATRIX = ("TransformMatrix", "Rotation", "Orientation")
_UNIT_MM = {"mm": 1.0, "cm": 10.0, "m": 1000.0, "um": 0.001}
_REMEDY_AFFINE = "write it again with Offset, TransformMatrix and ElementSpacing"


def read_metaimage_header(path: Path) -> ImageHeader:
    """What a MetaImage says of its image.

    Read here and not by ITK, which takes the identity where position and orientation are absent,
    and gives whatever memory held where compressed values are cut short.

    Raises InputRefused (`affine-missing`, `not-3d`, `color-image`, `file-corrupt`, ...).
    """
    name = path.name
    keys, start = _keys(path)
    try:
        lengths = [int(word) for word in keys["DimSize"].split()]
        count = int(keys["NDims"])
    except (KeyError, ValueError) as error:
        raise corrupt(name, "its NDims or DimSize makes no sense") from error
    if len(lengths) != count:
        raise corrupt(name, f"NDims is {count}, DimSize has {len(lengths)} lengths")
    _one_number(keys, name)
    shape = spatial_shape(lengths, name)
    geometry = _geometry(keys, count, shape, name)
    payload = _payload(path, keys, start, shape)
    files = (path,) if payload.path == path else (path, payload.path)
    return ImageHeader(
        "MetaImage", files, geometry, _warnings(keys), partial(read_payload, payload, name)
    )


def write_metaimage(array: NDArray[Any], geometry: Geometry, path: Path) -> None:
    """Write `array` (z, y, x) as .mha, compressed; the grid must be orthogonal."""
    dtype = array.dtype.newbyteorder("<")
    packed = bytearray()
    packer = zlib.compressobj(level=1)
    for plane in array:
        packed += packer.compress(np.ascontiguousarray(plane, dtype=dtype).tobytes())
    packed += packer.flush()
    columns = geometry.direction[:, ::-1]
    lines = {
        "ObjectType": "Image",
        "NDims": "3",
        "BinaryData": "True",
        "BinaryDataByteOrderMSB": "False",
        "CompressedData": "True",
        "CompressedDataSize": str(len(packed)),
        "TransformMatrix": _numbers(columns.T.ravel()),
        "Offset": _numbers(geometry.affine[:3, 3]),
        "CenterOfRotation": "0 0 0",
        "ElementSpacing": _numbers(geometry.spacing_mm[::-1]),
        "DimSize": " ".join(str(length) for length in reversed(geometry.shape)),
        "ElementType": _NAMES[dtype.str[1:]],
        "ElementDataFile": "LOCAL",
    }
    with path.open("wb") as file:
        file.write("".join(f"{key} = {value}\n" for key, value in lines.items()).encode())
        file.write(packed)


def _numbers(values: Any) -> str:
    return " ".join(f"{float(value):.17g}" for value in values)


def _keys(path: Path) -> tuple[dict[str, str], int]:
    """Keys and values up to ElementDataFile, and where the bytes after it start."""
    keys: dict[str, str] = {}
    with path.open("rb") as file:
        while line := file.readline(_MAX_HEADER_BYTES):
            if file.tell() > _MAX_HEADER_BYTES:
                break
            key, equals, value = line.decode("utf-8", errors="replace").partition("=")
            if not equals:
                continue
            keys[key.strip()] = value.strip()
            if key.strip() == "ElementDataFile":
                return keys, file.tell()
    raise corrupt(path.name, "its MetaImage header does not end")


def _one_number(keys: Mapping[str, str], name: str) -> None:
    channels = keys.get("ElementNumberOfChannels", "1")
    if channels in ("3", "4"):
        raise color(name)
    if channels != "1":
        raise not_real(name, f"of {channels} numbers each")


def _geometry(keys: Mapping[str, str], count: int, shape: Shape, name: str) -> Geometry:
    origin = _first(keys, _ORIGIN, count, name)
    spacing = _first(keys, ("ElementSpacing",), count, name)
    matrix = _first(keys, _MATRIX, count * count, name).reshape(count, count)
    # Each run of `count` numbers is the direction of one axis of the file, x first.
    steps = (matrix[:3, :3] * spacing[:3, None])[::-1].T
    affine = np.eye(4)
    affine[:3, :3] = steps
    affine[:3, 3] = origin[:3]
    unit = keys.get("DistanceUnits", "mm").lower()
    if unit not in _UNIT_MM:
        raise InputRefused(
            code="geometry-invalid",
            subject=name,
            detail=f"its DistanceUnits {unit!r} is no length",
            remedy=_REMEDY_AFFINE,
        )
    affine[:3] *= _UNIT_MM[unit]
    return checked_geometry(shape, affine, name, _REMEDY_AFFINE)


def _first(
    keys: Mapping[str, str], names: tuple[str, ...], count: int, name: str
) -> NDArray[np.float64]:
    found = next((keys[key] for key in names if key in keys), None)
    if found is None:
        raise InputRefused(
            code="affine-missing",
            subject=name,
            detail=f"it has no {names[0]}",
            remedy=_REMEDY_AFFINE,
        )
    try:
        values = np.array([float(word) for word in found.split()])
    except ValueError as error:
        raise corrupt(name, f"its {names[0]} holds words") from error
    if values.size != count:
        raise corrupt(name, f"its {names[0]} holds {values.size} numbers, {count} are wanted")
    return values


def _payload(path: Path, keys: Mapping[str, str], start: int, shape: Shape) -> Payload:
    name = path.name
    code = _TYPES.get(keys.get("ElementType", "").removesuffix("_ARRAY"))
    if code is None:
        raise not_real(name, f"of the type {keys.get('ElementType', 'unknown')!r}")
    if not _is_true(keys.get("BinaryData", "True")):
        raise InputRefused(
            code="format-unknown",
            subject=name,
            detail="values written as text are not read",
            remedy="write it as binary data",
        )
    big = _is_true(keys.get("BinaryDataByteOrderMSB", keys.get("ElementByteOrderMSB", "False")))
    dtype = np.dtype(code).newbyteorder(">" if big else "<")
    packed = _is_true(keys.get("CompressedData", "False"))
    data_path, begin = _data_place(path, keys["ElementDataFile"], start)
    header_size = _whole(keys.get("HeaderSize", "0"), name)
    encoding: Encoding = "zlib" if packed else "raw"
    payload = Payload(data_path, encoding, begin + max(0, header_size), 0, dtype, shape)
    if header_size == -1 and not packed:
        begin = data_path.stat().st_size - payload.size_bytes
        if begin < 0:
            raise corrupt(name, "holds fewer bytes than its values need")
        return Payload(data_path, encoding, begin, 0, dtype, shape)
    return payload


def _data_place(path: Path, said: str, start: int) -> tuple[Path, int]:
    if said.upper() == "LOCAL":
        return path, start
    if said.upper().startswith("LIST") or "%" in said:
        raise InputRefused(
            code="format-unknown",
            subject=path.name,
            detail="its values lie in several files",
            remedy="write it as one file",
        )
    found = path.parent / said
    if not found.is_file():
        raise InputRefused(
            code="path-missing",
            subject=path.name,
            detail=f"its data file {found.name} is missing",
            remedy="add it",
        )
    return found, 0


def _warnings(keys: Mapping[str, str]) -> tuple[InputWarning, ...]:
    slope = keys.get("ElementToIntensityFunctionSlope", "1")
    offset = keys.get("ElementToIntensityFunctionOffset", "0")
    if _is(slope, 1.0) and _is(offset, 0.0):
        return ()
    detail = f"the file names an intensity slope {slope} and offset {offset}; they are not applied"
    return (InputWarning("intensity-function-ignored", detail),)


def _is(word: str, value: float) -> bool:
    try:
        return float(word) == value
    except ValueError:
        return False


def _whole(word: str, name: str) -> int:
    try:
        return int(word)
    except ValueError as error:
        raise corrupt(name, f"its HeaderSize {word!r} is no number") from error


def _is_true(word: str) -> bool:
    return word.strip().lower() in ("true", "1", "t")
