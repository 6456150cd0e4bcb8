"""Files appear whole or not at all."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from medseg.errors import OutputError
from medseg.io.atomic import atomic_path, output_error, staged, writable_folder


def test_the_file_appears_only_when_the_block_ends(tmp_path):
    target = tmp_path / "a.nii.gz"
    with atomic_path(target) as temporary:
        temporary.write_bytes(b"whole")
        assert not target.exists()
        assert temporary.parent == tmp_path
        assert temporary.name.endswith("a.nii.gz")
    assert target.read_bytes() == b"whole"
    assert [one.name for one in tmp_path.iterdir()] == ["a.nii.gz"]


def fail_midway(target, error):
    with atomic_path(target) as temporary:
        temporary.write_bytes(b"half")
        raise error


def test_a_failure_keeps_the_older_file_and_leaves_no_trace(tmp_path):
    target = tmp_path / "a.csv"
    target.write_bytes(b"old")
    with pytest.raises(RuntimeError, match="midway"):
        fail_midway(target, RuntimeError("midway"))
    assert target.read_bytes() == b"old"
    assert [one.name for one in tmp_path.iterdir()] == ["a.csv"]


def test_a_full_disk_is_said_in_one_line_and_leaves_no_trace(tmp_path):
    with pytest.raises(OutputError, match=r"^a\.csv: there is no room .*disk-full") as caught:
        fail_midway(tmp_path / "a.csv", OSError(errno.ENOSPC, "No space left on device"))
    assert caught.value.exit_code == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_device_without_room_gives_the_same_code():
    with pytest.raises(OSError, match="No space left") as caught:
        Path("/dev/full").write_bytes(b"x" * 100_000)
    assert output_error(caught.value, Path("x.csv")).code == "disk-full"


def test_a_missing_folder_a_folder_and_a_file_in_the_way_are_named(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    cases = {
        "folder-missing": tmp_path / "nowhere" / "a.csv",
        "not-a-folder": tmp_path / "file" / "a.csv",
        "is-a-folder": tmp_path,
    }
    for code, target in cases.items():
        with pytest.raises(OutputError, match=rf"\[{code}\]"), atomic_path(target):
            pytest.fail("the block must not run")


def test_a_block_that_writes_nothing_is_an_error(tmp_path):
    with pytest.raises(OutputError, match="write-failed"), atomic_path(tmp_path / "a.csv"):
        pass


def test_writable_folder_makes_parents_and_leaves_nothing_in_it(tmp_path):
    folder = writable_folder(tmp_path / "a" / "b")
    assert folder.is_dir()
    assert list(folder.iterdir()) == []
    assert writable_folder(folder) == folder


def test_writable_folder_refuses_a_file_in_its_place_and_on_its_way(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    for target in (tmp_path / "file", tmp_path / "file" / "deeper"):
        with pytest.raises(OutputError, match="not-a-folder"):
            writable_folder(target)


@pytest.mark.parametrize("number", [errno.EACCES, errno.EPERM, errno.EROFS])
def test_no_permission_is_not_writable(number):
    assert output_error(OSError(number, "no"), Path("x.csv")).code == "not-writable"


def test_the_part_of_a_path_that_is_in_the_way_is_named(tmp_path) -> None:
    (tmp_path / "afile").write_text("a file")
    with pytest.raises(OutputError, match=r"^afile: a file is where a folder is wanted"):
        writable_folder(tmp_path / "afile" / "x" / "y")
    with (
        pytest.raises(OutputError, match=r"^nodir: there is no such folder"),
        atomic_path(tmp_path / "nodir" / "sub" / "t.csv"),
    ):
        pass


def test_staged_files_move_up_together(tmp_path):
    (tmp_path / "a.csv").write_bytes(b"old")
    with staged(tmp_path, ("a.csv", "b.csv")) as stage:
        for name in ("a.csv", "b.csv", "scratch"):
            (stage / name).write_bytes(b"new")
        assert (tmp_path / "a.csv").read_bytes() == b"old"
    assert {one.name: one.read_bytes() for one in tmp_path.iterdir()} == {
        "a.csv": b"new",
        "b.csv": b"new",
    }


def fail_staging(out):
    with staged(out, ("a.csv",)) as stage:
        (stage / "a.csv").write_bytes(b"new")
        raise RuntimeError("midway")


def test_a_failure_while_staging_leaves_the_folder_as_it_was(tmp_path):
    (tmp_path / "a.csv").write_bytes(b"old")
    with pytest.raises(RuntimeError, match="midway"):
        fail_staging(tmp_path)
    assert {one.name: one.read_bytes() for one in tmp_path.iterdir()} == {"a.csv": b"old"}
