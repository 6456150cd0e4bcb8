"""Pictures of an evaluation: FROC, Bland-Altman, recall by size; as figures or PNG.

Functions of plain arrays. What cannot be drawn is said on the picture.
"""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, MaxNLocator, NullLocator
from numpy.typing import ArrayLike, NDArray

from medseg.evaluation.agreement import BlandAltman, bland_altman, normal_quantile

_DPI = 150
_FONT = "DejaVu Sans"  # comes with matplotlib, so every machine draws the same
# Blue and vermilion of Okabe and Ito: any colour vision tells them apart, grey print too.
_BLUE, _RED, _GREY, _INK = "#0072B2", "#D55E00", "#767676", "#222222"
_LEAST_RATE, _MOST_RATE, _ROOM = 1 / 16, 8.0, 1.2
_WIDE_RANGE = 100.0


class Estimates(NamedTuple):
    """Figures with the ends of their intervals, all (K,); NaN where there is none."""

    value: Sequence[float]
    low: Sequence[float]
    high: Sequence[float]


_NONE = Estimates((), (), ())


class Comparison(NamedTuple):
    """Values of both sides, (N,) and (N,), for one Bland-Altman panel.

    Without `independent` values (several of one patient) no interval is drawn. `whole` values
    are counts; `log` allows a logarithmic axis where values from 0 up span more than 1:100.
    """

    title: str
    pred: ArrayLike
    ref: ArrayLike
    unit: str
    independent: bool = True
    whole: bool = False
    log: bool = False


def png(figure: Figure) -> bytes:
    """A figure as PNG; the same figure gives the same bytes."""
    FigureCanvasAgg(figure)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=_DPI, metadata={"Software": None})
    return buffer.getvalue()


def froc_figure(
    fp_per_case: ArrayLike,
    sensitivity: ArrayLike,
    *,
    rates: Sequence[float] = (),
    at_rates: Estimates = _NONE,
    note: str = "",
) -> Figure:
    """The FROC curve as steps over false alarms a case, in powers of two.

    Shapes: fp_per_case and sensitivity (T,), one a distinct score, by falling score; `at_rates`
    (K,) were read from it at `rates`. What lies left of 1/16 false alarms is drawn at the left
    edge. A curve of NaN gives empty axes that say why, an empty one a line at 0.
    """
    figure, (axes,) = _figure(("FROC",))
    rate, found = (np.asarray(one, dtype=np.float64) for one in (fp_per_case, sensitivity))
    axes.set(xlabel="false alarms a case", ylabel="recall", ylim=(-0.03, 1.05))
    if np.isnan(found).any() or np.isnan(np.asarray(at_rates.value, dtype=np.float64)).any():
        _emptied(axes, "no reference object: there is no recall")
        return figure
    most = float(max([_MOST_RATE, *rates, *rate]))
    _powers_of_two(axes, math.ceil(math.log2(most)))
    end = axes.get_xlim()[1]
    at = np.concatenate([[_LEAST_RATE / _ROOM], np.maximum(rate, _LEAST_RATE / _ROOM), [end]])
    reached = np.concatenate([[0.0], found, found[-1:] if found.size else [0.0]])
    axes.step(at, reached, where="post", color=_BLUE, linewidth=2, label="curve")
    if rate.size == 1:
        note = note or "every prediction has the same score: the curve is one point"
        axes.plot(at[1], found[0], "o", color=_BLUE, markersize=8)
    if len(rates):
        at = np.maximum(np.asarray(rates, dtype=np.float64), _LEAST_RATE / _ROOM)
        _error_bars(axes, at, at_rates, label="at the rates of the table")
        axes.legend(loc="best", edgecolor="none", framealpha=0.95, fontsize=9)
    _subtitle(axes, note)
    return figure


def bland_altman_figure(panels: Sequence[Comparison], *, confidence: float = 0.95) -> Figure:
    """Differences over means of both sides, with bias and limits of agreement, a panel each.

    Shaded are the bias's and the limits' confidence intervals (exact, for normally distributed
    differences). Points that coincide are drawn larger. One pair has no limits; no pair gives
    empty axes that say so.
    """
    figure, several = _figure([panel.title for panel in panels])
    for axes, panel in zip(several, panels, strict=True):
        _bland_altman(axes, panel, confidence)
    return figure


def recall_by_size_figure(
    names: Sequence[str], recall: Estimates, n: Sequence[int], *, overall: float = math.nan
) -> Figure:
    """Recall of each size class with its interval; `n` reference objects stand below each.

    A class without an object has no point. `overall` is drawn as a line.
    """
    figure, (axes,) = _figure(("Recall by size of the reference object",))
    axes.set(ylabel="recall", ylim=(-0.03, 1.05), xlim=(-0.6, max(len(names), 1) - 0.4))
    if not any(n):
        _emptied(axes, "no reference object: there is no recall")
        return figure
    place = np.arange(len(names), dtype=np.float64)
    if not math.isnan(overall):
        axes.axhline(overall, color=_GREY, linewidth=1.2, linestyle="--", zorder=1)
        _beside(axes, overall, f"all sizes\n{overall:.2f}", _GREY)
    _error_bars(axes, place, recall)
    axes.set_xticks(place, [f"{name}\nn = {count}" for name, count in zip(names, n, strict=True)])
    axes.tick_params(axis="x", length=0)
    return figure


