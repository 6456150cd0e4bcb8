"""Files appear whole or not at all: write under another name, flush, rename."""

from __future__ import annotations

import errno
import os
import secrets
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from medseg.errors import OutputError

_NO_ROOM = frozenset(
    number
    for number in (errno.ENOSPC, getattr(errno, "EDQUOT", None), errno.EFBIG)
    if number is not None
)


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Give a temporary name beside `path`; on success what was written there becomes `path`.

    The name keeps all suffixes of `path`, so that writers which choose a format by suffix choose
    the same one. The file is flushed to the disk before it takes the place of an older one. If the
    block raises, or wrote nothing, the temporary file is removed and an older `path` stays as it
    was.

    Raises OutputError (`folder-missing`, `not-a-folder`, `is-a-folder`, `not-writable`,
    `disk-full`, `write-failed`) for what the operating system refuses.
    """
    target = Path(path)
    _check_place(target)
    temporary = target.with_name(f".{secrets.token_hex(4)}.partial.{target.name}")
    try:
        yield temporary
        _flush(temporary)
        temporary.replace(target)
    except OSError as error:
        raise output_error(error, target) from error
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
    _flush_folder(target.parent)


def writable_folder(path: Path) -> Path:
    """Make the folder `path` with its parents if it is missing, and see that it can be written to.

    Raises OutputError (`not-a-folder`, `not-writable`, `disk-full`, `write-failed`).
    """
    folder = Path(path)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / f".{secrets.token_hex(4)}.partial"
        probe.touch(exist_ok=False)
        probe.unlink()
    except OSError as error:
        raise output_error(error, _in_the_way(folder)) from error
    return folder


@contextmanager
def staged(out: Path, names: Sequence[str]) -> Iterator[Path]:
    """Give a folder inside `out`, which must be there; its files called `names` move up at the end.

    So all files of a result appear together, in this order, and an error in the block leaves `out`
    as it was.

    Raises OutputError as `atomic_path` does.
    """
    try:
        with tempfile.TemporaryDirectory(
            prefix=".partial-", dir=out, ignore_cleanup_errors=True
        ) as stage:
            yield Path(stage)
            for name in names:
                _replace(Path(stage) / name, out / name)
    except OSError as error:
        raise output_error(error, out) from error


def _replace(new: Path, old: Path) -> None:
    try:
        new.replace(old)
    except OSError as error:
        raise output_error(error, old) from error


def _in_the_way(folder: Path) -> Path:
    """The nearest part of a path that is there, where it is no folder; else the path."""
    there = next((part for part in (folder, *folder.parents) if part.exists()), folder)
    return folder if there.is_dir() else there


def output_error(error: OSError, path: Path) -> OutputError:
    """What an error of the operating system means for whoever wants `path` written."""
    name = path.name or str(path)
    if error.errno in _NO_ROOM:
        return OutputError(
            code="disk-full",
            subject=name,
            detail="there is no room left to write it",
            remedy="free some space",
        )
    if isinstance(error, FileExistsError | NotADirectoryError):
        return OutputError(
            code="not-a-folder",
            subject=name,
            detail="a file is where a folder is wanted",
            remedy="give another folder",
        )
    if isinstance(error, IsADirectoryError):
        return OutputError(
            code="is-a-folder",
            subject=name,
            detail="a folder has this name",
            remedy="give another name",
        )
    if isinstance(error, PermissionError) or error.errno == errno.EROFS:
        return OutputError(
            code="not-writable",
            subject=name,
            detail="there is no permission to write here",
            remedy="give another folder",
        )
    reason = error.strerror or type(error).__name__
    return OutputError(
        code="write-failed",
        subject=name,
        detail=f"cannot be written ({reason})",
        remedy="give another place",
    )


def _check_place(target: Path) -> None:
    folder = target.parent
    if target.is_dir():
        raise output_error(IsADirectoryError(errno.EISDIR, "is a folder"), target)
    if folder.is_dir():
        return
    if folder.exists():
        raise output_error(NotADirectoryError(errno.ENOTDIR, "not a folder"), folder)
    missing = next(part for part in reversed((folder, *folder.parents)) if not part.exists())
    raise OutputError(
        code="folder-missing",
        subject=missing.name or str(missing),
        detail="there is no such folder",
        remedy="make it first",
    )


def _flush(path: Path) -> None:
    with path.open("rb+") as file:
        os.fsync(file.fileno())


def _flush_folder(folder: Path) -> None:
    """Make the new name itself last; Windows has no such thing for folders."""
    with suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
