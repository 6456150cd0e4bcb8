"""What reading one case of a data set gives: objects, channels, units, and refusals."""

from __future__ import annotations

import numpy as np
import pytest
from dataset_cases import MIXED, build, labels, load_only, noise, recipe_of, write_nifti

from medseg.card import SUVScale
from medseg.errors import InputRefused
from medseg.io import read, write
from medseg.training.datasets import Case, load_case
from medseg.transforms.channels import check_meaning
from medseg.types import Instance, InstanceClass, Instances


def test_an_organ_is_one_object_and_each_piece_of_a_lesion_class_is_one(tmp_path):
    truth = np.zeros((6, 7, 8), dtype=np.uint8)
    truth[0, 0, 0:2] = truth[4, 0, 0] = 1  # one organ in two pieces
    truth[1, 3, 3] = truth[2, 4, 4] = 2  # joined by a corner
    truth[5, 6, 7] = 2
    write_nifti(tmp_path / "images" / "a.nii.gz", noise(0))
    write_nifti(tmp_path / "labels" / "a.nii.gz", truth)
    loaded = load_only(tmp_path, recipe_of({}, classes=MIXED))
    assert [(one.id, one.class_name, one.kind, one.voxel_count) for one in loaded.truth] == [
        (1, "front", "organ", 3),
        (2, "spot", "lesion", 2),
        (3, "spot", "lesion", 1),
    ]
    assert [one.name for one in loaded.truth.classes] == ["front", "spot"]
    assert (loaded.volumes["t1"].modality, loaded.volumes["t1"].unit) == ("MR", "arbitrary")
    np.testing.assert_array_equal(loaded.volumes["t1"].array, noise(0))


def test_a_label_map_of_instances_gives_one_lesion_a_value(tmp_path):
    truth = np.zeros((6, 7, 8), dtype=np.uint8)
    truth[0, 0, 0], truth[0, 0, 1], truth[5, 5, 5] = 4, 9, 4
    write_nifti(tmp_path / "images" / "a.nii.gz", noise(0))
    write_nifti(tmp_path / "labels" / "a.nii.gz", truth)
    recipe = recipe_of({"label_values": "instance"}, classes=MIXED[1:])
    loaded = load_only(tmp_path, recipe)
    assert [(one.id, one.class_name, one.voxel_count) for one in loaded.truth] == [
        (4, "spot", 2),
        (9, "spot", 1),
    ]


def test_a_label_map_saved_as_floats_is_read(tmp_path):
    build(tmp_path, "a")
    write_nifti(tmp_path / "labels" / "a.nii.gz", labels().astype(np.float32))
    assert [one.voxel_count for one in load_only(tmp_path, recipe_of({})).truth] == [8]


def test_an_optional_channel_may_be_absent_and_a_required_one_not(tmp_path):
    build(tmp_path, "a")
    case = Case("a", {"t1": tmp_path / "images/a.nii.gz"}, tmp_path / "labels/a.nii.gz")
    optional = recipe_of({"images": {"t1": "images", "t2": "t2"}}, channels=("t1", "t2"))
    assert list(load_case(case, optional).volumes) == ["t1"]
    required = recipe_of({"images": {"t1": "images", "dwi": "dwi"}}, channels=("t1", "dwi"))
    with pytest.raises(InputRefused, match=r"a: there is no image of the channel 'dwi'") as no:
        load_case(case, required)
    assert no.value.code == "channel-missing"


def test_segments_of_a_seg_nrrd_are_matched_by_name(tmp_path):
    write_nifti(tmp_path / "images" / "a.nii.gz", noise(0))
    masks = [np.zeros((6, 7, 8), dtype=bool) for _ in range(2)]
    masks[0][1, 1, 1:4] = masks[1][2:4, 5, 5] = True
    items = [
        Instance.from_mask(masks[0], id=1, class_name="spot", kind="lesion"),
        Instance.from_mask(masks[1], id=7, class_name="front", kind="organ"),
    ]
    classes = (InstanceClass("front", "organ", 1), InstanceClass("spot", "lesion", 2))
    geometry = read(tmp_path / "images" / "a.nii.gz").geometry
    (tmp_path / "labels").mkdir()
    write(Instances(geometry, items, classes), tmp_path / "labels" / "a.seg.nrrd")
    loaded = load_only(tmp_path, recipe_of({}, classes=MIXED))
    found = {one.class_name: one.voxel_count for one in loaded.truth}
    assert found == {"spot": 3, "front": 2}
    with pytest.raises(InputRefused, match=r"a: spot is no class; there are \{1: 'front'\}"):
        load_only(tmp_path, recipe_of({}))


@pytest.mark.parametrize("fault", ["shape", "place"])
def test_a_label_map_on_another_grid_is_refused(tmp_path, fault):
    build(tmp_path, "a")
    shape = (6, 7, 9) if fault == "shape" else (6, 7, 8)
    affine = np.diag([1.0, 1.0, 1.05 if fault == "place" else 1.0, 1.0])
    write_nifti(tmp_path / "labels" / "a.nii.gz", labels(shape), affine)
    with pytest.raises(InputRefused, match="a: its grid is not that of the image") as refused:
        load_only(tmp_path, recipe_of({}))
    assert refused.value.code == "grid-mismatch"


@pytest.mark.parametrize(
    ("modality", "unit", "warnings"),
    [("MR", "arbitrary", []), ("CT", "HU", ["unit-assumed"]), ("PT", "unknown", [])],
)
def test_a_unit_that_no_file_says_is_only_taken_where_it_is_sure_or_said(
    tmp_path, modality, unit, warnings
):
    build(tmp_path, "a")
    volume = load_only(tmp_path, recipe_of({}, modality=modality)).volumes["t1"]
    assert (volume.modality, volume.unit) == (modality, unit)
    said = [one for one in volume.warnings if one.code == "unit-assumed"]
    assert [one.code for one in said] == warnings
    assert all("a, channel 't1'" in one.detail and "HU" in one.detail for one in said)


def test_pet_of_unknown_unit_is_warned_of_before_it_is_trained_on(tmp_path):
    build(tmp_path, "a")
    recipe = recipe_of({}, modality="PT")
    (channel,) = recipe.model.channels
    suv = channel.model_copy(update={"normalisation": SUVScale(kind="suv", high_suv=10.0)})
    volumes = load_only(tmp_path, recipe).volumes
    assert [one.code for one in check_meaning(volumes["t1"], suv, recipe.model)] == ["unit-assumed"]


def test_a_constant_image_is_refused(tmp_path):
    build(tmp_path, "a")
    write_nifti(tmp_path / "images" / "a.nii.gz", np.full((6, 7, 8), 3.0))
    with pytest.raises(InputRefused, match="a: every voxel has the value 3"):
        load_only(tmp_path, recipe_of({}))


def test_a_value_without_a_class_and_a_missing_label_map_are_refused(tmp_path):
    build(tmp_path, "a")
    write_nifti(tmp_path / "labels" / "a.nii.gz", labels() * 5)
    with pytest.raises(InputRefused, match=r"a: class_5 is no class; there are \{1: \'front\'\}"):
        load_only(tmp_path, recipe_of({}))
    (tmp_path / "labels" / "a.nii.gz").unlink()
    with pytest.raises(InputRefused, match="a: there is no label map"):
        load_only(tmp_path, recipe_of({}))
