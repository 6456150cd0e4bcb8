"""`medseg measure`: kinds that no file says, targets that a reader chose, burden, and warnings."""

from __future__ import annotations

import json
from pathlib import Path

import nrrd
import numpy as np
import pandas as pd
import pytest
from cli_cases import save_nifti

from medseg.io import write
from medseg.types import Geometry, InstanceClass, Instances

JUDGED = ("--slice-thickness-mm", "2", "--plane", "axial")


def drawn() -> np.ndarray:
    """As in the file: a liver of 30 x 20 x 4 voxels, and two lesions, of 12 x 4 and of 3 x 3."""
    array = np.zeros((40, 40, 12), dtype=np.uint8)
    array[2:32, 2:22, 2:6] = 1
    array[20:32, 30:34, 8:10] = 2
    array[2:5, 36:39, 8:10] = 2
    return array


@pytest.fixture
def classes(tmp_path: Path) -> Path:
    return save_nifti(tmp_path / "classes.nii.gz", drawn())


@pytest.fixture
def names(tmp_path: Path) -> Path:
    path = tmp_path / "names.json"
    path.write_text('{"liver": 1, "cancer": 2}')
    return path


def result(outcome) -> dict:
    assert outcome.code == 0, outcome.err
    return json.loads(outcome.out)


def assumed(outcome) -> list[str]:
    return [line for line in outcome.error_lines if "[kind-assumed]" in line]


# Kinds


def test_classes_of_unsaid_kind_that_are_split_are_lesions_and_that_is_said(
    run, classes, names
) -> None:
    words = ("measure", classes, "--names", names, "--by", "component", *JUDGED, "--json")
    outcome = run(*words)
    found = result(outcome)
    assert {row["kind"] for row in found["instances"]} == {"lesion"}
    assert found["study"]["targets"]["ids"] == [1, 2]  # the liver too, which is why it is said
    (line,) = assumed(outcome)
    assert line.startswith("warning: nothing says the kind of 'liver', 'cancer': 3 objects count")
    assert all("warning: kind-assumed" in row["notes"] for row in found["instances"])


@pytest.mark.parametrize(("kind", "rows"), [("organ", 2), ("lesion", 3)])
def test_a_kind_that_is_said_holds_for_what_no_file_says(run, classes, names, kind, rows) -> None:
    words = ("--names", names, "--by", "component", "--kind", kind, *JUDGED, "--json")
    outcome = run("measure", classes, *words)
    found = result(outcome)
    assert [row["kind"] for row in found["instances"]] == [kind] * rows
    assert assumed(outcome) == []
    unnamed = run("measure", classes, "--values", "class", "--kind", kind, "--json")
    assert {row["kind"] for row in result(unnamed)["instances"]} == {kind}


def test_a_kind_in_the_file_of_names_is_not_overruled(run, classes, tmp_path) -> None:
    table = tmp_path / "names.csv"
    table.write_text("label,name,kind\n1,liver,organ\n2,cancer,\n")
    words = ("measure", classes, "--names", table, "--by", "component", *JUDGED, "--json")
    outcome = run(*words)
    found = result(outcome)
    kinds = {row["class_name"]: row["kind"] for row in found["instances"]}
    assert kinds == {"liver": "organ", "cancer": "lesion"}
    assert "of 'cancer': 2 objects" in assumed(outcome)[0]
    table.write_text("label,name,kind\n1,liver,organ\n2,cancer,lesion\n")
    assert assumed(run(*words)) == []


def test_a_value_an_object_is_a_lesion_and_said_only_where_recist_judges(run, classes) -> None:
    assert assumed(run("measure", classes)) == []
    assert assumed(run("measure", classes, *JUDGED, "--groups", "size")) == []
    assert assumed(run("measure", classes, "--by", "component")) == []
    (line,) = assumed(run("measure", classes, *JUDGED))
    assert "of 'object': 2 objects count as lesions, for RECIST too" in line
    assert assumed(run("measure", classes, *JUDGED, "--kind", "lesion")) == []
    organs = run("measure", classes, *JUDGED, "--kind", "organ", "--json")
    assert assumed(organs) == []
    assert result(organs)["study"]["targets"]["ids"] == []


def test_segments_of_another_program_have_no_kind_and_those_of_medseg_have(run, tmp_path) -> None:
    header = {
        "space": "left-posterior-superior",
        "space directions": np.eye(3),
        "space origin": np.zeros(3),
        "kinds": ["domain"] * 3,
        "Segment0_ID": "Segment_1",
        "Segment0_Name": "liver",
        "Segment0_Layer": "0",
        "Segment0_LabelValue": "1",
    }
    foreign, ours = tmp_path / "slicer.seg.nrrd", tmp_path / "ours.seg.nrrd"
    nrrd.write(str(foreign), (drawn() == 1).astype(np.uint8), header)
    outcome = run("measure", foreign, *JUDGED, "--json")
    assert "of 'liver': 1 object counts as a lesion" in assumed(outcome)[0]
    assert result(outcome)["study"]["targets"]["ids"] == [1]
    assert assumed(run("measure", foreign, *JUDGED, "--kind", "lesion")) == []
    (row,) = result(run("measure", foreign, *JUDGED, "--kind", "organ", "--json"))["instances"]
    assert (row["kind"], row["recist_long_mm"]) == ("organ", None)
    labels = (drawn() == 1).astype(np.uint8).T
    said = [InstanceClass("liver", "lesion", 1)]
    write(Instances.from_labelmap(labels, Geometry.identity(labels.shape), said, "class"), ours)
    assert assumed(run("measure", ours, *JUDGED)) == []


