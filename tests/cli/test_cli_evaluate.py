"""`medseg evaluate`: files or folders in, figures or JSON out; nothing guessed."""

from __future__ import annotations

import json
import subprocess
import sys
from shutil import copyfile

import numpy as np
import pytest
from cli_cases import save_nifti
from cli_evaluate_cases import FAST, SHAPE, blocks, figures


def test_the_main_figures_are_printed_with_how_they_were_counted(run, pred, ref) -> None:
    outcome = run("evaluate", pred, ref, *FAST)
    assert outcome.code == 0
    for words in ("Recall", "0.750", "F1", "2 cases of 2 patients, 4 reference objects, 4 pred"):
        assert words in outcome.out
    for words in ("connectivity: none applied", "matching: IoU of at least 0.5", "all predicted"):
        assert words in outcome.out


def test_folders_show_progress_and_what_has_no_partner(run, pred, ref) -> None:
    lines = run("evaluate", pred, ref, *FAST).error_lines
    assert lines[:2] == ["evaluate: 50 %", "evaluate: 100 %"] or lines[0] == "evaluate: 50 %"
    warning = "warning: left out, since only the reference has them: z.nii.gz [unpaired]"
    same = "a.nii.gz (prediction) and a.nii.gz (reference) are the same byte for byte"
    warnings = [warning, f"warning: {same} [sides-identical]"]
    assert lines[-2:] == warnings
    assert run("evaluate", pred, ref, *FAST, "--quiet").error_lines == warnings


def test_json_is_one_document_with_every_table(run, pred, ref) -> None:
    outcome = run("evaluate", pred, ref, *FAST, "--json", "-q")
    read = json.loads(outcome.out)
    assert [row["case"] for row in read["cases"]] == ["a", "b"]
    assert (read["pred"], read["ref"]) == ("pred", "ref")
    assert [one["code"] for one in read["warnings"]] == ["unpaired", "sides-identical"]
    assert (read["settings"]["bootstrap_samples"], read["settings"]["seed"]) == (20, 0)
    statuses = [(row["case"], row["status"]) for row in read["objects"]]
    assert statuses.count(("b", "false alarm")) == 1
    assert statuses.count(("b", "missed")) == 1


def test_a_pair_of_files_is_one_case(run, pred, ref) -> None:
    outcome = run("evaluate", pred / "b.nii.gz", ref / "a.nii.gz", "--json")
    found = figures(outcome)
    assert (found["tp"], found["fp"], found["fn"]) == (1, 1, 1)
    assert [row["case"] for row in json.loads(outcome.out)["cases"]] == ["a"]
    assert outcome.err == ""


def test_a_mask_is_split_into_components_of_a_stated_connectivity(run, tmp_path) -> None:
    array = blocks(v1=(1, 3))
    array[4:7, 4:7, 4:7] = 1  # touches the cube by a corner
    mask = save_nifti(tmp_path / "mask.nii.gz", array)
    counts = {}
    for connectivity in ("6", "26"):
        words = ("--by", "component", "--connectivity", connectivity, "--json")
        outcome = run("evaluate", mask, mask, *words)
        counts[connectivity] = figures(outcome)["tp"]
        assert json.loads(outcome.out)["settings"]["connectivity"] == int(connectivity)
    assert counts == {"6": 2, "26": 1}
    default = run("evaluate", mask, mask, "--by", "component")
    assert "connectivity: objects are 26-connected components" in default.out


def test_a_mask_of_several_parts_is_warned_of(run, tmp_path) -> None:
    mask = save_nifti(tmp_path / "mask.nii.gz", (blocks(v1=(1, 3), v2=(8, 4)) > 0).astype(np.uint8))
    outcome = run("evaluate", mask, mask, "--json")
    assert figures(outcome)["tp"] == 1
    warned = [line for line in outcome.error_lines if "[mask-in-parts]" in line]
    assert [line.split(": ")[1] for line in warned] == [
        "mask.nii.gz (prediction)",
        "mask.nii.gz (reference)",
    ]
    assert all("1 of 1 lesion " in line and "split them by component" in line for line in warned)
    assert json.loads(outcome.out)["warnings"][-1]["code"] == "mask-in-parts"
    parts = run("evaluate", mask, mask, "--by", "component", "--json")
    assert (figures(parts)["tp"], len(parts.error_lines)) == (2, 1)
    assert "[sides-identical]" in parts.err


