"""A name in every text of the headers comes out nowhere: not printed, logged, written or named."""

from __future__ import annotations

import gzip
import logging
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from cli_cases import two_echoes
from pydicom import dcmread
from pydicom.datadict import DicomDictionary, dictionary_keyword
from pydicom.dataset import Dataset
from pydicom.uid import BasicTextSRStorage

import medseg
from medseg.phantom.dicom import write_dicom_series
from medseg.types import Geometry, Volume

CANARY = "Canarybird"
TOLD = ("canarybird", "19470115", "047y")
TEXTS = {"PN", "LO", "SH", "ST", "LT", "UT", "UC"}
GROUPS = {0x0008, 0x0010, 0x0012, 0x0018, 0x0020, 0x0028, 0x0032, 0x0038, 0x0040, 0x0054}
SPLITTING = {"ConvolutionKernel", "StackID"}
GRID = Geometry.from_spacing((12, 14, 16), (1.0, 1.0, 1.0))


def sing(path: Path) -> None:
    """Put the canary into every text of a file, sequences and private tags too, and a date."""
    ds = dcmread(path)
    for tag, (vr, *_) in DicomDictionary.items():
        if vr in TEXTS and tag >> 16 in GROUPS and dictionary_keyword(tag) not in SPLITTING:
            ds.add_new(tag, vr, CANARY)
    ds.PatientBirthDate = ds.StudyDate = ds.ContentDate = "19470115"
    ds.PatientAge = "047Y"
    inner = Dataset()
    inner.PatientID = inner.CodeMeaning = inner.RequestedProcedureDescription = CANARY
    ds.RequestAttributesSequence = ds.OtherPatientIDsSequence = [inner]
    ds.private_block(0x0009, CANARY, create=True).add_new(1, "LO", CANARY)
    ds.StationAETitle = CANARY
    ds.save_as(path)


def bright(seed: int) -> Volume:
    array = np.random.default_rng(seed).integers(0, 40, GRID.shape).astype(np.int16)
    array[2:5, 3:6, 4:7] = 200
    array[8:10, 8:10, 9:11] = 300
    return Volume(array, GRID, "MR", "arbitrary")


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sound series, one with a gap, one tilted, one of two echoes, PET, and a report."""
    folder = tmp_path_factory.mktemp("made") / "study"
    write_dicom_series(bright(1), folder / "sound")
    write_dicom_series(bright(2), folder / "gap", series_number=2)[4].unlink()
    tilted = write_dicom_series(bright(3), folder / "tilted", series_number=3)
    for n, path in enumerate(tilted):
        ds = dcmread(path)
        ds.ImagePositionPatient[1] += 0.3 * n
        ds.save_as(path)
    two_echoes(folder / "echoes")
    shutil.rmtree(folder / "late")
    pet = Volume(bright(5).array.astype(np.float32), GRID, "PT", "Bq/ml")
    write_dicom_series(pet, folder / "pet", series_number=5)
    decimal = write_dicom_series(bright(6), folder / "decimal", series_number=6)
    for path in decimal:
        path.write_bytes(path.read_bytes().replace(b"1.0\\1.0", b"1,0\\1,0"))
    damaged = write_dicom_series(bright(7), folder / "damaged", series_number=7)
    for path in folder.rglob("*.dcm"):
        if path.parent.name != "decimal":
            sing(path)
    damaged[3].write_bytes(damaged[3].read_bytes()[:-300])
    report = dcmread(next((folder / "sound").iterdir()), stop_before_pixels=True)
    report.SOPClassUID = report.file_meta.MediaStorageSOPClassUID = BasicTextSRStorage
    report.SeriesInstanceUID = "2.25.77"
    report.save_as(folder / "report.dcm")
    return folder


def contents(folder: Path) -> Iterator[bytes]:
    """Names and bytes of all files, unpacked where they are packed."""
    for path in sorted(folder.rglob("*")):
        yield path.relative_to(folder).as_posix().encode()
        if path.is_file():
            raw = path.read_bytes()
            yield raw
            if raw[:2] == b"\x1f\x8b":
                yield gzip.decompress(raw)
            header, mark, packed = raw.partition(b"\n\n")
            if raw[:4] == b"NRRD" and mark:
                yield header
                yield gzip.decompress(packed) if packed[:2] == b"\x1f\x8b" else packed


@pytest.fixture
def silent(run, tmp_path: Path, caplog: pytest.LogCaptureFixture):
    """`silent(code, word, ...)` runs a command and looks for the canary in all that it leaves."""

    def call(code: int, *words: object) -> str:
        caplog.set_level(logging.DEBUG)
        outcome = run(*words)
        assert outcome.code == code, outcome.err
        out = tmp_path / "out"
        told = [outcome.out.encode(), outcome.err.encode(), caplog.text.encode()]
        for one in [*told, *contents(out)]:
            for word in TOLD:
                assert word.encode() not in one.lower()
        shutil.rmtree(out, ignore_errors=True)
        return outcome.out + outcome.err

    (tmp_path / "out").mkdir()
    return call


def test_the_canary_sits_in_the_headers(study: Path) -> None:
    for path in (study / "sound").iterdir():
        assert path.read_bytes().lower().count(TOLD[0].encode()) > 300
    assert all(any(word.encode() in one.lower() for one in contents(study)) for word in TOLD)


@pytest.mark.parametrize("more", [(), ("--json",), ("--debug",)])
def test_inspect_does_not_tell_it(silent, study: Path, tmp_path: Path, more) -> None:
    (tmp_path / "site.key").write_text("x" * 16, encoding="utf-8")
    told = silent(0, "inspect", study, *more)
    for code in ("missing-slices", "gantry-tilt", "geometry-invalid", "several-volumes"):
        assert code in told
    silent(0, "inspect", study, "--secret", tmp_path / "site.key", *more)
    (tmp_path / "out").mkdir()
    silent(0, "inspect", study, "--preview", tmp_path / "out" / "strip.png", *more)


@pytest.mark.parametrize("more", [(), ("--json",), ("--debug",), ("--format", "nrrd")])
def test_convert_does_not_tell_it(silent, study: Path, tmp_path: Path, more) -> None:
    told = silent(4, "convert", study, "-o", tmp_path / "out", *more)
    assert "suv-not-computable" in told


@pytest.mark.parametrize("more", [(), ("--json",), ("--debug",)])
def test_segment_does_not_tell_it(
    silent, study: Path, tmp_path: Path, threshold_model: str, more
) -> None:
    out = tmp_path / "out"
    silent(0, "segment", study / "sound", "-o", out, "--model", threshold_model, *more)


@pytest.mark.parametrize("more", [(), ("--json",), ("--debug",)])
def test_measure_does_not_tell_it(silent, study: Path, tmp_path: Path, more) -> None:
    labels = tmp_path / "labels.nii.gz"
    medseg.write(Volume((bright(1).array > 100).astype(np.uint8), GRID), labels)
    image = ("--image", study / "sound")
    silent(0, "measure", labels, *image, *more)
    (tmp_path / "out").mkdir()
    silent(0, "measure", labels, *image, "-o", tmp_path / "out" / "table.csv", *more)


@pytest.mark.parametrize("series", ["gap", "tilted", "echoes", "pet", "decimal", "damaged", ""])
@pytest.mark.parametrize("more", [(), ("--json",), ("--debug",)])
def test_no_refusal_tells_it(
    silent, study: Path, tmp_path: Path, threshold_model: str, series: str, more
) -> None:
    out = tmp_path / "out"
    silent(3, "segment", study / series, "-o", out, "--model", threshold_model, *more)
