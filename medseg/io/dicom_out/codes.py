"""Which codes stand for a class: SNOMED CT terms for category, type, modifier and site."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

from medseg.errors import InputRefused
from medseg.io.checks import must_exist
from medseg.io.tables import csv_rows, read_text
from medseg.types import InputWarning, InstanceClass, Kind

if TYPE_CHECKING:
    from medseg.card import Card, CodedTerm

_PARTS = ("category", "type", "modifier", "site")
_MOST = (16, 16, 64)
"""Characters of scheme, value and meaning (PS3.3 8.1: SH, SH, LO)."""
_WANTED = (
    'JSON such as {"liver": {"type": "SCT:10200004:Liver"}} or CSV with the columns '
    "class,type[,category][,modifier][,site] is read"
)


class Term(NamedTuple):
    """A term of a coding scheme: ("SCT", "10200004", "Liver")."""

    scheme: str
    value: str
    meaning: str


@dataclass(frozen=True, slots=True)
class ClassCodes:
    """What DICOM is told of a class.

    `modifier` narrows the type (left, anterior); `site` is where a lesion lies; `side` is the side
    of what a modifier narrows already (the anterior part of the left one).
    """

    category: Term
    type: Term
    modifier: Term | None = None
    site: Term | None = None
    side: Term | None = None

    @property
    def modifiers(self) -> tuple[Term, ...]:
        """All that narrows the type."""
        return tuple(one for one in (self.modifier, self.side) if one is not None)


ANATOMY = Term("SCT", "91723000", "Anatomical Structure")
ABNORMAL = Term("SCT", "49755003", "Morphologically Abnormal Structure")
TISSUE = Term("SCT", "85756007", "Tissue")
LESION = Term("SCT", "52988006", "Lesion")
LYMPH_NODE = Term("SCT", "59441001", "Lymph Node")
LEFT = Term("SCT", "7771000", "Left")
RIGHT = Term("SCT", "24028007", "Right")
SIDES = (LEFT, RIGHT)

_ORGANS: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        "brainstem": ("119238007", "Brain Stem"),
        "heart": ("80891009", "Heart"),
        "hippocampus": ("5366008", "Hippocampus"),
        "kidney": ("64033007", "Kidney"),
        "larynx": ("4596009", "Larynx"),
        "liver": ("10200004", "Liver"),
        "lung": ("39607008", "Lung"),
        "mandible": ("91609006", "Mandible"),
        "oesophagus": ("32849002", "Esophagus"),
        "optic chiasm": ("244453006", "Optic chiasm"),
        "optic nerve": ("18234004", "optic nerve"),
        "pancreas": ("15776009", "Pancreas"),
        "parotid gland": ("45289007", "Parotid gland"),
        "spinal cord": ("2748008", "Spinal cord"),
        "spleen": ("78961009", "Spleen"),
        "submandibular gland": ("54019009", "Submandibular gland"),
    }
)
_ABNORMAL: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        "lesion": ("52988006", "Lesion"),
        "mass": ("4147007", "Mass"),
        "metastasis": ("14799000", "Neoplasm, Secondary"),
        "neoplasm": ("108369006", "Neoplasm"),
        "nodule": ("27925004", "Nodule"),
        "tumour": ("108369006", "Neoplasm"),
    }
)
_SPELLINGS: Mapping[str, str] = MappingProxyType(
    {
        "brain stem": "brainstem",
        "chiasm": "optic chiasm",
        "esophagus": "oesophagus",
        "object": "lesion",
        "parotid": "parotid gland",
        "submandibular": "submandibular gland",
        "tumor": "tumour",
    }
)
_SIDE_WORDS: Mapping[str, Term] = MappingProxyType({"left": LEFT, "right": RIGHT})


def codes_of_card(card: Card) -> dict[str, ClassCodes]:
    """The codes that a model's card states, by class; classes without a type are not in it."""
    found = {}
    of_sides = {one.name: _SIDE_WORDS[one.name.rpartition("_")[2]] for one in card.side_classes}
    for one in (*card.classes, *card.side_classes):
        if one.type is not None:
            category = _term(one.category) or _category(one.kind)
            site = LYMPH_NODE if one.node else None  # by which a SEG says that it is a node
            found[one.name] = ClassCodes(
                category, _need(one.type), _term(one.modifier), site, of_sides.get(one.name)
            )
    return found


def codes_for(
    classes: Iterable[InstanceClass], given: Mapping[str, ClassCodes] | None = None
) -> tuple[dict[str, ClassCodes], tuple[InputWarning, ...]]:
    """The codes of each class: as given, else by its name, else tissue or lesion by its kind.

    Known names are organs such as "kidney_left" and findings such as "lung nodule"; a warning
    names the classes that got no code of their own. The site of nodes is the lymph node, by which
    they are known when they are read again, unless given codes say another.
    """
    found: dict[str, ClassCodes] = {}
    lost = []
    for one in classes:
        mine = (given or {}).get(one.name) or _by_name(one)
        if mine is None:
            lost.append(one.name)
            type_ = TISSUE if one.kind == "organ" else LESION
            mine = ClassCodes(_category(one.kind), type_, site=LYMPH_NODE if one.node else None)
        found[one.name] = mine
    if not lost:
        return found, ()
    detail = (
        f"no code is known for {', '.join(sorted(lost))}: written as tissue or lesion, their names "
        "as labels; state codes in the model's card, or write the label map again by the command "
        "medseg convert LABELS --source DICOM --codes FILE"
    )
    return found, (InputWarning("class-without-code", detail),)


