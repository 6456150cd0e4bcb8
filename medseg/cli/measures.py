"""The table of measures as commands show it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

import typer

from medseg.cli.console import show_json, show_table

if TYPE_CHECKING:
    import pandas as pd

    from medseg.measurement import ClassTotal, Group, Study


def show_measures(title: str, table: pd.DataFrame) -> None:
    """Print what a terminal has room for; positions are LPS, everything else stands in files.

    Scores are left out where no model gave any, and columns that were not measured.
    """
    columns = {
        "id": table["instance_id"],
        "class": table["class_name"],
        "score": [None] * len(table) if (table["score"] == 1.0).all() else table["score"],
        "ml": _of(table, "volume_ml"),
        "RECIST mm": _joined(table, ("recist_long_mm", "recist_short_mm"), "{:.1f}", " × "),
        "x y z mm": _joined(table, [f"centroid_{axis}_mm" for axis in "xyz"], "{:.0f}", " "),
        "mean": _of(table, "intensity_mean"),
        "organ": _of(table, "organ"),
        "border": _of(table, "touches_border"),
    }
    rows = zip(*(list(values) for values in columns.values()), strict=True)
    show_table(title, list(columns), list(rows))


def _of(table: pd.DataFrame, name: str) -> Iterable[object]:
    return table[name].tolist() if name in table.columns else [None] * len(table)


def _joined(table: pd.DataFrame, names: Sequence[str], form: str, between: str) -> Iterable[object]:
    """Several numbers of a row as one cell; nothing where one is missing."""
    if not set(names) <= set(table.columns):
        return [None] * len(table)
    rows = table[list(names)].itertuples(index=False, name=None)
    return [
        None if any(value != value for value in row) else between.join(map(form.format, row))  # noqa: PLR0124 - NaN differs from itself
        for row in rows
    ]


def show_burden(classes: Mapping[str, ClassTotal], study: Study) -> None:
    """Print number and volume of the objects of each class, and of lesions in each organ."""
    all_organs = "all" if study["organs"] else None
    rows: list[tuple[object, ...]] = [
        (name, all_organs, one["count"], one["volume_ml"]) for name, one in classes.items()
    ]
    rows += [
        (one["class_name"], one["organ"] or "outside organs", one["count"], one["volume_ml"])
        for one in study["organs"]
    ]
    show_table("in all", ("class", "in organ", "objects", "ml"), rows)


def show_targets(study: Study) -> None:
    """Print what the targets come to, where there are any."""
    targets = study["targets"]
    if targets["ids"]:
        whose = "chosen" if "notes" in targets else "proposed"
        numbers = ", ".join(str(number) for number in targets["ids"])
        total = targets["sum_of_diameters_mm"]
        typer.echo(f"{whose} RECIST targets: {numbers}; sum of diameters {total:.1f} mm")


def show_columns(groups: Sequence[Group] | None, *, as_json: bool) -> None:
    """Print the data dictionary: each column with unit, definition and source."""
    from medseg.measurement import columns_of

    columns = columns_of(groups)
    if as_json:
        show_json({"columns": [asdict(column) for column in columns]})
        return
    for column in columns:
        unit = f" [{column.unit}]" if column.unit else ""
        typer.echo(f"{column.name}{unit} ({column.group})")
        typer.echo(f"    {column.definition}")
        typer.echo(f"    Source: {column.source}")
