"""Whether an image is the one that a session was begun on, and how that one was read."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from medseg.errors import MedsegError
from medseg.types import Volume


def image_sum(volume: Volume) -> int:
    """A number that other voxels or another type of them would, but for bad luck, not have.

    CRC-32, which reads faster than a disk; the grid is no part of it.
    """
    kind = volume.array.dtype.newbyteorder("<")
    total = zlib.crc32(kind.str.encode())
    for part in volume.array:  # a slice at a time: a turned array is never copied whole
        total = zlib.crc32(np.ascontiguousarray(part, dtype=kind).tobytes(), total)
    return total


def as_begun(volume: Volume, wanted_sum: int | None, source: Mapping[str, Any]) -> Volume:
    """The image as the session measures it: what it leaves unknown is what was said at the start.

    `wanted_sum` is the `image_sum` of the session's image, None where none was kept.

    Raises MedsegError (`image-changed`) where voxels, modality or unit are others.
    """
    if wanted_sum is not None and image_sum(volume) != wanted_sum:
        found = "its image holds other values than when the session was begun"
        raise _changed(found)
    said = {}
    for what in ("modality", "unit"):
        then, now = source.get(what), getattr(volume, what)
        if then is None or then == now:
            continue
        if now != "unknown":
            found = f"its image was read with the {what} {then}, and now with {now}"
            raise _changed(found)
        said[what] = then
    return replace(volume, **said) if said else volume


def _changed(detail: str) -> MedsegError:
    remedy = "open the image as it was then, or begin another session"
    return MedsegError("image-changed", "session", detail, remedy)
