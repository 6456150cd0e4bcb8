"""What a scan finds under a path, how a series is chosen, and what is never told of a patient."""

from __future__ import annotations

import dataclasses
import hashlib
import importlib
import json
import logging
import os
import zipfile
from pathlib import Path

import numpy as np
import pytest
from dicom_builders import (
    CANARY,
    CANARY_ID,
    ROOT,
    SLICES,
    Slices,
    copies,
    file_bytes,
    ramp_error,
    save,
    series,
    write,
)
from pydicom.dataset import Dataset
from pydicom.uid import RTStructureSetStorage, SegmentationStorage

from medseg.errors import InputRefused
from medseg.io.dicom import (
    check,
    describe_dicom,
    looks_like_dicom,
    read_checked,
    read_dicom,
    read_dicom_volumes,
    scan,
    scan_tree,
)

scan_module = importlib.import_module("medseg.io.dicom.scan")  # the function has its name


def code_of(path: Path, **choice: str | int) -> str:
    with pytest.raises(InputRefused) as caught:
        read_dicom(path, **choice)  # type: ignore[arg-type]
    return caught.value.code


def second_series(number: int = 2) -> Slices:
    slices = copies(series(), 1)
    for ds in slices:
        ds.SeriesInstanceUID, ds.SeriesNumber = f"{ROOT}.8", number
        ds.RescaleIntercept = -24
    return slices


@pytest.fixture
def two(tmp_path: Path) -> Path:
    """Two sound series: the second, 1000 HU higher, comes first by file name."""
    write(series(), tmp_path, names=[f"b{n}" for n in range(SLICES)])
    return write(second_series(), tmp_path, names=[f"a{n}" for n in range(SLICES)])


def test_the_three_steps_can_be_taken_one_by_one(tmp_path: Path) -> None:
    (found,) = scan(write(series(), tmp_path))
    checked = check(found)
    assert [stack.geometry is not None for stack in checked.stacks] == [True]
    assert ramp_error(read_checked(checked)) < 1e-3
    assert ramp_error(read_checked(checked, volume=1)) < 1e-3


def test_names_without_suffix_and_subfolders_are_read(tmp_path: Path) -> None:
    names = [f"IM{n}" if n % 2 else f"deep/er/IM{n}" for n in range(SLICES)]
    assert ramp_error(read_dicom(write(series(), tmp_path, names=names))) < 1e-3


def test_files_without_preamble_are_read(tmp_path: Path) -> None:
    for n, ds in enumerate(series()):
        whole = file_bytes(ds)
        length = int.from_bytes(whole[140:144], "little")
        # Odd ones without preamble; even ones without the file meta information as well.
        (tmp_path / f"{n}").write_bytes(whole[132:] if n % 2 else whole[144 + length :])
    assert ramp_error(read_dicom(tmp_path)) < 1e-3


def test_what_is_no_dicom_is_set_aside_and_counted(tmp_path: Path) -> None:
    write(series(), tmp_path)
    (tmp_path / "notes.txt").write_text("a note that is longer than a preamble " * 10)
    (tmp_path / "empty.dcm").touch()
    (tmp_path / "random.dcm").write_bytes(np.random.default_rng(0).bytes(5000))
    (tmp_path / "fake.dcm").write_bytes(bytes(128) + b"DICM" + b"nothing of the kind")
    (tmp_path / "bare.dcm").write_bytes(bytes(128) + b"DICM")
    assert dict(scan_tree(tmp_path).skipped) == {"not DICOM": 5}
    assert ramp_error(read_dicom(tmp_path)) < 1e-3
    assert [(r.what, r.status, r.files) for r in describe_dicom(tmp_path)[1:]] == [
        ("not DICOM files", "skipped", 5)
    ]


@pytest.mark.parametrize("storage", [RTStructureSetStorage, SegmentationStorage])
def test_objects_made_from_images_are_set_aside(tmp_path: Path, storage: str) -> None:
    write(series(), tmp_path)
    other = series(slices=1)[0]
    other.SOPClassUID, other.SeriesInstanceUID = storage, f"{ROOT}.6"
    if storage == RTStructureSetStorage:
        del other.Rows, other.Columns, other.PixelData
    save(other, tmp_path / "other.dcm")
    assert ramp_error(read_dicom(tmp_path)) < 1e-3
    assert [found.kind for found in scan(tmp_path)] == ["image", "other"]


def test_a_folder_of_no_images_says_what_is_there(tmp_path: Path) -> None:
    other = series(slices=1)[0]
    other.SOPClassUID = RTStructureSetStorage
    del other.Rows, other.Columns, other.PixelData
    save(other, tmp_path / "other.dcm")
    (tmp_path / "notes.txt").write_text("nothing")
    with pytest.raises(InputRefused, match=r"found: RTSTRUCT; 1 not DICOM.*no-image-series"):
        read_dicom(tmp_path)


