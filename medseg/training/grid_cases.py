"""Cases on the model's grid, as training cuts windows from them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import Dataset

from medseg.card import Card
from medseg.training.augmentation import augmentation
from medseg.training.datasets import Case, LoadedCase, PhantomCase, load_case
from medseg.training.missing import without_channels
from medseg.training.recipe import Recipe
from medseg.training.sections import PhantomData
from medseg.training.soft_masks import hardened
from medseg.training.synthesis import Painter
from medseg.training.windows import GridCase, GridObject, Window, sample_window
from medseg.transforms.grids import GridMap
from medseg.transforms.pipeline import Prepared, preprocess
from medseg.transforms.resampling import resample_linear
from medseg.types import Box, Geometry, Instance, reoriented_array, tight_box

MARGIN = 0.2
"""How much of a window's length is augmented beyond it, for what turns in and what it cuts."""


class WindowDataset(Dataset[Window]):
    """Augmented windows by number: number n is the same window whenever it is asked for.

    Cases are read once and kept on `device`, where windows are augmented; phantoms are made anew
    each time, which costs less memory. `painter` draws the windows where the recipe asks for a
    synthesis.
    """

    def __init__(
        self,
        cases: Sequence[Case | PhantomCase],
        recipe: Recipe,
        *,
        device: torch.device | str = "cpu",
        painter: Painter | None = None,
    ) -> None:
        self.cases = tuple(cases)
        self.recipe = recipe
        self.device = device
        self.painter = painter
        self.augment = augmentation(recipe.augmentation, recipe.model.spacing_mm)
        self.exchanged = _other_sides(recipe)
        self.kept: dict[int, GridCase] = {}

    def __getitem__(self, number: int) -> Window:
        training = self.recipe.training
        rng = np.random.default_rng([training.seed, number])
        # Every case once before any comes again, in an order of its own each time.
        turn, place = divmod(number, len(self.cases))
        order = np.random.default_rng([training.seed, 1, turn]).permutation(len(self.cases))
        self.augment.set_random_state(seed=int(rng.integers(1 << 31)))
        case = self._case(int(order[place]))
        if self.painter is not None:
            window = self.painter.window(case, self.augment, margin=MARGIN, rng=rng)
        else:
            turned = self._turned(case, rng)
            window = sample_window(turned, training, self.augment, margin=MARGIN, rng=rng)
        channels, dropout = self.recipe.model.channels, self.recipe.augmentation.channel_dropout
        return replace(
            window, image=without_channels(window.image, case.image, channels, dropout, rng)
        )

    def _turned(self, case: GridCase, rng: np.random.Generator) -> GridCase:
        """The case mirrored, and with its axes in a random order, where the recipe asks for it."""
        sides, transpose = self.recipe.augmentation.sides, self.recipe.augmentation.transpose
        if sides is not None and rng.random() < sides.prob:
            case = case.mirrored(self.exchanged)
        if transpose is not None and rng.random() < transpose:
            z, y, x = (int(axis) for axis in rng.permutation(3))
            case = case.transposed((z, y, x))
        return case

    def _case(self, position: int) -> GridCase:
        if position in self.kept:
            return self.kept[position]
        case = self.cases[position]
        loaded = load_case(case, self.recipe)
        if self.painter is not None:
            self.painter.check(loaded.truth.geometry, loaded.id)
        made = on_model_grid(loaded, self.recipe.model)
        undrawn = undrawn_organs(loaded, self.recipe)
        made = replace(made, image=made.image.to(self.device), undrawn=undrawn)
        if isinstance(case, Case):
            self.kept[position] = made
        return made


def _other_sides(recipe: Recipe) -> dict[int, int]:
    """For the position of each class that has another side, that side's."""
    sides = recipe.augmentation.sides
    at = {one.name: n for n, one in enumerate(recipe.model.classes)}
    pairs = [] if sides is None else [(at[one], at[other]) for one, other in sides.pairs]
    return dict(pairs) | {other: one for one, other in pairs}


