"""Tables of a batch: what stands in them, in which order, and that they can be made again."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pandas as pd
import pytest
from batch_cases import (
    LESIONS,
    ORGANS,
    batch,
    fail,
    finish,
    job_of,
    objects,
    plan,
    row_of,
    spots,
    study_code,
)
from medseg_workflows.collect import TABLES, collect
from medseg_workflows.records import Failure, ModelUse

from medseg.errors import InputRefused
from medseg.measurement import COLUMNS


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return batch(tmp_path / "out")


def text(out: Path, name: str) -> pd.DataFrame:
    return pd.read_csv(out / name, dtype=str, keep_default_na=False)


def test_every_study_has_one_row_for_each_model_and_its_state(out: Path) -> None:
    collect(out)
    studies = text(out, "studies.csv")
    found = studies.set_index(["study", "model"])["state"].to_dict()
    assert found == {
        (study_code(1), "spots"): "done",
        (study_code(1), "organs"): "done",
        (study_code(2), "spots"): "done",
        (study_code(3), "spots"): "done",
        (study_code(4), "spots"): "quarantined",
        (study_code(5), "spots"): "quarantined",
        (study_code(6), "spots"): "pending",
        (study_code(9), ""): "not-selected",
    }
    assert len(studies) == len(found)


def test_counts_and_volumes_are_those_of_the_rows_of_lesions_and_organs(out: Path) -> None:
    collect(out)
    studies = text(out, "studies.csv").set_index(["study", "model"])
    first = studies.loc[(study_code(1), "spots")]
    assert (first["object_count"], first["lesion_count"], first["organ_count"]) == ("2", "2", "0")
    assert first["lesion_volume_ml"] == "1.750000"
    empty = studies.loc[(study_code(3), "spots")]
    assert (empty["lesion_count"], empty["lesion_volume_ml"]) == ("0", "0.000000")
    assert studies.loc[(study_code(4), "spots"), "lesion_count"] == ""
    counted = text(out, "lesions.csv").groupby("study").size().to_dict()
    assert counted == {study_code(1): 2, study_code(2): 12}
    assert text(out, "organs.csv")[["model", "class_name"]].values.tolist() == [["organs", "liver"]]


def test_a_row_says_its_version_image_series_warnings_and_folder(out: Path) -> None:
    collect(out)
    row = text(out, "studies.csv").set_index("study").loc[study_code(2)]
    said = row[["model_version", "modality", "slices", "warnings", "key"]].tolist()
    assert said == ["1.2.0", "MR", "40", "sheared-grid", job_of(2).key]
    spacing = row[["spacing_z_mm", "spacing_y_mm", "spacing_x_mm"]].tolist()
    assert spacing == ["2.500", "0.700", "0.700"]
    assert row["series"] == row_of(job_of(2)).series
    assert set(text(out, "lesions.csv")["series"]) == {row_of(job_of(n)).series for n in (1, 2)}


def test_a_study_that_no_model_takes_has_the_code_and_the_reason(out: Path) -> None:
    collect(out)
    row = text(out, "studies.csv").set_index("state").loc["not-selected"]
    assert (row["code"], row["detail"]) == ("localizer", "localizer: a localizer, not a volume")


def test_quarantine_says_what_happened_and_what_to_do(out: Path) -> None:
    collect(out)
    rows = text(out, "quarantine.csv")
    assert rows.drop(columns=["study", "patient", "key"]).to_dict("records") == [
        {
            "model": "spots",
            "code": "timeout",
            "what_happened": "took longer than 600 s",
            "what_to_do": "give it more time",
            "attempts": "1",
        },
        {
            "model": "spots",
            "code": "gantry-tilt",
            "what_happened": "tilted by 18°, <b>not</b> straight",
            "what_to_do": "resample",
            "attempts": "1",
        },
    ]


def test_rows_are_in_order_of_patient_study_model_and_number(out: Path) -> None:
    collect(out)
    studies = text(out, "studies.csv")
    places = studies[["patient", "study", "model"]].values.tolist()
    assert places == sorted(places)
    lesions = text(out, "lesions.csv")
    found = [
        (*row[:3], int(row[3]))
        for row in lesions[["patient", "study", "model", "instance_id"]].values
    ]
    assert found == sorted(found)  # 10 comes after 9


def test_objects_are_put_in_order_of_their_numbers(tmp_path: Path) -> None:
    job = job_of(1)
    finish(tmp_path, job, objects(spots(0.1, 0.2, 0.3)).iloc[[2, 0, 1]])
    collect(tmp_path)
    assert text(tmp_path, "lesions.csv")["instance_id"].tolist() == ["1", "2", "3"]


def test_a_second_run_gives_the_same_bytes_whatever_the_order_of_the_folder(out: Path) -> None:
    collect(out)
    before = {name: (out / name).read_bytes() for name in TABLES}
    for folder in sorted((out / "done").iterdir(), reverse=True):
        shutil.copytree(folder, out / "copy" / folder.name)
    shutil.rmtree(out / "done")
    (out / "copy").rename(out / "done")
    collect(out)
    assert {name: (out / name).read_bytes() for name in TABLES} == before


def test_tables_hold_no_seconds_and_no_memory(out: Path) -> None:
    collect(out)
    before = {name: (out / name).read_bytes() for name in TABLES}
    for path in (out / "done").glob("*/record.json"):
        said = json.loads(path.read_text())
        path.write_text(json.dumps({**said, "seconds": {"read": 9.0}, "peak_memory_mb": 7.0}))
    collect(out)
    assert {name: (out / name).read_bytes() for name in TABLES} == before


def test_parquet_and_csv_hold_the_same_with_types_of_the_measures(out: Path) -> None:
    collect(out)
    table = pd.read_parquet(out / "lesions.parquet")
    assert table.columns.tolist() == text(out, "lesions.csv").columns.tolist()
    kinds = {one.name: one.dtype for one in COLUMNS}
    assert {name: str(table[name].dtype) for name in kinds} == kinds
    assert table["study"].unique().tolist() == [study_code(1), study_code(2)]
    assert (
        table["volume_ml"].tolist() == text(out, "lesions.csv")["volume_ml"].astype(float).tolist()
    )
    assert table["nearest_lesion_id"].isna().all()


def test_without_any_result_the_tables_have_columns_and_no_row(tmp_path: Path) -> None:
    collect(tmp_path)
    table = pd.read_parquet(tmp_path / "lesions.parquet")
    assert len(table) == 0
    assert {one.name: one.dtype for one in COLUMNS}.items() <= table.dtypes.astype(
        str
    ).to_dict().items()
    assert text(tmp_path, "studies.csv").empty


def test_models_of_other_columns_share_one_table(tmp_path: Path) -> None:
    more = objects(spots(0.5)).assign(zeal=["much"], ado=["little"])
    finish(tmp_path, job_of(1), objects(spots(1.5)), leave_out=["sphericity"])
    finish(tmp_path, job_of(2), more)
    collect(tmp_path)
    lesions = text(tmp_path, "lesions.csv")
    assert lesions.columns.tolist()[-2:] == ["ado", "zeal"]
    assert lesions["zeal"].tolist() == ["", "much"]
    table = pd.read_parquet(tmp_path / "lesions.parquet")
    assert table["sphericity"].isna().tolist() == [True, False]


def test_words_with_commas_quotes_and_line_ends_stay_whole(tmp_path: Path) -> None:
    words = 'warning: "a", b\nand more'
    finish(tmp_path, job_of(1), objects([{"instance_id": 1, "notes": words}]))
    collect(tmp_path)
    assert text(tmp_path, "lesions.csv")["notes"].tolist() == [words]
    assert pd.read_parquet(tmp_path / "lesions.parquet")["notes"].tolist() == [words]


def test_many_objects_are_written_in_groups_of_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pyarrow import parquet

    monkeypatch.setattr("medseg_workflows.objects._ROWS_A_GROUP", 5)
    for n in range(1, 8):
        finish(tmp_path, job_of(n), objects(spots(0.1, 0.2, 0.3)))
    collect(tmp_path)
    assert parquet.ParquetFile(tmp_path / "lesions.parquet").metadata.num_row_groups == 4
    assert len(pd.read_parquet(tmp_path / "lesions.parquet")) == 21


def test_an_older_record_of_what_is_planned_anew_is_not_counted(out: Path) -> None:
    older = ModelUse("spots", "1.1.0", "ef" * 32, "")
    job = job_of(1)
    stale = job_of(1, older)
    renamed = f"{job.study}-000000000000"
    shutil.move(finish(out / "other", stale, objects(spots(9.0))), out / "done" / renamed)
    path = out / "done" / renamed / "record.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "key": renamed}))
    collect(out)
    studies = text(out, "studies.csv")
    assert studies["key"].tolist().count(renamed) == 0
    assert not studies.duplicated(["study", "model"]).any()
    assert "9.000000" not in text(out, "lesions.csv")["volume_ml"].tolist()


def test_what_is_planned_anew_and_not_done_yet_is_pending(tmp_path: Path) -> None:
    job = job_of(1)
    folder = finish(tmp_path, job, objects(spots(1.0)))
    fail(tmp_path, job_of(2), Failure("timeout", "", "", 1))
    for name in ("record.json",):
        said = json.loads((folder / name).read_text())
        (folder / name).write_text(json.dumps({**said, "key": f"{job.study}-old"}))
    folder.rename(folder.with_name(f"{job.study}-old"))
    plan(tmp_path, [job, job_of(2, patient=2)])
    collect(tmp_path)
    studies = text(tmp_path, "studies.csv")
    assert studies["state"].tolist() == ["pending", "quarantined"]


def test_a_failure_that_was_done_since_is_no_failure(tmp_path: Path) -> None:
    job = job_of(1)
    fail(tmp_path, job, Failure("timeout", "", "", 1))
    finish(tmp_path, job, objects(spots(1.0)))
    collect(tmp_path)
    assert text(tmp_path, "studies.csv")["state"].tolist() == ["done"]
    assert text(tmp_path, "quarantine.csv").empty


def test_results_of_a_study_that_is_planned_no_more_stay(tmp_path: Path) -> None:
    finish(tmp_path, job_of(1), objects(spots(1.0)))
    finish(tmp_path, job_of(1, ORGANS), objects([]))
    plan(tmp_path, [job_of(2)])
    collect(tmp_path)
    rows = text(tmp_path, "studies.csv")[["model", "state"]].values.tolist()
    assert rows == [["organs", "done"], ["spots", "done"], ["spots", "pending"]]


def test_fewer_objects_than_the_record_counts_are_refused(out: Path) -> None:
    collect(out)
    before = (out / "lesions.csv").read_bytes()
    path = out / "done" / job_of(2).key / "instances.csv"
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:-1]))
    with pytest.raises(
        InputRefused, match="has 11 rows of kind lesion, and its record says 12"
    ) as told:
        collect(out)
    assert told.value.code == "table-invalid"
    assert (out / "lesions.csv").read_bytes() == before


def test_a_damaged_record_is_named(out: Path) -> None:
    key = job_of(2).key
    (out / "done" / key / "record.json").write_text("{")
    with pytest.raises(InputRefused, match=f"done/{key}/record.json") as told:
        collect(out)
    assert told.value.code == "file-corrupt"


@pytest.mark.parametrize("said", [{"inputs": {}}, {"classes": {"spot": {}}}, {"model": "spots"}])
def test_a_record_that_lacks_facts_is_named(out: Path, said: dict[str, object]) -> None:
    path = out / "done" / job_of(2).key / "record.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **said}))
    with pytest.raises(InputRefused, match=r"record\.json: is no record of a result") as told:
        collect(out)
    assert told.value.code == "file-corrupt"


@pytest.mark.parametrize(
    "content", [b"", b"\0" * 100, b"instance_id,kind\n1,rock\n", b"kind\nlesion\n", b"\xff\n"]
)
def test_objects_that_are_no_table_are_named(out: Path, content: bytes) -> None:
    (out / "done" / job_of(2).key / "instances.csv").write_bytes(content)
    with pytest.raises(InputRefused, match=r"instances\.csv: cannot be read as a table") as told:
        collect(out)
    assert told.value.code == "file-corrupt"


def test_what_no_batch_put_into_its_folders_is_passed_over(out: Path) -> None:
    collect(out)
    before = {name: (out / name).read_bytes() for name in TABLES}
    shutil.copytree(out / "done" / job_of(1).key, out / "done" / "copy")
    (out / "done" / "empty").mkdir()
    (out / "quarantine" / ".12ab.partial.x.json").write_text("{")
    collect(out)
    assert {name: (out / name).read_bytes() for name in TABLES} == before


@pytest.mark.parametrize("name", ["record", "plan"])
def test_what_another_version_wrote_is_refused(out: Path, name: str) -> None:
    path = out / "plan.json" if name == "plan" else out / "done" / job_of(1).key / "record.json"
    path.write_text(
        path.read_text()
        .replace('"version": 1,', '"version": 2,')
        .replace('"version": 1\n', '"version": 2\n')
    )
    with pytest.raises(InputRefused, match="version 2 of what a batch writes") as told:
        collect(out)
    assert told.value.code == "format-unknown"


def test_nothing_but_the_tables_appears(out: Path) -> None:
    before = {one.name for one in out.iterdir()}
    collect(out)
    assert {one.name for one in out.iterdir()} - before == set(TABLES)
    assert LESIONS.name in text(out, "lesions.csv")["model"].tolist()
