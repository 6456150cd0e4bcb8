"""What each representation of masks can give at best: exact answers pushed through it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
import torch
from heads_overlap import overlap_figures, whole
from numpy.typing import NDArray
from scipy.ndimage import label, map_coordinates
from torch.nn import functional

from medseg.evaluation import average_precision
from medseg.types import Instance, Instances

ROI_SCALE = 1.1
Masks = list[NDArray[np.bool_]]


def label_map(truth: Instances) -> Masks:
    """One map a class: a voxel is the object's whose centre is nearest, in half box sizes."""
    masks = [whole(item, truth.geometry.shape) for item in truth]
    grid = np.indices(truth.geometry.shape)
    distances = []
    for item, mask in zip(truth, masks, strict=True):
        centre = np.array([(part.start + part.stop - 1) / 2 for part in item.box])
        half = np.array([(part.stop - part.start) / 2 for part in item.box])
        away = (grid - centre[:, None, None, None]) / half[:, None, None, None]
        distances.append(np.where(mask, (away**2).sum(axis=0), np.inf))
    kept = []
    for n, (item, mask) in enumerate(zip(truth, masks, strict=True)):
        rivals = [
            distances[m] for m, other in enumerate(truth) if other.class_name == item.class_name
        ]
        kept.append(mask & (distances[n] == np.min(rivals, axis=0)))
    return kept


def half_resolution(truth: Instances) -> Masks:
    """Means of 2 x 2 x 2 voxels, trilinearly doubled, above a half."""
    return [_halved(whole(item, truth.geometry.shape)) for item in truth]


def roi(truth: Instances, cells: int, *, hard: bool = False) -> Masks:
    """`cells` values a side over the box, a tenth larger, interpolated both ways, above a half.

    `hard` rounds the values to 0 and 1, as a network gives them that is sure of every cell.
    """
    shape = truth.geometry.shape
    return [_through_roi(item, whole(item, shape), cells, hard=hard) for item in truth]


def components(truth: Instances) -> Instances:
    """The connected parts (26) of each class's exact mask, as objects of score 1."""
    items: list[Instance] = []
    for one in truth.classes:
        union = np.zeros(truth.geometry.shape, dtype=np.bool_)
        for item in truth:
            if item.class_name == one.name:
                union[item.box] |= item.mask
        parts, count = label(union, np.ones((3, 3, 3)))
        for n in range(1, count + 1):
            part = Instance.from_mask(
                parts == n, id=len(items) + 1, class_name=one.name, kind=one.kind
            )
            items += [] if part is None else [part]
    return Instances(truth.geometry, items, truth.classes)


REPRESENTATIONS: dict[str, Callable[[Instances], Masks]] = {
    "exact masks": lambda truth: [whole(item, truth.geometry.shape) for item in truth],
    "one label map a class": label_map,
    "half resolution, trilinear up": half_resolution,
    **{f"RoI {n}^3": partial(roi, cells=n) for n in (7, 14, 28)},
    **{f"RoI {n}^3, cells 0 or 1": partial(roi, cells=n, hard=True) for n in (7, 14, 28)},
}


def print_ceilings(truths: Sequence[Instances]) -> None:
    """A row a representation, and first that of connected components on exact masks."""
    print("representation                  AP50   AP75   IoU    pairs  double covered twice")
    parts = [(components(truth), truth) for truth in truths]
    print_row("components of exact masks", parts, float("nan"))
    for name, represent in REPRESENTATIONS.items():
        pairs, ious = [], []
        for truth in truths:
            masks = represent(truth)
            pairs.append((as_found(truth, masks), truth))
            ious += [_iou(mask, item, truth) for mask, item in zip(masks, truth, strict=True)]
        print_row(name, pairs, float(np.mean(ious)))


def print_row(name: str, pairs: Sequence[tuple[Instances, Instances]], iou: float) -> None:
    """One row of the table."""
    ap50, ap75 = (average_precision(pairs, at)["mean"] for at in (0.5, 0.75))
    over = overlap_figures(pairs)
    shares = (ap50, ap75, iou, over.both_found, over.double_coverage, over.covered_recall)
    print(f"{name:<30}" + "".join(f"  {value:.3f}" for value in (*shares, over.twice)))


def as_found(truth: Instances, masks: Masks) -> Instances:
    """Masks as found objects of score 1, in the order of `truth`, without the empty ones."""
    items = []
    for item, mask in zip(truth, masks, strict=True):
        made = Instance.from_mask(mask, id=item.id, class_name=item.class_name, kind=item.kind)
        items += [] if made is None else [made]
    return Instances(truth.geometry, items, truth.classes)


def _iou(mask: NDArray[np.bool_], item: Instance, truth: Instances) -> float:
    exact = whole(item, truth.geometry.shape)
    return float(np.count_nonzero(mask & exact) / np.count_nonzero(mask | exact))


def _halved(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    values = torch.from_numpy(mask.astype(np.float32))[None, None]
    coarse = functional.avg_pool3d(values, 2)
    fine = functional.interpolate(coarse, scale_factor=2, mode="trilinear")
    return np.asarray(fine[0, 0].numpy() > 0.5)


def _through_roi(
    item: Instance, mask: NDArray[np.bool_], cells: int, *, hard: bool
) -> NDArray[np.bool_]:
    lengths = np.array([(part.stop - part.start) * ROI_SCALE for part in item.box])
    middle = np.array([(part.start + part.stop) / 2 for part in item.box])
    low = middle - lengths / 2  # edges: voxel v reaches from v to v + 1
    steps = (np.arange(cells) + 0.5) / cells
    at = np.meshgrid(*(low[:, None] + lengths[:, None] * steps - 0.5), indexing="ij")
    # As RoIAlign does at the window's border: what lies beyond is the outermost voxel again.
    values = map_coordinates(mask.astype(np.float64), at, order=1, mode="nearest")
    if hard:
        values = (values > 0.5).astype(np.float64)
    places = [
        (np.arange(n) + 0.5 - a) / length * cells - 0.5
        for n, a, length in zip(mask.shape, low, lengths, strict=True)
    ]
    back = np.meshgrid(*places, indexing="ij")
    inside = np.all([(p > -0.5) & (p < cells - 0.5) for p in back], axis=0)
    return np.asarray((map_coordinates(values, back, order=1, mode="nearest") > 0.5) & inside)
