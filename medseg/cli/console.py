"""What commands show: tables and lines on stdout, progress and warnings on stderr."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Literal

import typer

from medseg.cli.errors import one_line

if TYPE_CHECKING:
    import pandas as pd

ReportProgress = Callable[[int, int], None]
_WIDTH_WITHOUT_TERMINAL = 160


def show_table(title: str, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Print a table; floats with 3 decimals, NaN and None as a dash.

    Columns that are empty in every row are left out. Figures are never broken over two lines, only
    words are.
    """
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(title=Text(title), title_justify="left", show_header=any(columns))
    lines = [list(row) for row in rows]
    shown = [n for n in range(len(columns)) if not lines or any(_has(line[n]) for line in lines)]
    for n in shown:
        numeric = bool(lines) and all(_is_number(line[n]) for line in lines)
        whole = not any(letter.isalpha() for line in lines for letter in _cell(line[n]))
        justify: Literal["left", "right"] = "right" if numeric else "left"
        table.add_column(columns[n], justify=justify, overflow="fold", no_wrap=whole)
    for line in lines:
        table.add_row(*(Text(_cell(line[n])) for n in shown))
    console = Console(file=sys.stdout)
    if not console.is_terminal:
        console = Console(file=sys.stdout, width=_WIDTH_WITHOUT_TERMINAL)
    console.print(table)


def show_json(value: object) -> None:
    """Print one JSON document."""
    typer.echo(json.dumps(value, indent=2))


def show_warnings(warnings: Iterable[tuple[str, str]]) -> None:
    """One line on stderr for each (code, detail), repeated ones once."""
    for code, detail in dict.fromkeys(warnings):
        typer.echo(f"warning: {one_line(detail)} [{code}]", err=True)


@contextmanager
def progress_bar(label: str, *, quiet: bool = False) -> Iterator[ReportProgress]:
    """Give a `progress(done, total)` that shows a bar with the time left on stderr.

    Where stderr is no terminal it is a line a quarter instead.
    """
    if quiet:
        yield _nothing
        return
    from rich.console import Console

    console = Console(file=sys.stderr)
    if not console.is_terminal:
        yield _line_a_quarter(label)
        return
    from rich.progress import (
        BarColumn,
        Progress,
        TaskProgressColumn,
        TextColumn,
        TimeRemainingColumn,
    )

    parts = (
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*parts, console=console, transient=True) as bar:
        task = bar.add_task(label, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


def _nothing(done: int, total: int) -> None:
    pass


def _line_a_quarter(label: str) -> ReportProgress:
    shown = 0

    def report(done: int, total: int) -> None:
        nonlocal shown
        quarter = 4 * done // max(total, 1)
        if quarter > shown:
            shown = quarter
            typer.echo(f"{label}: {25 * quarter} %", err=True)

    return report


def rows_of(table: pd.DataFrame, columns: Sequence[str]) -> list[list[object]]:
    """The cells of a pandas table in these columns, row by row."""
    return [list(row) for row in table[list(columns)].itertuples(index=False, name=None)]


def _has(value: object) -> bool:
    return value not in (None, "") and value == value  # noqa: PLR0124 - NaN differs from itself


def _is_number(value: object) -> bool:
    return value is None or (isinstance(value, int | float) and not isinstance(value, bool))


def _cell(value: object) -> str:
    if not _has(value):
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.3f}" if isinstance(value, float) else str(value)
