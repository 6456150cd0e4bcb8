"""plan.csv, plan.json and the table of the terminal: all that was decided, and nobody's name."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path

import pytest
from medseg_workflows.plan_output import (
    MOST_SHOWN,
    plan_as_dict,
    plan_lines,
    plan_table,
    write_plan,
)
from medseg_workflows.records import Plan
from plan_cases import MODEL, make_series, plan_of
from rich.console import Console

from medseg.errors import OutputError

CANARIES = {
    "name": "Canary^Yellow",
    "id": "CANARY-4711",
    "accession": "ACC-CANARY-9",
    "institution": "Canary General",
    "folder": "canary_folder",
    "file": "canary_file",
    "description": "t1 of Canary Bird",
    "birth": "19470115",
}


@pytest.fixture
def plan(tmp_path: Path) -> Plan:
    """Two series, two echoes of a third, a study that is refused, and an archive."""
    root = tmp_path / "root"
    make_series(root / "a", 1, Manufacturer="=SUM(A1)", ContrastBolusAgent="x")
    make_series(root / "b", 2, step_mm=2)
    make_series(root / "c", 3, EchoTime=20)
    make_series(root / "c", 3, EchoTime=90, first=13)
    make_series(root / "d", 1, study="2", modality="CT")
    (root / "x.zip").write_bytes(b"PK")
    (root / "notes.txt").write_text("x")
    return plan_of(root)


def rows_of(folder: Path) -> list[dict[str, str]]:
    with (folder / "plan.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def shown(plan: Plan, width: int = 80) -> str:
    console = Console(width=width, force_terminal=False)
    with console.capture() as capture:
        console.print(plan_table(plan))
    return capture.get()


def test_the_table_of_the_file_holds_every_series_and_what_was_passed_over(
    tmp_path: Path, plan: Plan
) -> None:
    write_plan(plan, tmp_path)
    rows = rows_of(tmp_path)
    assert len(rows) == len(plan.rows) + 1 == 6
    chosen = next(row for row in rows if row["decision"] == "chosen")
    assert (chosen["number"], chosen["volume"], chosen["model"]) == ("1", "", MODEL)
    assert (chosen["slices"], chosen["spacing_z_mm"], chosen["contrast"]) == ("12", "1", "yes")
    assert chosen["image_type"] == "ORIGINAL/PRIMARY/AXIAL"
    assert chosen["manufacturer"] == "'=SUM(A1)"  # no formula in a spreadsheet
    assert sorted(row["volume"] for row in rows if row["number"] == "3") == ["1", "2"]
    assert rows[-1]["reasons"].startswith("archive: ")
    assert "description" not in chosen


def test_the_document_holds_jobs_rows_and_what_was_not_selected(tmp_path: Path, plan: Plan) -> None:
    write_plan(plan, tmp_path)
    said = json.loads((tmp_path / "plan.json").read_text(encoding="utf-8"))
    assert said == json.loads(json.dumps(plan_as_dict(plan)))
    assert said["version"] == 1
    taken = next(row.series for row in plan.rows if row.decision == "chosen")
    assert said["jobs"] == [
        {
            "key": plan.jobs[0].key,
            "study": plan.jobs[0].study,
            "patient": plan.jobs[0].patient,
            "model": MODEL,
            "inputs": {"mr": {"series": taken, "volume": None}},
        }
    ]
    assert [len(said["rows"]), len(said["unselected"])] == [5, 2]
    assert said["skipped"] == {"not DICOM": 1}


def test_the_same_plan_gives_the_same_bytes(tmp_path: Path, plan: Plan) -> None:
    (tmp_path / "again").mkdir()
    write_plan(plan, tmp_path)
    write_plan(plan_of(tmp_path / "root"), tmp_path / "again")
    for name in ("plan.csv", "plan.json"):
        assert (tmp_path / name).read_bytes() == (tmp_path / "again" / name).read_bytes()


def test_an_empty_plan_is_written_and_shown(tmp_path: Path) -> None:
    write_plan(Plan((), ()), tmp_path)
    assert rows_of(tmp_path) == []
    assert json.loads((tmp_path / "plan.json").read_text())["rows"] == []
    assert plan_lines(Plan((), ())) == ["0 studies, 0 to do"]
    assert "study" in shown(Plan((), ()))


def test_a_folder_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="folder-missing"):
        write_plan(Plan((), ()), tmp_path / "none")


def test_the_table_of_the_terminal_fits_into_80_columns(plan: Plan) -> None:
    lines = shown(plan).splitlines()
    assert max(map(len, lines)) <= 80
    text = " ".join(" ".join(lines).split())
    assert "best of 2" in text
    assert "by series" in text
    assert "several-volumes" in text
    assert text.count(plan.jobs[0].study) == 1  # once for all of its series


def test_the_table_names_models_where_there_are_several(tmp_path: Path, plan: Plan) -> None:
    assert MODEL not in shown(plan)
    assert MODEL in shown(plan_of(tmp_path / "root", [MODEL, "hippocampus-mr"]))


def test_a_long_plan_is_cut_and_says_so(plan: Plan) -> None:
    long = replace(plan, rows=plan.rows * MOST_SHOWN)
    assert len(shown(long, 400).splitlines()) < MOST_SHOWN + 10
    assert f"{5 * MOST_SHOWN + 1 - MOST_SHOWN} rows are not shown" in plan_lines(long)


def test_the_lines_count_what_a_plan_comes_to(plan: Plan) -> None:
    assert plan_lines(plan) == [
        f"3 studies, 1 to do, 1 for {MODEL}",
        "quarantined (archive): 1 study",
        "not selected (modality): 1 study",
        "set aside (not DICOM): 1 file",
    ]


@pytest.mark.filterwarnings("ignore:Invalid value for VR CS")
@pytest.mark.parametrize("refused", [False, True])
def test_nothing_that_is_written_or_shown_names_a_patient_or_a_path(
    tmp_path: Path,
    *,
    refused: bool,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    root = tmp_path / CANARIES["folder"]
    header = {
        "PatientName": CANARIES["name"],
        "PatientID": CANARIES["id"],
        "PatientBirthDate": CANARIES["birth"],
        "AccessionNumber": CANARIES["accession"],
        "InstitutionName": CANARIES["institution"],
        "SeriesDescription": CANARIES["description"],
        "StudyDescription": CANARIES["description"],
        "ProtocolName": CANARIES["description"],
        "ContrastBolusAgent": CANARIES["name"],
        "ImageType": ["ORIGINAL", "PRIMARY", CANARIES["name"]],
        "BodyPartExamined": CANARIES["name"],
    }
    paths = make_series(root, 1, **header)
    make_series(root, 2, step_mm=2, **header)
    for n, path in enumerate(paths):
        path.rename(root / f"{CANARIES['file']}{n}.dcm")
    if refused:
        (root / f"{CANARIES['file']}5.dcm").write_bytes(paths[0].name.encode() * 40)
    for suffix in (".zip", ".nii.gz", ".nrrd", ".mha", ".img"):
        (root / f"{CANARIES['file']}{suffix}").write_bytes(
            b"NRRD0004\n# " + CANARIES["name"].encode()
        )
    rules = tmp_path / "RULES.toml"
    rules.write_text(
        f'[[rule]]\nname = "x"\nmodel = "{MODEL}"\nmust.description_none_of = ["Bird"]\n'
        'allow_unknown.keys = ["description"]\n'
    )
    out = tmp_path / "out"
    out.mkdir()
    caplog.clear()
    written = ""
    for choice in (None, rules):
        plan = plan_of(root, rules=choice)
        write_plan(plan, out)
        written += "".join(path.read_text(encoding="utf-8") for path in out.iterdir())
        written += shown(plan, 400) + "\n".join(plan_lines(plan)) + repr(plan)
    written += caplog.text + "".join(capfd.readouterr())
    assert "description has one of Bird" in written
    for what, canary in CANARIES.items():
        assert canary not in written, what
        assert canary.upper() not in written, what
