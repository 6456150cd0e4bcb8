"""`medseg convert`: a file for each sound volume, a reason for each other, nothing by halves."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
from cli_cases import bright_array, save_nifti, two_echoes
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.uid import RTStructureSetStorage

import medseg
from medseg.io.dicom import read as dicom_read
from medseg.phantom.dicom import write_dicom_series
from medseg.types import Geometry, Volume

GRID = Geometry.from_spacing((6, 5, 4), (2.5, 0.8, 0.7))


def some_volume(seed: int, modality: str = "MR") -> Volume:
    array = np.random.default_rng(seed).integers(0, 999, GRID.shape, dtype=np.int16)
    units: dict[str, Any] = {"MR": "arbitrary", "CT": "HU", "PT": "Bq/ml"}
    return Volume(array, GRID, modality, units[modality])  # type: ignore[arg-type]


def study(folder: Path, *, sound: int = 1, gap: bool = False, structures: bool = False) -> Path:
    """Sound series, one with a slice missing, and an object that is no image."""
    for number in range(1, sound + 1):
        write_dicom_series(some_volume(number), folder / f"{number}", series_number=number)
    if gap:
        write_dicom_series(some_volume(9), folder / "gap", series_number=9)[2].unlink()
    if structures:
        ds = Dataset()
        ds.SOPClassUID, ds.SOPInstanceUID = RTStructureSetStorage, "2.25.1"
        ds.StudyInstanceUID, ds.SeriesInstanceUID = "2.25.2", "2.25.3"
        ds.file_meta = dcmread(next((folder / "1").iterdir())).file_meta
        ds.file_meta.MediaStorageSOPClassUID = RTStructureSetStorage
        (folder / "structures").mkdir()
        ds.save_as(folder / "structures" / "rs.dcm", enforce_file_format=True)
        (folder / "notes.txt").write_text("hello " * 99, encoding="utf-8")
    return folder


def report(out: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((out / "report.json").read_text(encoding="utf-8"))
    return found


@pytest.mark.parametrize(("format_", "suffix"), [("nifti", ".nii.gz"), ("nrrd", ".nrrd")])
def test_each_sound_volume_is_a_file_with_the_same_voxels(
    run, tmp_path, format_: str, suffix: str
) -> None:
    folder, out = study(tmp_path / "in", sound=2), tmp_path / "out"
    outcome = run("convert", folder, "-o", out, "--format", format_)
    assert outcome.code == 0
    for number, entry in enumerate(report(out)["series"], 1):
        (name,) = entry["output"]
        assert name.startswith(f"series-{number:03d}-") and name.endswith(suffix)
        assert entry["status"] == "read"
        assert (entry["reason"], entry["detail"], entry["remedy"]) == ("", "", "")
        there = medseg.read(out / name)
        wanted = medseg.read(folder / str(number))
        np.testing.assert_array_equal(there.array, wanted.array)
        np.testing.assert_allclose(there.geometry.affine, wanted.geometry.affine, atol=1e-5)
    assert len(list(out.iterdir())) == 3


@pytest.mark.parametrize(
    ("parts", "code"),
    [
        ({"sound": 2}, 0),
        ({"sound": 1, "structures": True}, 0),
        ({"sound": 1, "gap": True, "structures": True}, 4),
        ({"sound": 0, "gap": True}, 3),
    ],
)
def test_the_exit_code_says_whether_images_were_refused(
    run, tmp_path, parts: dict[str, Any], code: int
) -> None:
    assert run("convert", study(tmp_path / "in", **parts), "-o", tmp_path / "out").code == code
    assert (tmp_path / "out" / "report.json").exists()


def test_objects_that_are_no_images_alone_are_nothing_read(run, tmp_path) -> None:
    folder = study(tmp_path / "in", structures=True)
    outcome = run("convert", folder / "structures", "-o", tmp_path / "out")
    assert outcome.code == 3
    assert [one["status"] for one in report(tmp_path / "out")["series"]] == ["skipped"]


def test_the_report_has_an_entry_for_each_series_with_reason_and_way_out(run, tmp_path) -> None:
    folder, out = study(tmp_path / "in", gap=True, structures=True), tmp_path / "out"
    outcome = run("convert", folder, "-o", out)
    found = report(out)
    assert [one["status"] for one in found["series"]] == ["read", "refused", "skipped"]
    refused = found["series"][1]
    assert (refused["reason"], refused["output"]) == ("missing-slices", [])
    assert "gap" in refused["detail"] and refused["remedy"] == "fetch the missing slices"
    assert found["series"][2]["what"] == "RTSTRUCT"
    assert found["set_aside"] == {"not DICOM": 1}
    assert "[missing-slices]; fetch the missing slices" in outcome.err
    assert "1 read, 1 refused, 1 skipped" in outcome.out


def test_json_on_stdout_is_the_report(run, tmp_path) -> None:
    folder, out = study(tmp_path / "in", gap=True), tmp_path / "out"
    outcome = run("convert", folder, "-o", out, "--json", "--quiet")
    assert json.loads(outcome.out) == report(out)
    assert outcome.code == 4


def test_several_volumes_of_a_series_are_files_named_by_what_sets_them_apart(run, tmp_path) -> None:
    early, late = two_echoes(tmp_path / "in" / "series")
    (tmp_path / "in" / "late").rename(tmp_path / "aside")
    out = tmp_path / "out"
    assert run("convert", tmp_path / "in", "-o", out).code == 0
    (entry,) = report(out)["series"]
    assert [one["label"] for one in entry["volumes"]] == ["EchoTime 20", "EchoTime 90"]
    for name, wanted, echo in zip(entry["output"], (early, late), (20, 90), strict=True):
        assert name.endswith(f"-echotime-{echo}.nii.gz")
        np.testing.assert_array_equal(medseg.read(out / name).array, wanted.array)


def test_one_bad_volume_of_several_is_refused_and_the_other_written(run, tmp_path) -> None:
    two_echoes(tmp_path / "in" / "series")
    (tmp_path / "in" / "late").rename(tmp_path / "aside")
    for path in (tmp_path / "in" / "series").glob("late-*"):
        ds = dcmread(path)
        ds.RescaleSlope, ds.RescaleIntercept = 0, 0
        ds.save_as(path)
    out = tmp_path / "out"
    assert run("convert", tmp_path / "in", "-o", out).code == 4
    (entry,) = report(out)["series"]
    assert [one["status"] for one in entry["volumes"]] == ["read", "refused"]
    assert (entry["status"], entry["reason"]) == ("refused", "rescale-invalid")
    assert len(entry["output"]) == 1


def test_pet_is_written_in_suv_or_refused_unless_it_is_taken_as_it_is(run, tmp_path) -> None:
    folder = tmp_path / "in"
    write_dicom_series(some_volume(1, "PT"), folder)
    assert run("convert", folder, "-o", tmp_path / "a").code == 3
    (entry,) = report(tmp_path / "a")["series"]
    assert entry["reason"] == "suv-not-computable"
    assert "--raw-units" in entry["remedy"]
    assert run("convert", folder, "-o", tmp_path / "b", "--raw-units").code == 0
    (entry,) = report(tmp_path / "b")["series"]
    assert [one["unit"] for one in entry["volumes"]] == ["Bq/ml"]


@pytest.fixture
def pet_with_dose(tmp_path: Path) -> Path:
    """50 kg and 200 MBq: SUV is Bq/ml / 4000."""
    for path in write_dicom_series(some_volume(1, "PT"), tmp_path / "in"):
        ds = dcmread(path)
        ds.PatientWeight, ds.DecayCorrection, ds.CorrectedImage = 50, "ADMIN", ["ATTN", "DECY"]
        ds.RadiopharmaceuticalInformationSequence = [Dataset()]
        ds.RadiopharmaceuticalInformationSequence[0].RadionuclideTotalDose = 2e8
        ds.save_as(path)
    return tmp_path / "in"


def test_the_suv_factor_and_its_parts_stand_in_the_report(run, tmp_path, pet_with_dose) -> None:
    assert run("convert", pet_with_dose, "-o", tmp_path / "out").code == 0
    (one,) = report(tmp_path / "out")["series"][0]["volumes"]
    assert one["unit"] == "SUVbw"
    assert one["suv"]["factor"] == pytest.approx(50 * 1000 / 2e8)
    assert (one["suv"]["weight_kg"], one["suv"]["dose_bq"]) == (50, 2e8)


def numbers_by_unit(ds: Dataset) -> dict[str, list[float]]:
    """The numbers of a report, at any depth, by their UCUM unit."""
    found: dict[str, list[float]] = {}
    for item in ds.iterall():
        if item.keyword == "MeasuredValueSequence":
            for value in item.value:
                unit = value.MeasurementUnitsCodeSequence[0].CodeValue
                found.setdefault(unit, []).append(float(value.NumericValue))
    return found


@pytest.mark.parametrize(
    ("words", "unit", "other", "factor"),
    [((), "g/ml{SUVbw}", "Bq/ml", 1 / 4000), (("--raw-units",), "Bq/ml", "g/ml{SUVbw}", 1.0)],
)
def test_a_report_of_pet_has_its_numbers_in_the_unit_that_it_names(
    run, tmp_path, pet_with_dose, words: tuple[str, ...], unit: str, other: str, factor: float
) -> None:
    mask = np.zeros(GRID.shape, np.uint8)
    mask[1:5, 1:4, 1:3] = 1
    medseg.write(Volume(mask, GRID), tmp_path / "labels.nii.gz")
    options = ("--format", "sr", "--source", pet_with_dose, *words)
    assert run("convert", tmp_path / "labels.nii.gz", "-o", tmp_path / "sr", *options).code == 0
    (file,) = (tmp_path / "sr").glob("*.sr.dcm")
    found = numbers_by_unit(dcmread(file))
    assert other not in found
    highest = some_volume(1, "PT").array[mask > 0].max() * factor
    assert max(found[unit]) == pytest.approx(highest, rel=2e-2)


def test_an_interrupt_leaves_nothing_behind(run, tmp_path, monkeypatch) -> None:
    folder, out = study(tmp_path / "in", sound=3), tmp_path / "out"
    read, done = dicom_read.read_checked, []

    def twice(*args: Any, **choices: Any) -> Volume:
        done.append(1)
        if len(done) > 2:
            raise KeyboardInterrupt
        return read(*args, **choices)

    monkeypatch.setattr(dicom_read, "read_checked", twice)
    outcome = run("convert", folder, "-o", out)
    assert outcome.code == 130
    assert not out.exists()
    out.mkdir()
    (out / "mine.txt").write_text("kept", encoding="utf-8")
    assert run("convert", folder, "-o", out).code == 130
    assert [one.name for one in out.iterdir()] == ["mine.txt"]


def test_a_second_run_gives_the_same_files(run, tmp_path) -> None:
    folder = study(tmp_path / "in", sound=2)
    for name in ("a", "b"):
        assert run("convert", folder, "-o", tmp_path / name, "--format", "nrrd").code == 0
    first, second = (
        {one.name: one.read_bytes() for one in (tmp_path / name).iterdir()} for name in ("a", "b")
    )
    assert first == second


def test_progress_is_told(run, tmp_path) -> None:
    outcome = run("convert", study(tmp_path / "in", sound=4), "-o", tmp_path / "out")
    assert [line for line in outcome.error_lines if "%" in line][-1] == "convert: 100 %"


def test_an_image_file_is_converted_under_its_own_name(run, tmp_path, image) -> None:
    assert run("convert", image, "-o", tmp_path / "out", "--format", "nrrd").code == 0
    there = medseg.read(tmp_path / "out" / "study.nrrd")
    np.testing.assert_array_equal(there.array, medseg.read(image).array)


def test_an_image_file_does_not_replace_itself(run, tmp_path, image) -> None:
    before = image.read_bytes()
    outcome = run("convert", image, "-o", image.parent)
    assert outcome.code == 1
    assert "[same-file]" in outcome.err
    assert image.read_bytes() == before


def test_an_image_file_that_is_refused_is_nothing_read(run, tmp_path) -> None:
    path = save_nifti(tmp_path / "flat.nii.gz", bright_array()[:, :, 4])
    assert run("convert", path, "-o", tmp_path / "out").code == 3
    (entry,) = report(tmp_path / "out")["series"]
    assert (entry["status"], entry["reason"]) == ("refused", "not-3d")


def test_a_path_that_is_not_there_is_refused_without_a_report(run, tmp_path) -> None:
    outcome = run("convert", tmp_path / "nothing", "-o", tmp_path / "out")
    assert (outcome.code, "[path-missing]" in outcome.err) == (3, True)
    assert not (tmp_path / "out").exists()


@pytest.fixture
def drawn(tmp_path: Path) -> tuple[Path, Path]:
    """A series, and a label map of two objects on its grid."""
    folder = tmp_path / "series"
    write_dicom_series(some_volume(1), folder)
    labels = np.zeros(GRID.shape, np.uint8)
    labels[1:4, 1:3, 1:3], labels[5, 4, 3] = 1, 2
    path = tmp_path / "labels.nii.gz"
    medseg.write(Volume(labels, GRID), path)
    return folder, path


@pytest.mark.parametrize("format_", ["seg", "rtstruct", "sr"])
def test_a_label_map_becomes_dicom_of_the_study_it_was_drawn_on(run, tmp_path, drawn, format_):
    folder, labels = drawn
    words = ("convert", labels, "--format", format_, "--source", folder, "-o", tmp_path / "out")
    outcome = run(*words, "--timestamp", "2026-01-31T12:00:00")
    assert outcome.code == 0, outcome.err
    made = dcmread(tmp_path / "out" / f"instances.{format_}.dcm")
    source = dcmread(next(folder.iterdir()))
    assert made.StudyInstanceUID == source.StudyInstanceUID
    assert made.PatientID == source.PatientID
    names = sorted(one.name for one in (tmp_path / "out").iterdir())
    assert json.loads(run(*words, "--json").out)["files"] == names


def test_the_classes_of_a_label_map_get_the_codes_of_a_file(run, tmp_path, drawn) -> None:
    folder, labels = drawn
    (tmp_path / "names.json").write_text('{"1": "blob", "2": "liver"}', encoding="utf-8")
    codes = {"blob": {"type": "SCT:10200004:Liver"}}
    (tmp_path / "codes.json").write_text(json.dumps(codes), encoding="utf-8")
    outcome = run(
        *("convert", labels, "-o", tmp_path / "out", "--format", "seg", "--source", folder),
        *("--names", tmp_path / "names.json", "--codes", tmp_path / "codes.json"),
    )
    assert outcome.code == 0, outcome.err
    made = dcmread(tmp_path / "out" / "instances.seg.dcm")
    types = [one.SegmentedPropertyTypeCodeSequence[0].CodeValue for one in made.SegmentSequence]
    assert types == ["10200004", "10200004"]


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (("--format", "seg"), "needs --source"),
        (("--source", "somewhere"), "--source is for --format seg"),
        (("--timestamp", "2026-01-31"), "--timestamp is for"),
        (("--format", "dicom"), "dicom"),
        (("--secret", "nothing"), "cannot be read"),
    ],
)
def test_options_that_mean_nothing_together_are_usage_errors(
    run, tmp_path, image, words: tuple[str, ...], reason: str
) -> None:
    outcome = run("convert", image, "-o", tmp_path / "out", *words)
    assert outcome.code == 2
    assert reason in " ".join(outcome.err.replace("│", " ").split())


def test_a_label_map_on_another_grid_is_refused(run, tmp_path, drawn, labels) -> None:
    outcome = run(
        *("convert", labels, "-o", tmp_path / "out", "--format", "seg", "--source", drawn[0])
    )
    assert (outcome.code, "[grid-mismatch]" in outcome.err) == (3, True)


def test_real_series_are_all_read_or_refused(run, tmp_path, shared_data) -> None:
    folder, out = shared_data / "dicom" / "sarcoma_pet_rtstruct", tmp_path / "out"
    assert run("convert", folder, "-o", out).code == 0
    entries = report(out)["series"]
    assert [one["status"] for one in entries] == ["read", "skipped"]
    image = nibabel.load(out / entries[0]["output"][0])
    assert image.shape == (37, 34, 47)
    assert float(np.asarray(image.dataobj).max()) == pytest.approx(6.3759, abs=1e-4)
