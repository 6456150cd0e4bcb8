"""Histograms for a page of HTML: bars and ticks as numbers that a template draws."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

WIDTH, HEIGHT = 340.0, 120.0
"""Of the field of bars, in pixels of the drawing."""

_MOST_BARS = 24
_BARS_A_DECADE = 6


class Bar(NamedTuple):
    """A bar from `x`, `y` (its top) with width and height in pixels, and what it counts."""

    x: float
    y: float
    width: float
    height: float
    says: str


class Histogram(NamedTuple):
    """A title, bars, (x, text) below them, the highest count, and a line about all values."""

    title: str
    bars: Sequence[Bar]
    ticks: Sequence[tuple[float, str]]
    highest: int
    caption: str


def of_counts(title: str, values: NDArray[np.int64]) -> Histogram:
    """Whole numbers from 0, (N,), N at least 1, in at most 24 bars of equal width."""
    step = math.ceil((int(values.max()) + 1) / _MOST_BARS)
    bins = int(values.max()) // step + 1
    counts = np.bincount(values // step, minlength=bins)
    names = [
        str(n * step) if step == 1 else f"{n * step}–{(n + 1) * step - 1}" for n in range(bins)
    ]
    bars = _bars(counts, names)
    every = math.ceil(bins / 8)
    ticks = [(bar.x + bar.width / 2, names[n]) for n, bar in enumerate(bars) if n % every == 0]
    return Histogram(title, bars, ticks, int(counts.max()), _caption(values))


def of_volumes(title: str, values_ml: NDArray[np.float64], without: str = "") -> Histogram:
    """Volumes above 0 in ml, (N,), N at least 1, six bars a decade; `without` ends the caption."""
    low, high = (math.log10(float(one)) for one in (values_ml.min(), values_ml.max()))
    first = math.floor(low)
    last = max(math.ceil(high), first + 1)
    bins = (last - first) * _BARS_A_DECADE
    edges = 10.0 ** np.linspace(first, last, bins + 1)
    places = np.clip(np.searchsorted(edges, values_ml, side="right") - 1, 0, bins - 1)
    counts = np.bincount(places, minlength=bins)
    names = [f"{_short(a)}–{_short(b)} ml" for a, b in pairwise(edges)]
    ticks = [
        (WIDTH * n / (last - first), f"{10.0 ** (first + n):g}") for n in range(last - first + 1)
    ]
    caption = f"{_caption(values_ml)} ml{without}"
    return Histogram(title, _bars(counts, names), ticks, int(counts.max()), caption)


def _bars(counts: NDArray[np.int64], names: Sequence[str]) -> list[Bar]:
    width, highest = WIDTH / len(counts), max(1, int(counts.max()))
    heights = [HEIGHT * int(count) / highest for count in counts]
    return [
        Bar(n * width, HEIGHT - height, max(1.0, width - 1), height, f"{name}: {count}")
        for n, (height, name, count) in enumerate(zip(heights, names, counts, strict=True))
    ]


def _caption(values: NDArray[np.int64] | NDArray[np.float64]) -> str:
    low, middle, high = map(_short, np.percentile(values, (0, 50, 100)))
    return f"n = {len(values):,}; median {middle}, from {low} to {high}"


def _short(value: float) -> str:
    """Three digits that count, never as a power of ten below a million."""
    return f"{float(f'{value:.3g}'):,g}"
