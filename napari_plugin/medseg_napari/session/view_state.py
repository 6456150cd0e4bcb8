"""How the table of lesions looks, as a session keeps it: columns, filter and order."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from medseg_napari.session.selection import Filter, Order

_RANGES = ("score", "volume_ml")


@dataclass(frozen=True)
class KeptView:
    """The columns on display in their order (none: the panel's own), filter and order of rows."""

    columns: tuple[str, ...] = ()
    filter: Filter = field(default_factory=Filter)
    order: Order = field(default_factory=Order)


def view_state(view: KeptView) -> dict[str, Any]:
    """A view for JSON; what is None is left out, and an open end of a range is None."""
    wanted = {name: value for name, value in vars(view.filter).items() if value is not None}
    said: dict[str, Any] = {
        name: _ends(value) if name in _RANGES else sorted(value) for name, value in wanted.items()
    }
    return {"columns": [*view.columns], "filter": said, "order": dict(vars(view.order))}


def read_view(said: Mapping[str, Any]) -> KeptView:
    """The view of what `view_state` gave; of anything else the defaults."""
    try:
        columns = tuple(str(name) for name in said["columns"])
        wanted: dict[str, Any] = {
            one.name: _range(said["filter"][one.name])
            if one.name in _RANGES
            else frozenset(str(value) for value in said["filter"][one.name])
            for one in fields(Filter)
            if one.name in said["filter"]
        }
        order = Order(str(said["order"]["column"]), bool(said["order"]["descending"]))
        return KeptView(columns, Filter(**wanted), order)
    except (KeyError, TypeError, ValueError):
        return KeptView()


def _ends(ends: tuple[float, float]) -> list[float | None]:
    return [end if math.isfinite(end) else None for end in ends]


def _range(ends: list[float | None]) -> tuple[float, float]:
    low, high = ends
    return -math.inf if low is None else float(low), math.inf if high is None else float(high)
