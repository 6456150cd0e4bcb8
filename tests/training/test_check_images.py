"""Faults of images: their values, their grid, and the same one twice."""

from __future__ import annotations

import numpy as np
import pytest
from check_cases import (
    AFFINE,
    CASES,
    ODD,
    SHAPE,
    found,
    image,
    image_of,
    labels,
    labels_of,
    recipe_of,
    save,
)

from medseg.training.check import check_folder
from medseg.training.faults import outliers


@pytest.mark.parametrize(
    ("value", "code"), [(5.0, "constant-image"), (np.nan, "not-finite"), (np.inf, "not-finite")]
)
def test_a_constant_image_and_one_with_nan_are_found(root, value, code):
    array = image(4)
    array[...] = value if code == "constant-image" else array
    array[2, 2, 2] = value
    save(image_of(root), array)
    assert found(root) == [("error", ODD, code)]


@pytest.mark.parametrize("part", [image_of, labels_of])
def test_a_file_that_cannot_be_read_is_found_and_the_rest_is_checked(root, part):
    part(root).write_bytes(b"no image")
    save(labels_of(root, CASES[7]), np.zeros(SHAPE, dtype=np.uint8))
    report = check_folder(root)
    assert sorted(report.faulty) == [ODD, CASES[7]]
    assert "no image" not in "".join(one.detail for one in report.faults)


def test_one_image_under_two_names_is_found(root):
    save(image_of(root, CASES[8]), image(4).astype(np.float64))
    (one,) = check_folder(root).faults
    assert (one.severity, one.case, one.code) == ("error", CASES[8], "duplicate-image")
    assert ODD in one.detail


def test_intensities_of_another_scale_are_told(root):
    save(image_of(root), image(4) * 1000)
    assert found(root) == [("warning", ODD, "intensity-unusual")]
    assert found(root, recipe_of(modality="MR")) == []


def test_ct_values_above_zero_are_told(root):
    for seed, case in enumerate(CASES):
        array = image(seed)
        array[0] = -1000
        save(image_of(root, case), array if case != ODD else array + 1024)
    expected = [("warning", ODD, "intensity-unusual")]
    assert found(root) == found(root, recipe_of(modality="CT")) == expected


def test_pet_values_too_large_for_suv_are_told(root):
    save(image_of(root), image(4) * 50)
    assert found(root, recipe_of(modality="PT")) == [("warning", ODD, "intensity-unusual")]


def test_an_unusual_spacing_is_told(root):
    affine = AFFINE @ np.diag([1, 1, 2.5, 1])
    save(image_of(root), image(4), affine)
    save(labels_of(root), labels(), affine)
    assert found(root) == [("warning", ODD, "spacing-unusual")]


def test_another_axis_order_is_no_unusual_spacing(root):
    flat = np.diag([1.0, 1.5, 5.0, 1.0])
    for seed, case in enumerate(CASES):
        save(image_of(root, case), image(seed), flat)
        save(labels_of(root, case), labels(seed), flat)
    turned = flat[:, [2, 0, 1, 3]]
    save(image_of(root), image(4).transpose(1, 2, 0), turned)
    save(labels_of(root), labels().transpose(1, 2, 0), turned)
    assert found(root) == []


def test_outliers_need_company_and_both_limits():
    usual = [1.0, 1.1, 0.9, 1.05, 0.95, 1.0, 1.0]
    assert not outliers([*usual[:6], 100.0], 4.0).any()
    assert outliers([*usual, 100.0], 4.0).tolist() == [False] * 7 + [True]
    assert outliers([*usual, 0.01], 4.0).tolist() == [False] * 7 + [True]
    assert not outliers([*usual, 3.0], 4.0).any()
    wide = [1.0, 3.0, 9.0, 27.0, 81.0, 243.0, 729.0, 2187.0]
    assert not outliers(wide, 4.0).any()
