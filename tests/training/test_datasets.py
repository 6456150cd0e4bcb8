"""Data sets on disk: which cases there are, how they are split, and what reading one gives."""

from __future__ import annotations

import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from medseg.card import Card, SUVScale
from medseg.errors import InputRefused
from medseg.io import read, write
from medseg.training.datasets import (
    Case,
    PhantomCase,
    decathlon_cases,
    folder_cases,
    list_cases,
    load_case,
    phantom_split,
    split_cases,
    stem,
)
from medseg.training.recipe import UNTRAINED, Recipe
from medseg.transforms.channels import check_meaning
from medseg.types import Instance, InstanceClass, Instances

TRAINING = {
    "seed": 0,
    "steps": 10,
    "batch_size": 1,
    "crop_shape": [8, 8, 8],
    "learning_rate": 0.01,
    "validate_every": 5,
}
ORGANS = ({"name": "front", "kind": "organ", "label": 1},)
MIXED = (*ORGANS, {"name": "spot", "kind": "lesion", "label": 2})


def recipe_of(data: dict, *, classes=ORGANS, channels=("t1",), modality="MR") -> Recipe:
    model = {
        "name": "toy",
        "version": "1",
        "summary": "",
        "intended_use": "",
        "limits": "",
        "modality": modality,
        "body_part": "head",
        "licence": {"data": "CC0-1.0", "weights": "CC0-1.0", "attribution": ""},
        "channels": [
            {"name": name, "normalisation": {"kind": "z_score"}, "required": name != "t2"}
            for name in channels
        ],
        "classes": list(classes),
        "spacing_mm": [1, 1, 1],
        "window_shape": [8, 8, 8],
        "backbone": {"name": "any"},
        "head": {"name": "any"},
    }
    data = {"kind": "folders", "name": "toys", "images": "images", "labels": "labels", **data}
    if data["kind"] != "folders":
        del data["images"], data["labels"]
    return Recipe.model_validate({"model": model, "data": data, "training": TRAINING})


def write_nifti(path: Path, array: np.ndarray, affine: np.ndarray | None = None) -> Path:
    """`array` (z, y, x) as NIfTI, whose own order is (x, y, z), with 1 mm voxels."""
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(nib.Nifti1Image(array.T, np.eye(4) if affine is None else affine), path)
    return path


def noise(seed: int, shape=(6, 7, 8)) -> np.ndarray:
    return np.random.default_rng(seed).normal(100, 20, shape).astype(np.float32)


def labels(shape=(6, 7, 8)) -> np.ndarray:
    array = np.zeros(shape, dtype=np.uint8)
    array[1:3, 1:3, 1:3] = 1
    return array


def build(root: Path, names=("a", "b", "c")) -> Path:
    for seed, name in enumerate(names):
        write_nifti(root / "images" / f"{name}.nii.gz", noise(seed))
        write_nifti(root / "labels" / f"{name}.nii.gz", labels())
    return root


def test_images_and_labels_are_paired_by_name_whatever_their_format(tmp_path):
    for name in ("images/b.nii", "images/a.nii.gz", "labels/a.nrrd", "labels/b.seg.nrrd"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.touch()
    (tmp_path / "images" / "._a.nii.gz").touch()
    (tmp_path / "images" / "notes.txt").touch()
    (tmp_path / "images" / "c").mkdir()
    cases = folder_cases({"t1": tmp_path / "images"}, tmp_path / "labels")
    assert [(one.id, one.images["t1"].name, one.label and one.label.name) for one in cases] == [
        ("a", "a.nii.gz", "a.nrrd"),
        ("b", "b.nii", "b.seg.nrrd"),
        ("c", "c", None),
    ]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("x.nii.gz", "x"),
        ("x.y.NII", "x.y"),
        ("x.seg.nrrd", "x"),
        ("x.mhd", "x"),
        ("x.raw", None),
        (".x.nii", None),
        (".nii", None),
    ],
)
def test_a_case_is_named_by_its_file_without_suffix(name, expected):
    assert stem(name) == expected


