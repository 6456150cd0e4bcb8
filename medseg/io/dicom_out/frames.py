"""The frames of a SEG: one bit or one byte a voxel, one frame a segment and slice that is used."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medseg.types import Box, Instance, Shape

FULL = 255
"""The value of a fractional SEG that stands for a probability of 1."""


@dataclass(frozen=True, slots=True)
class SegmentFrame:
    """One frame: which segment from 1, which slice from 0, and its values in a box of the slice."""

    segment: int
    z: int
    rows: slice
    columns: slice
    values: NDArray[Any]


def mask_frames(items: Sequence[Instance]) -> Iterator[SegmentFrame]:
    """The slices of each mask that hold a voxel of it."""
    for number, item in enumerate(items, start=1):
        yield from _frames(number, item.box, item.mask)


def probability_frames(items: Sequence[Instance]) -> Iterator[SegmentFrame]:
    """The slices of each probability that are not 0 everywhere, in steps of 1/255.

    Items without a probability have no frame.
    """
    for number, item in enumerate(items, start=1):
        if item.probability is not None:
            steps = np.rint(item.probability.astype(np.float32) * FULL).astype(np.uint8)
            yield from _frames(number, item.probability_box or item.box, steps)


def _frames(number: int, box: Box, values: NDArray[Any]) -> Iterator[SegmentFrame]:
    depth, rows, columns = box
    for k, plane in enumerate(values):
        if plane.any():
            yield SegmentFrame(number, depth.start + k, rows, columns, plane)


@dataclass(slots=True)
class FramePacker:
    """Collects frames of one size as the bytes of PixelData; bits run on over the frames' ends.

    Bits are packed from the least one up (PS3.5 8.1.1 and Annex D).
    """

    shape: Shape
    bits: int
    _done: list[bytes] = field(default_factory=list)
    _rest: NDArray[np.uint8] = field(default_factory=lambda: np.zeros(0, dtype=np.uint8))

    def add(self, frame: SegmentFrame) -> None:
        """Append one frame, 0 outside its box."""
        plane = np.zeros(self.shape[1:], dtype=np.uint8)
        plane[frame.rows, frame.columns] = frame.values
        if self.bits == 8:
            self._done.append(plane.tobytes())
            return
        flat = np.concatenate([self._rest, plane.ravel()]) if self._rest.size else plane.ravel()
        whole = flat.size - flat.size % 8
        self._done.append(np.packbits(flat[:whole], bitorder="little").tobytes())
        self._rest = flat[whole:]

    def pixel_data(self) -> bytes:
        """All frames, of even length."""
        rest = np.packbits(self._rest, bitorder="little").tobytes()
        data = b"".join([*self._done, rest])
        return data + b"\0" * (len(data) % 2)
