"""The first test of a recipe: can its network learn one small window by heart?"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from medseg.card import Card, CTWindow
from medseg.errors import InputRefused
from medseg.evaluation.detection import average_precision
from medseg.inference.segmentation import segment
from medseg.models import build
from medseg.training.datasets import list_cases, load_case, phantom_split, split_cases
from medseg.training.grid_cases import on_model_grid
from medseg.training.recipe import Recipe
from medseg.training.run import ProgressCallback, Run, open_fabric
from medseg.training.sections import PhantomData
from medseg.training.windows import GridCase, GridObject, cut_image, whole_window
from medseg.types import Box, Geometry, Instance, Instances, Shape, Volume, tight_box

STEPS = 300
LENGTH = 24
"""Voxels of the window's sides; more where the backbone needs it."""
IOU = 0.5
LOOK_EVERY = 25
LEAST_SHARE = 0.5
"""A lesion of which the window holds less than this share is not asked for."""
AS_IT_IS = CTWindow(kind="ct_window", low_hu=-1e6, high_hu=1e6, mean_hu=0.0, std_hu=1.0)


class Overfit(NamedTuple):
    """How well a window was learned: AP at IoU 0.5, steps taken, objects and shape (z, y, x)."""

    ap50: float
    steps: int
    objects: int
    shape: Shape


def overfit_one(
    recipe: Recipe,
    *,
    data_root: Path,
    device: str = "auto",
    steps: int = STEPS,
    progress: ProgressCallback | None = None,
) -> Overfit:
    """Train a recipe on one window alone, without augmentation, until its AP50 is 1 or steps end.

    The window is cut from the first training case with an object, where most objects are. Rates,
    schedule and weights of losses are the recipe's, spread over `steps`; its `init` is not used.

    Raises:
        InputRefused: `dataset-invalid` where no training case has an object; what reading raises.
        MissingExtraError: the extra "train" is not installed.
    """
    fabric = open_fabric(device, recipe.training.precision, devices=1)
    fabric.launch()
    multiple = build(recipe.model).multiple
    length = -(-LENGTH // multiple) * multiple
    case = _first_window(recipe, data_root, (length, length, length))
    plan = _plan(recipe, case, steps)
    truth = _truth(case, plan.model)
    volumes = _volumes(case, plan.model)
    window = whole_window(case)
    threads = torch.get_num_threads()
    torch.set_num_threads(recipe.training.threads or threads)
    try:
        run, ap50 = Run.start(plan, fabric), 0.0
        while ap50 < 1.0 and run.progress.step < steps:
            run.step([window])
            run.progress.step += 1
            done = run.progress.step
            if progress is not None:
                progress(done, steps)
            if done % LOOK_EVERY == 0 or done == steps:
                found = segment(volumes, run.model(), device=str(fabric.device.type))
                ap50 = average_precision([(found, truth)], IOU)["mean"]
    finally:
        torch.set_num_threads(threads)
    return Overfit(ap50, run.progress.step, len(truth), truth.geometry.shape)


def cut_case(case: GridCase, first: Sequence[int], shape: Shape) -> GridCase:
    """The part of a case from voxel `first` (z, y, x) on, as a case of its own.

    Lesions of which less than half lies there are left out. Beyond the image its outermost voxels
    are repeated.
    """
    last = [start + length for start, length in zip(first, shape, strict=True)]
    objects = []
    for one in case.objects:
        mask = np.zeros(shape, dtype=bool)
        there = tuple(
            slice(max(part.start, a) - part.start, max(min(part.stop, b) - part.start, 0))
            for part, a, b in zip(one.box, first, last, strict=True)
        )
        piece = one.mask[there]
        if not piece.any():
            continue
        corner = [max(part.start - a, 0) for part, a in zip(one.box, first, strict=True)]
        mask[tuple(slice(c, c + n) for c, n in zip(corner, piece.shape, strict=True))] = piece
        share = np.count_nonzero(piece) / np.count_nonzero(one.mask)
        box = tight_box(mask)
        if box is not None and (one.exclusive or share >= LEAST_SHARE):
            objects.append(GridObject(one.class_id, one.exclusive, box, mask[box]))
    return GridCase(case.id, cut_image(case.image, first, last), tuple(objects))


def _first_window(recipe: Recipe, data_root: Path, shape: Shape) -> GridCase:
    """The fullest window of the first training case that has an object in one."""
    if isinstance(recipe.data, PhantomData):
        cases = phantom_split(recipe.data).training
    else:
        cases = split_cases(recipe.data, list_cases(recipe, data_root)).training
    for one in cases:
        case = on_model_grid(load_case(one, recipe), recipe.model)
        windows = [cut_case(case, _around(item.box, case, shape), shape) for item in case.objects]
        fullest = max(windows, key=lambda window: len(window.objects), default=None)
        if fullest is not None and fullest.objects:
            return fullest
    detail, remedy = "no training case has an object", "bring cases with objects"
    raise InputRefused("dataset-invalid", recipe.data.name, detail, remedy)


def _around(box: Box, case: GridCase, shape: Shape) -> list[int]:
    """Where a window with a box in its middle begins; inside the image, if that is as large."""
    wanted = [
        (part.start + part.stop - length) // 2 for part, length in zip(box, shape, strict=True)
    ]
    lengths = [int(length) for length in case.image.shape[1:]]
    return [
        min(max(start, 0), max(whole - length, 0))
        for start, whole, length in zip(wanted, lengths, shape, strict=True)
    ]


def _plan(recipe: Recipe, case: GridCase, steps: int) -> Recipe:
    """The recipe for this window; its values are normalised already, so they are taken as is."""
    shape = tuple(int(length) for length in case.image.shape[1:])
    channels = tuple(
        one.model_copy(update={"normalisation": AS_IT_IS}) for one in recipe.model.channels
    )
    card = {"modality": "CT", "channels": channels, "window_shape": shape, "mirror_axes": ()}
    training = {
        "steps": steps,
        "warmup_steps": min(recipe.training.warmup_steps, steps // 10),
        "batch_size": 1,
        "ema_decay": 0.0,
        "init": None,
    }
    return recipe.model_copy(
        update={
            "model": recipe.model.model_copy(update=card),
            "training": recipe.training.model_copy(update=training),
        }
    )


def _volumes(case: GridCase, card: Card) -> dict[str, Volume]:
    """The window's channels as volumes; an optional one that is absent stays so."""
    geometry = Geometry.from_spacing(case.image.shape[1:], card.spacing_mm)
    return {
        one.name: Volume(values, geometry, "CT", "HU")
        for one, values in zip(card.channels, case.image.numpy(), strict=True)
        if one.required or values.any()
    }


def _truth(case: GridCase, card: Card) -> Instances:
    geometry = Geometry.from_spacing(case.image.shape[1:], card.spacing_mm)
    items = [
        Instance(
            n,
            card.classes[one.class_id].name,
            card.classes[one.class_id].kind,
            1.0,
            one.box,
            one.mask,
        )
        for n, one in enumerate(case.objects, start=1)
    ]
    return Instances(geometry, items, card.instance_classes)
