"""The data dictionary of the table: what each column holds, its unit and where it comes from."""

from __future__ import annotations

from collections.abc import Collection

from medseg.measurement.column import ALWAYS, GROUPS, Column, Group
from medseg.measurement.extent_columns import IDENTITY, RECIST_COLUMNS, SHAPE, SIZE
from medseg.measurement.value_columns import INTENSITY, NOTES, RELATIONS, SUV

__all__ = ["COLUMNS", "GROUPS", "Column", "Group", "chosen_groups", "columns_of"]

COLUMNS: tuple[Column, ...] = (
    *IDENTITY,
    *SIZE,
    *SHAPE,
    *RECIST_COLUMNS,
    *INTENSITY,
    *SUV,
    *RELATIONS,
    *NOTES,
)
"""The columns of `measure`, in their order."""


def columns_of(groups: Collection[Group] | None = None) -> tuple[Column, ...]:
    """The columns of some groups (None: of all), in the order of `COLUMNS`."""
    kept = {ALWAYS, *chosen_groups(groups)}
    return tuple(column for column in COLUMNS if column.group in kept)


def chosen_groups(groups: Collection[Group] | None) -> tuple[Group, ...]:
    """The groups in their own order, each once; None means all of them.

    Raises ValueError for a name that is no group, and for a string, which is no list of names.
    """
    if groups is None:
        return GROUPS
    if isinstance(groups, str):
        msg = f"groups is a list of names; got the string {groups!r}"
        raise ValueError(msg)
    unknown = [name for name in groups if name not in GROUPS]
    if unknown:
        msg = f"no group of columns is named {unknown[0]!r}; there are {', '.join(GROUPS)}"
        raise ValueError(msg)
    return tuple(name for name in GROUPS if name in groups)