@pytest.mark.parametrize("kind", ["empty", "file", "missing"])
def test_a_path_without_images_is_refused(tmp_path: Path, kind: str) -> None:
    path = tmp_path / kind
    if kind == "empty":
        path.mkdir()
    elif kind == "file":
        path.write_text("no DICOM at all")
    assert code_of(path) == ("path-missing" if kind == "missing" else "no-image-series")


def test_an_archive_beside_the_series_is_refused(tmp_path: Path) -> None:
    write(series(), tmp_path)
    with zipfile.ZipFile(tmp_path / "more.zip", "w") as archive:
        archive.writestr("a", "b")
    assert code_of(tmp_path) == "archive"
    assert code_of(tmp_path / "more.zip") == "archive"


def link(place: Path, target: Path) -> None:
    try:
        place.symlink_to(target)
    except (OSError, NotImplementedError):
        pytest.skip("this system makes no symbolic links")


def test_links_are_counted_and_never_followed(tmp_path: Path) -> None:
    outside = write(second_series(), tmp_path / "outside")
    folder = write(series(), tmp_path / "study")
    link(folder / "itself", folder)
    link(folder / "loop", folder / "loop")
    link(folder / "elsewhere", outside)
    link(folder / "file", outside / "000.dcm")
    link(folder / "twin", folder / "000.dcm")
    assert dict(scan_tree(folder).skipped) == {"link": 5}
    assert ramp_error(read_dicom(folder)) < 1e-3


def test_a_link_to_nothing_is_unreadable(tmp_path: Path) -> None:
    link(tmp_path / "link", tmp_path / "nowhere")
    assert code_of(tmp_path / "link") == "path-unreadable"


def test_a_file_that_cannot_be_read_is_not_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(series(), tmp_path)

    def refuse(path: Path, _: int, *, whole: bool) -> str:
        if path.name == "011.dcm":
            raise PermissionError(13, "Permission denied", str(path))
        return "not DICOM"

    monkeypatch.setattr(scan_module, "read_header", refuse)
    with pytest.raises(InputRefused, match=r"file 12 in name order.*Permission.*path-unreadable"):
        read_dicom(tmp_path)


def test_too_many_files_and_too_deep_folders_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(series(), tmp_path)
    monkeypatch.setattr(scan_module, "MAX_FILES", SLICES - 1)
    assert code_of(tmp_path) == "too-large"
    monkeypatch.setattr(scan_module, "MAX_FILES", SLICES)
    monkeypatch.setattr(scan_module, "MAX_DEPTH", 2)
    (tmp_path / "1" / "2").mkdir(parents=True)
    read_dicom(tmp_path)
    (tmp_path / "1" / "2" / "3").mkdir()
    assert code_of(tmp_path) == "too-large"


def test_a_series_is_chosen_by_number_code_or_uid(two: Path) -> None:
    first, second = scan(two)
    assert (first.number, second.number) == (1, 2)
    assert first.pseudonym == hashlib.sha256(f"{ROOT}.2".encode()).hexdigest()[:12]
    for choice in (1, "1", first.pseudonym, f"{ROOT}.2"):
        assert ramp_error(read_dicom(two, series=choice)) < 1e-3
    for choice in (2, "2", second.pseudonym, f"{ROOT}.8"):
        volume = read_dicom(two, series=choice)
        volume.array[...] -= 1000
        assert ramp_error(volume) < 1e-3


def test_without_a_choice_the_series_are_listed(two: Path) -> None:
    first, second = scan(two)
    with pytest.raises(InputRefused) as caught:
        read_dicom(two)
    assert str(caught.value) == (
        f"DICOM input: 2 series, none chosen: 1 ({first.pseudonym}) CT, 12 files;"
        f" 2 ({second.pseudonym}) CT, 12 files [several-series];"
        " choose one with --series (its number or its code in the list)"
    )


def test_an_unknown_series_is_refused_with_the_list(two: Path) -> None:
    with pytest.raises(InputRefused, match=r"there are: 1 \(.*\) CT, 12 files; 2 .*series-unknown"):
        read_dicom(two, series="3")


def test_all_volumes_come_in_the_order_of_the_listing(two: Path) -> None:
    low, high = read_dicom_volumes(two)
    assert ramp_error(low) < 1e-3
    assert float(high.array.min() - low.array.min()) == pytest.approx(1000)


def test_one_unsound_series_among_all_is_not_left_out(tmp_path: Path) -> None:
    write(series(), tmp_path / "a")
    write(second_series()[:2], tmp_path / "b")
    with pytest.raises(InputRefused, match=r"series 2 .*too-few-slices"):
        read_dicom_volumes(tmp_path)


