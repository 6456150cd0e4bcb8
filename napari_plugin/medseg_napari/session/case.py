"""A study of a list: a DICOM folder or an image file."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from medseg.errors import InputRefused
from medseg.io import read
from medseg.io.checks import must_exist
from medseg.io.formats import IMAGE_SUFFIXES, has_suffix
from medseg.types import Volume

_CHOICES = ("series", "volume", "modality", "unit", "pet")
"""What in a session's `source` is passed on to `medseg.read`."""

_SECOND_HALVES = (".img", ".img.gz")


@dataclass(frozen=True)
class Case:
    """A study: a DICOM folder, or an image file; `id` is its name without suffix.

    `note` is what the list says of it while there is no work, "" for nothing.
    """

    id: str
    path: Path
    note: str = ""

    def read(self, said: Mapping[str, Any]) -> Volume:
        """The image as a session's `source` says. Raises InputRefused as `medseg.read` does."""
        return read(self.path, **{name: said[name] for name in _CHOICES if name in said})


def list_studies(folder: Path) -> tuple[Case, ...]:
    """The studies in a folder: its folders, and its image files; hidden ones are passed over.

    Files of segments (.seg.nrrd) are none.

    Raises InputRefused as `CaseList` does.
    """
    must_exist(folder)
    if not folder.is_dir():
        detail, remedy = "is a file", "give the folder that holds the studies"
        raise InputRefused("dataset-invalid", folder.name, detail, remedy)
    found: dict[str, Case] = {}
    for entry in sorted(folder.iterdir()):
        name = _case_id(entry)
        if name is None:
            continue
        if name.casefold() in found:  # on some systems the two would share a folder
            detail = f"{found[name.casefold()].path.name} and {entry.name} are one case by name"
            raise InputRefused("dataset-invalid", name, detail, "rename one of the two")
        found[name.casefold()] = Case(name, entry)
    if not found:
        detail = "holds no study"
        remedy = "give the folder that holds a DICOM folder or an image file for each study"
        raise InputRefused("dataset-invalid", folder.name, detail, remedy)
    return tuple(sorted(found.values(), key=lambda case: _natural(case.id)))


def _case_id(entry: Path) -> str | None:
    if entry.name.startswith("."):
        return None
    if entry.is_dir():
        return entry.name
    if has_suffix(entry, ".seg.nrrd", *_SECOND_HALVES) or not has_suffix(entry, *IMAGE_SUFFIXES):
        return None
    longest = max((one for one in IMAGE_SUFFIXES if has_suffix(entry, one)), key=len)
    return entry.name[: -len(longest)] or None


def _natural(name: str) -> list[tuple[int, str]]:
    parts = re.split(r"(\d+)", name.casefold())
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in parts]
