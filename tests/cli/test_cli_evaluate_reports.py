"""What `medseg evaluate` refuses, and the report that it writes whole or not at all."""

from __future__ import annotations

import json

import numpy as np
import pytest
from cli_cases import save_nifti
from cli_evaluate_cases import FAST, SHAPE, blocks

from medseg.evaluation import Evaluation
from medseg.evaluation.report import FILES


def is_one_line(outcome, name: str, code: str) -> None:
    assert outcome.code == 3, outcome
    line = outcome.error_lines[-1]
    assert line.startswith(f"error: {name}: ")
    assert f" [{code}]; " in line


def test_the_report_is_written_whole(run, pred, ref, tmp_path) -> None:
    outcome = run("evaluate", pred, ref, *FAST, "-o", tmp_path / "new" / "report")
    assert outcome.code == 0
    assert "report.html" in outcome.out
    assert {path.name for path in (tmp_path / "new" / "report").iterdir()} == set(FILES)
    page = (tmp_path / "new" / "report" / "report.html").read_text(encoding="utf-8")
    for words in ("pred against ref", "z.nii.gz", "each is one object"):
        assert words in page


def test_a_class_named_as_all_classes_are_is_refused(run, ref, tmp_path) -> None:
    (tmp_path / "names.csv").write_text("label,name\n1,all\n2,spleen\n")
    outcome = run("evaluate", ref, ref, "--names", tmp_path / "names.csv", "-o", tmp_path / "new")
    is_one_line(outcome, "names.csv", "names-invalid")
    assert not [line for line in outcome.error_lines if line.startswith("evaluate: ")]
    assert not (tmp_path / "new").exists()


def test_nothing_on_either_side_is_evaluated(run, tmp_path) -> None:
    nothing = save_nifti(tmp_path / "nothing.nii.gz", np.zeros(SHAPE, dtype=np.uint8))
    outcome = run("evaluate", nothing, nothing, "-o", tmp_path / "report")
    assert outcome.code == 0
    assert (tmp_path / "report" / "report.html").exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--criterion", "centre"), "needs --threshold"),
        (("--threshold", "50"), "lies above 0 and up to 1"),
        (("--threshold", "nan"), "lies above 0 and up to 1"),
        (("--connectivity", "6"), "give --by component too"),
        (("--names", "n.json", "--values", "instance"), "--names names classes"),
        (("--size-edges-ml", "1,0.1"), "rising numbers above 0"),
        (("--size-edges-ml", "small"), "rising numbers above 0"),
        (("--size-edges-ml", "0,1"), "rising numbers above 0"),
        (("--tolerance-mm", "nan"), "greater than"),
        (("--min-volume-ml", "-1"), "number above 0"),
        (("--score-threshold", "1.5"), "--score-threshold"),
        (("--score-threshold", "nan"), "--score-threshold"),
        (("--match", "best"), "best"),
    ],
)
def test_options_that_make_no_sense_are_usage_errors(run, pred, ref, tmp_path, words, message):
    outcome = run("evaluate", pred, ref, "-o", tmp_path / "report", *words)
    assert outcome.code == 2
    assert message in " ".join(outcome.err.replace("│", " ").split())
    assert not (tmp_path / "report").exists()


def test_folders_with_nothing_in_common_are_refused(run, pred, tmp_path) -> None:
    (tmp_path / "other").mkdir()
    save_nifti(tmp_path / "other" / "x.nii.gz", blocks(v1=(1, 3)))
    outcome = run("evaluate", pred, tmp_path / "other", "-o", tmp_path / "report", "--json")
    is_one_line(outcome, "pred", "pairs-missing")
    assert json.loads(outcome.out)["error"]["code"] == "pairs-missing"
    assert not (tmp_path / "report").exists()


def test_a_folder_and_a_file_are_refused(run, pred, ref) -> None:
    is_one_line(run("evaluate", pred, ref / "a.nii.gz"), "pred", "pairs-missing")


def test_a_side_that_is_missing_is_refused(run, pred) -> None:
    is_one_line(run("evaluate", pred, pred / "nowhere"), "nowhere", "path-missing")


def test_a_file_that_is_no_label_map_is_refused_by_its_side(run, pred, ref, tmp_path) -> None:
    save_nifti(ref / "b.nii.gz", np.full(SHAPE, 0.5, dtype=np.float32))
    outcome = run("evaluate", pred, ref, "-o", tmp_path / "report")
    is_one_line(outcome, "b.nii.gz (reference)", "labels-not-integer")
    assert not (tmp_path / "report").exists()