def _bland_altman(axes: Axes, panel: Comparison, confidence: float) -> None:
    pred, ref = (np.asarray(one, dtype=np.float64) for one in (panel.pred, panel.ref))
    unit = f" ({panel.unit})" if panel.unit else ""
    axes.set(xlabel=f"mean of both{unit}", ylabel=f"prediction \N{MINUS SIGN} reference{unit}")
    found = bland_altman(pred, ref, confidence=confidence)
    if found.n == 0:
        _emptied(axes, "nothing to compare")
        return
    mean, difference = (pred + ref) / 2, pred - ref
    if panel.log and mean.min() > 0 and mean.max() > _WIDE_RANGE * mean.min():
        axes.set_xscale("log")
        axes.set_xlabel(f"mean of both{unit}, log scale")
    elif panel.whole:
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.yaxis.set_major_locator(MaxNLocator(integer=True))
    axes.axhline(0, color=_INK, linewidth=0.8, zorder=1)
    _points(axes, mean, difference)
    _limits(axes, found, shaded=panel.independent)
    n = f"n = {found.n}"
    if found.n == 1:
        n += ": no limits of agreement"
    elif not panel.independent:
        n += ", not independent: no intervals"
    _subtitle(axes, n)
    _room_around(axes, found, difference)


def _points(axes: Axes, x: NDArray[np.float64], y: NDArray[np.float64]) -> None:
    (x, y), count = np.unique(np.stack([x, y]), axis=1, return_counts=True)
    face, size = f"{_BLUE}66", 28.0 * count
    axes.scatter(x, y, s=size, facecolor=face, edgecolor=_BLUE, linewidth=1, zorder=3)


def _limits(axes: Axes, found: BlandAltman, *, shaded: bool) -> None:
    z = normal_quantile(found.coverage)
    lines = [(found.bias, found.bias_low, found.bias_high, "bias", _INK, "-")]
    if found.sd > 0:
        for sign, value, low, high in (
            ("+", found.upper, found.upper_low, found.upper_high),
            ("\N{MINUS SIGN}", found.lower, found.lower_low, found.lower_high),
        ):
            lines.append((value, low, high, f"{sign}{z:.2f} SD", _RED, "--"))
    for value, low, high, name, color, style in lines:
        axes.axhline(value, color=color, linestyle=style, linewidth=1.5, zorder=2)
        if shaded and not math.isnan(low) and low < high:
            axes.axhspan(low, high, color=color, alpha=0.12, linewidth=0, zorder=0)
        _beside(axes, value, f"{name}\n{_short(value)}", color)


def _room_around(axes: Axes, found: BlandAltman, difference: NDArray[np.float64]) -> None:
    """Limits of y: all points and lines, and of an interval no more than half their distance."""
    low, high = float(min(0.0, difference.min())), float(max(0.0, difference.max()))
    if found.sd > 0:
        reach = (found.upper - found.lower) / 2
        low = min(low, max(found.lower_low, found.lower - reach))
        high = max(high, min(found.upper_high, found.upper + reach))
    if low == high:
        low, high = low - 1.0, high + 1.0
    axes.set_ylim(low - (high - low) * 0.06, high + (high - low) * 0.06)


def _error_bars(axes: Axes, x: NDArray[np.float64], found: Estimates, label: str = "") -> None:
    value, low, high = (np.asarray(one, dtype=np.float64) for one in found)
    there = ~np.isnan(value)
    ends = np.stack([value - low, high - value])
    # A percentile interval may leave its own figure out; a bar then starts at the figure.
    ends = np.maximum(np.nan_to_num(ends), 0.0)
    axes.errorbar(
        x[there],
        value[there],
        yerr=ends[:, there],
        fmt="o",
        color=_RED,
        markersize=6,
        capsize=4,
        linewidth=1.5,
        zorder=3,
        label=label + (", with interval" if np.isfinite(low).any() else ""),
    )


def _powers_of_two(axes: Axes, last: int) -> None:
    powers = range(round(math.log2(_LEAST_RATE)), last + 1)
    shown = [2.0**power for power in powers][:: math.ceil(len(powers) / 12)]
    axes.set_xscale("log", base=2)
    axes.set_xlim(_LEAST_RATE / _ROOM, 2.0**last * _ROOM)
    axes.xaxis.set_major_locator(FixedLocator(shown))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xticklabels([f"1/{round(1 / one)}" if one < 1 else f"{one:g}" for one in shown])


def _figure(titles: Sequence[str]) -> tuple[Figure, list[Axes]]:
    figure = Figure(figsize=(6.4 * len(titles), 4.6), layout="constrained", facecolor="white")
    several = [figure.add_subplot(1, len(titles), n + 1) for n in range(len(titles))]
    for axes, title in zip(several, titles, strict=True):
        axes.set_title(title, loc="left", fontweight="bold", fontsize=12, pad=20, family=_FONT)
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(axis="y", color="#e4e4e4", linewidth=0.8)
        axes.set_axisbelow(True)
    return figure, several


def _emptied(axes: Axes, reason: str) -> None:
    axes.set(xticks=[], yticks=[])
    axes.text(0.5, 0.5, reason, transform=axes.transAxes, ha="center", color=_GREY, fontsize=11)


def _subtitle(axes: Axes, text: str) -> None:
    axes.text(0, 1.025, text, transform=axes.transAxes, color=_GREY, fontsize=9, family=_FONT)


def _beside(axes: Axes, y: float, text: str, color: str) -> None:
    """A label right of the axes, at a height in their values."""
    axes.annotate(
        text,
        (1.0, y),
        xycoords=axes.get_yaxis_transform(),
        xytext=(4, 0),
        textcoords="offset points",
        va="center",
        color=color,
        fontsize=9,
        family=_FONT,
    )


def _short(value: float) -> str:
    return f"{value:.3g}".replace("-", "\N{MINUS SIGN}")
