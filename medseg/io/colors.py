"""The colours of classes: one for a class in every file and picture."""

from __future__ import annotations

from collections.abc import Sequence

from medseg.types import InstanceClass

PALETTE = (
    (255, 209, 64),
    (84, 200, 255),
    (255, 120, 190),
    (140, 230, 110),
    (255, 150, 70),
    (190, 160, 255),
    (80, 230, 200),
    (255, 110, 100),
    (205, 230, 90),
    (160, 200, 220),
)
"""Red, green, blue of classes that bring no colour; all are bright enough for a dark image."""


def class_colors(classes: Sequence[InstanceClass]) -> dict[str, tuple[int, int, int]]:
    """The colour of each class by name: its own, else that of its position among the classes."""
    return {
        one.name: one.color or PALETTE[position % len(PALETTE)]
        for position, one in enumerate(classes)
    }
