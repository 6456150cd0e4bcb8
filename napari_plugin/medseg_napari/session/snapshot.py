"""The model's output as one file beside the log: masks, probabilities and all else, exactly.

An .npz of plain arrays (nothing in it runs code): bits and probabilities one after the other, and
a JSON text with the rest.
"""

from __future__ import annotations

import json
import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medseg.errors import InputRefused
from medseg.io.atomic import atomic_path
from medseg.io.checks import unreadable
from medseg.types import Box, Geometry, InputWarning, Instance, InstanceClass, Instances
from medseg_napari.session.log import damaged
from medseg_napari.session.packing import DAMAGE, as_box, lengths

VERSION = 1


def write_snapshot(instances: Instances, path: Path) -> None:
    """Write instances as an .npz, whole or not at all.

    Raises OutputError as `atomic_path` does; ValueError where the provenance is no JSON.
    """
    items = instances.items
    text = json.dumps(
        {
            "version": VERSION,
            "shape": list(instances.geometry.shape),
            "classes": [asdict(one) for one in instances.classes],
            "class_names": [item.class_name for item in items],
            "warnings": [list(one) for one in instances.warnings],
            "provenance": dict(instances.provenance),
        }
    )
    arrays: dict[str, NDArray[Any]] = {
        "text": np.frombuffer(text.encode(), dtype=np.uint8),
        "affine": instances.geometry.affine,
        "ids": np.asarray([item.id for item in items], dtype=np.int64),
        "scores": np.asarray([item.score for item in items], dtype=np.float64),
        "boxes": _ends([item.box for item in items]),
        "bits": _joined([np.packbits(item.mask, axis=None) for item in items], np.uint8),
        "probability_boxes": _ends([_probability_box(item) for item in items]),
        "probabilities": _joined(
            [item.probability.ravel() for item in items if item.probability is not None], np.float16
        ),
    }
    with atomic_path(path) as temporary:
        np.savez_compressed(temporary, allow_pickle=False, **arrays)


def read_snapshot(path: Path) -> Instances:
    """The instances that `write_snapshot` wrote.

    Raises InputRefused (`path-missing`, `path-unreadable`, `file-corrupt`).
    """
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as stored:
            return _instances({name: stored[name] for name in stored.files})
    except FileNotFoundError as error:
        detail, remedy = "there is no such file", "check the path"
        raise InputRefused("path-missing", path.name, detail, remedy) from error
    except (*DAMAGE, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise damaged(path.name, f"is no output that a session keeps: {error}") from error
    except OSError as error:
        raise unreadable(path.name, error) from error


def _instances(stored: dict[str, NDArray[Any]]) -> Instances:
    said = json.loads(stored["text"].tobytes())
    if said["version"] != VERSION:
        msg = f"version {said['version']}"
        raise ValueError(msg)
    classes = tuple(
        InstanceClass(**{**one, "color": None if one["color"] is None else tuple(one["color"])})
        for one in said["classes"]
    )
    kinds = {one.name: one.kind for one in classes}
    rows = zip(
        stored["ids"].tolist(),
        said["class_names"],
        stored["scores"].tolist(),
        [as_box(ends) for ends in stored["boxes"].tolist()],
        [None if ends[1] == 0 else as_box(ends) for ends in stored["probability_boxes"].tolist()],
        strict=True,
    )
    items, bit, fraction = [], 0, 0
    for number, name, score, box, around in rows:
        shape = lengths(box)
        voxels = int(np.prod(shape))
        packed = stored["bits"][bit : bit + -(-voxels // 8)]
        bit += -(-voxels // 8)
        mask = np.unpackbits(packed, count=voxels).view(np.bool_).reshape(shape)
        probability = None
        if around is not None:
            size = int(np.prod(lengths(around)))
            crop = stored["probabilities"][fraction : fraction + size].reshape(lengths(around))
            probability, fraction = crop.astype(np.float16), fraction + size
        wider = None if around in (None, box) else around
        items.append(Instance(number, name, kinds[name], score, box, mask, probability, wider))
    return Instances(
        Geometry(said["shape"], stored["affine"]),
        items,
        classes,
        tuple(InputWarning(*one) for one in said["warnings"]),
        said["provenance"],
    )


def _probability_box(item: Instance) -> Box:
    nothing = slice(0, 0)
    if item.probability is None:
        return nothing, nothing, nothing
    return item.box if item.probability_box is None else item.probability_box


def _ends(boxes: Sequence[Box]) -> NDArray[np.int64]:
    ends = [[end for part in box for end in (part.start, part.stop)] for box in boxes]
    return np.asarray(ends, dtype=np.int64).reshape(-1, 6)


def _joined(parts: Sequence[NDArray[Any]], dtype: type[Any]) -> NDArray[Any]:
    return np.concatenate(parts) if parts else np.zeros(0, dtype=dtype)
