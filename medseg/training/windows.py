"""Training windows: cut around something, augmented, with the objects they show."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from monai.transforms import Compose
from numpy.typing import NDArray
from torch import Tensor

from medseg.heads.contract import WindowTarget
from medseg.types import Box, Shape, tight_box


@dataclass(frozen=True)
class GridObject:
    """One true object on the model's grid: its position in the card's classes, box and mask."""

    class_id: int
    exclusive: bool
    box: Box
    mask: NDArray[np.bool_]


@dataclass(frozen=True)
class GridCase:
    """One case on the model's grid, normalised: image (C, Z, Y, X) and its objects."""

    id: str
    image: Tensor
    objects: tuple[GridObject, ...]


@dataclass(frozen=True)
class Window:
    """One training window: image (C, Z, Y, X) and its objects."""

    image: Tensor
    target: WindowTarget


def sample_window(
    case: GridCase,
    shape: Shape,
    augment: Compose,
    *,
    margin: float,
    foreground_fraction: float,
    rng: np.random.Generator,
) -> Window:
    """Cut a window of `shape` from a case and augment it.

    With probability `foreground_fraction` its middle lies on an object. The image is augmented
    with `margin` of the window's length more on every side, as far as it goes on there, so that
    turning it brings in no void. `augment` takes a dictionary with "image" (C, Z, Y, X) and
    "masks" (N, Z, Y, X) and is seeded by the caller.
    """
    middle = _middle(case, shape, foreground_fraction, rng)
    first = [int(m) - length // 2 for m, length in zip(middle, shape, strict=True)]
    low, high = _region(first, shape, case.image.shape[1:], margin)
    seen = [one for one in case.objects if _meets(one.box, low, high)]
    image = cut_image(case.image, low, high)
    masks = torch.zeros((max(len(seen), 1), *image.shape[1:]))
    for n, one in enumerate(seen):
        _paste(masks[n], one, low, high)
    changed: Mapping[str, Tensor] = augment({"image": image, "masks": masks})
    z, y, x = (
        slice(start - a, start - a + length)
        for start, a, length in zip(first, low, shape, strict=True)
    )
    target = window_target(np.asarray(changed["masks"]), seen, (z, y, x))
    cut = torch.as_tensor(np.asarray(changed["image"]))[:, z, y, x]
    return Window(cut.float().contiguous(), target)


def whole_window(case: GridCase) -> Window:
    """The whole case as one window, unchanged."""
    shape = case.image.shape[1:]
    masks = np.zeros((len(case.objects), *shape), dtype=np.float32)
    for n, one in enumerate(case.objects):
        masks[n][one.box] = one.mask
    z, y, x = (slice(0, int(length)) for length in shape)
    return Window(case.image, window_target(masks, case.objects, (z, y, x)))


def window_target(
    masks: NDArray[np.float32], objects: Sequence[GridObject], inner: Box
) -> WindowTarget:
    """The objects that lie inside `inner`, from soft masks (N, Z, Y, X) of a larger region.

    An object's centre is that of its box in the larger region, so a window that cuts it knows
    where its middle is. Objects that exclude each other share their voxels by the largest mask.
    """
    exclusive = np.array([one.exclusive for one in objects], dtype=bool)
    hard = masks[: len(objects)] > 0.5
    if exclusive.any():
        soft = masks[: len(objects)][exclusive]
        owner = np.argmax(np.concatenate([1 - soft.sum(0, keepdims=True), soft]), axis=0)
        hard[exclusive] = owner[None] == np.arange(1, len(soft) + 1)[:, None, None, None]
    found = []
    for mask, one in zip(hard, objects, strict=True):
        whole = tight_box(mask)
        part = tight_box(mask[inner])
        if whole is None or part is None:
            continue
        crop = mask[inner][part]
        starts = np.array([p.start for p in part] + [p.stop for p in part])
        centre = [(w.start + w.stop - 1) / 2 - i.start for w, i in zip(whole, inner, strict=True)]
        cut = np.count_nonzero(mask[whole]) > np.count_nonzero(crop)
        found.append((one.class_id, starts, crop, cut, centre))
    return WindowTarget(
        class_ids=np.array([one[0] for one in found], dtype=np.int64),
        boxes=np.array([one[1] for one in found], dtype=np.int64).reshape(-1, 6),
        masks=tuple(one[2] for one in found),
        cut=np.array([one[3] for one in found], dtype=bool),
        centres=np.array([one[4] for one in found], dtype=np.float64).reshape(-1, 3),
    )


def _middle(
    case: GridCase, shape: Shape, foreground_fraction: float, rng: np.random.Generator
) -> NDArray[np.int64]:
    lengths = np.asarray(case.image.shape[1:])
    half = np.asarray(shape) // 2
    if case.objects and rng.random() < foreground_fraction:
        one = case.objects[int(rng.integers(len(case.objects)))]
        inside = np.argwhere(one.mask)
        wanted = inside[int(rng.integers(len(inside)))] + [part.start for part in one.box]
        wanted = wanted + np.rint(rng.uniform(-0.25, 0.25, 3) * shape).astype(int)
    else:
        wanted = rng.integers(0, lengths)
    # A window that fits stays inside the image; a larger one shows all of it, in the middle.
    low, high = half, lengths - (np.asarray(shape) - half)
    inside_image = np.clip(wanted, np.minimum(low, high), np.maximum(low, high))
    return np.where(low <= high, inside_image, lengths // 2)


def _region(
    first: Sequence[int], shape: Shape, lengths: Sequence[int], margin: float
) -> tuple[list[int], list[int]]:
    """The window from `first`, widened by `margin`, but beyond the image no further than it."""
    low, high = [], []
    for start, length, end in zip(first, shape, lengths, strict=True):
        wider = round(length * margin)
        low.append(max(start - wider, min(start, 0)))
        high.append(min(start + length + wider, max(start + length, int(end))))
    return low, high


def _meets(box: Box, low: Sequence[int], high: Sequence[int]) -> bool:
    return all(p.start < b and p.stop > a for p, a, b in zip(box, low, high, strict=True))


def cut_image(image: Tensor, low: Sequence[int], high: Sequence[int]) -> Tensor:
    """image[:, low:high]; beyond the border its outermost voxels are repeated."""
    for axis, (a, b) in enumerate(zip(low, high, strict=True), start=1):
        index = torch.arange(a, b).clamp(0, image.shape[axis] - 1)
        image = image.index_select(axis, index)
    return image


def _paste(mask: Tensor, one: GridObject, low: Sequence[int], high: Sequence[int]) -> None:
    there, here = [], []
    for part, a, b in zip(one.box, low, high, strict=True):
        start, stop = max(part.start, a), min(part.stop, b)
        there.append(slice(start - part.start, stop - part.start))
        here.append(slice(start - a, stop - a))
    mask[tuple(here)] = torch.from_numpy(one.mask[tuple(there)].astype(np.float32))
