"""Instances in little memory: masks as compressed bits, for the history and for files."""

from __future__ import annotations

import base64
import binascii
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from medseg.types import Box, Instance, Kind, Shape

_LEVEL = 1  # masks are mostly runs: more effort saves little
_LARGEST = 2**40
"""Voxels in a box; more is no box of ours, and would ask for a terabyte."""


@dataclass(frozen=True, eq=False)
class PackedInstance:
    """An instance whose mask is packed to bits in C order and compressed with zlib.

    The probability is the instance's own array, not a copy.
    """

    id: int
    class_name: str
    kind: Kind
    score: float
    box: Box
    bits: bytes
    probability: NDArray[np.float16] | None = None
    probability_box: Box | None = None

    @classmethod
    def of(cls, item: Instance) -> Self:
        """The instance, packed."""
        return cls(
            item.id,
            item.class_name,
            item.kind,
            item.score,
            item.box,
            pack_mask(item.mask),
            item.probability,
            item.probability_box,
        )

    def unpacked(self) -> Instance:
        """The instance, with a mask of its own."""
        return Instance(
            self.id,
            self.class_name,
            self.kind,
            self.score,
            self.box,
            unpack_mask(self.bits, lengths(self.box)),
            self.probability,
            self.probability_box,
        )

    def same_mask(self, other: PackedInstance) -> bool:
        """Whether both cover the same voxels."""
        if self.box != other.box:
            return False
        if self.bits == other.bits:
            return True
        shape = lengths(self.box)  # other versions of zlib write the same mask otherwise
        return np.array_equal(unpack_mask(self.bits, shape), unpack_mask(other.bits, shape))

    def as_json(self, before: PackedInstance | None) -> dict[str, Any]:
        """All but the id and the probability; a mask that stays as it was is not written again."""
        said: dict[str, Any] = {
            "class_name": self.class_name,
            "kind": self.kind,
            "score": self.score,
        }
        if before is not None and self.same_mask(before):
            return said | {"mask": "kept"}
        box = [end for part in self.box for end in (part.start, part.stop)]
        return said | {"box": box, "bits": base64.b64encode(self.bits).decode("ascii")}

    @classmethod
    def from_json(cls, number: int, said: Mapping[str, Any], before: PackedInstance | None) -> Self:
        """What `as_json` gave; ValueError, KeyError or TypeError where it is something else."""
        name, kind, score = str(said["class_name"]), said["kind"], float(said["score"])
        if said.get("mask") == "kept":
            if before is None:
                msg = f"the mask of {number} is kept from nothing"
                raise ValueError(msg)
            kept = replace(before, class_name=name, kind=kind, score=score)
            return cls(**vars(kept))
        box = as_box(said["box"])
        bits = base64.b64decode(said["bits"], validate=True)
        unpack_mask(bits, lengths(box))
        return cls(number, name, kind, score, box, bits)


def pack_mask(mask: NDArray[np.bool_]) -> bytes:
    """A mask (z, y, x) as compressed bits in C order."""
    return zlib.compress(np.packbits(mask, axis=None).tobytes(), _LEVEL)


def unpack_mask(bits: bytes, shape: Shape) -> NDArray[np.bool_]:
    """The mask of a shape; ValueError where the bits are damaged or of another length."""
    voxels = shape[0] * shape[1] * shape[2]
    wanted = -(-voxels // 8)
    reader = zlib.decompressobj()
    try:
        packed = reader.decompress(bits, wanted + 1)
    except zlib.error as error:
        msg = "a mask is damaged"
        raise ValueError(msg) from error
    if len(packed) != wanted or not reader.eof:
        msg = f"a mask of {voxels} voxels has other bits than these"
        raise ValueError(msg)
    flat = np.unpackbits(np.frombuffer(packed, dtype=np.uint8), count=voxels)
    return flat.view(np.bool_).reshape(shape)


def mask_sum(item: Instance) -> int:
    """A number that another mask or another place would, but for bad luck, not have (CRC-32)."""
    place = np.asarray([[part.start, part.stop] for part in item.box], dtype="<i8").tobytes()
    return zlib.crc32(np.packbits(item.mask, axis=None).tobytes(), zlib.crc32(place))


def lengths(box: Box) -> Shape:
    """How many voxels a box has along each axis."""
    z, y, x = (part.stop - part.start for part in box)
    return z, y, x


def as_box(ends: Any) -> Box:
    """A box of its six ends; ValueError where they are none."""
    if len(ends) != 6 or not all(isinstance(end, int) for end in ends):
        msg = f"a box has six whole ends; got {ends}"
        raise ValueError(msg)
    z, y, x = (slice(ends[n], ends[n + 1]) for n in (0, 2, 4))
    if min(ends) < 0 or min(lengths((z, y, x))) < 1 or np.prod(lengths((z, y, x))) > _LARGEST:
        msg = f"these ends enclose nothing: {ends}"
        raise ValueError(msg)
    return z, y, x


DAMAGE = (ValueError, KeyError, TypeError, AttributeError, binascii.Error, OverflowError)
"""What reading damaged JSON of ours raises."""
