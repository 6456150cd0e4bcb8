"""The figures of one trained head: thresholds from one set of phantoms, the rest from another."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import fields, replace
from typing import NamedTuple

import numpy as np
from heads_overlap import RULE, Pair, overlap_figures

import medseg
from medseg.evaluation import (
    average_precision,
    count_error,
    instance_surface_distances,
    match,
    panoptic_quality,
    surface_dice,
)
from medseg.models import Model
from medseg.phantom import Phantom

DOUBTFUL = 0.05
"""Objects of a lower score are not even looked at."""


class Found(NamedTuple):
    """What a model finds in some phantoms, beside the truth, and the seconds each took."""

    pairs: list[Pair]
    seconds: list[float]


def segmented(
    model: Model, phantoms: Sequence[Callable[[], Phantom]], device: str = "cpu"
) -> Found:
    """Every phantom segmented, as a user would, but with doubtful objects kept."""
    found = Found([], [])
    wary = with_doubtful(model)
    for make in phantoms:
        phantom = make()
        began = time.process_time()
        pred = medseg.segment(phantom.volume, wary, device=device)
        found.seconds.append(time.process_time() - began)
        found.pairs.append((pred, phantom.truth))
    return found


def with_doubtful(model: Model) -> Model:
    """The model with its threshold of scores, where its decoder has one, at `DOUBTFUL`."""
    decoder = model.decoder
    if "score_threshold" not in {one.name for one in fields(decoder)}:
        return model
    return replace(model, decoder=replace(decoder, score_threshold=DOUBTFUL))


def balanced_score(pairs: Sequence[Pair]) -> float:
    """The score at which as many objects are found as there are, or as near as there can be.

    It lies halfway between the last object that counts and the next, and is 0 where all count.
    """
    scores = np.sort([item.score for found, _ in pairs for item in found])[::-1]
    wanted = sum(len(truth) for _, truth in pairs)
    if len(scores) <= wanted:
        return 0.0
    if wanted == 0:
        return math.nextafter(float(scores[0]), math.inf)
    return float(scores[wanted - 1] + scores[wanted]) / 2


def above(pairs: Sequence[Pair], score: float) -> list[Pair]:
    """The pairs with objects of at least this score."""
    return [(found.filter(lambda one: one.score >= score), truth) for found, truth in pairs]


def figures(pairs: Sequence[Pair], score: float) -> dict[str, float]:
    """The figures of a row: average precision of all objects, the rest of those that count.

    Count errors are relative to the truth; "surface_dice" is at one voxel of 1 mm, the mean over
    the objects found at IoU 0.5. A class's figures end in its name.
    """
    counting = above(pairs, score)
    row: dict[str, float] = {"score": score}
    for percent in (10, 50, 75):
        found = average_precision(pairs, percent / 100)
        row[f"ap{percent}"] = found["mean"]
        row |= {f"ap{percent}_{name}": value for name, value in found["per_class"].items()}
    counts = count_error(counting)
    row |= {
        "pq": panoptic_quality(counting).mean_pq,
        "count": counts.bias,
        "count_absolute": counts.absolute,
        "surface_dice": _surface_dice(counting),
    }
    for one in counting[0][1].classes if counting else ():
        row[f"count_{one.name}"] = count_error(_of_class(counting, one.name)).bias
    overlap = overlap_figures(counting)
    return row | {name: float(value) for name, value in overlap._asdict().items()}


def _of_class(pairs: Sequence[Pair], name: str) -> list[Pair]:
    return [
        (
            found.filter(lambda one: one.class_name == name),
            truth.filter(lambda one: one.class_name == name),
        )
        for found, truth in pairs
    ]


def _surface_dice(pairs: Sequence[Pair]) -> float:
    values = []
    for found, truth in pairs:
        matching = match(found, truth, RULE)
        for n, m in zip(matching.pred, matching.ref, strict=True):
            distances = instance_surface_distances(found.items[n], truth.items[m], truth.geometry)
            values.append(surface_dice(distances, 1.0))
    return float(np.mean(values)) if values else math.nan
