"""Names of the values of a label map, from JSON or CSV."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, cast, get_args

from medseg.errors import InputRefused
from medseg.io.checks import must_exist
from medseg.io.tables import csv_rows, read_text
from medseg.types import InstanceClass, Kind

BACKGROUND = 0
_CSV_COLUMNS = ("label", "name", "kind", "node")
_WANTED = 'JSON such as {"1": "liver"} or CSV with the columns label,name[,kind][,node] is read'
_YES_NO: Mapping[str, bool] = MappingProxyType(
    {"yes": True, "true": True, "1": True, "no": False, "false": False, "0": False, "": False}
)


def read_names(path: str | Path, *, kind: Kind) -> tuple[InstanceClass, ...]:
    """The classes that a file names, by label; those whose kind it does not say are of `kind`.

    JSON is {"1": "liver"} or {"liver": 1}, alone or as "labels" of a dataset.json (nnU-Net,
    Medical Segmentation Decathlon). CSV has a header and the columns label, name and, if wanted,
    kind (organ or lesion) and node (yes or no: RECIST measures nodes by their short axis; one is
    a lesion). The label 0 is the background and is left out.

    Raises InputRefused: `names-invalid` for anything else, `path-missing`, `path-unreadable`.
    """
    place = Path(path)
    must_exist(place)
    read = _READERS.get(place.suffix.lower())
    if read is None:
        raise _invalid(place.name, "ends neither in .json nor in .csv")
    try:
        found = [one for one in read(read_text(place), kind) if one.label != BACKGROUND]
        _check_unique(found)
    except ValueError as error:
        raise _invalid(place.name, str(error)) from error
    return tuple(sorted(found, key=lambda one: one.label))


def _from_json(text: str, kind: Kind) -> Iterator[InstanceClass]:
    try:
        content = json.loads(text, object_pairs_hook=_without_doubles)
    except (json.JSONDecodeError, RecursionError) as error:
        msg = f"is no JSON: {error}"
        raise ValueError(msg) from error
    if isinstance(content, dict) and "labels" in content:
        content = content["labels"]
    if not isinstance(content, dict) or not content:
        msg = "holds no pairs of label and name"
        raise ValueError(msg)
    for label, name in _label_first(content):
        yield InstanceClass(_name(name, label), kind, _label(label))


def _without_doubles(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    twice = _first_double(key for key, _ in pairs)
    if twice is not None:
        msg = f"has {twice!r} twice"
        raise ValueError(msg)
    return dict(pairs)


def _label_first(pairs: Mapping[str, Any]) -> Iterable[tuple[Any, Any]]:
    """(label, name) whichever way round the pairs stand; ValueError where either may be meant."""
    by_key = all(key.strip().isdecimal() for key in pairs)
    by_value = all(_is_number(value) for value in pairs.values())
    if by_key and by_value:
        msg = "pairs numbers with numbers: which of them are labels is not certain"
        raise ValueError(msg)
    if by_value:
        return [(value, key) for key, value in pairs.items()]
    if by_key:
        return list(pairs.items())
    odd = next((key for key, value in pairs.items() if not _is_number(value)), "")
    msg = f"gives {odd!r} no single whole number as its label"
    raise ValueError(msg)


def _is_number(value: Any) -> bool:
    if isinstance(value, str):
        return value.strip().isdecimal()
    return isinstance(value, int) and not isinstance(value, bool)


def _from_csv(text: str, kind: Kind) -> Iterator[InstanceClass]:
    names, rows = csv_rows(text)
    if not {"label", "name"} <= set(names) <= set(_CSV_COLUMNS):
        msg = f"has the columns {', '.join(names) or 'none'}"
        raise ValueError(msg)
    for _, row in rows:
        yield _class_of_row(row, kind)


def _class_of_row(row: Mapping[str, str], kind: Kind) -> InstanceClass:
    label = row["label"]
    node = _YES_NO.get(row.get("node", "").lower())
    if node is None:
        msg = f"has {row['node']!r} under node for label {label}; yes and no are known"
        raise ValueError(msg)
    said = row.get("kind") or ("lesion" if node else kind)
    if said not in get_args(Kind) or (node and said != "lesion"):
        known = "a node is a lesion" if node else "organ and lesion are known"
        msg = f"has the kind {said!r} for label {label}; {known}"
        raise ValueError(msg)
    return InstanceClass(_name(row["name"], label), cast("Kind", said), _label(label), node=node)


def _label(value: Any) -> int:
    if not _is_number(value) or int(value) < BACKGROUND:
        msg = f"has the label {value!r}, which is no whole number from 0 up"
        raise ValueError(msg)
    return int(value)


def _name(value: Any, label: Any) -> str:
    if not isinstance(value, str) or not value.strip():
        msg = f"has no name for label {label}"
        raise ValueError(msg)
    return value.strip()


def _check_unique(classes: list[InstanceClass]) -> None:
    if not classes:
        msg = "names nothing but background"
        raise ValueError(msg)
    label = _first_double(one.label for one in classes)
    name = _first_double(one.name for one in classes)
    if label is not None or name is not None:
        what = f"label {label}" if label is not None else f"name {name!r}"
        msg = f"has the {what} twice"
        raise ValueError(msg)


def _first_double(values: Iterable[Any]) -> Any:
    seen = set()
    for value in values:
        if value in seen:
            return value
        seen.add(value)
    return None


def _invalid(name: str, detail: str) -> InputRefused:
    return InputRefused(code="names-invalid", subject=name, detail=detail, remedy=_WANTED)


_READERS: Mapping[str, Callable[[str, Kind], Iterator[InstanceClass]]] = MappingProxyType(
    {".json": _from_json, ".csv": _from_csv}
)
