"""The scripts that make models' cards: what they count, what they change, what they write."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
from modelling import ORGANS, bright_is_organ, card

import medseg
from medseg.card import read_card
from medseg.models import build
from medseg.models.readme import held_out_parts
from medseg.phantom import touching_lesions
from medseg.training.checkpoint import Progress
from medseg.training.datasets import LoadedCase
from medseg.training.package import write_package
from medseg.training.recipe import LEFT_TO_TRAINING, Recipe
from medseg.types import Geometry, Instance, InstanceClass, Instances, Volume

Load = Callable[[str], ModuleType]

SPOT = InstanceClass("spot", "lesion", 1)
CASES = ("a", "b", "c", "d")


def spots(*boxes: tuple[slice, slice, slice], shape=(8, 8, 8)) -> Instances:
    """Lesions that fill boxes, with falling scores."""
    items = [
        Instance(
            n,
            "spot",
            "lesion",
            1.0 / n,
            box,
            np.ones(tuple(part.stop - part.start for part in box), bool),
        )
        for n, box in enumerate(boxes, start=1)
    ]
    return Instances(Geometry.identity(shape), items, (SPOT,))


def cube(start: int, length: int = 2) -> tuple[slice, slice, slice]:
    part = slice(start, start + length)
    return part, part, part


def a_record(case: str, dice: float, *, found: int = 1, true: int = 1, met: int = 1) -> dict:
    return {
        "case": case,
        "patient": case,
        "part": "held out",
        "classes": {
            "spot": {
                "dice": dice,
                "volume_error": 0.1,
                "found": found,
                "true": true,
                "found_met": met,
                "true_met": met,
            }
        },
        "objects": [],
        "out_of_domain": [],
    }


@pytest.mark.parametrize(
    ("model", "case", "patient"),
    [
        ("lung-nodule-ct", "lidc_0012_3", "lidc_0012"),
        ("hippocampus-mr", "hippocampus_019", "patient 10"),
        ("hippocampus-mr", "hippocampus_020", "patient 10"),
        ("sarcoma-mr", "sts_004", "sts_004"),
    ],
)
def test_a_case_is_of_the_patient_that_its_name_says(load: Load, model, case, patient) -> None:
    assert load("folds").patient_of(model, case) == patient


def test_a_record_counts_objects_that_meet_and_how_well(load: Load) -> None:
    trials = load("card_trials")
    truth = spots(cube(0), cube(4))
    found = spots(cube(0), (slice(4, 6), slice(4, 6), slice(4, 5)), cube(6, 1))
    case = LoadedCase("one", {"mr": Volume(np.zeros((8, 8, 8)), truth.geometry)}, truth)
    row = trials.record(case, found)
    spot = row["classes"]["spot"]
    assert (spot["found"], spot["true"], spot["found_met"], spot["true_met"]) == (3, 2, 2, 2)
    assert spot["dice"] == pytest.approx(2 * 12 / (13 + 16))
    assert [one["iou"] for one in row["objects"]] == [1.0, 0.5, 0.0]
    assert row["classes"][trials.ALL]["volume_error"] == pytest.approx(13 / 16 - 1)
    assert len(trials.record(case, found, smallest_mm3=4.0)["objects"]) == 2


def test_what_was_made_once_is_read_from_then_on(load: Load, tmp_path: Path) -> None:
    kept, calls = load("card_trials").kept, []

    def make() -> dict[str, Any]:
        calls.append(1)
        return {"dice": 0.5}

    place = tmp_path / "model" / "case.json"
    assert kept(place, make) == kept(place, make) == {"dice": 0.5}
    assert len(calls) == 1


def test_figures_of_classes_and_lesions_are_those_by_hand(load: Load) -> None:
    tables = load("card_tables")
    known = card([{"name": "spot", "kind": "lesion", "label": 1}])
    records = [a_record("a", 0.5), a_record("b", 0.9, found=3), a_record("c", 0.7, true=2)]
    (row,) = tables.class_rows(records, known, together=False)
    assert row["mean Dice"] == pytest.approx(0.7)
    assert (row["worst Dice"], row["failed (Dice < 0.6)"]) == (0.5, 1)
    assert row["95 % interval"] == "none: 3 patients"
    (row,) = tables.lesion_rows(records, known)
    assert (row["true objects"], row["found objects"]) == (4, 5)
    assert row["count right in"] == "1 of 3" and row["count error"] == pytest.approx(0.25)
    assert row["F1"] == pytest.approx(2 * (3 / 5) * (3 / 4) / (3 / 5 + 3 / 4))
    assert tables.worst_cases(records, known)[0] == ("a", 0.5)


def test_an_interval_is_over_patients_not_over_their_cases(load: Load) -> None:
    interval = load("card_tables").mean_interval
    values = list(np.random.default_rng(0).random(20))
    twice = [*values, *values]
    names = [str(n) for n in range(20)]
    assert interval(twice, [*names, *names]) == interval(values, names)
    assert interval(twice, [str(n) for n in range(40)]) != interval(values, names)


def test_an_organ_that_nobody_drew_counts_neither_way(load: Load) -> None:
    tables = load("card_tables")
    drawn = {"dice": 0.8, "volume_error": 0.0, "found": 1, "true": 1}
    absent = {"dice": 0.0, "volume_error": None, "found": 1, "true": 0}
    records = [
        {"case": "a", "patient": "a", "classes": {"left": drawn, "right": absent}},
        {"case": "b", "patient": "b", "classes": {"left": drawn, "right": drawn}},
    ]
    rows = {row["class"]: row for row in tables.class_rows(records, card(ORGANS), together=False)}
    assert (rows["left"]["cases"], rows["right"]["cases"]) == (2, 1)
    assert rows["right"]["mean Dice"] == 0.8


def scored(rng: np.random.Generator, patient: int, part: str) -> dict[str, Any]:
    scores = rng.uniform(0, 1, 6)
    true = rng.random(6) < scores**2
    objects = [
        {"class": "spot", "score": float(s), "dice": float(t), "iou": float(t)}
        for s, t in zip(scores, true, strict=True)
    ]
    return {"patient": str(patient), "part": part, "objects": objects}


def test_maps_come_from_validation_cases_and_are_judged_on_held_out_ones(load: Load) -> None:
    scores, rng = load("card_scores"), np.random.default_rng(0)
    known = card([{"name": "spot", "kind": "lesion", "label": 1}])
    watched = [scored(rng, n, "validation") for n in range(20)]
    held_out = [scored(rng, n, "held out") for n in range(100, 150)]
    (one,), (row,), points = scores.calibration([*held_out, *watched], known, "overlap")
    assert (one.objects, one.criterion, row["objects"]) == (120, "overlap", 300)
    assert row["calibration error"] < 0.08 < row["calibration error, raw score"]
    assert len(points["spot"][0]) == 300 and not scores.missed([row])
    (same,), _, _ = scores.calibration([*held_out[:5], *watched], known, "overlap")
    assert same == one  # held-out cases have no say in it


def test_without_validation_cases_each_patient_is_judged_by_the_others(load: Load) -> None:
    scores, rng = load("card_scores"), np.random.default_rng(1)
    known = card([{"name": "spot", "kind": "lesion", "label": 1}])
    records = [scored(rng, n, "held out") for n in range(30)]
    (one,), (row,), _ = scores.calibration(records, known, "overlap")
    assert one.objects == row["objects"] == 180
    assert "each patient left out" in row["map fitted on"]


@pytest.mark.parametrize(("patients", "maps"), [(9, 0), (10, 1)])
def test_scores_of_few_patients_are_not_made_probabilities(load: Load, patients, maps) -> None:
    cards, rng = load("model_cards"), np.random.default_rng(2)
    known = card([{"name": "spot", "kind": "lesion", "label": 1}])
    subject = SimpleNamespace(
        card=known, facts={"criterion": "overlap"}, recipe=small_recipe(held_out=["a"])
    )
    records = [
        a_record(str(n), 0.8) | {"objects": scored(rng, n, "")["objects"]} for n in range(patients)
    ]
    figures, found, points = cards.measured(subject, records)
    assert (len(found), len(points)) == (maps, maps)
    (row,) = figures["calibration"]
    assert row["calibration error, raw score"] > 0
    assert ("calibration error" in row) == ("map fitted on" in row) == bool(maps)
    assert cards.missed(subject, figures) == []


def a_scan(load: Load) -> Any:
    """A phantom, and a ball a little off its middle as the true object."""
    made = touching_lesions(1, shape=(24, 24, 24))
    at = np.stack(np.meshgrid(*(np.arange(24.0),) * 3, indexing="ij"))
    ball = ((at - np.array([13.0, 10.0, 14.0])[:, None, None, None]) ** 2).sum(axis=0) < 25
    return load("card_stress").Scan({"mr": made.volume}, {"bright": ball})


def test_changes_of_storage_cost_nothing_and_masks_follow_the_image(load: Load) -> None:
    stress, scan = load("card_stress"), a_scan(load)
    rng = np.random.default_rng(0)
    plain, turned = stress.as_it_is(scan, rng), stress.stored_otherwise(scan, rng)
    model = bright_is_organ()
    dice = []
    for changed in (plain, turned):
        found = stress.masks_of(medseg.segment(changed.volumes, model))["bright"]
        dice.append(stress.dice(changed.back(found), changed.wanted["bright"]))
    assert dice[0] == dice[1] > 0
    values = turned.volumes["mr"].array[turned.wanted["bright"]]
    assert np.sort(values) == pytest.approx(
        np.sort(scan.volumes["mr"].array[scan.wanted["bright"]])
    )


def test_other_grids_keep_the_patient_in_place(load: Load) -> None:
    stress, scan = load("card_stress"), a_scan(load)
    rng = np.random.default_rng(0)
    where = scan.geometry.index_to_world(np.argwhere(scan.wanted["bright"])).mean(axis=0)
    for change in (stress.oblique, stress.cropped):
        changed = change(scan, rng)
        geometry = changed.volumes["mr"].geometry
        at = geometry.index_to_world(np.argwhere(changed.wanted["bright"])).mean(axis=0)
        assert at == pytest.approx(where, abs=0.7)
    thick = stress.thick_slices(scan, rng)
    assert thick.volumes["mr"].geometry.spacing_mm == pytest.approx((2, 1, 1))
    assert thick.volumes["mr"].geometry.index_to_world((0, 0, 0))[2] == pytest.approx(
        scan.geometry.index_to_world((0.5, 0, 0))[2]
    )
    assert thick.back(np.ones((12, 24, 24), bool)).shape == thick.wanted["bright"].shape
    assert 0 < thick.interpolation < 0.5


@pytest.mark.parametrize("modality", ["MR", "CT", "PT"])
def test_each_modality_has_changes_of_its_intensities(load: Load, modality: str) -> None:
    stress, scan = load("card_stress"), a_scan(load)
    named = stress.changes(SimpleNamespace(modality=modality))
    assert len(named) == 8
    for change in list(named.values())[1:4]:
        changed = change(scan, np.random.default_rng(0))
        assert not np.array_equal(changed.volumes["mr"].array, scan.volumes["mr"].array)
        assert changed.wanted is scan.wanted


def small_recipe(**data: Any) -> Recipe:
    model = card([{"name": "ellipsoid", "kind": "lesion", "label": 1}]).model_dump(
        mode="json", exclude_none=True
    )
    return Recipe.model_validate(
        {
            "model": {k: v for k, v in model.items() if k not in LEFT_TO_TRAINING},
            "data": {
                "kind": "folders",
                "name": "phantoms",
                "images": "images",
                "labels": "labels",
                **data,
            },
            "training": {
                "seed": 0,
                "steps": 1,
                "batch_size": 1,
                "crop_shape": [16, 16, 16],
                "learning_rate": 1e-3,
                "validate_every": 1,
            },
        }
    )


def write_set(root: Path) -> Path:
    for n, case in enumerate(CASES):
        made = touching_lesions(n, shape=(16, 16, 16))
        labels = (made.truth.to_labelmap("higher_score") > 0).astype(np.uint8)
        for folder, volume in (("images", made.volume), ("labels", None)):
            (root / folder).mkdir(parents=True, exist_ok=True)
            written = volume or Volume(labels, made.volume.geometry)
            medseg.write(written, root / folder / f"{case}.nii.gz")
    return root


def package(folder: Path, recipe: Recipe) -> Path:
    weights = dict(build(recipe.model).state_dict())
    return write_package(
        folder, recipe, weights, cases=2, progress=Progress(), device="cpu", domain=None
    )


def test_a_card_is_written_with_figures_domain_and_page(run, tmp_path: Path) -> None:
    data = write_set(tmp_path / "data")
    folder = package(tmp_path / "small", small_recipe(held_out=["c", "d"]))
    words = ("--data", str(data), "--results", str(tmp_path / "results"), "--quick", "--write")
    out = run("model_cards", str(folder), *words)
    assert "small: 2 cases of 2 patients, held out" in out and "all bars met" in out
    figures = json.loads((folder / "figures.json").read_text(encoding="utf-8"))
    assert figures["held_out"]["cases"] == 2 and len(figures["worst"]) == 4
    known = read_card(folder / "card.toml")
    assert known.domain is not None and known.domain.cases == 2
    page = (folder / "README.md").read_text(encoding="utf-8")
    assert "## Figures on 2 cases of 2 patients it never saw" in page
    assert "## Images it knows" in page and (folder / "worst-1-truth.png").is_file()
    assert run("model_cards", str(folder), *words).count("of 2:") == 0  # all records were kept


def test_folds_are_judged_by_the_package_that_did_not_see_them(load: Load, tmp_path) -> None:
    trials, data = load("card_trials"), write_set(tmp_path / "data")
    recipe = small_recipe(folds=[["a", "b"], ["c", "d"]])
    whole = package(tmp_path / "small", recipe)
    for number in (1, 2):
        package(tmp_path / f"small-fold-{number}" / "small", recipe.fold(number))
    found = trials.trials(recipe, data, whole, tmp_path)
    names = [(one.case.id, one.package.parent.name) for one in found]
    assert names == [(case, f"small-fold-{1 + (case > 'b')}") for case in CASES]
    with pytest.raises(ValueError, match="give the folder of its folds' packages"):
        trials.trials(recipe, data, whole, None)
    package(tmp_path / "small-fold-2" / "small", recipe.fold(1))
    with pytest.raises(SystemExit, match="does not hold out .* of fold 2"):
        trials.trials(recipe, data, whole, tmp_path)


def test_bars_that_are_not_met_are_named(load: Load) -> None:
    cards = load("model_cards")
    known = card([{"name": "spot", "kind": "lesion", "label": 1}])
    row = {
        "class": "spot",
        "mean Dice": 0.7,
        "median absolute volume error": 0.2,
        "failed (Dice < 0.6)": 1,
    }
    figures = {
        "held_out": {"table": [row], "lesions": [{"class": "spot", "F1": 0.5, "count error": 0.3}]},
        "calibration": [{"class": "spot", "calibration error": 0.1, "objects": 300}],
        "domain": [{"share": 0.06}],
    }
    facts = {
        "bars": {"spot": 0.75},
        "mean_bar": 0.72,
        "volume_bar": 0.12,
        "none_fail": True,
        "f1_bar": 0.6,
        "count_bar": 0.25,
    }
    assert len(cards.missed(SimpleNamespace(card=known, facts=facts), figures)) == 8
    assert len(cards.missed(SimpleNamespace(card=known, facts={}), figures)) == 2


def test_every_fact_is_of_a_model_that_has_a_script_of_its_own(load: Load) -> None:
    import tomllib

    cards = load("model_cards")
    facts = tomllib.loads(cards.FACTS.read_text(encoding="utf-8"))
    assert set(facts) == set(cards.OTHERS)
    load("head_template")
    assert all(callable(load(script).tables) for script in cards.OTHERS.values())
    for one in facts.values():
        assert one["not_for"] and one["why_head"]
        assert all(set(peer) == {"what", "figure", "source"} for peer in one["peers"])


def test_a_card_says_what_was_asked_and_what_of_it_was_missed(load: Load) -> None:
    cards = load("model_cards")
    facts = {"bars": {"spot": 0.6}, "volume_bar": 0.12, "count_bar": 0.25, "none_fail": True}
    assert cards.asked_for(facts) == [
        "mean Dice of spot 0.6",
        "median absolute volume error at most 0.12",
        "count at most 25% off",
        "none failed",
    ]
    assert cards.asked_for({}) == []
    found = {"cases": 3, "table": [{"class": "spot", "mean Dice": 0.5}]}
    asked = {"for": ["mean Dice of spot 0.6"], "missed": ["spot: mean Dice 0.500, bar 0.6"]}
    page = "\n".join(held_out_parts({"held_out": found, "asked": asked}, level=2))
    assert "**Asked for.** mean Dice of spot 0.6." in page
    assert "**Missed.** spot: mean Dice 0.500, bar 0.6." in page
    met = {"held_out": found, "asked": {**asked, "missed": []}}
    assert "Missed" not in "\n".join(held_out_parts(met, level=2))