def undrawn_organs(case: LoadedCase, recipe: Recipe) -> tuple[int, ...]:
    """Positions of the organ classes that nobody drew in a case of partly drawn data."""
    if isinstance(recipe.data, PhantomData) or not recipe.data.partly_drawn:
        return ()
    there = {item.class_name for item in case.truth.items}
    classes = enumerate(recipe.model.classes)
    return tuple(n for n, one in classes if one.kind == "organ" and one.name not in there)


def on_model_grid(case: LoadedCase, card: Card) -> GridCase:
    """A case as the network sees it: preprocessed, its objects on the model's grid."""
    prepared = preprocess(case.volumes, card)
    position = {one.name: n for n, one in enumerate(card.classes)}
    objects = []
    for item in case.truth.items:
        box, mask = _on_grid(item, prepared)
        objects.append(GridObject(position[item.class_name], item.kind == "organ", box, mask))
    image = torch.as_tensor(np.asarray(prepared.image))
    return GridCase(case.id, image, tuple(objects))


def _on_grid(item: Instance, prepared: Prepared) -> tuple[Box, NDArray[np.bool_]]:
    """An instance's box and mask on the model's grid, of its volume; never empty."""
    # So much around the object that nothing of it is left there, smoothed as it is below.
    coarser = max(prepared.geometry.spacing_mm) / min(prepared.image_geometry.spacing_mm)
    more = 2 + math.ceil(3 * coarser)
    z, y, x = (
        slice(max(part.start - more, 0), min(part.stop + more, length))
        for part, length in zip(item.box, prepared.image_geometry.shape, strict=True)
    )
    wider = np.zeros([part.stop - part.start for part in (z, y, x)], dtype=np.float32)
    inner = tuple(
        slice(part.start - outer.start, part.stop - outer.start)
        for part, outer in zip(item.box, (z, y, x), strict=True)
    )
    wider[inner] = item.mask
    source = prepared.image_geometry.crop((z, y, x)).reoriented(prepared.axes, prepared.flips)
    target = _covering(source, prepared.geometry)
    turned = np.ascontiguousarray(reoriented_array(wider, prepared.axes, prepared.flips))
    grid = prepared.geometry.crop(target)
    to_source = GridMap.between(grid, source)
    # Smoothed as the image is: else a coarse grid sees every second voxel alone.
    share = resample_linear(torch.from_numpy(turned)[None], to_source, grid.shape)
    mask = hardened(share[0]).numpy()
    tight = tight_box(mask)
    if tight is None:
        return _nearest_voxel(item, prepared)
    z, y, x = (
        slice(part.start + outer.start, part.stop + outer.start)
        for part, outer in zip(tight, target, strict=True)
    )
    return (z, y, x), mask[tight]


def _nearest_voxel(item: Instance, prepared: Prepared) -> tuple[Box, NDArray[np.bool_]]:
    """The voxel that holds the middle of an object too small to own one."""
    middle = np.argwhere(item.mask).mean(axis=0) + [part.start for part in item.box]
    world = prepared.image_geometry.index_to_world(middle)
    index = np.rint(prepared.geometry.world_to_index(world)).astype(int)
    z, y, x = (
        slice(int(i), int(i) + 1) for i in np.clip(index, 0, np.array(prepared.geometry.shape) - 1)
    )
    return (z, y, x), np.ones((1, 1, 1), dtype=bool)


def _covering(part: Geometry, grid: Geometry) -> Box:
    """The box of `grid` that covers all voxels of `part`, whose axes run along its own."""
    ends = part.index_to_world([[-0.5] * 3, [length - 0.5 for length in part.shape]])
    index = grid.world_to_index(ends)
    low = np.floor(index.min(axis=0)).astype(int)
    high = np.ceil(index.max(axis=0)).astype(int) + 1
    z, y, x = (
        slice(min(max(int(a), 0), length - 1), min(max(int(b), 1), length))
        for a, b, length in zip(low, high, grid.shape, strict=True)
    )
    return z, y, x
