"""The table of the model of MS lesions: what counts as found, invented and missed."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType

import numpy as np
import pytest

from medseg.types import Geometry, Instances

Load = Callable[[str], ModuleType]
SHAPE = (20, 20, 20)


@pytest.fixture
def ms(load: Load) -> ModuleType:
    return load("model_ms")


def lesions(*boxes: tuple[slice, slice, slice]) -> Instances:
    """Boxes as lesions, 1 mm voxels."""
    labels = np.zeros(SHAPE, dtype=np.uint8)
    for n, box in enumerate(boxes, start=1):
        labels[box] = n
    return Instances.from_labelmap(labels, Geometry(SHAPE, np.eye(4)))


def cube(z: int, y: int, x: int, side: int = 3) -> tuple[slice, slice, slice]:
    return slice(z, z + side), slice(y, y + side), slice(x, x + side)


TRUTH = (cube(0, 0, 0), cube(0, 0, 6), cube(0, 0, 12), cube(10, 10, 10))


def test_a_lesion_is_found_by_any_voxel_and_a_false_alarm_meets_none(ms: ModuleType) -> None:
    found = lesions(cube(2, 2, 2), cube(0, 0, 6), cube(16, 0, 0))
    row = ms.lesion_row("a", found, lesions(*TRUTH))
    assert (row["TP"], row["FP"], row["FN"]) == (2, 1, 2)
    recall, precision = 2 / 4, 2 / 3
    assert row["F1"] == pytest.approx(2 * recall * precision / (recall + precision))
    assert row["F1, one to one"] == pytest.approx(2 * 2 / (3 + 4))
    assert (row["lesions"], row["of"]) == (3, 4)
    assert row["count off"] == pytest.approx(-0.25)
    assert row["Dice"] == pytest.approx(2 * (1 + 27) / (81 + 108))
    assert row["of ml"] == pytest.approx(0.108)


def test_one_that_covers_two_finds_both_but_stands_for_one(ms: ModuleType) -> None:
    found = lesions((slice(0, 3), slice(0, 3), slice(0, 9)))
    row = ms.lesion_row("a", found, lesions(*TRUTH[:2]))
    assert (row["TP"], row["FP"], row["FN"]) == (2, 0, 0)
    assert row["F1"] == 1.0
    assert row["F1, one to one"] == pytest.approx(2 / 3)


def test_lesions_below_3_mm3_do_not_count_on_either_side(ms: ModuleType) -> None:
    two = (slice(18, 19), slice(18, 19), slice(18, 20))
    three = (slice(18, 19), slice(0, 1), slice(17, 20))
    row = ms.lesion_row("a", lesions(cube(0, 0, 0), two), lesions(cube(0, 0, 0), three, two))
    assert (row["TP"], row["FP"], row["FN"]) == (1, 0, 1)
    # Their voxels do.
    assert row["Dice"] == pytest.approx(2 * 29 / (29 + 32))


def test_nothing_found_is_nothing_right(ms: ModuleType) -> None:
    row = ms.lesion_row("a", lesions(), lesions(*TRUTH))
    assert (row["TP"], row["FP"], row["FN"], row["F1"], row["Dice"]) == (0, 0, 4, 0.0, 0.0)


def test_bars_are_of_the_mean_brain_but_for_the_count(ms: ModuleType) -> None:
    good = ms.lesion_row("a", lesions(*TRUTH), lesions(*TRUTH))
    bad = ms.lesion_row("b", lesions(cube(0, 0, 0)), lesions(*TRUTH))
    title = f"{ms.MODEL}, one brain left out, FLAIR alone"
    assert ms.missed({title: [good, ms.mean_row([good])]}) == []
    words = ms.missed({title: [good, bad, ms.mean_row([good, bad])]})
    assert words == [f"{title}: b has 1 lesions of 4"]
    words = ms.missed({title: [bad, ms.mean_row([bad])]})
    assert [one.split(": ")[1].split()[0] for one in words] == ["Dice", "F1", "b"]


def test_the_mean_counts_how_far_off_whichever_way(ms: ModuleType) -> None:
    rows = [{"case": "a", "count off": 0.5}, {"case": "b", "count off": -0.5}]
    assert ms.mean_row(rows) == {"case": "mean", "count off": 0.5}


def test_froc_is_read_by_the_lesions_scores(ms: ModuleType) -> None:
    truth = lesions(*TRUTH)
    row = ms.froc_row("all", [(truth, truth)])
    assert row["at 2"] == 1.0
    assert row["what"] == "all"
