"""Which files of two folders belong together: those of the same name."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from medseg.errors import InputRefused
from medseg.io.checks import must_exist, unreadable
from medseg.io.formats import has_suffix

LABEL_SUFFIXES = (
    ".seg.nrrd",
    ".nii.gz",
    ".nii",
    ".hdr.gz",
    ".hdr",
    ".nrrd",
    ".nhdr",
    ".mha",
    ".mhd",
    ".seg.dcm",
    ".dcm",
)
"""Names that label maps and segmentations end in; of a file in two parts, its header."""

_SHOWN = 3


@dataclass(frozen=True)
class FilePair:
    """Two files of one case, which is their name without suffix."""

    case: str
    pred: Path
    ref: Path


@dataclass(frozen=True)
class FilePairs:
    """Files that belong together, by name, and the names of those that have no partner."""

    pairs: tuple[FilePair, ...]
    only_pred: tuple[str, ...] = ()
    only_ref: tuple[str, ...] = ()


def pair_files(pred: str | Path, ref: str | Path) -> FilePairs:
    """Pair a file with a file, or the label maps of two folders by their names without suffix.

    Of folders only what lies directly inside is looked at; hidden files and other suffixes than
    `LABEL_SUFFIXES` are passed over. A pair of files is one case, named as the reference.

    Raises InputRefused: `pairs-missing` where no name is on both sides, one has two files of one
    name, or one is a folder and the other is not; `path-missing`, `path-unreadable`.
    """
    found, wanted = Path(pred), Path(ref)
    for place in (found, wanted):
        must_exist(place)
    if found.is_dir() != wanted.is_dir():
        folder, file = (found, wanted) if found.is_dir() else (wanted, found)
        raise _refused(
            folder,
            f"is a folder, but {file.name} is a file",
            "give two files, or two folders with files of the same names",
        )
    if not found.is_dir():
        return FilePairs((FilePair(stem(wanted), found, wanted),))
    return _paired(found, wanted)


def stem(path: Path) -> str:
    """The name without the suffix of a label map, such as .nii.gz or .seg.nrrd."""
    for suffix in LABEL_SUFFIXES:
        if has_suffix(path, suffix) and len(path.name) > len(suffix):
            return path.name[: -len(suffix)]
    return path.name


def _paired(pred: Path, ref: Path) -> FilePairs:
    found, wanted = _by_stem(pred), _by_stem(ref)
    common = sorted(set(found) & set(wanted))
    if not common:
        raise _refused(
            pred,
            f"no name is in both folders: {_some(found)} here, "
            f"{_some(wanted)} in {ref.name or ref}",
            "name both files of a case the same, such as case1.nii.gz",
        )
    return FilePairs(
        tuple(FilePair(case, found[case], wanted[case]) for case in common),
        tuple(found[case].name for case in sorted(set(found) - set(wanted))),
        tuple(wanted[case].name for case in sorted(set(wanted) - set(found))),
    )


def _by_stem(folder: Path) -> dict[str, Path]:
    try:
        files = sorted(path for path in folder.iterdir() if _is_label_map(path))
    except OSError as error:
        raise unreadable(folder.name, error) from error
    named: dict[str, Path] = {}
    for path in files:
        other = named.setdefault(stem(path), path)
        if other != path:
            raise _refused(
                folder,
                f"{other.name} and {path.name} are two files of one case",
                "leave one of them there",
            )
    if not named:
        raise _refused(
            folder,
            "no label map lies in this folder",
            f"give a folder with files that end in {', '.join(LABEL_SUFFIXES)}",
        )
    return named


def _is_label_map(path: Path) -> bool:
    return not path.name.startswith(".") and has_suffix(path, *LABEL_SUFFIXES) and path.is_file()


def _some(named: dict[str, Path]) -> str:
    names = [path.name for path in named.values()]
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more


def _refused(place: Path, detail: str, remedy: str) -> InputRefused:
    return InputRefused("pairs-missing", place.name or str(place), detail, remedy)
