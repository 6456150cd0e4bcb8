"""The folder that a command writes to."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


@contextmanager
def output_folder(path: Path) -> Iterator[Path]:
    """Make the folder `path` and see that it can be written to, before anything is computed.

    If the block raises, folders that were made here and are still empty are removed again.

    Raises OutputError as `writable_folder` does.
    """
    from medseg.io.atomic import writable_folder  # NumPy loads here

    made = [folder for folder in (path, *path.parents) if not folder.exists()]
    try:
        yield writable_folder(path)
    except BaseException:
        with suppress(OSError):
            for folder in made:
                folder.rmdir()
        raise
