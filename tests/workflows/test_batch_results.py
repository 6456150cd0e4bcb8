"""Tables of a batch come back with their types, and what is no batch is refused."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest
from batch_cases import LESIONS, batch, fail, job_of, patient_code, plan, row_of, study_code
from medseg_workflows.collect import collect
from medseg_workflows.records import Failure
from medseg_workflows.results import load_results

from medseg.errors import InputRefused
from medseg.measurement import COLUMNS


@pytest.fixture
def out(tmp_path: Path) -> Path:
    folder = batch(tmp_path / "out")
    collect(folder)
    return folder


def test_tables_have_a_row_an_object_a_study_a_failure_and_a_series(out: Path) -> None:
    lesions, studies, quarantine, planned, organs = load_results(out)
    assert (len(lesions), len(studies), len(quarantine), len(organs)) == (14, 8, 2, 1)
    assert len(planned) == 7  # what no model takes is a row of the JSON document alone


def test_codes_stay_text_though_they_look_like_numbers(out: Path) -> None:
    results = load_results(str(out))
    codes = {study_code(1), study_code(2)}
    assert codes == {"000000000001", "12e345678901"}
    assert set(results.lesions["study"]) == codes
    assert codes < set(results.studies["study"])
    assert codes < set(results.plan["study"])
    assert results.quarantine["patient"].tolist() == [patient_code(2), patient_code(3)]
    assert set(results.plan["series"]) == {row_of(job_of(n)).series for n in range(1, 7)}


@pytest.mark.parametrize("n", [1, 2])
def test_a_code_that_stands_alone_in_its_column_stays_text_too(tmp_path: Path, n: int) -> None:
    plan(tmp_path, [job_of(n)])
    fail(tmp_path, job_of(n), Failure("timeout", "slow", "wait"))
    collect(tmp_path)
    _, studies, quarantine, planned, _ = load_results(tmp_path)
    for table in (studies, quarantine, planned):
        assert table["study"].tolist() == [study_code(n)]
        assert table["patient"].tolist() == [patient_code(n)]


def test_measures_have_the_types_of_the_table_of_one_study(out: Path) -> None:
    results = load_results(out)
    kinds = {one.name: one.dtype for one in COLUMNS}
    for table in (results.lesions, results.organs):
        assert {name: str(table[name].dtype) for name in kinds} == kinds
    assert results.lesions["volume_ml"].sum() == pytest.approx(1.75 + 78 / 8)


def test_counts_are_whole_numbers_and_missing_where_nothing_was_counted(out: Path) -> None:
    studies = load_results(out).studies.set_index(["study", "model"])
    assert str(studies["lesion_count"].dtype) == "Int64"
    assert studies.loc[(study_code(3), "spots"), "lesion_count"] == 0
    assert studies.loc[(study_code(4), "spots"), "lesion_count"] is pd.NA
    assert studies.loc[(study_code(2), "spots"), "lesion_volume_ml"] == pytest.approx(9.75)
    assert load_results(out).quarantine["attempts"].tolist() == [1, 1]


def test_rows_of_lesions_join_those_of_their_study(out: Path) -> None:
    results = load_results(out)
    counted = results.lesions.groupby(["study", "model"]).size()
    studies = results.studies.set_index(["study", "model"])["lesion_count"]
    assert counted.to_dict() == studies[studies > 0].to_dict()
    assert set(results.lesions["model"]) == {LESIONS.name}


def test_words_that_pandas_takes_for_missing_stay_words(tmp_path: Path) -> None:
    folder = batch(tmp_path / "out")
    path = folder / "quarantine" / f"{job_of(4).key}.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "detail": "None"}))
    collect(folder)
    assert load_results(folder).quarantine["what_happened"].tolist()[0] == "None"


def test_a_folder_that_is_no_batch_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputRefused, match=r"is no folder of a batch: batch\.json") as told:
        load_results(tmp_path)
    assert told.value.code == "format-unknown"


def test_a_path_where_nothing_is_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputRefused) as told:
        load_results(tmp_path / "nothing")
    assert told.value.code == "path-missing"


def test_a_batch_of_another_version_is_refused(out: Path) -> None:
    (out / "batch.json").write_text('{"version": 2}')
    with pytest.raises(InputRefused, match=r"batch\.json: is of version 2 .* reads 1") as told:
        load_results(out)
    assert told.value.code == "format-unknown"


def test_a_batch_that_did_not_come_to_its_tables_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputRefused, match=r"has no lesions\.csv.*run the same") as told:
        load_results(batch(tmp_path / "out"))
    assert told.value.code == "table-invalid"
