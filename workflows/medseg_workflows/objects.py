"""The tables of a batch's objects, written study by study: memory does not grow with them."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO, NamedTuple, Self

import pandas as pd
import pyarrow as pa
from pyarrow import csv as arrow_csv
from pyarrow import parquet

from medseg.errors import InputRefused
from medseg.io.atomic import atomic_path
from medseg.measurement import COLUMNS

OBJECTS = {"lesion": "lesions", "organ": "organs"}
"""The tables by the kind of object that they hold; each is a CSV and a Parquet file."""
FILES = tuple(f"{name}{suffix}" for name in OBJECTS.values() for suffix in (".csv", ".parquet"))
IDENTITY = ("study", "patient", "model", "series")
AGAIN = "move its folder out of done/ and run the same command again"

_ROWS_A_GROUP = 20_000


class Measured(NamedTuple):
    """A finished job: the values of `IDENTITY`, and how many objects of each kind it has."""

    key: str
    identity: tuple[str, ...]
    counts: Mapping[str, int]


def columns_of_objects(out: Path, key: str) -> list[str]:
    """The columns of the objects of a job."""
    try:
        with _objects_of(out, key) as file:
            return next(csv.reader(file), [])
    except ValueError as error:
        raise _damaged(key) from error


def all_columns(found: set[str]) -> list[str]:
    """All columns of `measure`, then what else is found, by name."""
    known = [column.name for column in COLUMNS]
    return [*known, *sorted(found.difference(known))]


def write_objects(out: Path, jobs: Sequence[Measured], columns: Sequence[str], stage: Path) -> None:
    """Write `FILES` into the folder `stage`, jobs in the order given, objects by their number.

    Text is that of `instances.csv`; columns that a job does not have are empty.

    Raises InputRefused (`file-corrupt`, and `table-invalid` where a job's objects are not as many
    as its record says) and OutputError.
    """
    schema = object_schema(columns)
    with ExitStack() as opened:
        tables = {
            kind: opened.enter_context(_ObjectTable.open(stage, name, schema))
            for kind, name in OBJECTS.items()
        }
        for job in jobs:
            for kind, lines in _objects(out, job, columns).items():
                tables[kind].add(lines)


def _objects_of(out: Path, key: str) -> IO[str]:
    try:
        return (out / "done" / key / "instances.csv").open(encoding="utf-8", newline="")
    except OSError as error:
        raise _damaged(key) from error


def _damaged(key: str) -> InputRefused:
    name = f"done/{key}/instances.csv"
    return InputRefused("file-corrupt", name, "cannot be read as a table of objects", AGAIN)


def _objects(out: Path, job: Measured, columns: Sequence[str]) -> dict[str, list[list[str]]]:
    """The cells of each object of a job by kind, in the order of their numbers."""
    found: dict[str, list[list[str]]] = {kind: [] for kind in OBJECTS}
    number = len(IDENTITY) + columns.index("instance_id")
    try:
        with _objects_of(out, job.key) as file:
            cells = csv.reader(file, strict=True)
            head = next(cells, [])
            places = [head.index(name) if name in head else None for name in columns]
            kind = head.index("kind")
            for line in cells:
                said = ["" if place is None else line[place] for place in places]
                found[line[kind]].append([*job.identity, *said])
        for lines in found.values():
            lines.sort(key=lambda one: int(one[number]))
    except (LookupError, ValueError, csv.Error) as error:
        raise _damaged(job.key) from error
    for name, lines in found.items():
        if len(lines) != job.counts[name]:
            raise InputRefused(
                "table-invalid",
                f"done/{job.key}/instances.csv",
                f"has {len(lines)} rows of kind {name}, and its record says {job.counts[name]}",
                AGAIN,
            )
    return found


def object_schema(columns: Sequence[str]) -> pa.Schema:
    """The types of a table of objects, with what pandas needs to have its own types back."""
    types = {column.name: column.dtype for column in COLUMNS}
    names = [*IDENTITY, *columns]
    empty = pd.DataFrame({name: pd.array([], dtype=types.get(name, "str")) for name in names})
    return pa.Schema.from_pandas(empty, preserve_index=False)


class _ObjectTable:
    """One table of objects as CSV and Parquet, a block of rows in memory at a time."""

    def __init__(self, file: IO[bytes], writer: parquet.ParquetWriter, schema: pa.Schema) -> None:
        self._file, self._writer, self._schema = file, writer, schema
        self._lines: list[list[str]] = []

    @classmethod
    @contextmanager
    def open(cls, stage: Path, name: str, schema: pa.Schema) -> Iterator[Self]:
        """A table that is written whole or not at all."""
        with (
            atomic_path(stage / f"{name}.csv") as text,
            atomic_path(stage / f"{name}.parquet") as binary,
            text.open("wb") as file,
            parquet.ParquetWriter(binary, schema) as writer,
        ):
            table = cls(file, writer, schema)
            file.write(_as_csv([schema.names]))
            yield table
            table.flush()

    def add(self, lines: Sequence[list[str]]) -> None:
        """Rows of cells as text."""
        self._lines.extend(lines)
        if len(self._lines) >= _ROWS_A_GROUP:
            self.flush()

    def flush(self) -> None:
        """Write what is in memory, as a group of rows of its own."""
        if not self._lines:
            return
        text = _as_csv(self._lines)
        self._lines.clear()
        self._file.write(text)
        self._writer.write_table(
            arrow_csv.read_csv(
                pa.BufferReader(text),
                read_options=arrow_csv.ReadOptions(
                    column_names=self._schema.names, use_threads=False, block_size=len(text) + 1
                ),
                parse_options=arrow_csv.ParseOptions(newlines_in_values=True),
                convert_options=arrow_csv.ConvertOptions(
                    column_types=self._schema, null_values=[""], strings_can_be_null=True
                ),
            ).cast(self._schema)
        )


def _as_csv(lines: Sequence[Sequence[str]]) -> bytes:
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\n").writerows(lines)
    return text.getvalue().encode()
