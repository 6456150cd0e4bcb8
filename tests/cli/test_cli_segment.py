"""`medseg segment` with a model made of a threshold: what it writes, shows and passes on."""

from __future__ import annotations

import csv
import gzip
import json
import signal
import subprocess
import sys
from pathlib import Path

import nibabel
import numpy as np
import pytest
from cli_cases import two_echoes

import medseg.inference
from medseg.inference.results import FILES
from medseg.io import read


@pytest.fixture
def segment(run, threshold_model, tmp_path):
    """Run `medseg segment` with results in tmp_path/out."""

    def call(study: Path, *options: object):
        return run("segment", study, "-o", tmp_path / "out", "--model", threshold_model, *options)

    return call


def test_a_study_becomes_files_and_a_table(segment, image, tmp_path) -> None:
    outcome = segment(image)
    out = tmp_path / "out"
    assert outcome.code == 0
    assert sorted(path.name for path in out.iterdir()) == sorted(FILES)
    with (out / "instances.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["instance_id"], row["class_name"], row["volume_ml"]) for row in rows] == [
        ("1", "bright spot", "0.027000"),
        ("2", "bright spot", "0.008000"),
    ]
    for word in ("bright spot", "0.027", "0.008", "2 bright spot (0.035 ml)", str(out)):
        assert word in outcome.out


def test_other_views_of_the_result_are_written_on_request(segment, image, tmp_path) -> None:
    assert segment(image, "--as", "semantic", "--as", "panoptic").code == 0
    written = {path.name for path in (tmp_path / "out").iterdir()}
    views = {f"{view}.{kind}" for view in ("semantic", "panoptic") for kind in ("nii.gz", "json")}
    assert written == {*FILES, *views}
    legend = json.loads((tmp_path / "out" / "semantic.json").read_text())
    drawn = set(np.unique(nibabel.load(tmp_path / "out" / "semantic.nii.gz").dataobj)) - {0}
    assert legend["classes"][str(*drawn)] == "bright spot"


def test_what_is_left_of_an_earlier_study_is_named(segment, image, tmp_path) -> None:
    assert segment(image, "--as", "semantic").code == 0
    outcome = segment(image)
    (line,) = (one for one in outcome.err.splitlines() if "[earlier-results]" in one)
    assert "semantic.nii.gz, semantic.json in the same folder are of an earlier run" in line
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert "earlier-results" in [one["code"] for one in summary["warnings"]]
    assert "[earlier-results]" not in segment(image, "--as", "semantic").err


def test_an_unknown_view_is_a_usage_error(segment, image) -> None:
    outcome = segment(image, "--as", "everything")
    assert outcome.code == 2 and "no such view: 'everything'" in outcome.err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--at", "3.5,4,-2"), {"at": [3.5, 4.0, -2.0]}),
        (("--at=-3.5,4,2",), {"at": [-3.5, 4.0, 2.0]}),
        (("--at", "-3.5, 4, 2"), {"at": [-3.5, 4.0, 2.0]}),
        (("--box", "1,2,3,-4,5.5,6"), {"box": [1.0, 2.0, 3.0, -4.0, 5.5, 6.0]}),
    ],
)
def test_a_point_or_a_box_is_passed_on(segment, image, tmp_path, words, said) -> None:
    assert segment(image, *words).code == 0
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert {name: summary[name] for name in ("at", "box") if name in summary} == said


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--at", "3,4"), "3 numbers with commas between are wanted"),
        (("--at", "3,4,nan"), "3 numbers with commas between are wanted"),
        (("--at", "3,4,here"), "got '3,4,here'"),
        (("--box", "1,2,3"), "6 numbers with commas between are wanted"),
        (("--at", "1,2,3", "--box", "1,2,3,4,5,6"), "give --at or --box, not both"),
    ],
)
def test_a_faulty_point_or_box_is_a_usage_error(segment, image, words, message) -> None:
    outcome = segment(image, *words)
    assert outcome.code == 2 and message in outcome.err


