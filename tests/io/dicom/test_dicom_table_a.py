"""All 94 rows of the table of cases: right, or refused with the row's code; none is silent."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
from dicom_builders import CANARY, ROOT
from dicom_table_a import CASES, ELSEWHERE, row_of

from medseg.errors import InputRefused
from medseg.io.dicom import read_dicom

ROWS = range(1, 95)


def test_every_row_of_the_table_has_a_case() -> None:
    covered = {row_of(name) for name in CASES} | set(ELSEWHERE)
    assert set(ROWS) <= covered


@pytest.mark.parametrize("row", sorted(ELSEWHERE))
def test_rows_of_pet_have_the_test_that_is_named(row: int) -> None:
    module, name = ELSEWHERE[row]
    source = Path(__file__).with_name(f"{module}.py").read_text(encoding="utf-8")
    functions = {n.name for n in ast.parse(source).body if isinstance(n, ast.FunctionDef)}
    assert name in functions


@pytest.mark.parametrize("name", CASES)
def test_a_row_is_read_right_or_refused_with_its_code(tmp_path: Path, name: str) -> None:
    case = CASES[name]
    folder = tmp_path / "in"
    folder.mkdir()
    case.build(folder)
    if not case.code:
        volume = read_dicom(folder)
        case.judge(volume)
        assert not case.warning or case.warning in dict(volume.warnings)
        return
    with pytest.raises(InputRefused) as caught:
        read_dicom(folder)
    assert caught.value.code == case.code
    message = str(caught.value)
    assert "\n" not in message
    assert CANARY.split("^", maxsplit=1)[0].lower() not in message.lower()
    assert str(tmp_path) not in message
    assert ROOT not in message