def test_another_grid_is_refused_with_the_names_of_both_files(run, pred, ref) -> None:
    moved = np.eye(4)
    moved[0, 3] = 5.0
    save_nifti(ref / "b.nii.gz", blocks(v1=(1, 3)), moved)
    outcome = run("evaluate", pred, ref)
    is_one_line(outcome, "b.nii.gz (reference)", "grid-mismatch")
    assert "is not that of the prediction b.nii.gz: " in outcome.error_lines[-1]
    other = save_nifti(pred.parent / "other.nii.gz", blocks(v1=(1, 3)))
    outcome = run("evaluate", other, ref / "b.nii.gz")
    is_one_line(outcome, "b.nii.gz (reference)", "grid-mismatch")
    assert "is not that of the prediction other.nii.gz: " in outcome.error_lines[-1]


def test_scores_without_a_case_are_refused_where_there_are_several(
    run, pred, ref, tmp_path
) -> None:
    (tmp_path / "scores.csv").write_text("case,instance_id,score\n,1,0.5\n")
    outcome = run("evaluate", pred, ref, "--scores", tmp_path / "scores.csv")
    is_one_line(outcome, "scores.csv", "table-invalid")
    assert "names no case in line 2" in outcome.error_lines[-1]


def test_scores_without_an_object_are_refused(run, pred, ref, tmp_path) -> None:
    (tmp_path / "scores.csv").write_text("case,instance_id,score\na,1,0.5\n")
    outcome = run("evaluate", pred, ref, "--scores", tmp_path / "scores.csv")
    is_one_line(outcome, "scores.csv", "table-invalid")


def test_a_report_without_a_place_is_a_failure(run, pred, ref, tmp_path) -> None:
    (tmp_path / "file").write_text("in the way")
    outcome = run("evaluate", pred, ref, *FAST, "-o", tmp_path / "file")
    assert outcome.code == 1
    assert "[not-a-folder]" in outcome.error_lines[-1]


def test_a_report_takes_the_place_of_an_older_one_and_other_files_stay(run, pred, ref, tmp_path):
    report = tmp_path / "report"
    assert run("evaluate", pred, ref, *FAST, "-o", report).code == 0
    first = (report / "summary.csv").read_bytes()
    (report / "mine.txt").write_text("stays")
    words = ("--min-volume-ml", "0.02", "-o", report)
    assert run("evaluate", pred, ref, *FAST, *words).code == 0
    assert (report / "summary.csv").read_bytes() != first
    assert (report / "mine.txt").read_text() == "stays"
    assert {path.name for path in report.iterdir()} == {*FILES, "mine.txt"}


def test_an_older_report_stays_where_a_new_one_fails(run, pred, ref, tmp_path, monkeypatch) -> None:
    (tmp_path / "report").mkdir()
    (tmp_path / "report" / "summary.csv").write_text("old")

    def broken(_: Evaluation) -> dict[str, object]:
        raise MemoryError

    monkeypatch.setattr(Evaluation, "as_dict", broken)
    assert run("evaluate", pred, ref, *FAST, "-o", tmp_path / "report").code == 1
    assert [path.name for path in (tmp_path / "report").iterdir()] == ["summary.csv"]
    assert (tmp_path / "report" / "summary.csv").read_text() == "old"


@pytest.mark.parametrize("option", ["--names", "--scores", "--patients"])
def test_what_is_missing_of_the_input_has_exit_code_3(run, pred, ref, tmp_path, option) -> None:
    for words in (
        ("evaluate", tmp_path / "nowhere", ref),
        ("evaluate", pred, tmp_path / "nowhere"),
        ("evaluate", pred, ref, option, tmp_path / "nowhere.csv"),
        ("measure", tmp_path / "nowhere"),
    ):
        outcome = run(*words, "-o", tmp_path / "new.csv")
        assert (outcome.code, "[path-missing]" in outcome.error_lines[-1]) == (3, True)
        assert not (tmp_path / "new.csv").exists()


def test_an_output_that_cannot_be_written_has_exit_code_1(run, pred, ref, tmp_path) -> None:
    file = tmp_path / "file"
    file.write_text("in the way")
    for words in (
        ("evaluate", pred, ref, *FAST, "-o", file / "report"),
        ("measure", ref / "a.nii.gz", "-o", file / "table.csv"),
        ("measure", ref / "a.nii.gz", "-o", tmp_path / "no folder" / "table.csv"),
    ):
        outcome = run(*words)
        assert outcome.code == 1
        assert outcome.error_lines[-1].startswith("error: ")
