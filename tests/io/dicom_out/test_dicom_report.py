"""The structured report: digits of the CSV, references to segments, and what it never claims."""

from __future__ import annotations

import csv
from dataclasses import replace

import pytest
from dicom_out_cases import GRID, LIVER, MODEL, MOMENT, NODULE, overlapping, series, texts
from pydicom import dcmread

from medseg.io.dicom_out import FILES, Algorithm, write_dicom
from medseg.io.tables import write_table
from medseg.measurement import measure
from medseg.types import Instances


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    return series(tmp_path_factory.mktemp("series"))


@pytest.fixture(scope="module")
def written(source, tmp_path_factory):
    out = tmp_path_factory.mktemp("out")
    found = overlapping()
    table = measure(found, source.volume())
    write_table(table, out / "instances.csv")
    write_dicom(found, source, out, formats=("sr",), table=table, timestamp=MOMENT)
    return out


def test_a_report_brings_the_seg_that_it_refers_to(written) -> None:
    segmentation, report = dcmread(written / FILES["seg"]), dcmread(written / FILES["sr"])
    evidence = report.CurrentRequestedProcedureEvidenceSequence[0]
    named = {
        one.ReferencedSOPInstanceUID
        for part in evidence.ReferencedSeriesSequence
        for one in part.ReferencedSOPSequence
    }
    assert segmentation.SOPInstanceUID in named
    assert report.StudyInstanceUID == segmentation.StudyInstanceUID
    assert (report.VerificationFlag, report.CompletionFlag) == ("UNVERIFIED", "COMPLETE")


def test_numbers_have_the_digits_of_the_csv(written) -> None:
    with (written / "instances.csv").open(newline="") as file:
        rows = {int(row["instance_id"]): row for row in csv.DictReader(file)}
    told = texts(dcmread(written / FILES["sr"]))
    assert told["liver 7/Volume"] == rows[7]["volume_ml"]
    assert told["lung nodule 3/Volume"] == rows[3]["volume_ml"]
    assert told["lung nodule 3/Long axis"] == rows[3]["recist_long_mm"]
    assert told["lung nodule 3/Short axis"] == rows[3]["recist_short_mm"]
    assert told["liver 7/Maximum 3D Diameter of a Mesh"] == rows[7]["diameter_3d_mm"]
    assert told["liver 7/Attenuation Coefficient/Mean"] == rows[7]["intensity_mean"]
    assert told["liver 7/Attenuation Coefficient/Maximum"] == rows[7]["intensity_max"]
    assert told["lung nodule 3/Probability"] == rows[3]["score"] == "0.3000"


def test_what_is_missing_is_left_out(written) -> None:
    told = texts(dcmread(written / FILES["sr"]))
    assert "liver 7/Long axis" not in told  # RECIST is for lesions
    assert all(text not in ("", "nan") for text in told.values())


def test_objects_that_no_model_scored_have_no_probability(source, tmp_path) -> None:
    found = replace(overlapping(), provenance={})
    write_dicom(found, source, tmp_path, formats=("sr",), table=measure(found, source.volume()))
    assert not any("Probability" in key for key in texts(dcmread(tmp_path / FILES["sr"])))


def test_a_rerun_gives_the_same_bytes(source, written, tmp_path) -> None:
    found = overlapping()
    table = measure(found, source.volume())
    write_dicom(found, source, tmp_path, formats=("sr",), table=table, timestamp=MOMENT)
    for name in (FILES["seg"], FILES["sr"]):
        assert (tmp_path / name).read_bytes() == (written / name).read_bytes()


def test_no_object_gives_a_report_of_none(source, tmp_path) -> None:
    none = Instances(GRID, [], (LIVER, NODULE), (), MODEL)
    (tmp_path / FILES["seg"]).write_bytes(b"of an earlier run")
    made = write_dicom(
        none, source, tmp_path, formats=("sr",), table=measure(none, source.volume())
    )
    assert made.files == (FILES["sr"],)
    assert [path.name for path in tmp_path.iterdir()] == [FILES["sr"]]
    told = texts(dcmread(tmp_path / FILES["sr"]))
    assert told == {"no finding/Number of lesions (observable entity)": "0"}


def test_a_report_needs_a_table(source, tmp_path) -> None:
    with pytest.raises(ValueError, match="measures of a table"):
        write_dicom(overlapping(), source, tmp_path, formats=("sr",))


def test_formats_are_known_words(source, tmp_path) -> None:
    with pytest.raises(ValueError, match="formats are some of seg, sr, rtstruct"):
        write_dicom(overlapping(), source, tmp_path, formats=("pdf",))


def test_nothing_is_left_where_a_part_fails(source, tmp_path, monkeypatch) -> None:
    import medseg.io.dicom_out.write as writing

    def broken(ds):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(writing, "encoded", broken)
    with pytest.raises(Exception, match="no room left"):
        write_dicom(overlapping(), source, tmp_path, formats=("seg",))
    assert list(tmp_path.iterdir()) == []


def test_nobody_s_name_is_in_names_or_descriptions(tmp_path) -> None:
    source = series(tmp_path / "series", PatientName="Canary^Bird", PatientID="C4N4RY")
    out = tmp_path / "out"
    out.mkdir()
    found = overlapping()
    made = write_dicom(
        found,
        source,
        out,
        formats=("seg", "sr"),
        table=measure(found, source.volume()),
        algorithm=Algorithm("finder", "1", "AUTOMATIC"),
    )
    assert repr(source).find("anary") < 0
    assert "C4N4RY" not in repr(source)
    for ds in made.objects.values():
        assert "anary" not in ds.SeriesDescription
    assert all("anary" not in path.name for path in out.iterdir())
