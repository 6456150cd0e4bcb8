"""What a region of interest is called, and the note by which its class is known again."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

from medseg.io.rtstruct.structure import Roi
from medseg.io.seg_nrrd import display_name
from medseg.types import Instance, InstanceClass, Kind

_MARK = "medseg "
_NAME_CHARACTERS = 64
_TEXT_CHARACTERS = 1024
_KINDS: Mapping[str, Kind] = {
    "ORGAN": "organ",
    "AVOIDANCE": "organ",
    "EXTERNAL": "organ",
    "GTV": "lesion",
    "CTV": "lesion",
    "PTV": "lesion",
}
"""What RTROIInterpretedType (PS3.3 C.8.8.8) says of the kind; other types leave it open."""


@dataclass(frozen=True, slots=True)
class Owner:
    """The class that a region belongs to, and what else medseg wrote of it."""

    name: str
    kind: Kind
    label: int | None = None
    node: bool = False
    score: float = 1.0


def roi_name(class_name: str, number: int) -> str:
    """Class and id within the 64 characters of ROIName; a long class is cut, the id never."""
    whole = display_name(class_name, number).replace("\\", "/")
    if len(whole) <= _NAME_CHARACTERS:
        return whole
    tail = f" {number}"
    return whole[: _NAME_CHARACTERS - len(tail)].rstrip() + tail


def roi_description(item: Instance, owner: InstanceClass) -> str:
    """What the name does not say, as JSON for `owner_of`; "" where it would be too long."""
    note: dict[str, Any] = {
        "id": item.id,
        "class": item.class_name,
        "kind": item.kind,
        "label": owner.label,
        "score": float(item.score),
    }
    if owner.node:
        note["node"] = True
    text = _MARK + json.dumps(note, ensure_ascii=False)
    return text if len(text) <= _TEXT_CHARACTERS else ""


def owner_of(roi: Roi, kind: Kind) -> Owner:
    """The class that our note names, unless the region was renamed; else its name is the class.

    `kind` is that of a region whose type says nothing of it.
    """
    return _noted(roi) or Owner(roi.name, _KINDS.get(roi.interpreted_type, kind))


def _noted(roi: Roi) -> Owner | None:
    if not roi.description.startswith(_MARK):
        return None
    try:
        note = json.loads(roi.description[len(_MARK) :])
        name, label, score = str(note["class"]), int(note["label"]), float(note["score"])
        written = roi_name(name, int(note["id"]))
        kind = note["kind"]
    except (KeyError, OverflowError, RecursionError, TypeError, ValueError):
        return None
    if roi.name != written or kind not in ("organ", "lesion") or not 0 <= score <= 1:
        return None
    return Owner(name, cast("Kind", kind), label, note.get("node") is True, score)
