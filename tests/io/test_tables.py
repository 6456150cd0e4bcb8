"""Tables as CSV, Parquet and JSON, read back with the readers of other libraries."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from medseg.errors import OutputError
from medseg.io.tables import TABLE_SUFFIXES, csv_rows, table_as_rows, write_table


def typed() -> pd.DataFrame:
    """Two rows of every type that a table of measures has; the second as empty as can be."""
    return pd.DataFrame(
        {
            "instance_id": np.array([1, 70_000]),
            "class_name": pd.array(["a, b", "é"], dtype="str"),
            "volume_ml": [1 / 3, float("nan")],
            "touches_border": [True, False],
            "recist_slice": pd.array([4, None], dtype="Int64"),
            "recist_measurable": pd.array([True, None], dtype="boolean"),
            "organ": pd.array(["liver", None], dtype="str"),
        }
    )


def test_a_table_has_fixed_decimals_and_line_feeds(tmp_path: Path) -> None:
    table = pd.DataFrame(
        {
            "instance_id": [1, 2],
            "class_name": ["a, b", "é"],
            "volume_ml": [1 / 3, 2.0],
            "centroid_x_mm": [-0.0001, 12.34567],
            "surface_area_mm2": [0.12345, 1.0],
            "intensity_mean": [float("nan"), 1e-5],
            "touches_border": [True, False],
        }
    )
    write_table(table, tmp_path / "table.csv")
    assert (tmp_path / "table.csv").read_bytes() == (
        b"instance_id,class_name,volume_ml,centroid_x_mm,surface_area_mm2,intensity_mean,"
        b"touches_border\n"
        b'1,"a, b",0.333333,0.000,0.123,,True\n'
        b"2,\xc3\xa9,2.000000,12.346,1.000,1e-05,False\n"
    )


def test_a_table_of_picked_rows_is_written_by_its_rows_and_not_by_their_numbers(
    tmp_path: Path,
) -> None:
    table = pd.DataFrame({"a_mm": [1.0, 2.0, 3.0], "name": ["x", "y", None]}).iloc[[2, 0]]
    write_table(table, tmp_path / "table.csv")
    assert (tmp_path / "table.csv").read_text() == "a_mm,name\n3.000,\n1.000,x\n"
    write_table(table.iloc[:0], tmp_path / "table.csv")
    assert (tmp_path / "table.csv").read_text() == "a_mm,name\n"


def test_what_is_missing_is_an_empty_cell_in_csv(tmp_path: Path) -> None:
    write_table(typed(), tmp_path / "table.csv")
    with (tmp_path / "table.csv").open(newline="", encoding="utf-8") as file:
        first, second = csv.DictReader(file)
    assert (first["recist_slice"], first["recist_measurable"], first["organ"]) == (
        "4",
        "True",
        "liver",
    )
    missing = ("volume_ml", "recist_slice", "recist_measurable", "organ")
    assert [second[name] for name in missing] == ["", "", "", ""]
    assert (second["instance_id"], second["class_name"]) == ("70000", "é")


def test_parquet_keeps_every_type_and_digit(tmp_path: Path) -> None:
    write_table(typed(), tmp_path / "table.PARQUET")
    pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / "table.PARQUET"), typed())


def test_a_table_without_rows_keeps_its_types_in_parquet(tmp_path: Path) -> None:
    write_table(typed().iloc[:0], tmp_path / "table.parquet")
    read = pd.read_parquet(tmp_path / "table.parquet")
    assert read.dtypes.tolist() == typed().dtypes.tolist()
    assert len(read) == 0


def test_json_is_a_list_of_rows_with_null_for_what_is_missing(tmp_path: Path) -> None:
    write_table(typed(), tmp_path / "table.json")
    first, second = json.loads((tmp_path / "table.json").read_text(encoding="utf-8"))
    assert first == {
        "instance_id": 1,
        "class_name": "a, b",
        "volume_ml": pytest.approx(1 / 3, abs=1e-15),
        "touches_border": True,
        "recist_slice": 4,
        "recist_measurable": True,
        "organ": "liver",
    }
    assert [name for name, value in second.items() if value is None] == [
        "volume_ml",
        "recist_slice",
        "recist_measurable",
        "organ",
    ]


def test_the_same_table_gives_the_same_bytes(tmp_path: Path) -> None:
    for suffix in TABLE_SUFFIXES:
        one, other = tmp_path / f"one{suffix}", tmp_path / f"other{suffix}"
        write_table(typed(), one)
        write_table(typed(), other)
        assert one.read_bytes() == other.read_bytes()


def test_rows_for_json_hold_none_where_a_value_is_missing() -> None:
    rows = table_as_rows(pd.DataFrame({"a": [1, 2], "b": [0.5, float("nan")]}))
    assert json.loads(json.dumps(rows, allow_nan=False)) == [
        {"a": 1, "b": 0.5},
        {"a": 2, "b": None},
    ]


@pytest.mark.parametrize("name", ["table.xlsx", "table", "table.csv.gz"])
def test_another_suffix_is_refused_with_the_known_ones(tmp_path: Path, name: str) -> None:
    with pytest.raises(OutputError, match=r"\.csv, \.parquet, \.json") as caught:
        write_table(typed(), tmp_path / name)
    assert caught.value.code == "format-unsupported"
    assert list(tmp_path.iterdir()) == []


def test_a_table_that_cannot_be_written_leaves_the_older_one(tmp_path: Path, monkeypatch) -> None:
    write_table(typed(), tmp_path / "table.parquet")
    before = (tmp_path / "table.parquet").read_bytes()

    def fail(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pyarrow.parquet.write_table", fail)
    with pytest.raises(OutputError, match="disk-full"):
        write_table(typed().iloc[:1], tmp_path / "table.parquet")
    assert [path.name for path in tmp_path.iterdir()] == ["table.parquet"]
    assert (tmp_path / "table.parquet").read_bytes() == before


@pytest.mark.parametrize(
    "text",
    [
        "case,patient\na,p 1\n\nb,p2\n",
        "Case; Patient\r\na;p 1\r\n\r\nb; p2\r\n",
        'case,patient\n"a","p 1"\n\nb,p2',
    ],
    ids=["plain", "a spreadsheet's", "quoted"],
)
def test_a_csv_table_is_read_with_its_line_numbers_as_programs_write_it(text: str) -> None:
    columns, rows = csv_rows(text)
    assert columns == ("case", "patient")
    wanted = [(2, {"case": "a", "patient": "p 1"}), (4, {"case": "b", "patient": "p2"})]
    assert list(rows) == wanted


def test_a_quoted_cell_keeps_its_separators_and_line_ends() -> None:
    _, rows = csv_rows('case,patient\n"a,1","x\ny"\nb,z\n')
    assert list(rows) == [
        (3, {"case": "a,1", "patient": "x\ny"}),
        (4, {"case": "b", "patient": "z"}),
    ]


def test_a_csv_table_without_text_has_no_column() -> None:
    columns, rows = csv_rows("")
    assert (columns, list(rows)) == ((), [])


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a,A\n1,2\n", "has the columns a, a, and one of them twice"),
        ("a,b\n1,2\n1\n", "another number of cells in line 3 than in its header"),
        ("a,b\n1,2,3\n", "another number of cells in line 2 than in its header"),
        ('a,b\n"1,2\n', "is no CSV table: "),
        ('"a,b\n', "is no CSV table: "),
    ],
)
def test_a_csv_table_that_is_not_certain_is_a_value_error(text: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        list(csv_rows(text)[1])
