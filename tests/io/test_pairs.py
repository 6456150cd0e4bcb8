"""Files of two folders are paired by their names; what has no partner is told, never dropped."""

from __future__ import annotations

from pathlib import Path

import pytest

from medseg.errors import InputRefused
from medseg.io.pairs import LABEL_SUFFIXES, pair_files, stem


def folder(path: Path, *names: str) -> Path:
    path.mkdir()
    for name in names:
        (path / name).touch()
    return path


def refusal(pred: Path, ref: Path) -> InputRefused:
    with pytest.raises(InputRefused) as caught:
        pair_files(pred, ref)
    return caught.value


def test_files_are_paired_by_name_whatever_their_formats(tmp_path) -> None:
    pred = folder(tmp_path / "pred", "b.seg.nrrd", "a.nii.gz", "c.mha")
    ref = folder(tmp_path / "ref", "a.nrrd", "b.nii", "c.mhd", "c.raw")
    found = pair_files(pred, ref)
    assert [(one.case, one.pred.name, one.ref.name) for one in found.pairs] == [
        ("a", "a.nii.gz", "a.nrrd"),
        ("b", "b.seg.nrrd", "b.nii"),
        ("c", "c.mha", "c.mhd"),
    ]
    assert (found.only_pred, found.only_ref) == ((), ())


def test_files_without_a_partner_are_listed_by_side(tmp_path) -> None:
    pred = folder(tmp_path / "pred", "a.nii.gz", "z.nii.gz", "b.nii.gz")
    ref = folder(tmp_path / "ref", "a.nii.gz", "c.seg.nrrd")
    found = pair_files(pred, ref)
    assert [one.case for one in found.pairs] == ["a"]
    assert found.only_pred == ("b.nii.gz", "z.nii.gz")
    assert found.only_ref == ("c.seg.nrrd",)


def test_what_is_no_label_map_is_passed_over(tmp_path) -> None:
    names = ("a.nii.gz", "._a.nii.gz", ".a.mha", "notes.txt", "table.csv", "a.json")
    pred, ref = folder(tmp_path / "pred", *names), folder(tmp_path / "ref", *names)
    (pred / "inner.nii.gz").mkdir()
    found = pair_files(pred, ref)
    assert [one.case for one in found.pairs] == ["a"]
    assert (found.only_pred, found.only_ref) == ((), ())


def test_two_files_are_one_case_named_as_the_reference(tmp_path) -> None:
    pred = folder(tmp_path / "pred", "mine.nii.gz") / "mine.nii.gz"
    ref = folder(tmp_path / "ref", "truth.seg.nrrd") / "truth.seg.nrrd"
    (pair,) = pair_files(pred, ref).pairs
    assert (pair.case, pair.pred, pair.ref) == ("truth", pred, ref)


@pytest.mark.parametrize("suffix", LABEL_SUFFIXES)
def test_the_stem_is_the_name_without_its_suffix(suffix) -> None:
    assert stem(Path(f"folder/case.1{suffix}")) == "case.1"
    assert stem(Path(f"case.1{suffix.upper()}")) == "case.1"


@pytest.mark.parametrize("name", ["case.1.txt", ".nii.gz", "case"])
def test_other_names_are_kept_whole(name) -> None:
    assert stem(Path(name)) == name


def test_folders_with_nothing_in_common_are_refused_with_examples(tmp_path) -> None:
    pred = folder(tmp_path / "pred", *(f"case{n}_0000.nii.gz" for n in range(5)))
    ref = folder(tmp_path / "ref", "case0.nii.gz")
    error = refusal(pred, ref)
    assert (error.code, error.subject) == ("pairs-missing", "pred")
    assert "case0_0000.nii.gz" in error.detail and "and 2 more here" in error.detail
    assert "case0.nii.gz in ref" in error.detail


def test_a_folder_without_label_maps_is_refused(tmp_path) -> None:
    pred = folder(tmp_path / "pred", "a.nii.gz")
    error = refusal(pred, folder(tmp_path / "ref", "a.png"))
    assert (error.code, error.subject) == ("pairs-missing", "ref")
    assert "no label map" in error.detail


def test_two_files_of_one_case_are_refused(tmp_path) -> None:
    pred = folder(tmp_path / "pred", "a.nii.gz")
    error = refusal(pred, folder(tmp_path / "ref", "a.nii.gz", "a.seg.nrrd"))
    assert (error.code, error.subject) == ("pairs-missing", "ref")
    assert "a.nii.gz and a.seg.nrrd are two files of one case" in error.detail


@pytest.mark.parametrize("first", [True, False])
def test_a_folder_and_a_file_are_no_pair(tmp_path, first) -> None:
    place = folder(tmp_path / "pred", "a.nii.gz")
    sides = (place, place / "a.nii.gz") if first else (place / "a.nii.gz", place)
    error = refusal(*sides)
    assert (error.code, error.subject) == ("pairs-missing", "pred")
    assert "a.nii.gz is a file" in error.detail


@pytest.mark.parametrize("first", [True, False])
def test_a_side_that_is_not_there_is_refused(tmp_path, first) -> None:
    there, missing = folder(tmp_path / "there", "a.nii.gz"), tmp_path / "nowhere"
    error = refusal(*((missing, there) if first else (there, missing)))
    assert (error.code, error.subject) == ("path-missing", "nowhere")
