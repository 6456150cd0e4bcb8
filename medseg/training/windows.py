"""Training windows: cut around something, augmented, with the objects they show."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from monai.transforms import Compose
from numpy.typing import NDArray
from torch import Tensor

from medseg.heads.contract import WindowTarget
from medseg.training.sections import TrainingSection
from medseg.training.soft_masks import hardened
from medseg.types import Axes, Box, Shape


@dataclass(frozen=True)
class GridObject:
    """One true object on the model's grid: its position in the card's classes, box and mask."""

    class_id: int
    exclusive: bool
    box: Box
    mask: NDArray[np.bool_]


@dataclass(frozen=True)
class GridCase:
    """One case on the model's grid, normalised: image (C, Z, Y, X) and its objects.

    `undrawn` are the positions of organ classes that nobody drew in it.
    """

    id: str
    image: Tensor
    objects: tuple[GridObject, ...]
    undrawn: tuple[int, ...] = ()

    def transposed(self, axes: Axes) -> GridCase:
        """The case with its axes (z, y, x) in another order: new axis i is old axis `axes[i]`."""
        objects = []
        for one in self.objects:
            z, y, x = (one.box[axis] for axis in axes)
            objects.append(replace(one, box=(z, y, x), mask=one.mask.transpose(axes)))
        image = self.image.permute(0, *(axis + 1 for axis in axes))
        return replace(self, image=image, objects=tuple(objects))

    def mirrored(self, exchanged: Mapping[int, int]) -> GridCase:
        """The case with left and right mirrored; `exchanged` gives a class its other side's."""
        length = int(self.image.shape[-1])
        objects = []
        for one in self.objects:
            z, y, x = one.box
            box = (z, y, slice(length - x.stop, length - x.start))
            class_id = exchanged.get(one.class_id, one.class_id)
            objects.append(replace(one, class_id=class_id, box=box, mask=one.mask[..., ::-1]))
        undrawn = tuple(sorted(exchanged.get(one, one) for one in self.undrawn))
        return replace(self, image=self.image.flip(-1), objects=tuple(objects), undrawn=undrawn)


@dataclass(frozen=True)
class Window:
    """One training window: image (C, Z, Y, X) and its objects."""

    image: Tensor
    target: WindowTarget


