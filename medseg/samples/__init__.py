"""Two small real studies that ship with medseg, each with its licence beside it."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

_MARK = "LICENSE.md"


def names() -> tuple[str, ...]:
    """The samples, in order of their names."""
    return tuple(sorted(folder.name for folder in _root().iterdir() if (folder / _MARK).is_file()))


def path(name: str) -> Path:
    """The folder of a sample: a DICOM study, or `image.nii.gz` with `label.nii.gz`.

    Raises ValueError that lists the names, if there is no such sample.
    """
    if name not in names():
        msg = f"no sample is called {name!r}; there are {', '.join(names())}"
        raise ValueError(msg)
    return _root() / name


def _root() -> Path:
    return Path(str(files("medseg.samples")))
