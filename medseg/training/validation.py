"""How good the weights are so far, by the objects they find on whole cases."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from medseg.evaluation.detection import average_precision, count_error
from medseg.evaluation.overlap import class_dice
from medseg.inference.segmentation import segment
from medseg.models.loading import Model
from medseg.training.datasets import LoadedCase

IOU = 0.5


def validate(model: Model, cases: Sequence[LoadedCase], device: str) -> dict[str, float]:
    """Mean Dice of each class; with lesions also average precision and the error of the count.

    Every case is segmented whole, as a user would. NaN where a class is in no case.
    """
    pairs = [(segment(case.volumes, model, device=device), case.truth) for case in cases]
    figures: dict[str, float] = {}
    scores = [class_dice(*pair) for pair in pairs]
    for one in model.card.classes:
        values = np.array([score.get(one.name, np.nan) for score in scores])
        known = values[np.isfinite(values)]
        figures[f"dice_{one.name}"] = float(known.mean()) if known.size else float("nan")
    if any(one.kind == "lesion" for one in model.card.classes):
        figures["ap50"] = average_precision(pairs, IOU)["mean"]
        figures["count_bias"] = count_error(pairs).bias
    return figures
