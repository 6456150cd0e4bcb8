"""Small objects are left out by their volume, masks in parts are not judged, and both is said."""

from __future__ import annotations

import numpy as np
import pytest

from medseg.measurement import measure, parts_noted, without_small
from medseg.types import Geometry, InputWarning, Instances


def three(spacing_mm: tuple[float, float, float] = (1.0, 1.0, 1.0)) -> Instances:
    """Objects 4, 7 and 9 of 1, 8 and 27 voxels."""
    labels = np.zeros((10, 10, 10), dtype=np.uint8)
    labels[0, 0, 0] = 4
    labels[2:4, 2:4, 2:4] = 7
    labels[5:8, 5:8, 5:8] = 9
    return Instances.from_labelmap(labels, Geometry.from_spacing(labels.shape, spacing_mm))


def test_what_is_smaller_is_left_out_and_counted_and_ids_stay() -> None:
    kept = without_small(three(), min_volume_ml=0.008)
    assert [item.id for item in kept] == [7, 9]
    assert kept.warnings == (
        InputWarning(
            "small-left-out", "1 of 3 objects are smaller than 0.008 ml and were left out"
        ),
    )


@pytest.mark.parametrize("spacing_mm", [(0.1, 0.1, 0.1), (0.7, 0.3, 1 / 3), (3.1, 0.9, 1.7)])
def test_an_object_of_exactly_that_volume_stays_whatever_the_rounding(spacing_mm) -> None:
    found = three(spacing_mm)
    z, y, x = spacing_mm
    assert [item.id for item in without_small(found, min_volume_ml=8 * (x * z * y) / 1000)] == [
        7,
        9,
    ]


def test_nothing_left_out_is_nothing_said_and_all_may_be_left_out() -> None:
    found = three()
    assert without_small(found, min_volume_ml=1e-6) is found
    assert len(without_small(found, min_volume_ml=1.0)) == 0
    assert "3 of 3" in without_small(found, min_volume_ml=1.0).warnings[0].detail


@pytest.mark.parametrize("volume_ml", [0.0, -1.0, float("nan")])
def test_a_limit_that_is_none_is_a_bad_call(volume_ml: float) -> None:
    with pytest.raises(ValueError, match="min_volume_ml is above 0"):
        without_small(three(), min_volume_ml=volume_ml)


def test_a_mask_of_two_lesions_is_warned_of_and_not_judged() -> None:
    """Two specks 40 mm apart have a diameter that is none of theirs."""
    labels = np.zeros((3, 20, 60), dtype=np.uint8)
    labels[1, 5:7, 5:7] = labels[1, 5:7, 50:52] = 1
    labels[1, 12:14, 20:45] = 2
    specks = parts_noted(Instances.from_labelmap(labels, Geometry.identity(labels.shape)))
    assert [one.code for one in specks.warnings] == ["mask-in-parts"]
    table = measure(specks, groups=["recist"], slice_thickness_mm=1.0, acquisition_axis=0)
    assert table["recist_measurable"].isna().tolist() == [True, False]
    assert table["recist_target_proposed"].isna().tolist() == [True, False]
    assert table["recist_target_proposed"][1]
    assert "in several parts" in table["notes"][0] and "several parts" not in table["notes"][1]


def test_whole_lesions_are_not_warned_of() -> None:
    labels = np.zeros((3, 9, 9), dtype=np.uint8)
    labels[1, 2:5, 2:5] = 4
    whole = Instances.from_labelmap(labels, Geometry.identity(labels.shape))
    assert parts_noted(whole) is whole