def test_a_damaged_file_of_unknown_series_is_not_left_out(tmp_path: Path) -> None:
    write(series(), tmp_path)
    whole = (tmp_path / "011.dcm").read_bytes()
    (tmp_path / "011.dcm").write_bytes(whole[:480])
    with pytest.raises(InputRefused, match=r"1 DICOM image with a header that cannot be used"):
        read_dicom(tmp_path)
    (report,) = [r for r in describe_dicom(tmp_path) if r.code]
    assert report.code == "file-corrupt"


def test_one_file_is_read_as_a_series_of_its_own(tmp_path: Path) -> None:
    write(series(), tmp_path)
    with pytest.raises(InputRefused, match="pass the whole folder") as caught:
        read_dicom(tmp_path / "000.dcm")
    assert caught.value.code == "too-few-slices"


def test_a_dicom_file_is_told_by_its_mark(tmp_path: Path) -> None:
    write(series(), tmp_path)
    assert looks_like_dicom(tmp_path / "000.dcm")
    (tmp_path / "short").write_bytes(b"DICM")
    assert not looks_like_dicom(tmp_path / "short")


def test_a_report_describes_each_series(two: Path) -> None:
    sound, other = describe_dicom(two)
    assert (sound.status, sound.number, sound.patient, sound.files) == ("read", 1, 1, 12)
    assert (sound.shape, sound.orientation) == ((12, 10, 9), "SPL")
    assert sound.spacing_mm == pytest.approx((2.5, 0.8, 0.7))
    assert (sound.modality, sound.unit, sound.code) == ("CT", "HU", "")
    assert other.number == 2


def test_a_report_counts_patients_and_lists_volumes(tmp_path: Path) -> None:
    slices = copies(series(), 2)
    for ds in slices[SLICES:]:
        ds.EchoTime = 5
    for ds in slices[:SLICES]:
        ds.EchoTime = 2
    others = second_series()
    for ds in others:
        ds.PatientID = "B"
    write(slices, tmp_path / "a")
    write(others[:1], tmp_path / "b")
    several, single = describe_dicom(tmp_path)
    assert {several.patient, single.patient} == {1, 2}
    assert (several.status, several.code) == ("refused", "several-volumes")
    assert several.volumes == ("EchoTime 2", "EchoTime 5")
    assert several.shape == (12, 10, 9)
    assert (single.status, single.code, single.shape) == ("refused", "too-few-slices", None)
    assert single.remedy


def test_nothing_of_the_patient_is_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    folder = write(series(), tmp_path / "Yellow")
    write(second_series()[:2], folder / "b")
    (found, _) = scan(folder)
    with caplog.at_level(logging.DEBUG):
        volume = read_dicom(folder, series=1)
        reports = describe_dicom(folder)
        code_of(folder)
    printed = capfd.readouterr()
    told = [
        json.dumps(dict(volume.meta)),
        repr(volume.warnings),
        repr([dataclasses.asdict(report) for report in reports]),
        repr(found),
        repr(found.frames[0]),
        repr(check(found)),
        caplog.text,
        printed.out,
        printed.err,
    ]
    for secret in (*CANARY.lower().split("^"), CANARY_ID.lower(), "19470115", f"{ROOT}.2", ROOT):
        for text in told:
            assert secret not in text.lower().replace(str(tmp_path).lower(), "")
    assert not any(str(tmp_path) in text for text in told)


def test_an_unknown_character_set_does_not_matter(tmp_path: Path) -> None:
    slices = series()
    write(slices, tmp_path)
    for file in tmp_path.iterdir():
        whole = file.read_bytes()
        tag = b"\x08\0\x05\0CS\x0a\0ISO_IR 999"
        length = int.from_bytes(whole[140:144], "little")
        start = 144 + length
        file.write_bytes(whole[:start] + tag + whole[start:])
    assert ramp_error(read_dicom(tmp_path)) < 1e-3


def test_text_in_a_private_sequence_does_not_disturb(tmp_path: Path) -> None:
    slices = series()
    for ds in slices:
        item = Dataset()
        item.PatientName = CANARY
        block = ds.private_block(0x0099, "MEDSEG TEST", create=True)
        block.add_new(0x01, "SQ", [item])
    assert ramp_error(read_dicom(write(slices, tmp_path))) < 1e-3


def test_reading_leaves_the_working_folder_and_the_files_alone(tmp_path: Path) -> None:
    write(series(), tmp_path)
    before = {p.name: (p.read_bytes(), p.stat().st_mtime_ns) for p in tmp_path.iterdir()}
    read_dicom(os.fspath(tmp_path))
    assert {p.name: (p.read_bytes(), p.stat().st_mtime_ns) for p in tmp_path.iterdir()} == before
