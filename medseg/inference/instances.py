"""A study window by window for heads that find whole objects: run, stitch, back to the image."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from itertools import product

import numpy as np
from numpy.typing import NDArray

from medseg.card import CardClass
from medseg.heads.contract import WindowInstance
from medseg.heads.gather import Found, numbered
from medseg.inference.dense import Maps, blended_slabs
from medseg.inference.engines import InstanceEngine, WindowResult, window_runner
from medseg.inference.stitching import PlacedInstance, placed, stitch
from medseg.inference.windows import WindowPlan
from medseg.transforms.grids import GridMap, interpolate_at
from medseg.transforms.pipeline import Prepared
from medseg.types import InputWarning, Instance, Shape, tight_box

Progress = Callable[[int, int], None]

FULL = 0.9
"""From this share of its places on, a window may hold more objects than a head can give."""


def find_instances(
    engine: InstanceEngine,
    prepared: Prepared,
    plan: WindowPlan,
    classes: Sequence[CardClass],
    progress: Progress | None = None,
) -> tuple[list[Instance], tuple[InputWarning, ...]]:
    """Organs and lesions on the image's grid (turned to S, P, L), numbered by class and position.

    Organs are blended over windows like a dense head's; lesions are stitched from what each window
    shows, then taken to the image's grid and measured against the decoder's limits. A warning
    (`instance-limit`) says where a head may have had more objects in a window than it can give.
    """
    found: list[PlacedInstance] = []
    full = 0

    def note(start: Shape, result: WindowResult) -> Maps:
        nonlocal full
        found.extend(placed(result.objects, start, plan.window))
        full += result.fired >= FULL
        return result.maps

    run = window_runner(prepared.image, plan.window, engine.run)
    to_model = GridMap.between(prepared.turned_geometry, prepared.geometry)
    shape = prepared.turned_geometry.shape
    organs: list[Instance] = []
    if engine.decoder.organs is None:
        _run_all(lambda start: note(start, run(start)), plan, progress)
    else:
        slabs = blended_slabs(
            lambda start: note(start, run(start)), engine.specs, plan, shape, to_model, progress
        )
        organs = engine.decoder.organs.group(slabs, prepared.geometry.spacing_mm)
    voxel_mm3 = 1000 * prepared.turned_geometry.voxel_ml
    whole = stitch(
        found,
        plan,
        prepared.geometry.shape,
        least_score=engine.decoder.score_threshold,
        double_iou=engine.decoder.double_iou,
    )
    lesions = [
        (item.class_id, one)
        for item in whole
        if (one := on_image_grid(item, to_model, prepared.geometry.shape, shape)) is not None
        and one.voxel_count >= engine.decoder.smallest_mm3 / voxel_mm3
    ]
    items = _all_numbered(organs, lesions, classes)
    return items, _limit_warnings(full, plan.count)


def on_image_grid(
    item: WindowInstance, to_model: GridMap, model_shape: Shape, shape: Shape
) -> Found | None:
    """An object of the model's grid on the image's, by trilinear probabilities; None if empty."""
    padded, corner = _padded(item, model_shape)
    ranges = [
        _covered(part, to_model.scale[axis], to_model.offset[axis], shape[axis])
        for axis, part in enumerate(item.box)
    ]
    if not all(part.start < part.stop for part in ranges):
        return None
    axes = [
        to_model.coordinates(axis, part.start, part.stop) - corner[axis]
        for axis, part in enumerate(ranges)
    ]
    z, y, x = (axis.ravel() for axis in np.meshgrid(*axes, indexing="ij"))
    lengths = [part.stop - part.start for part in ranges]
    probability = interpolate_at(padded[None], z, y, x)[0].reshape(lengths)
    inner = tight_box(probability > 0.5)
    if inner is None:
        return None
    first, second, third = (
        slice(part.start + around.start, part.stop + around.start)
        for part, around in zip(inner, ranges, strict=True)
    )
    mask = probability[inner] > 0.5
    crop, around = probability.astype(np.float16), (ranges[0], ranges[1], ranges[2])
    return Found(0, item.score, (first, second, third), mask, crop, around)


def _limit_warnings(full: int, windows: int) -> tuple[InputWarning, ...]:
    if not full:
        return ()
    detail = (
        f"in {full} of {windows} windows nine tenths of the model's places for objects were taken: "
        "there may be more than it can give, and the count too low"
    )
    return (InputWarning("instance-limit", detail),)


def _run_all(run: Callable[[Shape], object], plan: WindowPlan, progress: Progress | None) -> None:
    for done, start in enumerate(product(*plan.starts), start=1):
        run(start)
        if progress is not None:
            progress(done, plan.count)


def _padded(item: WindowInstance, shape: Shape) -> tuple[NDArray[np.float32], list[int]]:
    """The crop with a voxel of 0 around it, but its own values beyond the volume's border."""
    padded = np.zeros([length + 2 for length in item.probability.shape], dtype=np.float32)
    padded[1:-1, 1:-1, 1:-1] = item.probability
    for axis, (part, length) in enumerate(zip(item.box, shape, strict=True)):
        planes = np.moveaxis(padded, axis, 0)
        if part.start == 0:
            planes[0] = planes[1]
        if part.stop == length:
            planes[-1] = planes[-2]
    return padded, [part.start - 1 for part in item.box]


def _covered(part: slice, scale: float, offset: float, length: int) -> slice:
    """Indices of the image's grid that lie less than a voxel of the model's from `part`."""
    first = int(np.ceil((part.start - 1 - offset) / scale))
    last = int(np.floor((part.stop - offset) / scale))
    return slice(max(first, 0), min(last + 1, length))


def _all_numbered(
    organs: Iterable[Instance],
    lesions: Iterable[tuple[int, Found]],
    classes: Sequence[CardClass],
) -> list[Instance]:
    position = {one.name: n for n, one in enumerate(classes)}
    by_class: dict[int, list[Found]] = {}
    for class_id, one in lesions:
        by_class.setdefault(class_id, []).append(one)
    items = [*organs, *numbered(list(by_class.items()), classes)]
    items.sort(key=lambda one: (position[one.class_name], [part.start for part in one.box]))
    return [replace(one, id=n) for n, one in enumerate(items, start=1)]
