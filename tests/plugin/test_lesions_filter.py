"""The fields of the filter: what they were shown they give back unrounded."""

from __future__ import annotations

import math

import pytest
from medseg_napari.session import Filter


@pytest.fixture
def box(needs_window, qtbot):
    from medseg_napari.widgets.lesions_filter import FilterBox

    made = FilterBox()
    qtbot.addWidget(made)
    made.offer(["tumour", "node"], [])
    return made


@pytest.mark.parametrize(
    "ends", [(0.0005, math.inf), (1.23456789e-7, 0.25), (0.0, 12_345.6), (0.1, 0.30000001)]
)
def test_another_field_leaves_a_volume_exactly_as_it_was(box, ends) -> None:
    box.show_filter(Filter(volume_ml=ends, score=(0.123456789, math.inf)))
    box.classes.setCurrentText("tumour")
    assert box.filter == Filter(
        classes=frozenset(["tumour"]), volume_ml=ends, score=(0.123456789, math.inf)
    )


def test_a_field_says_small_volumes_without_idle_zeros(box) -> None:
    box.show_filter(Filter(volume_ml=(0.0005, 2.5)))
    point = box.locale().decimalPoint()
    assert [spin.text() for spin in box.volume] == [f"0{point}0005", f"2{point}5"]


def test_an_entered_end_counts_and_the_largest_means_and_above(box) -> None:
    box.show_filter(Filter(volume_ml=(0.0005, 2.5)))
    box.volume[0].setValue(0.002)
    box.volume[1].setValue(box.volume[1].maximum())
    assert box.filter == Filter(volume_ml=(0.002, math.inf))
    box.reset.click()
    assert box.filter == Filter()
