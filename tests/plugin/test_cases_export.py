"""Corrected cases as a data set: what training reads is what the reader left."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from medseg_napari.session import CaseList, export_cases
from session_cases import CLASSES, image, output, paint

import medseg
from medseg.cli import main
from medseg.errors import InputRefused, OutputError
from medseg.training.check import check_folder
from medseg.training.datasets import list_cases, load_case
from medseg.training.recipe import Recipe
from medseg.types import InstanceClass, Instances

SOURCE = {"modality": "CT", "unit": "HU"}


def worked(root: Path, *, starts: tuple[Instances, ...] | None = None) -> CaseList:
    """Three cases: one corrected, one with every object rejected, one to do."""
    (root / "studies").mkdir()
    for n in range(3):
        noisy = replace(image(), array=image().array + n)
        medseg.write(noisy, root / "studies" / f"case_{n}.nii.gz")
    cases = CaseList(root / "studies", root / "out", "AB")
    given = starts or (output(warned=False),) * 3
    for n, start in enumerate(given):
        case_id = f"case_{n}"
        work = cases.open(case_id, cases.read_volume(case_id, SOURCE), start, source=SOURCE)
        if n == 0 and starts is None:
            work.apply(paint(work, 7, (6, 8, 4, 6, 6, 8)))
            work.mark([3], "reject")
            work.mark([12], "unsure")
        if n == 1 and starts is None:
            work.mark([item.id for item in work.instances], "reject")
        cases.finish(case_id, work, "to do" if n == 2 else "done")
    return cases


def recipe(data: dict) -> Recipe:
    model = {
        "name": "toy", "version": "1", "summary": "", "intended_use": "", "limits": "",
        "modality": "CT", "body_part": "abdomen",
        "licence": {"data": "CC0-1.0", "weights": "CC0-1.0", "attribution": ""},
        "channels": [{"name": "ct", "normalisation": {"kind": "z_score"}}],
        "classes": [{"name": one.name, "kind": one.kind, "label": one.label} for one in CLASSES],
        "spacing_mm": [3, 1, 1], "window_shape": [8, 8, 8],
        "backbone": {"name": "any"}, "head": {"name": "any"},
    }  # fmt: skip
    training = {
        "seed": 0, "steps": 10, "batch_size": 1, "crop_shape": [8, 8, 8],
        "learning_rate": 0.01, "validate_every": 5,
    }  # fmt: skip
    return Recipe.model_validate(
        {"model": model, "data": {"name": "x", **data}, "training": training}
    )


FOLDERS = {"kind": "folders", "images": "images", "labels": "labels"}


def test_an_exported_set_passes_check_data_with_and_without_a_recipe(tmp_path: Path) -> None:
    found = export_cases(worked(tmp_path), tmp_path / "set")
    assert found.cases == ("case_0",)
    assert found.left_out == {"case_1": "no object", "case_2": "to do"}
    assert found.objects == {"liver": 1, "tumour": 3, "node": 0}
    assert found.unsure == 1
    assert main(["check-data", str(tmp_path / "set"), "--quiet"]) == 0
    for data in (FOLDERS, {"kind": "decathlon"}):
        report = check_folder(tmp_path / "set", recipe=recipe(data))
        assert report.ok and len(report.cases) == 1
    assert {path.name for path in (tmp_path / "set").iterdir()} == {
        "images", "labels", "dataset.json",
    }  # fmt: skip


@pytest.mark.parametrize("data", [FOLDERS, {"kind": "decathlon"}])
def test_training_reads_the_objects_as_the_reader_left_them(tmp_path: Path, data: dict) -> None:
    cases = worked(tmp_path)
    export_cases(cases, tmp_path / "set")
    (case,) = list_cases(recipe(data), tmp_path / "set")
    loaded = load_case(case, recipe(data))
    work = cases.open("case_0", cases.read_volume("case_0"))
    wanted = [item for item in work.instances if item.id != 3]
    work.close()
    found = {(item.class_name, item.voxel_count, item.mask.tobytes()) for item in loaded.truth}
    assert found == {(item.class_name, item.voxel_count, item.mask.tobytes()) for item in wanted}
    assert loaded.volumes["ct"].array.tobytes() == image().array.tobytes()


def test_cases_without_an_object_are_kept_on_request(tmp_path: Path) -> None:
    found = export_cases(worked(tmp_path), tmp_path / "set", keep_empty=True)
    assert found.cases == ("case_0", "case_1")
    assert check_folder(tmp_path / "set").faulty == {"case_1"}
    lesions_only = recipe(FOLDERS)
    cards = [one for one in lesions_only.model.classes if one.kind == "lesion"]
    model = lesions_only.model.model_copy(update={"classes": tuple(cards)})
    report = check_folder(tmp_path / "set", recipe=lesions_only.model_copy(update={"model": model}))
    assert not [one for one in report.faults if one.case == "case_1" and one.severity == "error"]


def test_objects_without_a_class_name_are_lesions_in_the_set(tmp_path: Path) -> None:
    unnamed = (InstanceClass("object", "lesion", 1),)
    items = [replace(item, class_name="object", kind="lesion") for item in output()]
    start = Instances(output().geometry, items, unnamed)
    found = export_cases(worked(tmp_path, starts=(start,)), tmp_path / "set")
    assert [one.name for one in found.classes] == ["lesion"]
    listing = json.loads((tmp_path / "set" / "dataset.json").read_text())
    assert listing["labels"] == {"0": "background", "1": "lesion"}
    assert listing["modality"] == {"0": "CT"} and listing["numTraining"] == 1
    assert check_folder(tmp_path / "set").ok


def test_nothing_is_written_over_and_nothing_half_written(tmp_path: Path) -> None:
    cases = worked(tmp_path)
    export_cases(cases, tmp_path / "set")
    with pytest.raises(OutputError, match="not-empty"):
        export_cases(cases, tmp_path / "set")
    with pytest.raises(InputRefused, match=r"no case is left to export \(case_0: done; .*"):
        export_cases(cases, tmp_path / "other", statuses=("second read",))
    (tmp_path / "studies" / "case_0.nii.gz").write_bytes(b"")
    with pytest.raises(InputRefused, match="file-corrupt"):
        export_cases(cases, tmp_path / "other")
    assert list((tmp_path / "other").iterdir()) == []


def test_a_class_that_is_organ_here_and_lesion_there_is_refused(tmp_path: Path) -> None:
    one = output(warned=False)
    items = [replace(item, class_name="liver", kind="lesion") for item in one]
    other = Instances(one.geometry, items, (InstanceClass("liver", "lesion", 1),))
    with pytest.raises(InputRefused, match="liver: is an organ in one case and a lesion"):
        export_cases(worked(tmp_path, starts=(one, other)), tmp_path / "set")
