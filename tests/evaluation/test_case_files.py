"""Cases from files: read one at a time, split as asked, scored and given patients by tables."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from medseg.errors import InputRefused
from medseg.evaluation.files import FileCases, Reading
from medseg.io import write
from medseg.io.pairs import FilePairs, pair_files
from medseg.types import Geometry, Instance, InstanceClass, Instances, Volume

GRID = Geometry.from_spacing((6, 8, 9), (2.0, 1.0, 1.0))
TUMOUR = InstanceClass("tumour", "lesion", 1)


def labels(values: dict[int, tuple[slice, slice, slice]]) -> np.ndarray:
    array = np.zeros(GRID.shape, dtype=np.uint8)
    for value, box in values.items():
        array[box] = value
    return array


TWO = labels({1: np.s_[0:2, 0:3, 0:3], 2: np.s_[3:5, 5:8, 5:8]})
MASK = (TWO > 0).astype(np.uint8)


def save(path: Path, array: np.ndarray) -> None:
    path.parent.mkdir(exist_ok=True)
    write(Volume(array, GRID), path)


@pytest.fixture
def files(tmp_path: Path) -> FilePairs:
    """Cases a and b with the objects 1 and 2, and one more file on each side."""
    for side in ("pred", "ref"):
        for case in ("a", "b"):
            save(tmp_path / side / f"{case}.nii.gz", TWO)
        save(tmp_path / side / f"only_{side}.nii.gz", TWO)
    return pair_files(tmp_path / "pred", tmp_path / "ref")


def table(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def codes(cases: FileCases) -> list[str]:
    return [one.code for one in cases.warnings]


def test_both_sides_have_the_cases_in_the_order_of_their_names(files) -> None:
    cases = FileCases(files, Reading())
    assert list(cases.pred) == list(cases.ref) == ["a", "b"]
    assert [item.id for item in cases.pred["a"]] == [1, 2]
    assert cases.patients is None


def test_a_case_is_read_when_asked_for_and_told_once(files) -> None:
    told: list[tuple[int, int]] = []
    cases = FileCases(files, Reading(), progress=lambda done, total: told.append((done, total)))
    assert "a" in cases.pred and cases.pred.keys() == cases.ref.keys()
    assert told == []
    for case in cases.ref:
        assert len(cases.pred[case]) == len(cases.ref[case])
    assert told == [(0, 2), (1, 2)]


def test_files_without_a_partner_are_warned_of_by_side(files) -> None:
    warnings = FileCases(files, Reading()).warnings
    assert [one.code for one in warnings] == ["unpaired", "unpaired"]
    assert warnings[0].detail.endswith("only the prediction has them: only_pred.nii.gz")
    assert warnings[1].detail.endswith("only the reference has them: only_ref.nii.gz")


@pytest.mark.parametrize(
    ("reading", "names", "kinds"),
    [
        (Reading(), ["object"], {"lesion"}),
        (Reading(values="class"), ["class_1"], {"organ"}),
        (Reading(connectivity=26), ["object", "object"], {"lesion"}),
        (Reading(values="class", connectivity=6), ["class_1", "class_1"], {"lesion"}),
    ],
)
def test_a_mask_is_split_where_a_connectivity_is_given(tmp_path, reading, names, kinds) -> None:
    for side in ("pred", "ref"):
        save(tmp_path / side / "a.nii.gz", MASK)
    cases = FileCases(pair_files(tmp_path / "pred", tmp_path / "ref"), reading)
    found = cases.pred["a"]
    assert [item.class_name for item in found] == names
    assert {item.kind for item in found} == kinds


def test_a_corner_connects_at_26_only(tmp_path) -> None:
    array = labels({1: np.s_[0:2, 0:2, 0:2]})
    array[2, 2, 2] = 1
    save(tmp_path / "a.nii.gz", array)
    pair = pair_files(tmp_path / "a.nii.gz", tmp_path / "a.nii.gz")
    counts = [len(FileCases(pair, Reading(connectivity=n)).pred["a"]) for n in (6, 18, 26)]
    assert counts == [2, 2, 1]


def test_a_mask_in_parts_that_counts_as_one_object_is_warned_of(tmp_path) -> None:
    save(tmp_path / "a.nii.gz", MASK)
    pair = pair_files(tmp_path / "a.nii.gz", tmp_path / "a.nii.gz")
    for reading, expected in (
        (Reading(), ["mask-in-parts"]),
        (Reading(connectivity=26), []),
        (Reading(values="class"), []),  # organs may have parts
    ):
        cases = FileCases(pair, reading)
        assert len(cases.ref["a"]) >= 1
        assert codes(cases) == expected


def test_masks_in_parts_are_warned_of_once_a_side_with_the_number_of_cases(tmp_path) -> None:
    three = labels({1: np.s_[0:2, 0:3, 0:3], 2: np.s_[3:5, 5:8, 5:8]})
    three[0, 7, 8] = 1  # a part of object 1
    for side, arrays in (("pred", (three, three, TWO, three)), ("ref", (TWO, TWO, TWO, MASK))):
        for case, array in zip("abcd", arrays, strict=True):
            save(tmp_path / side / f"{case}.nii.gz", array)
    cases = FileCases(pair_files(tmp_path / "pred", tmp_path / "ref"), Reading())
    for case in "abcd":
        assert len(cases.pred[case]) + len(cases.ref[case]) >= 3
    said = [one.detail for one in cases.warnings if one.code == "mask-in-parts"]
    assert len(said) == 2
    assert said[0].startswith("a.nii.gz (prediction): 1 of 2 lesions ")
    assert said[0].endswith("(and so in 2 more cases)")
    assert said[1].startswith("d.nii.gz (reference): 1 of 1 lesion ")
    assert "more case" not in said[1]


def test_names_are_those_of_the_file_of_names(files, tmp_path) -> None:
    names = table(tmp_path / "names.json", '{"1": "liver", "2": "spleen"}')
    cases = FileCases(files, Reading(values="class", names=names))
    assert [item.class_name for item in cases.ref["b"]] == ["liver", "spleen"]


def test_a_segmentation_names_its_own_objects_beside_named_label_maps(tmp_path) -> None:
    names = table(tmp_path / "names.json", '{"1": "tumour"}')
    save(tmp_path / "ref.nii.gz", MASK)
    item = Instance.from_mask(MASK == 1, id=1, class_name="tumour", kind="lesion", score=0.25)
    assert item is not None
    write(Instances(GRID, [item], (TUMOUR,)), tmp_path / "pred.seg.nrrd")
    pair = pair_files(tmp_path / "pred.seg.nrrd", tmp_path / "ref.nii.gz")
    cases = FileCases(pair, Reading(values="class", names=names))
    (found,), (wanted,) = cases.pred["ref"], cases.ref["ref"]
    assert (found.class_name, found.score) == (wanted.class_name, 0.25) == ("tumour", 0.25)
    assert codes(cases) == ["mask-in-parts"]  # a lesion of two parts, named or not


def test_sides_without_a_common_class_are_warned_of(tmp_path) -> None:
    item = Instance.from_mask(MASK == 1, id=1, class_name="tumour", kind="lesion")
    assert item is not None
    write(Instances(GRID, [item], (TUMOUR,)), tmp_path / "pred.seg.nrrd")
    save(tmp_path / "ref.nii.gz", TWO)
    pair = pair_files(tmp_path / "pred.seg.nrrd", tmp_path / "ref.nii.gz")
    cases = FileCases(pair, Reading())
    assert codes(cases) == []  # nothing was read yet
    assert len(cases.pred["ref"]) + len(cases.ref["ref"]) == 3
    assert "classes-differ" in codes(cases)
    (detail,) = (one.detail for one in cases.warnings if one.code == "classes-differ")
    assert "tumour is predicted, object the reference" in detail


def test_scores_come_from_their_table(files, tmp_path) -> None:
    text = "score,volume_ml,case,instance_id\n0.5,1,a,1\n0.25,2,a,2\n1,3,b,1\n0,4,b,2\n"
    cases = FileCases(files, Reading(), scores=table(tmp_path / "scores.csv", text))
    assert [[item.score for item in cases.pred[case]] for case in "ab"] == [[0.5, 0.25], [1, 0]]
    assert [item.score for item in cases.ref["a"]] == [1, 1]


def test_one_pair_needs_no_case_in_its_table(tmp_path) -> None:
    save(tmp_path / "a.nii.gz", TWO)
    pair = pair_files(tmp_path / "a.nii.gz", tmp_path / "a.nii.gz")
    scores = table(tmp_path / "scores.csv", "instance_id;score\n2;0.5\n1;0.75\n")
    found = FileCases(pair, Reading(), scores=scores).pred["a"]
    assert [item.score for item in found] == [0.75, 0.5]


def test_components_keep_the_score_of_their_value(tmp_path) -> None:
    save(tmp_path / "a.nii.gz", MASK)
    pair = pair_files(tmp_path / "a.nii.gz", tmp_path / "a.nii.gz")
    scores = table(tmp_path / "scores.csv", "instance_id,score\n1,0.5\n")
    found = FileCases(pair, Reading(connectivity=26), scores=scores).pred["a"]
    assert [item.score for item in found] == [0.5, 0.5]


def test_patients_come_from_their_table(files, tmp_path) -> None:
    text = "\ufeffcase,patient\nb,p1\na,p1\nc,p2\n"
    cases = FileCases(files, Reading(), patients=table(tmp_path / "patients.csv", text))
    assert cases.patients == {"a": "p1", "b": "p1"}


SCORES = "case,instance_id,score\n"
EVERY = f"{SCORES}a,1,1\na,2,1\nb,1,1\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("case,instance_id\na,1\n", "has no column score"),
        ("instance_id,score\n1,1\n", "has no column case"),
        ("", "has no column case, but none"),
        (f"{SCORES}a,1\n", "another number of cells in line 2"),
        (f"{SCORES}a,one,1\n", "instance_id 'one' in line 2"),
        (f"{SCORES}a,-1,1\n", "instance_id '-1'"),
        (f"{SCORES}a,1,high\n", "score 'high' in line 2"),
        (f"{SCORES}a,1,nan\n", "score 'nan'"),
        (f"{SCORES}a,1,87\n", "score '87'"),
        (f"{SCORES}a,1,1\na,1,0.5\n", "object 1 of a twice, in line 3"),
        ("case,instance_id,score,score\na,1,1,0.5\n", "one of them twice"),
        (EVERY, "no score of number 2 in b"),
        (f"{EVERY}b,2,1\nb,3,1\nb,4,1\n", r"a score, but no object of number 3 in b \(and 1 more"),
    ],
)
def test_scores_that_do_not_fit_are_refused(files, tmp_path, text, message) -> None:
    scores = table(tmp_path / "scores.csv", text)
    with pytest.raises(InputRefused, match=message) as caught:  # noqa: PT012
        cases = FileCases(files, Reading(), scores=scores)
        for case in cases.pred:
            assert cases.pred[case]
    assert (caught.value.code, caught.value.subject) == ("table-invalid", "scores.csv")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("case\na\n", "has no column patient"),
        ("case,patient\na,p1\n", "no patient for b$"),
        ("case,patient\nc,p1\n", r"no patient for a \(and 1 more such\)"),
        ("case,patient\na,p1\nb,\n", "no patient for b"),
        ("case,patient\na,p1\nb,p1\na,p2\n", "gives a another patient in line 4"),
        ('case,patient\n"a,p1\n', "is no CSV table"),
    ],
)
def test_patients_that_do_not_fit_are_refused(files, tmp_path, text, message) -> None:
    patients = table(tmp_path / "patients.csv", text)
    with pytest.raises(InputRefused) as caught:
        FileCases(files, Reading(), patients=patients)
    assert caught.value.code == "table-invalid"
    caught.match(message.replace("$", r" \["))


def test_a_table_that_is_no_text_or_not_there_is_refused(files, tmp_path) -> None:
    (tmp_path / "scores.csv").write_bytes(b"\xff\xfe\x00case")
    with pytest.raises(InputRefused, match="is no UTF-8 text"):
        FileCases(files, Reading(), scores=tmp_path / "scores.csv")
    with pytest.raises(InputRefused) as caught:
        FileCases(files, Reading(), patients=tmp_path / "nowhere.csv")
    assert caught.value.code == "path-missing"


@pytest.mark.parametrize("side", ["prediction", "reference"])
def test_a_file_that_cannot_be_read_is_refused_with_its_side(files, tmp_path, side) -> None:
    (tmp_path / ("pred" if side == "prediction" else "ref") / "a.nii.gz").write_bytes(b"no image")
    cases = FileCases(files, Reading())
    with pytest.raises(InputRefused) as caught:
        cases.pred["a"], cases.ref["a"]
    assert caught.value.subject == f"a.nii.gz ({side})"
    assert caught.value.code == "format-unknown"


@pytest.mark.parametrize(
    ("reading", "words"),
    [
        (Reading(), "each is one object"),
        (Reading(values="class", names=Path("x/n.csv")), "each is all of a class, named by n.csv"),
        (Reading(connectivity=6), "each is one object, split into its connected parts"),
    ],
)
def test_a_reading_says_itself_in_words(reading, words) -> None:
    assert reading.in_words() == {"values of a label map": words}


@pytest.mark.parametrize("side", ["prediction", "reference"])
def test_a_segmentation_with_a_class_named_as_all_classes_are_is_refused(tmp_path, side) -> None:
    item = Instance.from_mask(MASK == 1, id=1, class_name="all", kind="lesion")
    assert item is not None
    write(Instances(GRID, [item], (InstanceClass("all", "lesion", 1),)), tmp_path / "odd.seg.nrrd")
    save(tmp_path / "even.nii.gz", MASK)
    files = [tmp_path / "odd.seg.nrrd", tmp_path / "even.nii.gz"]
    cases = FileCases(pair_files(*(files if side == "prediction" else files[::-1])), Reading())
    with pytest.raises(InputRefused, match="a class named 'all'") as caught:
        [(cases.pred[case], cases.ref[case]) for case in cases.pred]
    said = (caught.value.code, caught.value.subject)
    assert said == ("names-invalid", f"odd.seg.nrrd ({side})")


def test_a_names_file_with_a_class_named_as_all_classes_are_is_refused_at_once(files, tmp_path):
    names = table(tmp_path / "names.json", '{"1": "all"}')
    with pytest.raises(InputRefused, match=r"^names.json: .* \[names-invalid\]"):
        FileCases(files, Reading(values="class", names=names))


@pytest.mark.parametrize("first", ["prediction", "reference"])
def test_another_grid_is_refused_with_both_files_whichever_is_read_first(tmp_path, first) -> None:
    save(tmp_path / "found.nii.gz", TWO)
    other = Geometry.from_spacing(GRID.shape, (2.0, 1.0, 1.5))
    write(Volume(TWO, other), tmp_path / "drawn.nii.gz")
    cases = FileCases(pair_files(tmp_path / "found.nii.gz", tmp_path / "drawn.nii.gz"), Reading())
    names = {"prediction": "found.nii.gz", "reference": "drawn.nii.gz"}
    sides = {"prediction": cases.pred, "reference": cases.ref}
    (second,) = set(sides) - {first}
    assert len(sides[first]["drawn"]) == 2
    with pytest.raises(InputRefused) as caught:
        sides[second]["drawn"]
    assert caught.value.code == "grid-mismatch"
    assert caught.value.subject == f"{names[second]} ({second})"
    assert f"is not that of the {first} {names[first]}: spacing" in caught.value.detail
