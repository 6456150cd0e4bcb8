"""Data sets on disk and of phantoms: which cases there are, and how they are split."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from dataset_cases import build, labels, noise, recipe_of, write_nifti

from medseg.card import Card
from medseg.errors import InputRefused
from medseg.training.datasets import (
    PhantomCase,
    decathlon_cases,
    folder_cases,
    list_cases,
    load_case,
    phantom_split,
    split_cases,
    stem,
)
from medseg.training.recipe import UNTRAINED


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


def test_every_fold_is_held_out_once_and_trained_on_otherwise(tmp_path):
    build(tmp_path, "abcdef")
    recipe = recipe_of({"folds": [["a", "b"], ["c", "d"]], "held_out": ["f"]})
    for number, held_out in ((1, ["a", "b"]), (2, ["c", "d"])):
        one = recipe.fold(number)
        split = split_cases(one.data, list_cases(one, tmp_path))
        assert [case.id for case in split.held_out] == ["f", *held_out]
        assert [case.id for case in split.training] == sorted({*"abcde"} - {*held_out})
    whole = split_cases(recipe.data, list_cases(recipe, tmp_path))
    assert [case.id for case in whole.training] == [*"abcde"]


@pytest.mark.parametrize(("number", "folds"), [(3, "2"), (0, "2")])
def test_a_fold_that_is_not_there_is_refused(number, folds):
    with pytest.raises(InputRefused, match=f"there is no fold {number}: the recipe has {folds}"):
        recipe_of({"folds": [["a"], ["b"]]}).fold(number)
    with pytest.raises(InputRefused, match="the recipe has none"):
        recipe_of({}).fold(1)


def test_a_fold_that_names_no_case_is_refused(tmp_path):
    build(tmp_path, ["toy_1", "toy_2"])
    with pytest.raises(InputRefused, match=r"data.folds.2: the data set has no case 'toy_3'"):
        list_cases(recipe_of({"folds": [["toy_1"], ["toy_3"]]}), tmp_path)


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
