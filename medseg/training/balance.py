"""Set how easily each organ is found so that volumes come out right."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np

from medseg.errors import InputRefused
from medseg.evaluation.overlap import volume_error
from medseg.heads.contract import organ_ids
from medseg.inference.segmentation import segment
from medseg.models.loading import Model
from medseg.training.datasets import LoadedCase

FOUND_THOUGH_ABSENT = 1.0
"""The relative error of a volume where there should be none, which divided by 0 has none."""
FIRST_STEP, LAST_STEP = 0.4, 0.1
"""How far the search moves a logit at first and at last."""

Shifts = tuple[float, ...]


def balance_volumes(model: Model, cases: Sequence[LoadedCase], device: str) -> Shifts:
    """Shift the logits of a model's organs until as many volumes come out too large as too small.

    Dice losses let thin ends of an organ go, and of two organs that share a border one grows at
    the other's cost: a constant for each organ, found by a search from 0 on whole cases, sets that
    right. It is the median of the signed errors over `cases` that is brought to 0: a few cases far
    off do not decide. Returns the shifts, in the order of the card's organs; the model holds them.

    Raises InputRefused (`recipe-invalid`) where there is no organ class or no case.
    """
    organs = [model.card.classes[n].name for n in organ_ids(model.card.classes)]
    if not organs or not cases:
        raise InputRefused(
            code="recipe-invalid",
            subject="training.balance_volumes",
            detail="there is no organ class or no validation case to balance volumes by",
            remedy="leave it out, or name validation cases",
        )
    held: Shifts = (0.0,) * len(organs)

    def error(shifts: Shifts) -> float:
        nonlocal held
        model.network.shift_organs([new - old for new, old in zip(shifts, held, strict=True)])
        held = shifts
        return _median_error(model, cases, organs, device)

    best = least(error, held)
    model.network.shift_organs([new - old for new, old in zip(best, held, strict=True)])
    return best


def least(error: Callable[[Shifts], float], start: Shifts) -> Shifts:
    """Where a function is least, by steps along one axis at a time that halve where none helps.

    Hooke and Jeeves, Journal of the ACM 8 (1961), without their pattern moves.
    """
    best, lowest = start, error(start)
    step = FIRST_STEP
    while step >= LAST_STEP:
        moves = [
            tuple(round(one + sign * step * (n == axis), 6) for n, one in enumerate(best))
            for axis in range(len(best))
            for sign in (1, -1)
        ]
        tried = [(error(move), move) for move in moves]
        found, move = min(tried)
        if found < lowest:
            best, lowest = move, found
        else:
            step /= 2
    return best


def _median_error(
    model: Model, cases: Sequence[LoadedCase], organs: Sequence[str], device: str
) -> float:
    """How far the median relative volume error is from 0, a mean over organs; infinite without any.

    An organ that is found though it is absent counts as an error of 1; what is absent on both sides
    is left out.
    """
    errors: dict[str, list[float]] = {name: [] for name in organs}
    for case in cases:
        found = volume_error(segment(case.volumes, model, device=device), case.truth)
        for name in organs:
            if not math.isnan(found[name]):
                told = math.isfinite(found[name])
                errors[name].append(found[name] if told else FOUND_THOUGH_ABSENT)
    medians = [abs(float(np.median(one))) for one in errors.values() if one]
    return float(np.mean(medians)) if medians else math.inf
