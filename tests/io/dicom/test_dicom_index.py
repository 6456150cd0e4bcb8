"""The index of a scan: unchanged files are not opened again, and nothing else changes."""

from __future__ import annotations

import importlib
import os
import sqlite3
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest
from dicom_builders import (
    CANARY,
    CANARY_ID,
    ROOT,
    SLICES,
    enhanced,
    ramp_error,
    save,
    series,
    write,
)
from pydicom.uid import RTStructureSetStorage

from medseg.errors import InputRefused
from medseg.io.dicom import check, index, read_checked, scan, scan_tree

scan_module = importlib.import_module("medseg.io.dicom.scan")  # the function has its name


@pytest.fixture(autouse=True)
def settled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files that were written a moment ago are kept."""
    monkeypatch.setattr(index, "SETTLED_S", -60.0)


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Names of the files whose headers are read."""
    names: list[str] = []
    read = scan_module.read_header

    def noted(path: Path, file_bytes: int, *, whole: bool) -> object:
        names.append(path.name)
        return read(path, file_bytes, whole=whole)

    monkeypatch.setattr(scan_module, "read_header", noted)
    return names


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A classic and an enhanced series, a structure set, a damaged file, a text."""
    folder = write(series(), tmp_path / "in" / CANARY / "ct")
    ds = enhanced(series())
    ds.SeriesInstanceUID = f"{ROOT}.5"
    save(ds, folder.parent / "one.dcm")
    other = series(slices=1)[0]
    other.SOPClassUID, other.SeriesInstanceUID = RTStructureSetStorage, f"{ROOT}.6"
    del other.Rows, other.Columns, other.PixelData
    save(other, folder.parent / "other.dcm")
    (folder.parent / "cut.dcm").write_bytes((folder / "000.dcm").read_bytes()[:480])
    (folder.parent / "notes.txt").write_text("no DICOM " * 40)
    return tmp_path / "in"


def file_of(folder: Path) -> Path:
    (file,) = folder.iterdir()
    return file


def test_a_second_scan_finds_the_same_and_opens_nothing(
    tree: Path, tmp_path: Path, opened: list[str]
) -> None:
    plain = scan_tree(tree)
    first = scan_tree(tree, index=tmp_path / "index")
    assert len(opened) == 2 * (SLICES + 4)
    opened.clear()
    second = scan_tree(tree, index=tmp_path / "index")
    assert opened == []
    assert plain == first == second
    assert dict(second.skipped) == {"not DICOM": 1}
    for one in second.images:
        assert ramp_error(read_checked(check(one))) < 1e-3


def test_only_what_changed_is_opened(tree: Path, tmp_path: Path, opened: list[str]) -> None:
    place = tmp_path / "index"
    scan(tree, index=place)
    folder = tree / CANARY / "ct"
    added, changed = series(slices=SLICES + 1)[-1], series()[3]
    changed.RescaleSlope = 0.2
    save(added, folder / "new.dcm")
    save(changed, folder / "003.dcm")
    (folder / "005.dcm").unlink()
    (folder / "006.dcm").rename(folder / "moved.dcm")
    opened.clear()
    found = scan_tree(tree, index=place)
    assert sorted(opened) == ["003.dcm", "moved.dcm", "new.dcm"]
    assert found == scan_tree(tree)
    opened.clear()
    assert scan_tree(tree, index=place) == found
    assert opened == []


def test_a_file_of_the_same_size_and_an_older_time_is_opened(
    tree: Path, tmp_path: Path, opened: list[str]
) -> None:
    file = tree / CANARY / "ct" / "003.dcm"
    before = file.stat()
    scan(tree, index=tmp_path / "index")
    opened.clear()
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns - 10**9))
    scan(tree, index=tmp_path / "index")
    assert opened == ["003.dcm"]


def test_what_changed_only_now_is_not_kept(
    tree: Path, tmp_path: Path, opened: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(index, "SETTLED_S", 3600.0)
    for _ in range(2):
        opened.clear()
        scan(tree, index=tmp_path / "index")
        assert len(opened) == SLICES + 4


def test_order_in_the_tree_is_that_of_now(tree: Path, tmp_path: Path) -> None:
    place = tmp_path / "index"
    scan(tree, index=place)
    save(series(slices=SLICES + 1)[-1], tree / "0.dcm")
    found = scan(tree, index=place)
    orders = [frame.file.order for one in found for frame in one.frames]
    assert found == scan(tree)
    assert min(orders) == 1
    assert len(set(orders)) == SLICES + 2


def test_without_a_folder_nothing_is_kept(tree: Path, tmp_path: Path, opened: list[str]) -> None:
    before = sorted(tmp_path.rglob("*"))
    scan(tree)
    scan(tree)
    assert len(opened) == 2 * (SLICES + 4)
    assert sorted(tmp_path.rglob("*")) == before


def test_an_index_is_never_inside_the_data(tree: Path) -> None:
    before = sorted(tree.rglob("*"))
    scan(tree, index=tree / "cache")
    scan(tree, index=tree)
    assert sorted(tree.rglob("*")) == before


def test_the_index_tells_nothing_of_the_patient(tree: Path, tmp_path: Path) -> None:
    place = tmp_path / "index"
    scan(tree, index=place)
    content = file_of(place).read_bytes().lower()
    names = (*CANARY.lower().split("^"), CANARY_ID.lower(), "19470115", ROOT, "000.dcm", "ct")
    for secret in (*names[:-1], scan(tree)[0].frames[0].file.patient):
        assert secret.encode() not in content
    assert CANARY.lower() not in file_of(place).name.lower()


@pytest.mark.skipif(os.name != "posix", reason="permissions of POSIX")
def test_the_index_is_the_users_own(tree: Path, tmp_path: Path) -> None:
    place = tmp_path / "new" / "index"
    scan(tree, index=place)
    assert stat.S_IMODE(place.stat().st_mode) == 0o700
    assert stat.S_IMODE(file_of(place).stat().st_mode) == 0o600


@pytest.mark.parametrize(
    "damage", ["no index", "cut", "holes", "other version", "a table is gone", "empty"]
)
def test_a_damaged_index_is_made_again(
    tree: Path, tmp_path: Path, opened: list[str], damage: str
) -> None:
    place = tmp_path / "index"
    found = scan(tree, index=place)
    file = file_of(place)
    if damage == "no index":
        file.write_bytes(b"nothing of the kind " * 1000)
    elif damage == "cut":
        file.write_bytes(file.read_bytes()[:4096])
    elif damage == "holes":
        whole = file.read_bytes()
        file.write_bytes(whole[:4096] + bytes(len(whole) - 4096))
    elif damage == "empty":
        file.write_bytes(b"")
    else:
        change = {"other version": "UPDATE about SET version = 'x'"}.get(damage, "DROP TABLE about")
        with sqlite3.connect(file) as store:
            store.execute(change)
        store.close()
    opened.clear()
    assert scan(tree, index=place) == found
    assert len(opened) == SLICES + 4
    assert scan(tree, index=place) == found
    opened.clear()
    assert scan(tree, index=place) == found
    assert opened == []


def test_entries_that_were_altered_are_not_believed(
    tree: Path, tmp_path: Path, opened: list[str]
) -> None:
    place = tmp_path / "index"
    found = scan(tree, index=place)
    with sqlite3.connect(file_of(place)) as store:
        for name, data in store.execute("SELECT name, content FROM pieces").fetchall():
            altered = bytearray(data)
            altered[len(altered) // 2] ^= 1
            store.execute("UPDATE pieces SET content = ? WHERE name = ?", (bytes(altered), name))
    store.close()
    opened.clear()
    assert scan(tree, index=place) == found
    assert len(opened) == SLICES + 4


def test_an_index_in_use_elsewhere_is_passed_by(tree: Path, tmp_path: Path) -> None:
    place = tmp_path / "index"
    found = scan(tree, index=place)
    store = sqlite3.connect(file_of(place), isolation_level=None)
    store.execute("BEGIN EXCLUSIVE")
    try:
        assert scan(tree, index=place) == found
    finally:
        store.close()
    assert scan(tree, index=place) == found


@pytest.mark.parametrize("kind", ["file", "below a file"])
def test_where_no_index_can_be_the_scan_goes_on(tree: Path, tmp_path: Path, kind: str) -> None:
    (tmp_path / "taken").write_text("a file")
    place = tmp_path / "taken" if kind == "file" else tmp_path / "taken" / "index"
    assert scan(tree, index=place) == scan(tree)


def test_a_refused_scan_keeps_nothing_and_spoils_nothing(tree: Path, tmp_path: Path) -> None:
    place = tmp_path / "index"
    found = scan(tree, index=place)
    (tree / "more.zip").write_bytes(b"PK")
    with pytest.raises(InputRefused, match="archive"):
        scan(tree, index=place)
    (tree / "more.zip").unlink()
    assert scan(tree, index=place) == found
