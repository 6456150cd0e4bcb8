"""The tables of the sarcoma models: thresholds as clinics use them, folds that are apart."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import tomli_w

from medseg.training.recipe import LEFT_TO_TRAINING, Recipe

Load = Callable[[str], ModuleType]


@pytest.fixture
def sarcoma(load: Load) -> ModuleType:
    return load("model_sarcoma")


def uptake() -> tuple[np.ndarray, np.ndarray]:
    """A tumour of SUV 10 with a rim of 4.5, a bladder of 40 apart from it, muscle of 0.5."""
    suv = np.full((8, 20, 20), 0.5, dtype=np.float32)
    suv[2:6, 2:10, 2:10] = 4.5
    suv[3:5, 4:8, 4:8] = 10.0
    suv[2:6, 14:18, 14:18] = 40.0
    wanted = np.zeros(suv.shape, dtype=bool)
    wanted[2:6, 2:10, 2:10] = True
    return suv, wanted


@pytest.mark.parametrize(
    ("rule", "where", "voxels", "shared"),
    [
        ("41 % of SUVmax", "the part on the tumour", 256, 256),
        ("50 % of SUVmax", "the part on the tumour", 32, 32),
        ("SUV > 2.5", "the part on the tumour", 256, 256),
        ("41 % of SUVmax", "the whole image", 64, 0),
        ("SUV > 2.5", "the whole image", 320, 256),
    ],
)
def test_a_threshold_finds_what_lies_above_it(
    sarcoma: ModuleType, rule: str, where: str, voxels: int, shared: int
) -> None:
    suv, wanted = uptake()
    mask = sarcoma.threshold_mask(suv, wanted, rule, where)
    assert (mask.sum(), (mask & wanted).sum()) == (voxels, shared)


def test_a_threshold_that_nothing_in_the_tumour_passes_finds_nothing(sarcoma: ModuleType) -> None:
    suv, wanted = uptake()
    suv[wanted] = 2.5
    mask = sarcoma.threshold_mask(suv, wanted, "SUV > 2.5", sarcoma.READER)
    assert not mask.any()
    assert sarcoma.case_row("one", mask, 0, wanted, 0.1)["Dice"] == 0.0


def test_the_row_of_a_case_counts_voxels(sarcoma: ModuleType) -> None:
    wanted = np.zeros((4, 4, 4), dtype=bool)
    wanted[:2] = True
    found = np.zeros_like(wanted)
    found[1:2] = True
    row = sarcoma.case_row("sts_001", found, 1, wanted, 0.5)
    assert row["Dice"] == pytest.approx(2 * 16 / (16 + 32))
    assert row["volume error"] == pytest.approx(-0.5)
    assert row["volume ml"] == pytest.approx(16.0)


def rows(*dice: float, objects: int = 1) -> list[dict[str, object]]:
    return [
        {"case": str(n), "Dice": one, "volume error": -0.1, "objects": objects}
        for n, one in enumerate(dice)
    ]


def test_a_summary_holds_means_over_cases(sarcoma: ModuleType) -> None:
    found = sarcoma.summary("x", rows(0.5, 0.7, 0.9) + rows(0.9, objects=2))
    assert found["mean Dice"] == pytest.approx(0.75)
    assert found["worst Dice"] == 0.5
    assert found["exactly one object"] == pytest.approx(0.75)


def test_bars_that_are_missed_are_named(sarcoma: ModuleType) -> None:
    ours, better = sarcoma.summary("x", rows(0.9)), sarcoma.summary("41 %", rows(0.95))
    found = {"sarcoma-mr": [sarcoma.summary("x", rows(0.7, objects=2))], "sarcoma-pet": [ours]}
    assert len(sarcoma.missed(found)) == 2
    found = {"sarcoma-mr": [ours], "sarcoma-pet": [ours, better]}
    assert sarcoma.missed(found) == ["sarcoma-pet: not better than 41 %"]
    assert sarcoma.missed({"sarcoma-mr": [ours], "sarcoma-pet": [better, ours]}) == []
    assert sarcoma.missed({"sarcoma-mr": [sarcoma.summary("x", rows(0.7))]}) == [
        "sarcoma-mr: mean Dice 0.700, bar 0.75"
    ]


def test_only_models_with_folds_are_judged(sarcoma: ModuleType, tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="no sarcoma-mr-fold-1 or sarcoma-pet-fold-1"):
        sarcoma.with_packages(tmp_path)
    (tmp_path / "sarcoma-pet-fold-1").mkdir()
    assert sarcoma.with_packages(tmp_path) == ["sarcoma-pet"]


def written(recipe: Recipe, folder: Path) -> Path:
    """A folder with nothing but the recipe of a package."""
    folder.mkdir(parents=True)
    content = recipe.model_dump(mode="json", exclude_none=True)
    for key in LEFT_TO_TRAINING:
        content["model"].pop(key, None)
    (folder / "recipe.toml").write_bytes(tomli_w.dumps(content).encode())
    return folder


def test_a_package_that_was_trained_on_the_fold_is_refused(
    sarcoma: ModuleType, tmp_path: Path
) -> None:
    recipe = sarcoma.shipped_recipe("sarcoma-mr")
    right = written(recipe.fold(2), tmp_path / "sarcoma-mr-fold-2" / "sarcoma-mr")
    assert sarcoma.fold_package(tmp_path, recipe, 2) == right
    written(recipe.fold(2), tmp_path / "sarcoma-mr-fold-1" / "sarcoma-mr")
    with pytest.raises(SystemExit, match="does not hold out sts_010, sts_025"):
        sarcoma.fold_package(tmp_path, recipe, 1)
    with pytest.raises(SystemExit, match="medseg train sarcoma-mr --fold 3"):
        sarcoma.fold_package(tmp_path, recipe, 3)


def test_patients_of_both_sets_are_in_the_same_fold(sarcoma: ModuleType) -> None:
    fold_of = []
    for name, count in (("sarcoma-mr", 20), ("sarcoma-pet", 17)):
        folds = sarcoma.shipped_recipe(name).data.folds
        fold_of.append({case: n for n, fold in enumerate(folds) for case in fold})
        assert len(folds) == 5 and len(fold_of[-1]) == count
    both = fold_of[0].keys() & fold_of[1].keys()
    assert len(both) == 9
    assert all(fold_of[0][case] == fold_of[1][case] for case in both)


def test_the_folds_hold_every_case_and_thresholds_are_printed(
    sarcoma: ModuleType, shared_data: Path, run: Callable[..., str]
) -> None:
    from medseg.training.datasets import list_cases

    for name, folder in sarcoma.FOLDERS.items():
        recipe = sarcoma.shipped_recipe(name)
        ids = {case.id for case in list_cases(recipe, shared_data / folder)}
        assert ids == {case for fold in recipe.data.folds for case in fold}
    printed = run("model_sarcoma", "--data", str(shared_data))
    assert "SUV > 2.5, the part on the tumour" in printed and "0.676" in printed


def test_the_dicom_series_are_of_the_patient_that_their_fold_leaves_out(
    sarcoma: ModuleType, shared_data: Path
) -> None:
    import medseg
    from medseg.training.datasets import list_cases, load_case

    for name, folder in sarcoma.DICOM.items():
        recipe = sarcoma.shipped_recipe(name)
        cases = list_cases(recipe, shared_data / sarcoma.FOLDERS[name])
        (volume,) = load_case(next(c for c in cases if c.id == "sts_025"), recipe).volumes.values()
        series = medseg.read(shared_data / "dicom" / folder)
        assert np.allclose(series.array, volume.array, rtol=1e-4)
        assert series.geometry.same_grid(volume.geometry, atol_mm=0.01)