def read_codes(path: str | Path) -> dict[str, ClassCodes]:
    """The codes that a file gives to classes by name.

    A term is "SCHEME:VALUE:MEANING", such as "SCT:10200004:Liver". JSON is {class: {"type": term}}
    with "category", "modifier" and "site" where wanted; CSV has the columns class, type and, if
    wanted, those. Without a category it is an anatomical structure, or an abnormal one where a
    site is given.

    Raises InputRefused: `names-invalid` for anything else, `path-missing`, `path-unreadable`.
    """
    place = Path(path)
    must_exist(place)
    suffix = place.suffix.lower()
    if suffix not in (".json", ".csv"):
        raise _invalid(place.name, "ends neither in .json nor in .csv")
    try:
        text = read_text(place)
        rows = _json_rows(text) if suffix == ".json" else _csv_rows(text)
        found = {name: _codes(name, parts) for name, parts in rows}
    except ValueError as error:
        raise _invalid(place.name, str(error)) from error
    if not found:
        raise _invalid(place.name, "names no class")
    return found


def _by_name(one: InstanceClass) -> ClassCodes | None:
    words = re.sub(r"[\W_]+", " ", one.name.lower()).split()
    sides = [_SIDE_WORDS[word] for word in words if word in _SIDE_WORDS]
    name = " ".join(word for word in words if word not in _SIDE_WORDS)
    name = _SPELLINGS.get(name, name)
    side = sides[0] if len(sides) == 1 else None
    if len(sides) > 1:
        return None
    if one.kind == "organ":
        organ = _ORGANS.get(name)
        return organ and ClassCodes(ANATOMY, Term("SCT", *organ), side)
    if one.node and name in ("lymph node", "node"):
        return ClassCodes(ABNORMAL, LESION, None, LYMPH_NODE)
    where, _, what = name.rpartition(" ")
    what = _SPELLINGS.get(what, what)
    if what not in _ABNORMAL or (where and where not in _ORGANS):
        return None
    site = Term("SCT", *_ORGANS[where]) if where else None
    if one.node:
        site = LYMPH_NODE
    return ClassCodes(ABNORMAL, Term("SCT", *_ABNORMAL[what]), side, site)


def _category(kind: Kind) -> Term:
    return ANATOMY if kind == "organ" else ABNORMAL


def _term(one: CodedTerm | None) -> Term | None:
    return None if one is None else _need(one)


def _need(one: CodedTerm) -> Term:
    return Term(one.scheme, one.value, one.meaning)


def _json_rows(text: str) -> list[tuple[str, Mapping[str, Any]]]:
    try:
        content = json.loads(text)
    except (json.JSONDecodeError, RecursionError) as error:
        msg = f"is no JSON: {error}"
        raise ValueError(msg) from error
    if not isinstance(content, dict) or not all(isinstance(v, dict) for v in content.values()):
        msg = "is no JSON object of one object a class"
        raise ValueError(msg)
    return list(content.items())


def _csv_rows(text: str) -> list[tuple[str, Mapping[str, Any]]]:
    columns, rows = csv_rows(text)
    if not {"class", "type"} <= set(columns) <= {"class", *_PARTS}:
        msg = f"has the columns {', '.join(columns) or 'none'}"
        raise ValueError(msg)
    found: dict[str, Mapping[str, Any]] = {}
    for _, row in rows:
        name = row["class"]
        if not name or name in found:
            msg = f"has the class {name!r} twice" if name else "has a row without a class"
            raise ValueError(msg)
        found[name] = {part: row[part] for part in _PARTS if row.get(part)}
    return list(found.items())


def _codes(name: str, parts: Mapping[str, Any]) -> ClassCodes:
    odd = sorted(set(parts) - set(_PARTS))
    if odd or "type" not in parts:
        msg = f"gives {name!r} {'the part ' + odd[0] if odd else 'no type'}"
        raise ValueError(msg)
    terms = {part: _parsed(name, part, text) for part, text in parts.items()}
    usual = ABNORMAL if "site" in terms else ANATOMY
    return ClassCodes(
        terms.get("category", usual), terms["type"], terms.get("modifier"), terms.get("site")
    )


def _parsed(name: str, part: str, text: Any) -> Term:
    words = [word.strip() for word in text.split(":", 2)] if isinstance(text, str) else []
    fits = len(words) == 3 and all(
        0 < len(word) <= most and word.isprintable() and "\\" not in word
        for word, most in zip(words, _MOST, strict=True)
    )
    if not fits:
        msg = f"gives {name!r} a {part} that is no SCHEME:VALUE:MEANING: {text!r}"
        raise ValueError(msg)
    return Term(*words)


def _invalid(name: str, detail: str) -> InputRefused:
    return InputRefused(code="names-invalid", subject=name, detail=detail, remedy=_WANTED)