def test_channels_lie_in_folders_or_are_told_apart_by_a_pattern(tmp_path):
    for name in ("images/ms_01_flair.nii.gz", "images/ms_01_t1.nii.gz", "t2/ms_01.nii.gz"):
        write_nifti(tmp_path / name, noise(0))
    write_nifti(tmp_path / "labels" / "ms_01.nii.gz", labels())
    images = {
        "flair": "images/{id}_flair.nii.gz",
        "t1": "images/{id}_t1.nii.gz",
        "t2": "t2",
    }
    recipe = recipe_of({"images": images}, channels=("flair", "t1", "t2"))
    (case,) = list_cases(recipe, tmp_path)
    assert case.id == "ms_01"
    assert {channel: path.name for channel, path in case.images.items()} == {
        "flair": "ms_01_flair.nii.gz",
        "t1": "ms_01_t1.nii.gz",
        "t2": "ms_01.nii.gz",
    }


def test_two_files_of_one_name_are_refused(tmp_path):
    build(tmp_path)
    (tmp_path / "images" / "a.nii").touch()
    with pytest.raises(InputRefused, match=r"a: a.nii and a.nii.gz in images are one case"):
        list_cases(recipe_of({}), tmp_path)


@pytest.mark.parametrize("part", ["images", "labels"])
def test_a_missing_folder_is_named(tmp_path, part):
    build(tmp_path)
    (tmp_path / part).rename(tmp_path / "elsewhere")
    with pytest.raises(InputRefused, match=f"{part}: there is no such folder"):
        list_cases(recipe_of({}), tmp_path)


def test_a_data_set_without_files_is_refused(tmp_path):
    for part in ("images", "labels"):
        (tmp_path / part).mkdir()
    with pytest.raises(InputRefused, match="holds no image and no label map"):
        list_cases(recipe_of({}), tmp_path)


def test_each_case_goes_where_the_recipe_puts_it(tmp_path):
    build(tmp_path, "abcdef")
    recipe = recipe_of({"held_out": ["b"], "validation": ["e"], "exclude": ["a"]})
    split = split_cases(recipe.data, list_cases(recipe, tmp_path))
    assert [one.id for one in split.training] == ["c", "d", "f"]
    assert [one.id for one in split.validation] == ["e"]
    assert [one.id for one in split.held_out] == ["b"]


def test_cases_that_were_left_out_are_in_no_part(tmp_path):
    build(tmp_path, "abc")
    recipe = recipe_of({"held_out": ["b"]})
    kept = [case for case in list_cases(recipe, tmp_path) if case.id == "a"]
    split = split_cases(recipe.data, kept)
    assert ([one.id for one in split.training], split.held_out) == (["a"], ())


@pytest.mark.parametrize("part", ["held_out", "validation", "exclude"])
def test_a_recipe_that_names_no_case_is_refused(tmp_path, part):
    build(tmp_path, ["toy_1", "toy_2"])
    said = rf"data.{part}: the data set has no case 'toy_3'; did you mean toy_\d\? \(and 1 more\)"
    with pytest.raises(InputRefused, match=said) as refused:
        list_cases(recipe_of({part: ["toy_3", "toy_4"]}), tmp_path)
    assert refused.value.code == "recipe-invalid"


def test_a_split_that_trains_on_nothing_is_refused(tmp_path):
    build(tmp_path, "ab")
    recipe = recipe_of({"held_out": ["a"], "validation": ["b"]})
    with pytest.raises(InputRefused, match="toys: no case is left to train on"):
        split_cases(recipe.data, list_cases(recipe, tmp_path))


def decathlon(folder: Path, **changes: object) -> Path:
    entries = [
        {"image": f"./imagesTr/{name}.nii.gz", "label": f"./labelsTr/{name}.nii.gz"}
        for name in ("la_007", "la_003")
    ]
    content = {"modality": {"0": "MRI"}, "labels": {"0": "background", "1": "front"}}
    path = folder / "dataset.json"
    path.write_text(json.dumps({**content, "training": entries, **changes}), encoding="utf-8")
    return path


