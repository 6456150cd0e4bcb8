"""DICOM results of `medseg segment`, and SEG and RTSTRUCT as `measure` and `evaluate` take them."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from cli_cases import Outcome, bright_array
from pydicom import dcmread

import medseg
from medseg.inference.results import FILES
from medseg.io.dicom_out import FILES as DICOM
from medseg.io.dicom_out import read_source
from medseg.phantom.dicom import write_dicom_series
from medseg.types import Geometry, Volume

MOMENT = "2026-01-02T03:04:05"


@pytest.fixture
def study(tmp_path: Path) -> Path:
    array = bright_array()
    volume = Volume(array, Geometry.from_spacing(array.shape, (2.0, 1.0, 1.0)), "MR", "arbitrary")
    folder = tmp_path / "study"
    for path in write_dicom_series(volume, folder):
        ds = dcmread(path)
        ds.PatientName, ds.PatientID = "Canary^Bird", "C4N4RY"
        ds.save_as(path)
    return folder


@pytest.fixture
def segment(run, threshold_model, tmp_path):
    def call(study: Path, *options: object, out: str = "out"):
        return run("segment", study, "-o", tmp_path / out, "--model", threshold_model, *options)

    return call


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_formats_add_their_files_and_the_summary_names_them(segment, study, tmp_path) -> None:
    outcome = segment(study, "--format", "sr", "--format", "rtstruct")
    assert outcome.code == 0, outcome.err
    wanted = {*FILES, DICOM["seg"], DICOM["sr"], DICOM["rtstruct"]}
    assert {path.name for path in (tmp_path / "out").iterdir()} == wanted
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert set(summary["files"]) == wanted
    ds = dcmread(tmp_path / "out" / DICOM["sr"])
    assert str(ds.PatientName) == "Canary^Bird"
    texts = [outcome.out, outcome.err, json.dumps(summary)]
    texts += [(tmp_path / "out" / "instances.csv").read_text()]
    assert not any(word in text for word in ("anary", "C4N4RY") for text in texts)


def test_the_same_moment_gives_the_same_bytes(segment, study, tmp_path) -> None:
    for out in ("one", "two"):
        segment(study, "--format", "sr", "--timestamp", MOMENT, out=out)
    for name in (DICOM["seg"], DICOM["sr"]):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()
    assert dcmread(tmp_path / "one" / DICOM["seg"]).ContentDate == "20260102"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--format", "pdf"), "there are seg, sr, rtstruct"),
        (("--format", "seg", "--timestamp", "yesterday"), "2026-01-31T12:00:00 is wanted"),
        (("--format", "seg", "--timestamp", "2026-01-31T12:00:00+01:00"), "without a zone"),
    ],
)
def test_what_makes_no_sense_is_a_bad_call(segment, study, options, said) -> None:
    outcome = segment(study, *options)
    assert outcome.code == 2
    assert said in " ".join(outcome.err.replace("│", " ").split())


def test_an_image_that_is_no_dicom_gets_no_dicom_results(segment, image, tmp_path) -> None:
    outcome = segment(image, "--format", "seg")
    assert outcome.code == 3
    assert "[frame-of-reference-missing]" in outcome.err
    assert not (tmp_path / "out").exists()


def test_a_series_without_a_frame_of_reference_is_refused_before_anything_is_computed(
    segment, study, tmp_path
) -> None:
    for path in study.iterdir():
        ds = dcmread(path)
        del ds.FrameOfReferenceUID
        ds.save_as(path)
    outcome = segment(study, "--format", "seg")
    assert outcome.code == 3
    assert outcome.error_lines[-1].endswith("or pass the original series")
    assert "[frame-of-reference-missing]" in outcome.err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("kind", ["seg", "rtstruct"])
def test_measure_takes_dicom_objects_with_their_images(run, segment, study, tmp_path, kind) -> None:
    segment(study, "--format", "seg", "--format", "rtstruct")
    table = tmp_path / "table.csv"
    labels = tmp_path / "out" / DICOM[kind]
    outcome = run("measure", labels, "--image", study, "-o", table)
    assert outcome.code == 0, outcome.err
    wanted, got = rows_of(tmp_path / "out" / "instances.csv"), rows_of(table)
    for column in (
        "instance_id",
        "class_name",
        "kind",
        "volume_ml",
        "intensity_mean",
        "bbox_z_start",
    ):
        assert [row[column] for row in got] == [row[column] for row in wanted]


def test_measure_says_what_a_seg_alone_does_not_know(run, segment, study, tmp_path) -> None:
    segment(study, "--format", "seg")
    outcome = run("measure", tmp_path / "out" / DICOM["seg"])
    assert outcome.code == 0
    assert "[slices-unknown]" in outcome.err


def test_evaluate_takes_a_seg_beside_a_label_map(run, segment, study, tmp_path) -> None:
    segment(study, "--format", "seg")
    out = tmp_path / "out"
    for pair in (
        (DICOM["seg"], "instances.seg.nrrd"),
        ("instances.seg.nrrd", DICOM["seg"]),
        (DICOM["seg"], DICOM["seg"]),
    ):
        outcome = run("evaluate", *(out / name for name in pair), "--json", "--bootstrap", 0)
        assert outcome.code == 0, outcome.err
        summary = json.loads(outcome.out)["summary"]
        values = {
            row["metric"]: row["value"]
            for row in summary
            if row["class_name"] == row["size_class"] == "all"
        }
        assert (values["tp"], values["fp"], values["fn"]) == (2, 0, 0)


def test_evaluate_reads_an_rtstruct_onto_its_series(run, segment, study, tmp_path) -> None:
    segment(study, "--format", "seg", "--format", "rtstruct")
    out = tmp_path / "out"
    words = ("evaluate", out / DICOM["rtstruct"], out / DICOM["seg"], "--bootstrap", 0)
    assert "[geometry-missing]" in run(*words).err
    outcome = run(*words, "--source", study)
    assert outcome.code == 0, outcome.err


@pytest.mark.parametrize("kind", ["seg", "rtstruct"])
def test_convert_takes_dicom_objects_with_their_images(run, segment, study, tmp_path, kind) -> None:
    segment(study, "--format", "seg", "--format", "rtstruct")
    words = ("--format", "seg", "--source", study, "-o", tmp_path / "again")
    outcome = run("convert", tmp_path / "out" / DICOM[kind], *words)
    assert outcome.code == 0, outcome.err
    grid = read_source(study).geometry
    wanted, got = (
        medseg.read_instances(tmp_path / out / DICOM["seg"], source=grid).to_labelmap()
        for out in ("out", "again")
    )
    assert np.array_equal(got > 0, wanted > 0)


@pytest.mark.parametrize("command", ["convert", "measure"])
def test_a_seg_of_another_frame_of_reference_is_refused(
    run, segment, study, tmp_path, command
) -> None:
    segment(study, "--format", "seg")
    path = tmp_path / "out" / DICOM["seg"]
    ds = dcmread(path)
    ds.FrameOfReferenceUID = "1.2.3"
    ds.save_as(path)
    words = {
        "convert": ("--format", "rtstruct", "--source", study, "-o", tmp_path / "again"),
        "measure": ("--image", study),
    }
    outcome = run(command, path, *words[command])
    assert (outcome.code, "[mixed-frame-of-reference]" in outcome.err) == (3, True)


def organs_of(outcome: Outcome) -> list[str | None]:
    assert outcome.code == 0, outcome.err
    return [row["organ"] for row in json.loads(outcome.out)["instances"]]


@pytest.mark.parametrize("kind", ["seg", "rtstruct"])
def test_organs_may_be_dicom_objects(run, study, tmp_path, kind) -> None:
    array = np.zeros_like(bright_array())
    array[1:6, 2:7, 3:8] = 1
    drawn = tmp_path / "organs.nii.gz"
    grid = read_source(study).geometry
    medseg.write(Volume(array.astype(np.uint8), grid), drawn)
    (tmp_path / "names.json").write_text('{"1": "liver"}', encoding="utf-8")
    words = ("--names", tmp_path / "names.json", "--format", kind, "--source", study)
    assert run("convert", drawn, *words, "-o", tmp_path / "organs").code == 0
    organs = tmp_path / "organs" / DICOM[kind]
    lesions = tmp_path / "lesions.nii.gz"
    medseg.write(Volume(bright_array() // 200 + (bright_array() == 300), grid), lesions)
    measure = ("measure", lesions, "--organs", organs, "--json")
    assert organs_of(run(*measure, "--image", study)) == ["liver", None]
    alone = run(*measure)
    if kind == "seg":
        assert organs_of(alone) == ["liver", None]
    else:
        assert (alone.code, "[geometry-missing]" in alone.err) == (3, True)


def test_nodes_are_judged_by_their_short_axis_after_a_seg(run, study, tmp_path) -> None:
    drawn = tmp_path / "nodes.nii.gz"
    array = (bright_array() == 200).astype(np.uint8)
    medseg.write(Volume(array, read_source(study).geometry), drawn)
    names = tmp_path / "names.csv"
    names.write_text("label,name,kind,node\n1,gtvn,lesion,yes\n", encoding="utf-8")
    words = ("--names", names, "--format", "seg", "--source", study, "-o", tmp_path / "nodes")
    assert run("convert", drawn, *words).code == 0
    measured = [
        run("measure", path, *more, "--image", study, "--slice-thickness-mm", "2", "--json")
        for path, more in ((drawn, ("--names", names)), (tmp_path / "nodes" / DICOM["seg"], ()))
    ]
    rows = [json.loads(one.out)["instances"][0]["recist_node_status"] for one in measured]
    assert rows == ["normal", "normal"]


def test_probabilities_of_nothing_cost_no_result(run, threshold_model, tmp_path) -> None:
    dark = bright_array().clip(max=20)
    volume = Volume(dark, Geometry.from_spacing(dark.shape, (2.0, 1.0, 1.0)), "MR", "arbitrary")
    write_dicom_series(volume, tmp_path / "dark")
    words = ("-o", tmp_path / "out", "--model", threshold_model, "--probabilities")
    outcome = run("segment", tmp_path / "dark", *words)
    assert outcome.code == 0, outcome.err
    assert rows_of(tmp_path / "out" / "instances.csv") == []
    assert not (tmp_path / "out" / DICOM["fractional"]).exists()
