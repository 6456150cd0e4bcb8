"""Sizes that a recipe says are possible, and the two sides of a pair."""

from __future__ import annotations

import dataset_cases
import numpy as np
import pytest
from check_cases import CASES, ODD, found, image, labels, labels_of, recipe_of, save

from medseg.models.packages import RECIPE, package_folder
from medseg.training.check import check_folder
from medseg.training.faults import sided_pairs
from medseg.training.recipe import read_recipe


def test_a_size_beyond_what_the_recipe_calls_possible_is_found_without_other_cases(tmp_path):
    save(tmp_path / "images" / "a.nii", image(0))
    save(tmp_path / "labels" / "a.nii", labels())
    assert found(tmp_path, recipe_of(possible_ml={"part_1": (0.1, 0.2)})) == []
    report = check_folder(tmp_path, recipe=recipe_of(possible_ml={"part_2": (0.2, 0.5)}))
    (one,) = report.faults
    assert (one.severity, one.case, one.code) == ("error", "a", "size-impossible")
    assert one.detail == "part_2 (label 2) has 0.18 ml; possible are 0.2 to 0.5 ml"


def test_an_organ_is_told_once_where_both_the_recipe_and_the_set_find_it_odd(root):
    array = labels()
    array[1:4] = 0
    array[1, 1:4, 1:5] = 1
    save(labels_of(root), array)
    assert found(root, recipe_of(possible_ml={"part_1": (0.1, 0.3)})) == [
        ("error", ODD, "size-impossible")
    ]


def test_possible_sizes_in_the_wrong_order_are_refused():
    with pytest.raises(ValueError, match=r"possible_ml\.part_1: 2 is not below 1"):
        recipe_of(possible_ml={"part_1": (2.0, 1.0)})


def test_a_set_that_has_none_of_the_named_cases_is_checked_whole(root):
    assert found(root, recipe_of(held_out=["elsewhere"])) == []
    assert len(check_folder(root, recipe=recipe_of(held_out=["elsewhere"])).cases) == len(CASES)
    assert len(check_folder(root, recipe=recipe_of(exclude=[ODD])).cases) == len(CASES) - 1


@pytest.mark.parametrize("towards_left", [True, False])
def test_right_and_left_that_are_swapped_are_found_however_the_image_lies(tmp_path, towards_left):
    """x of NIfTI's world grows to the right: what lies there is the patient's right."""
    affine = np.diag([-1.0 if towards_left else 1.0, 1.5, 2.0, 1.0])
    right, left = (slice(0, 5), slice(9, 14)) if towards_left else (slice(9, 14), slice(0, 5))
    classes = [
        {"name": name, "kind": "organ", "label": n}
        for n, name in enumerate(("gland_right", "gland_left"), start=1)
    ]
    recipe = dataset_cases.recipe_of({}, classes=classes, channels=["image"])
    for case, swapped in (("a", False), ("b", True)):
        array = np.zeros((10, 12, 14), dtype=np.uint8)
        array[2:6, 3:7, right] = 2 if swapped else 1
        array[2:6, 3:7, left] = 1 if swapped else 2
        save(tmp_path / "images" / f"{case}.nii.gz", image(ord(case)), affine)
        save(tmp_path / "labels" / f"{case}.nii.gz", array, affine)
    (one,) = check_folder(tmp_path, recipe=recipe).faults
    assert (one.severity, one.case, one.code) == ("error", "b", "sides-swapped")
    assert one.detail == "gland_right (label 1) lies on the left of gland_left (label 2)"


def test_pairs_are_told_by_the_words_of_their_names():
    names = {1: "parotid_right", 2: "parotid_left", 3: "Kidney L", 4: "kidney-r", 5: "bright"}
    assert sided_pairs(names) == [(1, 2), (4, 3)]
    assert sided_pairs({1: "parotid_right", 2: "liver"}) == []


def test_the_shipped_recipe_knows_which_contours_are_impossible(shared_data):
    recipe = read_recipe(package_folder("headneck-organs-ct") / RECIPE)
    bad = check_folder(shared_data / "bad_inputs" / "headneck_cord", recipe=recipe)
    errors = [one for one in bad.faults if one.severity == "error"]
    assert [(one.case, one.code) for one in errors] == [
        ("han_216", "size-impossible"),
        ("han_283", "size-impossible"),
    ]
    assert errors[0].detail == "spinal_cord (label 2) has 543 ml; possible are 7 to 80 ml"
