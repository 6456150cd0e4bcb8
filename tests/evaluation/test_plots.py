"""Plots: what is drawn is what was given, and what cannot be drawn is said."""

from __future__ import annotations

import io
import math

import matplotlib.image
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from medseg.evaluation.agreement import bland_altman
from medseg.evaluation.plots import (
    Comparison,
    Estimates,
    bland_altman_figure,
    froc_figure,
    png,
    recall_by_size_figure,
)

RATES = (0.125, 1.0, 8.0)
AT_RATES = Estimates((0.2, 0.5, 0.9), (0.1, 0.4, math.nan), (0.3, 0.7, math.nan))


def text_of(figure: Figure) -> str:
    return " | ".join(
        one.get_text() for axes in figure.axes for one in [*axes.texts, *axes.get_xticklabels()]
    )


def heights(axes: Axes, style: str) -> list[float]:
    """Where lines of this style that cross the whole axes lie."""
    return [
        float(line.get_ydata()[0])
        for line in axes.lines
        if line.get_linestyle() == style and len(line.get_ydata()) == 2
    ]


@pytest.fixture
def froc() -> Figure:
    return froc_figure([0.0, 0.5, 2.0], [0.2, 0.5, 0.9], rates=RATES, at_rates=AT_RATES, note="n")


def test_the_froc_curve_is_a_step_from_zero_to_the_right_edge(froc) -> None:
    (axes,) = froc.axes
    x, y = axes.lines[0].get_data()
    assert axes.lines[0].get_drawstyle() == "steps-post"
    assert y.tolist() == [0.0, 0.2, 0.5, 0.9, 0.9]
    assert x[2:4].tolist() == [0.5, 2.0]
    assert (x[1], x[-1]) == (axes.get_xlim()[0], axes.get_xlim()[1])  # 0 has no place in powers


def test_the_froc_curve_shows_the_rates_and_their_intervals(froc) -> None:
    (axes,) = froc.axes
    marks = next(line for line in axes.lines if line.get_marker() == "o")
    assert marks.get_xdata().tolist() == list(RATES)
    assert marks.get_ydata().tolist() == list(AT_RATES.value)
    bars = [segment[:, 1].tolist() for one in axes.collections for segment in one.get_segments()]
    assert bars[0] == pytest.approx([0.1, 0.3])
    assert bars[2] == pytest.approx([0.9, 0.9])  # no interval: no length
    assert "1/8" in text_of(froc) and "8" in text_of(froc)


def test_many_false_alarms_widen_the_axis() -> None:
    figure = froc_figure([100.0], [0.5])
    assert figure.axes[0].get_xlim()[1] > 100
    assert "one point" in text_of(figure)


def test_no_prediction_is_a_line_at_zero() -> None:
    figure = froc_figure(
        [], [], rates=RATES, at_rates=Estimates((0.0,) * 3, (0.0,) * 3, (0.0,) * 3)
    )
    assert set(figure.axes[0].lines[0].get_ydata()) == {0.0}


@pytest.mark.parametrize(
    "figure",
    [
        froc_figure([0.5], [math.nan]),
        froc_figure([], [], rates=(1.0,), at_rates=Estimates((math.nan,), (0,), (0,))),
        recall_by_size_figure(["small"], Estimates([math.nan], [math.nan], [math.nan]), [0]),
    ],
)
def test_without_a_reference_the_plot_says_so(figure) -> None:
    assert "no reference object" in text_of(figure)
    assert not figure.axes[0].lines


def test_bland_altman_draws_bias_and_limits_where_they_are() -> None:
    pred, ref = [1.0, 2.5, 4.0, 5.5], [1.5, 2.0, 4.5, 4.0]
    figure = bland_altman_figure([Comparison("Volume", pred, ref, "ml")])
    (axes,) = figure.axes
    found = bland_altman(pred, ref)
    assert heights(axes, "--") == pytest.approx([found.upper, found.lower])
    assert heights(axes, "-") == pytest.approx([0.0, found.bias])
    points = sorted(axes.collections[0].get_offsets().tolist())
    assert points == [[1.25, -0.5], [2.25, 0.5], [4.25, -0.5], [4.75, 1.5]]
    assert len(axes.patches) == 3  # the intervals of bias and both limits
    assert "+1.96 SD" in text_of(figure) and "n = 4" in text_of(figure)


def test_values_that_are_not_independent_get_no_interval() -> None:
    panel = Comparison("Volume", [1, 2, 3], [1, 3, 5], "ml", independent=False)
    figure = bland_altman_figure([panel])
    assert not figure.axes[0].patches
    assert "no intervals" in text_of(figure)


def test_points_that_coincide_are_drawn_larger() -> None:
    figure = bland_altman_figure([Comparison("n", [3, 3, 4], [2, 2, 4], "objects", whole=True)])
    sizes = figure.axes[0].collections[0].get_sizes()
    assert sorted(sizes / min(sizes)) == [1.0, 2.0]


def test_one_pair_has_no_limits_and_none_has_nothing() -> None:
    figure = bland_altman_figure([Comparison("a", [3], [2], ""), Comparison("b", [], [], "")])
    one, none = figure.axes
    assert heights(one, "--") == []
    assert not none.lines
    assert "no limits of agreement" in text_of(figure)
    assert "nothing to compare" in text_of(figure)


def test_equal_differences_are_one_line() -> None:
    (axes,) = bland_altman_figure([Comparison("a", [3, 4], [2, 3], "")]).axes
    assert heights(axes, "--") == []
    assert heights(axes, "-") == [0.0, 1.0]


@pytest.mark.parametrize(("least", "scale"), [(0.01, "log"), (1.0, "linear"), (0.0, "linear")])
def test_values_over_a_wide_range_stand_on_a_logarithmic_axis(least, scale) -> None:
    panel = Comparison("a", [least, 5.0, 50.0], [least, 6.0, 40.0], "ml", log=True)
    (axes,) = bland_altman_figure([panel]).axes
    assert axes.get_xscale() == scale
    assert ("log scale" in axes.get_xlabel()) == (scale == "log")


def test_wild_intervals_do_not_squeeze_the_points() -> None:
    (axes,) = bland_altman_figure([Comparison("a", [1, 2], [1, 3], "")]).axes  # 2 pairs
    found = bland_altman([1, 2], [1, 3])
    low, high = axes.get_ylim()
    assert high - low < 3 * (found.upper - found.lower)


def test_recall_by_size_has_a_point_for_each_class_with_an_object() -> None:
    figure = recall_by_size_figure(
        ["small", "middle", "large"],
        Estimates([0.25, math.nan, 1.0], [0.1, math.nan, 0.8], [0.5, math.nan, 1.0]),
        [4, 0, 3],
        overall=0.6,
    )
    (axes,) = figure.axes
    marks = next(line for line in axes.lines if line.get_marker() == "o")
    assert (marks.get_xdata().tolist(), marks.get_ydata().tolist()) == ([0, 2], [0.25, 1.0])
    assert heights(axes, "--") == [0.6]
    assert "middle\nn = 0" in text_of(figure)


def test_a_png_is_the_same_each_time_and_can_be_read(froc) -> None:
    content = png(froc)
    assert content == png(froc)
    picture = matplotlib.image.imread(io.BytesIO(content), format="png")
    assert picture.shape[:2] == (690, 960)
    assert picture[..., :3].std() > 0.05
    assert picture[..., 3].min() == 1.0
