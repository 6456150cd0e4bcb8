"""Trees folder by folder, and series put together from files that lie anywhere."""

from __future__ import annotations

import importlib
import os
from pathlib import Path

import pytest
from dicom_builders import ROOT, SLICES, copies, file_bytes, series, write
from pydicom.dataset import Dataset
from pydicom.uid import RTStructureSetStorage

from medseg.errors import InputRefused
from medseg.io.dicom import (
    FolderScan,
    check,
    read_checked,
    read_dicom,
    scan_files,
    scan_folders,
    scan_tree,
    series_of_files,
)
from medseg.io.dicom import folders as folders_module

scan_module = importlib.import_module("medseg.io.dicom.scan")  # the function has its name


def files_under(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def refused(code: str, paths: list[Path]) -> str:
    with pytest.raises(InputRefused) as caught:
        series_of_files(paths)
    assert caught.value.code == code
    return str(caught.value)


def test_files_from_anywhere_make_up_the_series_that_their_folder_held(tmp_path: Path) -> None:
    write(series(), tmp_path / "a")
    whole = read_dicom(tmp_path / "a")
    (tmp_path / "b" / "c").mkdir(parents=True)
    for n, path in enumerate(files_under(tmp_path / "a")):
        if n % 2:
            path.rename(tmp_path / "b" / "c" / f"{99 - n}.dcm")
    paths = files_under(tmp_path)
    for order in (paths, paths[::-1]):
        found = read_checked(check(series_of_files(order)))
        assert (found.array == whole.array).all()
        assert found.geometry == whole.geometry
    assert scan_files(paths) == scan_files(map(str, reversed(paths)))


def test_files_that_are_no_longer_what_they_were_are_refused(tmp_path: Path) -> None:
    write(series(), tmp_path)
    paths = files_under(tmp_path)
    content = paths[-1].read_bytes()
    paths[-1].write_bytes(b"")
    assert "1 file of the series hold no image" in refused("file-corrupt", paths)
    paths[-1].write_bytes(content[:300])
    refused("file-corrupt", paths)
    paths[-1].unlink()
    refused("path-unreadable", paths)
    refused("no-image-series", [])


def test_files_of_two_series_are_not_one(tmp_path: Path) -> None:
    write(series(), tmp_path / "a")
    other = copies(series(), 1)
    for ds in other:
        ds.SeriesInstanceUID = f"{ROOT}.8"
    write(other, tmp_path / "b")
    refused("several-series", files_under(tmp_path))


def test_an_object_among_the_files_is_refused(tmp_path: Path) -> None:
    write(series(), tmp_path)
    ds = Dataset()
    ds.SOPClassUID, ds.SeriesInstanceUID, ds.SOPInstanceUID = RTStructureSetStorage, "1.2", "1.3"
    (tmp_path / "rt.dcm").write_bytes(file_bytes(ds))
    refused("file-corrupt", files_under(tmp_path))


def tree(root: Path) -> Path:
    """Two series in folders of their own, one more in the root itself."""
    for n, place in enumerate((root, root / "a", root / "b" / "c"), start=1):
        slices = copies(series(), n)
        for ds in slices:
            ds.SeriesInstanceUID = f"{ROOT}.{20 + n}"
        write(slices, place)
    return root


def by_folder(root: Path, **options: object) -> dict[str, FolderScan]:
    return {one.folder: one for one in scan_folders(root, **options)}  # type: ignore[arg-type]


def test_every_folder_is_a_scan_of_its_own_in_a_fixed_order(tmp_path: Path) -> None:
    found = list(scan_folders(tree(tmp_path)))
    assert [one.folder for one in found if one.scan.series] == ["", "a/", "b/c/"]
    assert [one.scan.images[0].uid for one in found if one.scan.series] == [
        f"{ROOT}.{20 + n}" for n in (1, 2, 3)
    ]
    assert all(one.passed_over == () for one in found)


def test_a_folder_of_many_files_comes_in_parts_that_files_put_together(tmp_path: Path) -> None:
    write(series(), tmp_path)
    parts = list(scan_folders(tmp_path, most=5))
    assert [len(one.scan.images[0].frames) for one in parts] == [5, 5, SLICES - 10]
    paths = [frame.file.path for one in parts for frame in one.scan.images[0].frames]
    (whole,) = scan_tree(tmp_path).images
    assert scan_files(paths).images == (whole,)


def test_more_files_than_one_scan_takes_are_scanned(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scan_module, "MAX_FILES", 20)
    tree(tmp_path)
    with pytest.raises(InputRefused, match="too-large"):
        scan_tree(tmp_path)
    assert len([one for one in scan_folders(tmp_path) if one.scan.images]) == 3


def test_what_cannot_be_looked_at_is_passed_over_and_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tree(tmp_path)
    (tmp_path / "a" / "more.tar.gz").write_bytes(b"x")
    (tmp_path / "closed").mkdir()
    (tmp_path / "a" / "text.nii").write_bytes(b"x")
    (tmp_path / "a" / "link").symlink_to(tmp_path, target_is_directory=True)
    os.mkfifo(tmp_path / "a" / "pipe")
    listed = os.scandir

    def closed(place: str) -> object:
        if Path(place).name == "closed":
            raise PermissionError(13, "Permission denied")
        return listed(place)

    monkeypatch.setattr(os, "scandir", closed)
    found = by_folder(tmp_path)
    assert [(where, error.code) for where, error in found["a/"].passed_over] == [
        ("a/more.tar.gz", "archive")
    ]
    assert found["a/"].not_dicom == (tmp_path / "a" / "text.nii",)
    assert found["a/"].scan.skipped == {"link": 1, "not DICOM": 2}
    assert len(found["a/"].scan.images) == 1
    ((where, error),) = found["closed/"].passed_over
    assert (where, error.code) == ("closed/", "path-unreadable")


def test_folders_without_end_are_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(folders_module, "MAX_DEPTH", 1)
    found = by_folder(tree(tmp_path))
    assert len(found["a/"].scan.images) == 1
    assert found["b/c/"].passed_over[0][1].code == "too-large"


def test_a_folder_may_be_left_out_by_what_lies_in_it(tmp_path: Path) -> None:
    tree(tmp_path)
    (tmp_path / "b" / ".mine").touch()
    found = by_folder(tmp_path, leave_out=lambda names: ".mine" in names)
    assert set(found) == {"", "a/"}


def test_a_root_that_is_not_there_or_closed_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(InputRefused, match="path-missing"):
        list(scan_folders(tmp_path / "none"))

    def closed(_: str) -> object:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "scandir", closed)
    with pytest.raises(InputRefused, match="path-unreadable"):
        list(scan_folders(tmp_path))


def test_a_single_file_is_a_tree(tmp_path: Path) -> None:
    write(series(), tmp_path)
    (found,) = scan_folders(files_under(tmp_path)[0])
    assert len(found.scan.images) == 1


def test_the_index_is_that_of_a_scan_of_the_tree(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tree(tmp_path / "root")
    for path in files_under(tmp_path):
        os.utime(path, ns=(10**18, 10**18))
    monkeypatch.setattr("medseg.io.dicom.index.SETTLED_S", -60.0)
    first = by_folder(tmp_path / "root", index=tmp_path / "index")
    monkeypatch.setattr(scan_module, "_look_at", None)  # nothing is opened any more
    assert by_folder(tmp_path / "root", index=tmp_path / "index") == first
    assert len(scan_tree(tmp_path / "root", index=tmp_path / "index").images) == 3
