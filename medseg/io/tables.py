"""Tables to files (CSV, Parquet, JSON, by the name's suffix), and CSV tables from users."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from medseg.errors import OutputError
from medseg.io.atomic import atomic_path
from medseg.io.checks import must_exist, unreadable

if TYPE_CHECKING:
    import pandas as pd

_DECIMALS = {"_mm": 3, "_mm2": 3, "_ml": 6}
_OTHER_DECIMALS = 4
_SMALL, _SMALL_FORMAT = 0.1, ".6g"
"""Below this a fraction without mm or ml has significant digits: ADC is about 0.0008 mm2/s."""
_JSON_DIGITS = 15


def write_table(table: pd.DataFrame, path: Path) -> None:
    """Write a table as .csv, .parquet or .json (a list of rows), whole or not at all.

    CSV is UTF-8 with LF and fixed decimals: 3 for mm and mm2, 6 for ml, 4 for other fractions, of
    which those below 0.1 get 6 significant digits; an empty cell is a missing value. Parquet keeps
    every type and digit; JSON has null for what is missing.

    Raises OutputError (`format-unsupported`, and those of `atomic_path`).
    """
    write = _WRITERS.get(path.suffix.lower())
    if write is None:
        raise OutputError(
            code="format-unsupported",
            subject=path.name,
            detail="no table is written under this suffix",
            remedy=f"use one of {', '.join(TABLE_SUFFIXES)}",
        )
    with atomic_path(path) as temporary:
        write(table, temporary)


def read_text(path: Path) -> str:
    """The text of a UTF-8 file, with or without a byte order mark.

    Raises InputRefused (`path-missing`, `path-unreadable`), ValueError where it is no such text.
    """
    must_exist(path)
    try:
        return path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise unreadable(path.name, error) from error
    except UnicodeDecodeError as error:
        msg = "is no UTF-8 text"
        raise ValueError(msg) from error


def csv_rows(text: str) -> tuple[tuple[str, ...], Iterator[tuple[int, dict[str, str]]]]:
    """The columns of a CSV table, in small letters, and each row's line number and cells.

    Cells are parted by commas, or by semicolons where the header has one; blanks around them are
    left out. Empty lines are passed over; no text at all has no column.

    Raises ValueError for a column that is there twice, a row with another number of cells, and
    quotes that do not match; what is wrong with a row is raised when the row is asked for.
    """
    head = text.split("\n", 1)[0]
    rows = csv.reader(
        io.StringIO(text, newline=""), delimiter=";" if ";" in head else ",", strict=True
    )
    try:
        columns = tuple(name.strip().lower() for name in next(rows, []))
    except csv.Error as error:
        msg = f"is no CSV table: {error}"
        raise ValueError(msg) from error
    if len(set(columns)) != len(columns):
        msg = f"has the columns {', '.join(columns)}, and one of them twice"
        raise ValueError(msg)
    return columns, _cells(rows, columns)


def _cells(rows: Any, columns: tuple[str, ...]) -> Iterator[tuple[int, dict[str, str]]]:
    try:
        for row in rows:
            if row and len(row) != len(columns):
                msg = f"has another number of cells in line {rows.line_num} than in its header"
                raise ValueError(msg)
            if row:
                cells = (cell.strip() for cell in row)
                yield rows.line_num, dict(zip(columns, cells, strict=True))
    except csv.Error as error:
        msg = f"is no CSV table: {error}"
        raise ValueError(msg) from error


def table_as_rows(table: pd.DataFrame) -> list[dict[str, Any]]:
    """The rows of a table as JSON-able values; what is missing or not finite is None."""
    text = table.to_json(orient="records", double_precision=_JSON_DIGITS)
    rows: list[dict[str, Any]] = json.loads(text)
    return rows


def printed(table: pd.DataFrame) -> pd.DataFrame:
    """The table with its fractions as CSV shows them: texts of fixed decimals, "" for missing."""
    import pandas as pd

    # one frame of all columns: to set them one by one takes pandas three times as long
    columns = {name: _printed(str(name), column) for name, column in table.items()}
    return pd.DataFrame(columns, index=table.index)


def _printed(name: str, column: pd.Series[Any]) -> pd.Series[Any] | list[str]:
    if column.dtype.kind != "f":
        return column
    values = column.tolist()
    decimals = _DECIMALS.get(f"_{name.rpartition('_')[2]}")
    return _other(values) if decimals is None else _fixed(values, decimals)


def _write_csv(table: pd.DataFrame, path: Path) -> None:
    text = printed(table)
    path.write_bytes(text.to_csv(index=False, lineterminator="\n").encode())


def _write_parquet(table: pd.DataFrame, path: Path) -> None:
    import pyarrow as pa
    from pyarrow import parquet

    parquet.write_table(pa.Table.from_pandas(table, preserve_index=False), path)


def _write_json(table: pd.DataFrame, path: Path) -> None:
    rows = ",\n".join(json.dumps(row) for row in table_as_rows(table))  # a row a line
    path.write_bytes(f"[\n{rows}\n]\n".encode())


def _fixed(values: list[float], decimals: int) -> list[str]:
    zero = f"{0.0:.{decimals}f}"
    found = ["" if value != value else f"{value:.{decimals}f}" for value in values]  # noqa: PLR0124
    return [zero if text == f"-{zero}" else text for text in found]


def _other(values: list[float]) -> list[str]:
    return [
        f"{value:{_SMALL_FORMAT}}" if 0 < abs(value) < _SMALL else text
        for value, text in zip(values, _fixed(values, _OTHER_DECIMALS), strict=True)
    ]


_WRITERS: Mapping[str, Callable[[pd.DataFrame, Path], None]] = MappingProxyType(
    {".csv": _write_csv, ".parquet": _write_parquet, ".json": _write_json}
)
TABLE_SUFFIXES = tuple(_WRITERS)
"""What `write_table` writes."""