def sample_window(
    case: GridCase,
    training: TrainingSection,
    augment: Compose,
    *,
    margin: float,
    rng: np.random.Generator,
) -> Window:
    """Cut a window of `training.crop_shape` from a case and augment it.

    With probability `training.foreground_fraction` its middle lies on an object; with
    `training.click_jitter`, near an object's middle. The image is augmented with `margin` of the
    window's length more, where it goes on, so that turning it brings in no void and an object
    that the window cuts is known whole. `augment` takes a dictionary with "image" (C, Z, Y, X),
    "masks" (N, Z, Y, X) and, where what lies beyond the image is ignored, "inside" (1, Z, Y, X), on
    the device where the case's image is, and is seeded by the caller.
    """
    shape = training.crop_shape
    if case.objects and training.click_jitter is not None:
        middle = _click(case, training.click_jitter, rng)
    else:
        middle = window_middle(case, shape, training.foreground_fraction, rng)
    first = [int(m) - length // 2 for m, length in zip(middle, shape, strict=True)]
    low, high = window_region(first, shape, case.image.shape[1:], margin)
    seen = [one for one in case.objects if _meets(one.box, low, high)]
    image = cut_image(case.image, low, high)
    masks = torch.zeros((max(len(seen), 1), *image.shape[1:]), device=image.device)
    for n, one in enumerate(seen):
        _paste(masks[n], one, low, high)
    data = {"image": image, "masks": masks}
    if training.beyond_image == "ignored":
        data["inside"] = torch.zeros((1, *image.shape[1:]), device=image.device)
        _paste(data["inside"][0], _all_of(case), low, high)
    changed: Mapping[str, Tensor] = augment(data)
    z, y, x = (
        slice(start - a, start - a + length)
        for start, a, length in zip(first, low, shape, strict=True)
    )
    # MONAI's own kind of tensor would slow everything that it meets down.
    plain = {key: changed[key].as_subclass(Tensor) for key in data}
    masks, beyond = plain["masks"], None
    if "inside" in plain:
        # What the border cuts is an object all the same as far as the image goes.
        inside = plain["inside"] > 0.5
        masks = (masks / plain["inside"].clamp(min=0.5)).clamp(max=1) * inside
        beyond = np.asarray(~inside[0, z, y, x].cpu())
    target = window_target(masks, seen, (z, y, x))
    target = replace(target, undrawn=case.undrawn, beyond=beyond)
    cut = plain["image"][:, z, y, x]
    return Window(cut.float().contiguous(), target)


def whole_window(case: GridCase) -> Window:
    """The whole case as one window, unchanged."""
    shape = case.image.shape[1:]
    masks = torch.zeros((len(case.objects), *shape))
    for n, one in enumerate(case.objects):
        masks[n][one.box] = torch.from_numpy(one.mask.astype(np.float32))
    z, y, x = (slice(0, int(length)) for length in shape)
    return Window(case.image, window_target(masks, case.objects, (z, y, x)))


def window_target(masks: Tensor, objects: Sequence[GridObject], inner: Box) -> WindowTarget:
    """The objects that lie inside `inner`, from soft masks (N, Z, Y, X) of a larger region.

    An object's centre is that of its box in the larger region, so a window that cuts it knows
    where its middle is. Objects that exclude each other share their voxels by the largest mask.
    """
    hard = _hard(masks[: len(objects)], [one.exclusive for one in objects])
    wholes, parts = _tight_boxes(hard), _tight_boxes(hard[:, *inner])
    voxels = hard.sum((1, 2, 3)).tolist()
    shown = np.asarray(hard[:, *inner].cpu())
    found = []
    for n, (whole, part) in enumerate(zip(wholes, parts, strict=True)):
        if whole is None or part is None:
            continue
        crop = shown[n][part]
        starts = np.array([p.start for p in part] + [p.stop for p in part])
        cut = voxels[n] > np.count_nonzero(crop)
        centre = [(w.start + w.stop - 1) / 2 - i.start for w, i in zip(whole, inner, strict=True)]
        found.append((objects[n].class_id, starts, crop, cut, centre))
    return WindowTarget(
        class_ids=np.array([one[0] for one in found], dtype=np.int64),
        boxes=np.array([one[1] for one in found], dtype=np.int64).reshape(-1, 6),
        masks=tuple(one[2] for one in found),
        cut=np.array([one[3] for one in found], dtype=bool),
        centres=np.array([one[4] for one in found], dtype=np.float64).reshape(-1, 3),
    )


def _hard(masks: Tensor, exclusive: Sequence[bool]) -> Tensor:
    """Boolean masks of the same volume; those that exclude each other share by the largest."""
    hard = torch.zeros(masks.shape, dtype=torch.bool, device=masks.device)
    for n in range(len(masks)):
        hard[n] = hardened(masks[n])
    if any(exclusive):
        chosen = torch.tensor(exclusive, device=masks.device)
        owner = masks[chosen].argmax(0)
        hard[chosen] &= torch.stack([owner == n for n in range(int(chosen.sum()))])
    return hard


def _tight_boxes(masks: Tensor) -> list[Box | None]:
    """The box of each boolean mask of (N, Z, Y, X); None where it is empty."""
    shadows = [np.asarray(masks.any(3).any(2).cpu()), np.asarray(masks.any(3).any(1).cpu())]
    shadows.append(np.asarray(masks.any(2).any(1).cpu()))
    boxes: list[Box | None] = []
    for n in range(len(masks)):
        ends = [np.flatnonzero(shadow[n]) for shadow in shadows]
        z, y, x = (slice(int(e[0]), int(e[-1]) + 1) if e.size else slice(0, 0) for e in ends)
        boxes.append((z, y, x) if ends[0].size else None)
    return boxes


def _click(case: GridCase, jitter: float, rng: np.random.Generator) -> NDArray[np.int64]:
    """The middle of an object's box, moved along each axis by up to `jitter` of its half length."""
    one = case.objects[int(rng.integers(len(case.objects)))]
    ends = np.array([[part.start, part.stop] for part in one.box])
    half = (ends[:, 1] - ends[:, 0]) / 2
    middle = ends.mean(axis=1) + rng.uniform(-jitter, jitter, 3) * half
    return np.asarray(np.floor(middle), dtype=np.int64)


def _all_of(case: GridCase) -> GridObject:
    """All of a case's image as if it were one object."""
    lengths = case.image.shape[1:]
    z, y, x = (slice(0, int(length)) for length in lengths)
    return GridObject(0, exclusive=False, box=(z, y, x), mask=np.ones(lengths, dtype=np.bool_))


def window_middle(
    case: GridCase, shape: Shape, foreground_fraction: float, rng: np.random.Generator
) -> NDArray[np.int64]:
    """The middle of a window (z, y, x): near a voxel of an object with that probability, or any.

    A window that fits into the image lies in it.
    """
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


def window_region(
    first: Sequence[int], shape: Shape, lengths: Sequence[int], margin: float
) -> tuple[list[int], list[int]]:
    """The window from `first`, wider by `margin` on both sides where the image goes on on one.

    So its middle stays the window's, about which all is turned and mirrored.
    """
    low, high = [], []
    for start, length, end in zip(first, shape, lengths, strict=True):
        wider = min(round(length * margin), max(start, int(end) - start - length, 0))
        low.append(start - wider)
        high.append(start + length + wider)
    return low, high


def _meets(box: Box, low: Sequence[int], high: Sequence[int]) -> bool:
    return all(p.start < b and p.stop > a for p, a, b in zip(box, low, high, strict=True))


def cut_image(image: Tensor, low: Sequence[int], high: Sequence[int]) -> Tensor:
    """image[:, low:high]; beyond the border its outermost voxels are repeated."""
    for axis, (a, b) in enumerate(zip(low, high, strict=True), start=1):
        index = torch.arange(a, b, device=image.device).clamp(0, image.shape[axis] - 1)
        image = image.index_select(axis, index)
    return image


def _paste(mask: Tensor, one: GridObject, low: Sequence[int], high: Sequence[int]) -> None:
    there, here = [], []
    for part, a, b in zip(one.box, low, high, strict=True):
        start, stop = max(part.start, a), min(part.stop, b)
        there.append(slice(start - part.start, stop - part.start))
        here.append(slice(start - a, stop - a))
    drawn = torch.from_numpy(one.mask[tuple(there)].astype(np.float32))
    mask[tuple(here)] = drawn.to(mask.device)