def test_progress_and_warnings_are_on_stderr(segment, image) -> None:
    outcome = segment(image)
    assert outcome.error_lines == [
        "segment: 25 %",
        "segment: 50 %",
        "segment: 75 %",
        "segment: 100 %",
        "warning: the image is darker than it should be [out-of-domain]",
    ]


def test_a_terminal_gets_a_bar_with_the_time_left(segment, image, monkeypatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    err = segment(image).err
    assert "100%" in err
    assert "0:00:00" in err
    assert "segment: 25 %" not in err


def test_quiet_keeps_warnings_alone(segment, image) -> None:
    outcome = segment(image, "--quiet")
    assert outcome.out == ""
    assert outcome.error_lines == ["warning: the image is darker than it should be [out-of-domain]"]


def test_json_on_stdout_is_the_summary(segment, image, tmp_path) -> None:
    outcome = segment(image, "--json")
    assert json.loads(outcome.out) == json.loads((tmp_path / "out" / "summary.json").read_text())


def test_what_the_user_says_reaches_reader_and_model(segment, image) -> None:
    facts = json.loads(segment(image, "--modality", "MR", "--unit", "arbitrary", "--json").out)
    assert facts["inputs"]["flair"]["modality"] == "MR"
    assert facts["inputs"]["flair"]["unit"] == "arbitrary"
    assert facts["modality"] == "MR"
    assert json.loads(segment(image, "--device", "cpu", "--json").out)["device"] == "cpu"


def test_series_and_volume_reach_the_reader(segment, image, monkeypatch) -> None:
    seen = {}

    def watched(path, **choices):
        seen.update(choices)
        return read(path)

    monkeypatch.setattr("medseg.io.read", watched)
    assert segment(image, "--series", "1.2.3", "--volume", "4").code == 0
    assert (seen["series"], seen["volume"]) == ("1.2.3", 4)


def test_input_is_the_first_channel_and_the_others_have_names(segment, image, tmp_path) -> None:
    second = tmp_path / "second.nii.gz"
    second.write_bytes(image.read_bytes())
    facts = json.loads(segment(image, "--channel", f"t1={second}", "--json").out)
    assert facts["channels"] == ["flair", "t1"]
    assert list(facts["inputs"]) == ["flair", "t1"]


def test_the_first_channel_cannot_be_given_twice(segment, image, tmp_path) -> None:
    outcome = segment(image, "--channel", f"flair={image}")
    assert outcome.code == 3
    (line,) = outcome.error_lines
    assert "flair" in line
    assert "[channel-unknown]" in line
    assert not (tmp_path / "out").exists()


def test_a_channel_of_several_volumes_is_refused_with_a_way_out_that_exists(
    segment, image, tmp_path
) -> None:
    two_echoes(tmp_path / "series")
    outcome = segment(image, "--channel", f"t1={tmp_path / 'series'}")
    assert outcome.code == 3
    (line,) = outcome.error_lines
    assert "[several-volumes]" in line
    assert "choose one" not in line
    assert line.endswith(
        "give --channel t1 a folder of one series with one volume, or an image file"
    )
    assert "choose one with --volume" in segment(tmp_path / "series").error_lines[0]


def test_no_result_file_holds_the_name_that_was_typed(segment, image, tmp_path) -> None:
    study = image.rename(image.with_name("Muster_Erika.nii.gz"))
    outcome = segment(study)
    assert outcome.code == 0
    assert "Muster_Erika" in outcome.out  # the terminal alone repeats it
    for path in (tmp_path / "out").iterdir():
        content = path.read_bytes()
        whole = gzip.decompress(content) if path.suffix == ".gz" else content
        assert b"Muster" not in whole + content, path.name


def test_a_channel_that_is_missing_is_named(segment, image, tmp_path) -> None:
    outcome = segment(image, "--channel", f"t1={tmp_path / 'nowhere.nii.gz'}")
    assert outcome.code == 3
    (line,) = outcome.error_lines
    assert "nowhere.nii.gz" in line
    assert "[path-missing]" in line


def test_running_again_gives_the_same_bytes(segment, image, tmp_path) -> None:
    segment(image)
    first = {name: (tmp_path / "out" / name).read_bytes() for name in FILES}
    segment(image)
    assert {name: (tmp_path / "out" / name).read_bytes() for name in FILES} == first


def test_a_table_is_not_cut_where_there_is_no_terminal(segment, image) -> None:
    assert "border" in segment(image).out


def test_a_file_in_the_way_is_found_before_anything_is_computed(
    segment, image, tmp_path, monkeypatch
) -> None:
    def must_not_run(*_: object, **__: object) -> None:
        pytest.fail("computed, although the results have no place")

    monkeypatch.setitem(vars(medseg.inference), "segment", must_not_run)
    (tmp_path / "out").write_text("mine")
    outcome = segment(image)
    assert outcome.code == 1
    (line,) = outcome.error_lines
    assert line.startswith("error: out: ")
    assert "[not-a-folder]" in line
    assert (tmp_path / "out").read_text() == "mine"


@pytest.mark.parametrize(
    ("number", "code"), [(13, "not-writable"), (30, "not-writable"), (28, "disk-full")]
)
def test_a_folder_that_takes_no_file_is_found_before_anything_is_computed(
    segment, image, tmp_path, monkeypatch, number, code
) -> None:
    def must_not_run(*_: object, **__: object) -> None:
        pytest.fail("computed, although the results have no place")

    def touch(*_: object, **__: object) -> None:
        raise OSError(number, "no")

    monkeypatch.setitem(vars(medseg.inference), "segment", must_not_run)
    monkeypatch.setattr(Path, "touch", touch)
    outcome = segment(image)
    assert outcome.code == 1
    (line,) = outcome.error_lines
    assert line.startswith("error: out: ")
    assert f"[{code}]" in line
    assert not (tmp_path / "out").exists()


def test_a_disk_that_is_full_at_the_end_leaves_nothing(
    segment, image, tmp_path, monkeypatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("medseg.io.preview.write_preview", full)
    outcome = segment(image, "--quiet", "--json")
    assert outcome.code == 1
    assert json.loads(outcome.out)["error"]["code"] == "disk-full"
    assert "[disk-full]" in outcome.error_lines[-1]
    assert not (tmp_path / "out").exists()


INTERRUPTED = """
import sys, time
import medseg.inference, medseg.models
sys.path.insert(0, sys.argv[1])
from cli_cases import find_bright, threshold_card
from types import SimpleNamespace
from medseg.cli import main

def slow(*args, progress, **kwargs):
    progress(1, 4)
    time.sleep(60)

medseg.models.card_of = lambda name: threshold_card()
medseg.models.load_model = lambda name: SimpleNamespace(card=threshold_card())
medseg.inference.segment = slow
sys.exit(main(sys.argv[2:]))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="SIGINT cannot be sent to one process there")
def test_ctrl_c_leaves_nothing_and_exits_with_130(image, tmp_path) -> None:
    out = tmp_path / "new" / "out"
    words = ["segment", str(image), "-o", str(out), "--model", "any"]
    with subprocess.Popen(
        [sys.executable, "-c", INTERRUPTED, str(Path(__file__).parent), *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stderr is not None
        assert process.stderr.readline() == "segment: 25 %\n"
        process.send_signal(signal.SIGINT)
        stdout, stderr = process.communicate(timeout=30)
    assert (process.returncode, stdout, stderr) == (130, "", "interrupted\n")
    assert not out.parent.exists()


def test_the_numbers_in_the_label_map_are_those_in_the_table(segment, image, tmp_path) -> None:
    segment(image)
    labels = read(tmp_path / "out" / "instances.nii.gz").array
    assert np.unique(labels, return_counts=True)[1].tolist() == [12 * 14 * 16 - 35, 27, 8]