# Parts


def test_a_mask_in_parts_is_warned_of_once_and_not_where_parts_are_rows(run, classes) -> None:
    outcome = run("measure", classes, "--json")
    assert outcome.error_lines == [
        "warning: 1 of 2 lesions has several connected parts and counts as one object; split them "
        "by component if the parts are lesions [mask-in-parts]"
    ]
    rows = result(outcome)["instances"]
    assert [row["component_count"] for row in rows] == [1, 2]
    assert all("warning: mask-in-parts" in row["notes"] for row in rows)
    assert "mask-in-parts" in run("measure", classes, "--groups", "size").err
    assert run("measure", classes, "--by", "component").err == ""
    assert run("measure", classes, "--values", "class").err == ""  # organs may lie in parts


def test_objects_left_out_are_not_warned_of_as_in_parts(run, classes) -> None:
    outcome = run("measure", classes, "--min-volume-ml", "1", "--json")
    assert len(result(outcome)["instances"]) == 1
    assert "small-left-out" in outcome.err and "mask-in-parts" not in outcome.err


def test_parts_are_counted_once_in_a_run(run, classes, monkeypatch) -> None:
    from medseg.measurement import relations

    counted = []
    inner = relations._parts

    def counting(item, connectivity):
        counted.append(item.id)
        return inner(item, connectivity)

    monkeypatch.setattr(relations, "_parts", counting)
    for words in ((), ("--groups", "size"), ("--groups", "recist"), ("--by", "component")):
        counted.clear()
        assert run("measure", classes, *words).code == 0
        assert len(counted) == len(set(counted)), words


# Burden and targets


def test_the_terminal_shows_the_burden_of_classes_and_organs(run, classes, tmp_path) -> None:
    organs = save_nifti(tmp_path / "organs.nii.gz", (drawn() == 1).astype(np.uint8) * 5)
    out = run("measure", classes, "--kind", "lesion", "--organs", organs).out
    rows = [
        [cell.strip() for cell in line.strip("│ \n").split("│")]
        for line in out.splitlines()
        if "object" in line and "│" in line
    ]
    assert rows[-3:] == [
        ["object", "all", "2", "2.514"],
        ["object", "class_5", "1", "2.400"],
        ["object", "outside organs", "1", "0.114"],
    ]
    bare = run("measure", classes, "--kind", "lesion").out
    assert "in organ" not in bare and "2.514" in bare


def test_a_reader_chooses_targets_and_is_told_what_breaks_the_rules(run, classes) -> None:
    words = ("measure", classes, "--by", "component", "--kind", "lesion", *JUDGED)
    outcome = run(*words, "--targets", "3, 2")
    total = (12**2 + 4**2) ** 0.5 + (3**2 + 3**2) ** 0.5
    assert f"chosen RECIST targets: 3, 2; sum of diameters {total:.1f} mm" in outcome.out
    assert outcome.error_lines == ["warning: target 3 is not measurable by RECIST [targets-chosen]"]
    found = result(run(*words, "--targets", "3,2", "--json"))
    assert found["study"]["targets"] == {
        "ids": [3, 2],
        "sum_of_diameters_mm": pytest.approx(total),
        "notes": ["target 3 is not measurable by RECIST"],
    }
    assert [row["recist_target_proposed"] for row in found["instances"]] == [True, True, False]
    assert "proposed RECIST targets: 1, 2" in run(*words).out


def test_targets_are_said_beside_a_table_in_a_file_too(run, classes, tmp_path) -> None:
    out = tmp_path / "table.parquet"
    words = ("measure", classes, "--by", "component", "--kind", "lesion", *JUDGED, "-o", out)
    outcome = run(*words, "--targets", "2")
    assert outcome.out.splitlines() == [
        f"3 objects are in {out}",
        "chosen RECIST targets: 2; sum of diameters 12.6 mm",
    ]
    assert len(pd.read_parquet(out)) == 3


def test_a_target_that_is_not_there_is_refused_in_one_line_and_nothing_is_written(
    run, classes, tmp_path
) -> None:
    out = tmp_path / "table.csv"
    words = ("measure", classes, "--by", "component", "-o", out)
    outcome = run(*words, "--targets", "2,9")
    assert outcome.code == 3
    assert outcome.error_lines == [
        "error: targets: no object has the number 9 [table-invalid]; choose lesions by the numbers "
        "in the table"
    ]
    assert not out.exists()
    organ = run("measure", classes, "--kind", "organ", "--targets", "1")
    assert organ.code == 3 and "object 1 is an organ" in organ.err


# Words and exit codes


def test_one_object_is_and_none_and_two_are(run, tmp_path) -> None:
    for count, said in ((0, "0 objects are in"), (1, "1 object is in"), (2, "2 objects are in")):
        array = np.zeros((5, 6, 7), dtype=np.uint8)
        array[1, 1, 1 : 1 + 3 * count : 3] = np.arange(1, count + 1)
        path = save_nifti(tmp_path / f"{count}.nii.gz", array)
        outcome = run("measure", path, "-o", tmp_path / "table.csv")
        assert outcome.out.startswith(said)


def test_a_missing_file_of_labels_image_or_organs_is_refused_by_name(run, classes, tmp_path):
    lost = tmp_path / "lost.nii.gz"
    for words in ((lost,), (classes, "--image", lost), (classes, "--organs", lost)):
        outcome = run("measure", *words)
        assert (outcome.code, len(outcome.error_lines)) == (3, 1)
        assert outcome.err.startswith("error: lost.nii.gz: there is no such file")
        assert "[path-missing]" in outcome.err
