"""What the two processes hand each other: lines of JSON, and arrays in files of a private folder.

Nothing of it runs code: arrays are plain .npy, results are read as a session's output is.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from medseg.errors import InputRefused, MedsegError
from medseg.refusal_codes import REFUSALS
from medseg.types import Geometry, InputWarning, Volume

Message = Mapping[str, Any]

RESULT = "result.npz"
OUT_OF_MEMORY, ENDED = "out-of-memory", "run-ended"


def as_message(what: Message) -> bytes:
    """One line; ValueError for what is no JSON."""
    return json.dumps(what, allow_nan=False).encode() + b"\n"


def write_volume(volume: Volume, folder: Path, stem: str) -> dict[str, Any]:
    """Leave the voxels in a folder; the header that finds them again, JSON-able."""
    name = f"{stem}.npy"
    np.save(folder / name, volume.array, allow_pickle=False)
    return {
        "file": name,
        **geometry_header(volume.geometry),
        "modality": volume.modality,
        "unit": volume.unit,
        "slice_thickness_mm": volume.slice_thickness_mm,
        "acquisition_axis": volume.acquisition_axis,
        "meta": dict(volume.meta),
        "warnings": [list(one) for one in volume.warnings],
    }


def read_volume(header: Mapping[str, Any], folder: Path) -> Volume:
    """The volume of a header that `write_volume` gave."""
    return Volume(
        np.load(folder / header["file"], allow_pickle=False),
        read_geometry(header),
        header["modality"],
        header["unit"],
        header["slice_thickness_mm"],
        header["acquisition_axis"],
        header["meta"],
        tuple(InputWarning(*one) for one in header["warnings"]),
    )


def geometry_header(geometry: Geometry) -> dict[str, Any]:
    """A geometry for JSON."""
    return {"shape": list(geometry.shape), "affine": geometry.affine.tolist()}


def read_geometry(header: Mapping[str, Any]) -> Geometry:
    """The geometry of a header."""
    depth, height, width = header["shape"]
    return Geometry((depth, height, width), np.asarray(header["affine"], dtype=np.float64))


def error_message(error: MedsegError) -> dict[str, Any]:
    """An error for the other process."""
    return {"event": "error", **error.as_dict()}


def read_error(message: Message) -> MedsegError:
    """The error of a message: a refusal where its code is one."""
    kind = InputRefused if message["code"] in REFUSALS else MedsegError
    return kind(message["code"], message["subject"], message["detail"], message["remedy"])


def out_of_memory() -> MedsegError:
    """What is said where there was not enough memory, whoever noticed it."""
    return MedsegError(
        OUT_OF_MEMORY,
        "segmenting",
        "there was not enough memory",
        "close other programs, choose a smaller region, or another device",
    )


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error of Python, of torch or of a graphics card means that memory ran out."""
    if isinstance(error, MemoryError):
        return True
    text = str(error).lower()
    wanted = ("out of memory", "can't allocate memory", "not enough memory", "bad_alloc")
    return isinstance(error, RuntimeError) and any(words in text for words in wanted)
