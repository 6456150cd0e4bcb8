"""What is said before measuring: small objects left out, masks in parts, kinds assumed."""

from __future__ import annotations

import numpy as np
import pytest

from medseg.measurement import (
    component_counts,
    kinds_noted,
    measure,
    parts_noted,
    without_small,
)
from medseg.types import Geometry, InputWarning, InstanceClass, Instances


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
            "small-left-out",
            "1 of 3 objects was left out, smaller than the minimum volume of 0.008 mL",
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


def test_a_minimum_holds_whatever_a_file_made_of_the_spacing() -> None:
    rounded = float(np.float32(0.7))  # below 0.7
    found = three((rounded, rounded, rounded))
    assert [item.id for item in without_small(found, min_volume_ml=8 * 0.343 / 1000)] == [7, 9]
    assert [item.id for item in without_small(found, min_volume_ml=8.0001 * 0.343 / 1000)] == [9]


def test_nothing_left_out_is_nothing_said_and_all_may_be_left_out() -> None:
    found = three()
    assert without_small(found, min_volume_ml=1e-6) is found
    assert len(without_small(found, min_volume_ml=1.0)) == 0
    said = without_small(found, min_volume_ml=1.0).warnings[0].detail
    assert said.startswith("3 of 3 objects were left out")


def test_every_row_says_how_many_were_left_out_and_below_which_volume() -> None:
    table = measure(without_small(three(), min_volume_ml=0.008), groups=["size"])
    said = (
        "warning: small-left-out, 1 of 3 objects was left out, smaller than the minimum volume of "
        "0.008 mL"
    )
    assert table["notes"].str.endswith(said).all()
    assert not table["notes"].str.contains("None").any()


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


def test_one_in_parts_has_and_two_have() -> None:
    labels = np.zeros((3, 9, 9), dtype=np.uint8)
    labels[1, 1, ::4] = 1
    one = Instances.from_labelmap(labels, Geometry.identity(labels.shape))
    labels[2, 8, ::2] = 2
    two = Instances.from_labelmap(labels, Geometry.identity(labels.shape))
    start = [parts_noted(found).warnings[0].detail.split(";")[0] for found in (one, two)]
    assert start == [
        "1 of 1 lesion has several connected parts and counts as one object",
        "2 of 2 lesions have several connected parts and count as one each",
    ]


def test_organs_in_parts_are_not_warned_of_and_parts_counted_already_are_taken() -> None:
    labels = np.zeros((3, 9, 9), dtype=np.uint8)
    labels[1, 1, ::4], labels[1, 5, ::4] = 1, 2
    classes = [InstanceClass("lung", "organ", 1), InstanceClass("tumour", "lesion", 2)]
    found = Instances.from_labelmap(labels, Geometry.identity(labels.shape), classes, "class")
    assert parts_noted(found).warnings[0].detail.startswith("1 of 1 lesion has")
    assert parts_noted(found.filter(lambda item: item.kind == "organ")).warnings == ()
    counts = component_counts(found)
    assert counts.tolist() == [3, 3]
    assert parts_noted(found, parts=counts).warnings == parts_noted(found).warnings
    assert parts_noted(found, parts=np.array([3, 1])) is found


def test_parts_that_were_counted_are_not_counted_again(monkeypatch: pytest.MonkeyPatch) -> None:
    found = three()
    counts = component_counts(found)
    wanted = measure(found)
    calls = []
    monkeypatch.setattr(
        "medseg.measurement.table.component_counts",
        lambda given: calls.append(len(given)) or component_counts(given),
    )
    assert measure(found, parts=counts).equals(wanted) and calls == []
    assert measure(found).equals(wanted) and calls == [3]
    with pytest.raises(ValueError, match=r"one number an object, 3; got \(2,\)"):
        measure(found, parts=counts[:2])


def test_lesions_of_a_class_of_assumed_kind_are_warned_of_by_its_name() -> None:
    labels = np.zeros((3, 9, 9), dtype=np.uint8)
    labels[1, 1, 1], labels[1, 5, 1], labels[2, 7, 1] = 1, 2, 3
    classes = [
        InstanceClass("liver", "lesion", 1),
        InstanceClass("lung", "organ", 2),
        InstanceClass("cancer", "lesion", 3),
    ]
    found = Instances.from_labelmap(labels, Geometry.identity(labels.shape), classes, "class")
    (said,) = kinds_noted(found, {"liver", "lung", "nothing"}).warnings
    assert said == InputWarning(
        "kind-assumed",
        "nothing says the kind of 'liver': 1 object counts as a lesion, for RECIST too; say the "
        "kind if it is an organ",
    )
    (both,) = kinds_noted(found, {"liver", "cancer"}).warnings
    assert "'liver', 'cancer': 2 objects count as lesions" in both.detail
    assert kinds_noted(found, {"lung"}) is found
    assert measure(kinds_noted(found, {"liver"}))["notes"].str.contains("kind-assumed").all()


def test_of_many_classes_of_assumed_kind_five_are_named() -> None:
    labels = np.zeros((1, 1, 7), dtype=np.uint8)
    labels[0, 0] = np.arange(1, 8)
    classes = [InstanceClass(f"c{n}", "lesion", n) for n in range(1, 8)]
    found = Instances.from_labelmap(labels, Geometry.identity(labels.shape), classes, "class")
    (said,) = kinds_noted(found, [one.name for one in classes]).warnings
    assert "'c5' and 2 more: 7 objects" in said.detail and "c6" not in said.detail
