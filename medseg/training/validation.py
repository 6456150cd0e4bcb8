"""How good the weights are so far, by the objects they find on whole cases."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from medseg.evaluation.detection import average_precision, count_error
from medseg.evaluation.overlap import class_dice
from medseg.inference.segmentation import segment
from medseg.models.loading import Model
from medseg.training.datasets import LoadedCase
from medseg.types import Instances

IOU = 0.5


def validate(model: Model, cases: Sequence[LoadedCase], device: str) -> dict[str, float]:
    """Mean Dice of each class; with lesions also average precision and the error of the count.

    Every case is segmented whole, as a user would. NaN where a class is in no case. An organ
    counts in the cases where somebody drew it.
    """
    pairs = [(segment(case.volumes, model, device=device), case.truth) for case in cases]
    figures: dict[str, float] = {}
    scores = [_drawn(class_dice(*pair), pair[1]) for pair in pairs]
    for one in model.card.classes:
        values = np.array([score.get(one.name, np.nan) for score in scores])
        known = values[np.isfinite(values)]
        figures[f"dice_{one.name}"] = float(known.mean()) if known.size else float("nan")
    if any(one.kind == "lesion" for one in model.card.classes):
        figures["ap50"] = average_precision(pairs, IOU)["mean"]
        figures["count_bias"] = count_error(pairs).bias
    return figures


def _drawn(scores: Mapping[str, float], truth: Instances) -> dict[str, float]:
    """The scores without those of organs that the truth lacks."""
    absent = {one.name for one in truth.classes if one.kind == "organ"}
    absent -= {item.class_name for item in truth}
    return {name: score for name, score in scores.items() if name not in absent}
