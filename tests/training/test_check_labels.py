"""Faults of label maps: values, classes, sizes and pieces."""

from __future__ import annotations

import numpy as np
import pytest
from check_cases import CASES, ODD, SHAPE, found, image, labels, labels_of, recipe_of, save

from medseg.training.check import check_folder


def test_a_class_that_the_recipe_lacks_is_found(root):
    array = labels()
    array[9, 9, 9] = 7
    save(labels_of(root), array)
    report = check_folder(root, recipe=recipe_of())
    assert [(one.case, one.code) for one in report.faults] == [(ODD, "class-unknown")]
    assert report.faults[0].detail == "no class has label 7; there are {1: 'part_1', 2: 'part_2'}"


def test_a_class_that_the_other_cases_lack_is_told(root):
    array = labels()
    array[8:10, 8:10, 8:10] = 7
    save(labels_of(root), array)
    assert found(root) == [("warning", ODD, "class-rare")]


def test_an_organ_that_most_cases_have_is_missed(root):
    save(labels_of(root), np.where(labels() == 2, 0, labels()))
    assert found(root) == [("warning", ODD, "class-absent")]
    assert found(root, recipe_of()) == [("warning", ODD, "class-absent")]
    assert found(root, recipe_of(("organ", "lesion"))) == []


@pytest.mark.parametrize("value", [0.5, np.nan, -1.0])
def test_labels_that_are_no_whole_numbers_are_found(root, value):
    array = labels().astype(np.float32)
    array[9, 9, 9] = value
    save(labels_of(root), array)
    (one,) = check_folder(root).faults
    assert (one.severity, one.case) == ("error", ODD)
    assert one.code == ("not-finite" if np.isnan(value) else "labels-not-integer")


def test_whole_numbers_saved_as_floats_are_no_fault(root):
    save(labels_of(root), labels().astype(np.float32))
    assert found(root) == []


def test_an_empty_label_map_is_found_and_may_be_right_for_lesions(root):
    save(labels_of(root), np.zeros(SHAPE, dtype=np.uint8))
    assert found(root) == [("error", ODD, "label-empty")]
    assert found(root, recipe_of(("lesion", "lesion"))) == [("warning", ODD, "label-empty")]


@pytest.mark.parametrize("far", [True, False])
def test_an_organ_of_impossible_size_is_found(root, far):
    """Usual are 60 voxels: 12 are a fifth, which is impossible, 30 are half, which is not."""
    array = labels()
    array[1:4] = 0
    array[1, 1:4, 1:5] = 1
    if not far:
        array[1:3, 1:4, 1:6] = 1
    save(labels_of(root), array)
    assert found(root) == ([("error", ODD, "size-impossible")] if far else [])


def test_sizes_are_not_judged_for_lesions(root):
    array = labels()
    array[1:4] = 0
    array[1, 1, 1:3] = 1
    save(labels_of(root), array)
    assert found(root, recipe_of(("lesion", "organ"))) == []


def test_an_organ_of_one_voxel_is_found_in_any_company(tmp_path):
    array = labels()
    array[1:4] = 0
    array[1, 1, 1] = 1
    save(tmp_path / "images" / "a.nii", image(0))
    save(tmp_path / "labels" / "a.nii", array)
    (one,) = check_folder(tmp_path).faults
    assert (one.code, one.detail) == ("size-impossible", "label 1 is a single voxel")


def test_an_object_that_fills_the_image_is_found(root):
    for case in CASES:
        save(labels_of(root, case), np.ones(SHAPE, dtype=np.uint8))
    report = check_folder(root)
    assert {(one.case, one.code) for one in report.faults} == {
        (case, "size-impossible") for case in CASES
    }
    assert report.faults[0].detail == "label 1 fills 100 % of the image"


def test_an_organ_in_pieces_is_told_and_a_lesion_class_in_pieces_is_not(root):
    array = labels()
    array[9, 9, 9] = 1
    save(labels_of(root), array)
    (one,) = check_folder(root).faults
    assert (one.severity, one.case, one.code) == ("warning", ODD, "several-components")
    assert "2 components; 1 of 61 voxels" in one.detail
    assert found(root, recipe_of(("lesion", "organ"))) == []


def test_pieces_that_meet_at_a_corner_are_one(root):
    array = labels()
    array[4, 6, 5] = 1
    save(labels_of(root), array)
    assert found(root) == []


def test_labels_that_are_in_pieces_everywhere_are_no_fault_without_a_recipe(root):
    for case in CASES:
        array = labels()
        array[9, 9, 9] = 1
        save(labels_of(root, case), array)
    assert found(root) == []
    assert len(found(root, recipe_of())) == len(CASES)


def test_a_label_map_of_instances_is_not_judged_as_classes(root):
    for seed, case in enumerate(CASES):
        array = labels(seed)
        array[9, 0, : seed + 1] = np.arange(3, seed + 4)
        save(labels_of(root, case), array)
    assert found(root, recipe_of(["lesion"], label_values="instance")) == []
