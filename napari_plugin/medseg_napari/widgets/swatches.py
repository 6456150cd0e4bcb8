"""Small squares in the colour of a class, for tables."""

from __future__ import annotations

from functools import lru_cache

from qtpy.QtGui import QColor, QPixmap

SIZE = 12
"""Pixels a side."""


@lru_cache(maxsize=256)
def swatch(rgb: tuple[int, int, int]) -> QPixmap:
    """A square of the colour, one for all cells that ask.

    A cell that gives a QColor has Qt make another picture each time it is drawn, and keep it.
    """
    picture = QPixmap(SIZE, SIZE)
    picture.fill(QColor(*rgb))
    return picture
