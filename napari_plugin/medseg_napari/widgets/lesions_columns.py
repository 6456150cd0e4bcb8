"""How measures are called and written in the table of lesions; no Qt."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np
import pandas as pd

from medseg.measurement import GROUPS, columns_of
from medseg.measurement.column import Column
from medseg_napari.session import REVIEW_COLUMNS, Session
from medseg_napari.session.table import NEAREST

DEFAULT_COLUMNS = (
    "instance_id",
    "class_name",
    "mark",
    "volume_ml",
    "recist_long_mm",
    "recist_short_mm",
    "intensity_mean",
    "score",
    "organ",
    "comment",
)
"""Those of a fresh panel: what a reader asks for first, and nothing that is slow for thousands."""

SLOW_COLUMNS = frozenset(NEAREST)
"""Of 20,000 lesions these take minutes, so nobody gets them unasked."""

_TITLES = {
    "instance_id": "No.",
    "class_name": "Class",
    "mark": "Mark",
    "volume_ml": "Volume",
    "recist_long_mm": "Long",
    "recist_short_mm": "Short",
    "intensity_mean": "Mean",
    "score": "Score",
    "organ": "Organ",
    "comment": "Comment",
    "reader_long_mm": "Reader long",
    "reader_short_mm": "Reader short",
}
_SAID = {
    "mark": "What the reader decided.",
    "marked_by": "The initials of who decided.",
    "marked_at": "When it was decided (UTC).",
    "edited_after_mark": "Whether the mask was changed after the decision.",
    "comment": "What the reader wrote.",
    "reader_long_mm": "Length of the long diameter as the reader drew it.",
    "reader_short_mm": "Length of the short diameter as the reader drew it.",
    "edited_after_lines": "Whether the mask was changed after the reader drew a diameter.",
}
_MARKS = {"accept": "✓ accept", "reject": "✗ reject", "unsure": "? unsure", "": ""}
_NUMBERS_SAID = ("reader_long_mm", "reader_short_mm")
_DRAWN_BEFORE = "edited_after_lines"
_DECIMALS = {"mL": 3, "mm": 1, "mm2": 1}
_MISSING = "–"
_OF_IMAGE = "the image's unit"
_UNSAID = ("", "index", "unknown", "arbitrary")


def column_names(session: Session) -> list[str]:
    """Every column that may be chosen: measures in the order of the dictionary, then reviews."""
    return [*session.table.column_names, *REVIEW_COLUMNS]


def first_columns(session: Session) -> list[str]:
    """The columns with which a table begins: those that the session kept, else the usual ones."""
    known = set(column_names(session))
    kept = [name for name in session.view.columns if name in known]
    return kept or [name for name in DEFAULT_COLUMNS if name in known]


def with_flags(columns: Sequence[str]) -> list[str]:
    """Columns, and with a reader's diameters whether they were drawn on another mask."""
    drawn = any(name in _NUMBERS_SAID for name in columns) and _DRAWN_BEFORE not in columns
    return [*columns, *([_DRAWN_BEFORE] if drawn else [])]


def title_of(name: str, image_unit: str = "") -> str:
    """The head of a column: its name in words, its unit below, for intensities the image's."""
    if name in _TITLES:
        words, unit = _TITLES[name], _unit(name)
    else:
        unit = _unit(name)
        words = name.removesuffix(f"_{unit.lower()}").replace("_", " ").capitalize()
    if unit == _OF_IMAGE:
        unit = image_unit
    return f"{words}\n{unit}" if unit not in _UNSAID else words


def definition_of(name: str) -> str:
    """What the data dictionary says of a column."""
    known = _known().get(name)
    return f"{name}: {_SAID[name] if known is None else known.definition}"


def is_number(name: str) -> bool:
    """Whether a column holds numbers, which stand on the right."""
    known = _known().get(name)
    if known is None:
        return name in _NUMBERS_SAID
    return known.dtype.lower().startswith(("int", "float"))


def shown_value(name: str, value: Any) -> str:
    """A value as a reader wants it: rounded by its unit, a dash where there is none."""
    if name == "mark":
        return _MARKS.get(str(value), str(value))
    if pd.isna(value):
        return _MISSING
    if isinstance(value, (bool, np.bool_)):
        return "yes" if value else "no"
    if isinstance(value, (float, np.floating)):
        return _rounded(float(value), _unit(name))
    return str(value)


def _rounded(value: float, unit: str) -> str:
    decimals = _DECIMALS.get(unit)
    if unit == "mL" and abs(value) >= 100:
        decimals = 1
    if decimals is None:
        return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"
    return f"{value:.{decimals}f}"


def _unit(name: str) -> str:
    known = _known().get(name)
    if known is None:
        return "mm" if name in _NUMBERS_SAID else ""
    return known.unit


@cache
def _known() -> dict[str, Column]:
    return {one.name: one for one in columns_of(GROUPS)}