def test_values_may_be_classes_with_names(run, ref, tmp_path) -> None:
    (tmp_path / "names.json").write_text('{"1": "liver", "2": "spleen"}')
    for values in ((), ("--values", "class")):
        words = (*values, "--names", tmp_path / "names.json", "--json", "-q")
        read = json.loads(run("evaluate", ref, ref, *FAST, *words).out)
        assert {row["class_name"] for row in read["classes"]} == {"liver", "spleen"}


@pytest.mark.parametrize(
    ("words", "tp"),
    [
        ((), 1),
        (("--threshold", "0.2"), 2),
        (("--criterion", "dice", "--threshold", "0.45"), 2),
        (("--criterion", "dice"), 1),
        (("--criterion", "centre", "--threshold", "0.8"), 1),
        (("--criterion", "centre", "--threshold", "0.9"), 2),
        (("--match", "optimal", "--threshold", "0.2"), 2),
    ],
)
def test_the_rule_of_matching_is_chosen(run, tmp_path, words, tp) -> None:
    # The small cube holds 8 of 27 voxels: IoU 0.296, Dice 0.457, centres sqrt(3) / 2 mm apart.
    one = save_nifti(tmp_path / "one.nii.gz", blocks(v1=(1, 2), v2=(8, 4)))
    other = save_nifti(tmp_path / "other.nii.gz", blocks(v1=(1, 3), v2=(8, 4)))
    assert figures(run("evaluate", one, other, *words, "--json"))["tp"] == tp


def test_further_predictions_are_no_false_alarms_where_said(run, tmp_path) -> None:
    array = blocks(v1=(1, 4))
    array[1:3, 1:5, 1:5] = 2
    halves = save_nifti(tmp_path / "halves.nii.gz", array)
    whole = save_nifti(tmp_path / "whole.nii.gz", blocks(v1=(1, 4)))
    plain = figures(run("evaluate", halves, whole, "--json"))
    many = figures(run("evaluate", halves, whole, "--json", "--many-to-one"))
    assert (plain["tp"], plain["fp"], many["tp"], many["fp"]) == (1, 1, 1, 0)


def test_objects_may_match_across_classes(run, tmp_path) -> None:
    one = save_nifti(tmp_path / "one.nii.gz", blocks(v1=(1, 3)))
    other = save_nifti(tmp_path / "other.nii.gz", blocks(v2=(1, 3)))
    words = ("evaluate", one, other, "--values", "class", "--json")
    within = run(*words)
    assert (figures(within)["tp"], "[classes-differ]" in within.err) == (0, True)
    assert figures(run(*words, "--across-classes"))["tp"] == 1


def test_small_objects_are_left_out_and_sizes_are_parted(run, pred, ref) -> None:
    words = ("evaluate", pred, ref, *FAST, "--json", "-q")
    assert figures(run(*words, "--min-volume-ml", "0.02"))["fp"] == 0
    outcome = run(*words, "--size-edges-ml", "0.03")
    assert figures(outcome, "below 0.03 ml")["recall"] == 0.5
    assert figures(outcome, "0.03 ml and more")["recall"] == 1.0
    none = json.loads(run(*words, "--size-edges-ml", "").out)["summary"]
    assert {row["size_class"] for row in none} == {"all"}


def test_scores_rank_predictions(run, pred, ref, tmp_path) -> None:
    rows = "a,1,0.9\na,2,0.8\nb,5,0.7\nb,6,{alarm}\n"
    found = {}
    for alarm in ("0.1", "1.0"):
        table = tmp_path / f"scores_{alarm}.csv"
        table.write_text("case,instance_id,score\n" + rows.format(alarm=alarm))
        outcome = run("evaluate", pred, ref, *FAST, "--scores", table, "--json", "-q")
        found[alarm] = figures(outcome)["map"]
    assert found["0.1"] == pytest.approx(76 / 101)  # recall 3/4 without a false alarm before it
    assert found["1.0"] < found["0.1"]