def test_a_decathlon_lists_its_training_cases(tmp_path):
    decathlon(tmp_path, test=["./imagesTs/la_001.nii.gz"])
    first, second = list_cases(recipe_of({"kind": "decathlon"}), tmp_path)
    assert (first.id, second.id) == ("la_003", "la_007")
    assert first.images["t1"] == tmp_path / "imagesTr" / "la_003.nii.gz"
    assert first.label == tmp_path / "labelsTr" / "la_003.nii.gz"


@pytest.mark.parametrize(
    ("modality", "channels", "said"),
    [
        ({"0": "FLAIR", "1": "T1w"}, ["t1"], "dataset.json: its files hold 2 channels each"),
        ({"0": "MRI"}, ["t1", "t2"], "has one channel, the recipe t1, t2"),
    ],
)
def test_other_channels_than_a_decathlon_file_has_are_refused(tmp_path, modality, channels, said):
    path = decathlon(tmp_path, modality=modality)
    with pytest.raises(InputRefused, match=said):
        decathlon_cases(path, channels)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("{", "cannot be read"),
        ("[]", "has no list named training"),
        ('{"training": []}', "lists no case"),
        ('{"training": [{"label": "a.nii"}]}', "names no image"),
        (
            '{"training": [{"image": "a.nii"}, {"image": "x/a.nii.gz"}]}',
            "case a stands in it twice",
        ),
    ],
)
def test_a_faulty_dataset_json_is_refused(tmp_path, content, said):
    path = tmp_path / "dataset.json"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(InputRefused, match=f"dataset.json: .*{said}") as refused:
        decathlon_cases(path, ["t1"])
    assert refused.value.code == "dataset-invalid"


def test_a_missing_dataset_json_is_refused(tmp_path):
    with pytest.raises(InputRefused, match="dataset.json: there is no such file"):
        list_cases(recipe_of({"kind": "decathlon"}), tmp_path)


def load_only(root: Path, recipe: Recipe):
    (case,) = list_cases(recipe, root)
    return load_case(case, recipe)


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


SPOTS = (
    {"name": "ellipsoid", "kind": "lesion", "label": 1},
    {"name": "shell", "kind": "lesion", "label": 2},
)
SEEDS = {
    "kind": "phantom",
    "generator": "touching_lesions",
    "training_seeds": [10, 13],
    "validation_seeds": [5, 6],
    "shape": [24, 32, 32],
}


def test_phantoms_are_split_by_seed_and_made_on_demand():
    recipe = recipe_of(SEEDS, classes=SPOTS)
    split = phantom_split(recipe.data)
    assert [one.seed for one in split.training] == [10, 11, 12]
    assert [one.id for one in split.validation] == ["seed-5"]
    first = load_case(split.training[0], recipe)
    again = load_case(PhantomCase("x", 10, "touching_lesions", (24, 32, 32)), recipe)
    assert first.volumes["t1"].array.shape == (24, 32, 32)
    np.testing.assert_array_equal(first.volumes["t1"].array, again.volumes["t1"].array)
    assert len(first.truth) > 0


def test_a_phantom_of_other_classes_than_the_recipe_is_refused():
    recipe = recipe_of(SEEDS)
    said = r"model.classes: touching_lesions makes 1 ellipsoid \(lesion\), 2 shell \(lesion\)"
    with pytest.raises(InputRefused, match=said):
        load_case(phantom_split(recipe.data).training[0], recipe)


def test_phantoms_have_no_files_to_list(tmp_path):
    with pytest.raises(ValueError, match="phantom_split"):
        list_cases(recipe_of(SEEDS), tmp_path)


def test_the_model_part_of_a_recipe_is_a_card_not_yet_trained():
    recipe = recipe_of({})
    assert isinstance(recipe.model, Card)
    assert recipe.model.training == UNTRAINED
