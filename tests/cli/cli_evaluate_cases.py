"""Label maps of cubes, and what `medseg evaluate` says of them, that its tests share."""

from __future__ import annotations

import json

import numpy as np
from cli_cases import Outcome

SHAPE = (16, 16, 16)
FAST = ("--bootstrap", 20)


def blocks(**corners: tuple[int, int]) -> np.ndarray:
    """Values v1, v2, ... as cubes: corner along every axis and side."""
    array = np.zeros(SHAPE, dtype=np.uint8)
    for name, (corner, side) in corners.items():
        where = slice(corner, corner + side)
        array[where, where, where] = int(name[1:])
    return array


def figures(outcome: Outcome, size_class: str = "all") -> dict[str, float]:
    """The figures of all classes by metric."""
    assert outcome.code == 0, outcome
    return {
        row["metric"]: row["value"]
        for row in json.loads(outcome.out)["summary"]
        if (row["class_name"], row["size_class"]) == ("all", size_class)
    }
