"""What every head gives and takes: training, inference and export ask nothing else of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from medseg.card import CardClass
from medseg.transforms.grids import GridMap
from medseg.types import Box, Instance

Raw = Any
"""A head's own NamedTuple of tensors: what its network gives for a batch of windows."""


@dataclass(frozen=True)
class WindowTarget:
    """The true objects of one window, for training.

    Shapes: class_ids (N,) positions in the card's classes; boxes (N, 6) voxels
    z0 y0 x0 z1 y1 x1; masks N tight boolean crops; cut (N,) true where the window cuts the
    object; centres (N, 3) voxels (z, y, x): the centre of the object's box, of the whole object
    where the loader knows it, so it may lie outside the window. `beyond` (Z, Y, X) is true where
    nothing is known of the classes, so that no loss counts there; None is nowhere. `undrawn` are
    the positions of organ classes that nobody drew in this case: they may be anywhere.
    """

    class_ids: NDArray[np.int64]
    boxes: NDArray[np.int64]
    masks: tuple[NDArray[np.bool_], ...]
    cut: NDArray[np.bool_]
    centres: NDArray[np.float64]
    beyond: NDArray[np.bool_] | None = None
    undrawn: tuple[int, ...] = ()


class MapSpec(NamedTuple):
    """One dense output of a head, and how windows blend it.

    `stride` is in voxels of the model's grid; `activation` turns the head's values into what is
    averaged over windows and interpolated between voxels. `vectors` says that every three channels
    are one vector (z, y, x), which a mirrored window shows mirrored.
    """

    name: str
    channels: int
    stride: int
    activation: Literal["softmax", "sigmoid", "none"]
    vectors: bool = False


@dataclass(frozen=True)
class Slab:
    """Blended maps of neighbouring slices of a volume, handed to a dense head and then freed.

    `start` and `stop` are the slices of the image's grid (turned to S, P, L) that it settles.
    `maps[name]` is (C, Z, Y, X) at its own stride; `grids[name]` takes indices of the image's
    grid to indices of that array, which holds enough neighbours for every slice it settles.
    `starts[name]` is the array's first slice in the whole map, and `margins[name]` says how many
    of its first and last slices are such neighbours only.
    """

    start: int
    stop: int
    shape: tuple[int, int, int]
    maps: Mapping[str, NDArray[np.float32]]
    grids: Mapping[str, GridMap]
    starts: Mapping[str, int]
    margins: Mapping[str, tuple[int, int]]


@dataclass(frozen=True, eq=False)
class WindowInstance:
    """One object as one window shows it, on the model's grid.

    `class_id` is a position in the card's classes, `score` in 0..1, `box` slices of the window;
    `probability` (z, y, x) over the box is that of belonging to the object, which it does above
    0.5. Two objects may hold the same voxel.
    """

    class_id: int
    score: float
    box: Box
    probability: NDArray[np.float16]


class DenseDecoder(Protocol):
    """The decoding half of a dense head."""

    @property
    def maps(self) -> tuple[MapSpec, ...]:
        """The maps that it wants blended."""

    @property
    def settings(self) -> dict[str, Any]:
        """Everything that decides the decoding, for the provenance."""

    def group(self, slabs: Iterable[Slab], spacing_mm: Sequence[float]) -> list[Instance]:
        """Instances on the image's grid (turned to S, P, L), numbered by class, then position."""


@runtime_checkable
class InstanceDecoder(Protocol):
    """The decoding half of a head that finds whole objects in every window.

    `organs` decodes the dense part of the head's Raw, its field `dense`, where there are organ
    classes: of an organ there is one, so it is blended over windows, not stitched.
    """

    @property
    def organs(self) -> DenseDecoder | None:
        """Decodes the organs; None without an organ class."""

    @property
    def score_threshold(self) -> float:
        """Lesions below this score, after stitching, are dropped."""

    @property
    def smallest_mm3(self) -> float:
        """Lesions below this volume, after stitching, are dropped; organs are not."""

    @property
    def double_iou(self) -> float:
        """Two objects of a class whose masks meet at an IoU above this are one."""

    @property
    def settings(self) -> dict[str, Any]:
        """Everything that decides the decoding, for the provenance."""

    def decode(self, raw: Raw) -> list[list[WindowInstance]]:
        """The lesions of each window of a batch, doubtful ones too, from `refine_found`'s Raw."""


@runtime_checkable
class LimitedDecoder(InstanceDecoder, Protocol):
    """A decoder of a head that gives a fixed number of objects a window at most."""

    def fired(self, raw: Raw) -> list[float]:
        """The share of that number, 0..1, that was needed for objects, a window of the batch."""


class HeadNetwork(Protocol):
    """The network half of a head, an `nn.Module`; one that gives all at once returns `raw`."""

    def __call__(self, pyramid: Sequence[Tensor]) -> Raw:
        """From the backbone's pyramid to the head's Raw, at the pyramid's resolution."""

    def refine(self, image: Tensor, raw: Raw, targets: Sequence[WindowTarget] | None = None) -> Raw:
        """`raw` completed for training: at the resolution of `image`, everywhere.

        A second stage learns on what `targets` show, one a window.
        """

    def refine_found(self, image: Tensor, raw: Raw) -> Raw:
        """`raw` completed for decoding one window, with the work spent where something is."""

    def shift_organs(self, amounts: Sequence[float]) -> None:
        """Add to the organs' logits, in their order, for good."""


Decoder = DenseDecoder | InstanceDecoder


class HeadParts(NamedTuple):
    """A head: its network, its loss and its decoder, each usable alone.

    `network(in_channels, channels, strides, classes, **arguments)` builds a `HeadNetwork`;
    `loss(raw, targets, classes, spacing_mm)` gives named scalars from `refine`'s Raw, which
    `loss_weights` weighs by default; `decoder(classes, **arguments)` decodes.
    """

    network: Callable[..., nn.Module]
    loss: Callable[..., dict[str, Tensor]]
    loss_weights: Mapping[str, float]
    decoder: Callable[..., Decoder]


def organ_ids(classes: Sequence[CardClass]) -> list[int]:
    """Positions of the classes that exclude each other in a voxel."""
    return [n for n, one in enumerate(classes) if one.kind == "organ"]


def lesion_ids(classes: Sequence[CardClass]) -> list[int]:
    """Positions of the classes whose objects are separated and may lie inside an organ."""
    return [n for n, one in enumerate(classes) if one.kind == "lesion"]