def test_patients_are_drawn_whole_and_the_seed_is_kept(run, pred, ref, tmp_path) -> None:
    for n in range(8):  # below ten patients there is no interval
        for side in (pred, ref):
            copyfile(side / ("a.nii.gz" if n % 2 else "b.nii.gz"), side / f"c{n}.nii.gz")

    def interval(*words: object) -> tuple[float | None, float | None]:
        rows = json.loads(run("evaluate", pred, ref, "--json", "-q", *words).out)["summary"]
        row = next(row for row in rows if row["metric"] == "f1")
        return row["low"], row["high"]

    rows = "".join(f"c{n},p{n}\n" for n in range(8))
    (tmp_path / "patients.csv").write_text(f"case,patient\na,p\nb,p\n{rows}")
    assert interval("--patients", tmp_path / "patients.csv") == (None, None)
    assert interval("--bootstrap", 0) == (None, None)
    assert interval("--bootstrap", 50) == interval("--bootstrap", 50)
    # Of each patient's case the F1 is 1 or 0.5; no resample lies outside.
    low, high = interval("--bootstrap", 50)
    assert 0.5 <= low < high <= 1.0


@pytest.mark.parametrize(("empty", "tp_fp_fn"), [("pred", (0, 0, 2)), ("ref", (0, 2, 0))])
def test_an_empty_side_is_evaluated(run, ref, tmp_path, empty, tp_fp_fn) -> None:
    nothing = save_nifti(tmp_path / "nothing.nii.gz", np.zeros(SHAPE, dtype=np.uint8))
    there = ref / "a.nii.gz"
    sides = (nothing, there) if empty == "pred" else (there, nothing)
    found = figures(run("evaluate", *sides, "--json"))
    assert (found["tp"], found["fp"], found["fn"]) == tp_fp_fn
    assert run("evaluate", *sides).code == 0


def test_evaluating_loads_no_torch_and_the_table_no_matplotlib(pred, ref) -> None:
    script = (
        "import sys; from medseg.cli import main; code = main(sys.argv[1:]); "
        "print([code, *({'torch', 'monai', 'matplotlib', 'jinja2'} & set(sys.modules))], "
        "file=sys.stderr)"
    )
    words = ["evaluate", str(pred / "a.nii.gz"), str(ref / "a.nii.gz")]
    done = subprocess.run(
        [sys.executable, "-c", script, *words], capture_output=True, text=True, check=True
    )
    assert done.stderr.splitlines()[-1] == "[0]"


def test_predictions_below_a_score_are_left_out_of_all_but_curves(run, pred, ref, tmp_path) -> None:
    (tmp_path / "scores.csv").write_text(
        "case,instance_id,score\na,1,0.9\na,2,0.8\nb,5,0.7\nb,6,0.1\n"
    )
    words = ("evaluate", pred, ref, *FAST, "--scores", tmp_path / "scores.csv", "--json", "-q")
    every, sure = figures(run(*words)), figures(run(*words, "--score-threshold", "0.5"))
    assert (every["fp"], sure["fp"]) == (1, 0)
    assert (every["map"], every["cpm"]) == (sure["map"], sure["cpm"])


def test_surfaces_are_left_out_where_they_are_not_wanted(run, pred, ref) -> None:
    words = ("evaluate", pred, ref, *FAST, "--json", "-q")
    surface = {"surface_dice", "hd95_mm", "assd_mm"}
    assert set(figures(run(*words))) & surface == surface
    without = run(*words, "--no-surface")
    assert set(figures(without)) & surface == set()
    assert json.loads(without.out)["settings"]["surface"] is False


def test_across_classes_curves_match_across_classes_too(run, tmp_path) -> None:
    one = save_nifti(tmp_path / "one.nii.gz", blocks(v1=(1, 3)))
    other = save_nifti(tmp_path / "other.nii.gz", blocks(v2=(1, 3)))
    words = ("evaluate", one, other, "--values", "class", "--across-classes", "--json")
    found = figures(run(*words))
    assert (found["map"], found["ap_iou_0.50"], found["cpm"]) == (1.0, 1.0, 1.0)
    assert found["map_of_classes"] is None
