"""A small picture of a result, cut from its preview: up to three slices side by side."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from math import ceil
from pathlib import Path
from typing import NamedTuple

import imagecodecs
import numpy as np
from numpy.typing import NDArray

from medseg.io.atomic import atomic_path
from medseg.io.preview_page import EDGE, FOOT, GAP, HEAD, SIDE

THUMBNAIL = "thumbnail.jpg"
MOST_BYTES = 8_000

_PIXELS_A_POINT = 120 / 72
_TOP = EDGE + 18  # of the first panel, below the title
_MOST_OBJECTS, _THREE_PLANES_UP_TO, _SHOWN = 12, 4, 3
_SIDE = 312  # pixels of the 316 of a panel, so that both parts divide it
_GAP = 6
_PARTS = (2, 3)
_QUALITIES = (85, 75, 65, 55, 45, 35)


class _Object(NamedTuple):
    number: int
    voxels: int
    is_lesion: bool


def write_thumbnail(folder: Path) -> None:
    """Write `THUMBNAIL`, at most `MOST_BYTES`, beside the preview and table of a result.

    It shows the largest lesion, or the largest organ where there is no lesion, in three planes, or
    the three largest where the preview shows one plane of each; the middle slices where nothing was
    found. The same preview gives the same bytes.

    Raises OutputError where it cannot be written.
    """
    page = np.asarray(imagecodecs.png_decode((folder / "preview.png").read_bytes()))[..., :3]
    with (folder / "instances.csv").open(encoding="utf-8", newline="") as file:
        found = [
            _Object(int(row["instance_id"]), int(row["voxel_count"]), row["kind"] == "lesion")
            for row in csv.DictReader(file)
        ]
    panels = [_panel(page, n) for n in _chosen(found)]
    gap = np.zeros((_SIDE, _GAP, 3), dtype=np.uint8)
    strip = np.concatenate([part for one in panels for part in (gap, one)][1:], axis=1)
    with atomic_path(folder / THUMBNAIL) as temporary:
        temporary.write_bytes(_small_jpeg(strip))


def _chosen(found: Sequence[_Object]) -> list[int]:
    """Which panels of the preview are taken, which shows the largest objects in their order."""
    if not found:
        return list(range(_SHOWN))
    largest = sorted(found, key=lambda one: (-one.voxels, one.number))[:_MOST_OBJECTS]
    shown = sorted(largest, key=lambda one: one.number)
    wanted = [one for one in largest if one.is_lesion] or largest
    if len(shown) <= _THREE_PLANES_UP_TO:
        first = _SHOWN * shown.index(wanted[0])
        return list(range(first, first + _SHOWN))
    return [shown.index(one) for one in wanted[:_SHOWN]]


def _panel(page: NDArray[np.uint8], n: int) -> NDArray[np.uint8]:
    """The slice of a panel, (_SIDE, _SIDE, 3), as it is on the page."""
    width = page.shape[1] / _PIXELS_A_POINT
    columns = round((width - 2 * EDGE) / (SIDE + 2 * GAP))
    x = EDGE + (n % columns) * (SIDE + 2 * GAP) + GAP
    y = _TOP + (n // columns) * (HEAD + SIDE + FOOT) + HEAD
    left, top = (ceil(length * _PIXELS_A_POINT) for length in (x, y))
    return page[top : top + _SIDE, left : left + _SIDE]


def _small_jpeg(picture: NDArray[np.uint8]) -> bytes:
    """The first of half and third size and of falling quality that is small enough.

    The last is taken in any case: noise alone makes a picture so large.
    """
    data = b""
    for parts in _PARTS:
        smaller = _reduced(picture, parts)
        for quality in _QUALITIES:
            data = bytes(imagecodecs.jpeg_encode(smaller, level=quality, subsampling="444"))
            if len(data) <= MOST_BYTES:
                return data
    return data


def _reduced(picture: NDArray[np.uint8], parts: int) -> NDArray[np.uint8]:
    """Every `parts` × `parts` pixels as their mean."""
    total = np.zeros((picture.shape[0] // parts, picture.shape[1] // parts, 3), dtype=np.uint16)
    for row in range(parts):
        for column in range(parts):
            total += picture[row::parts, column::parts]
    return (total // parts**2).astype(np.uint8)
