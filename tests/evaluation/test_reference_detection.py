"""The published cases of picai_eval and panoptica, exactly, or the difference in rule named."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
from evaluation_cases import study

from medseg.evaluation.detection import (
    Findings,
    average_precision,
    case_auroc,
    detection_scores,
)
from medseg.evaluation.froc import froc, froc_of
from medseg.evaluation.matching import MatchingRule, match
from medseg.evaluation.overlap import class_dice
from medseg.evaluation.panoptic import panoptic_quality
from medseg.measurement import split_components
from medseg.types import Geometry, Instances

PICAI = MatchingRule("iou", 0.1, "optimal", many_to_one=True)
"""Most matches first, then IoU; a further candidate on a taken lesion is dropped."""


@pytest.fixture(scope="module")
def picai_folder(shared_data: Path, skip_unless) -> Path:
    folder = shared_data.parent / "reference" / "picai_eval" / "tests"
    skip_unless(folder.is_dir(), "the picai_eval cases are not in the shared folder")
    return folder


@pytest.fixture(scope="module")
def picai_cases(picai_folder: Path) -> list[tuple[Instances, Instances]]:
    """Ten cases: 26-connected components; a detection map holds the scores as voxel values."""
    cases = []
    for n in range(10):
        sides = []
        for kind in ("detection_map", "label"):
            file = picai_folder / "test-maps" / f"case-{n}_{kind}.nii.gz"
            array = np.asarray(nibabel.load(file).dataobj).T
            whole = Instances.from_labelmap(array, Geometry.identity(array.shape))
            scored = [replace(item, score=float(item.id)) for item in whole]
            sides.append(split_components(replace(whole, items=scored), connectivity=26))
        cases.append((sides[0], sides[1]))
    return cases


def expected(folder: Path, name: str) -> dict[str, Any]:
    return json.loads((folder / "output-expected" / f"metrics-{name}.json").read_text("utf-8"))


@pytest.mark.parametrize("name", ["expected", "full-expected", "main-expected", "minimal-expected"])
def test_picai_lesions_are_found_one_by_one(picai_folder: Path, picai_cases, name: str) -> None:
    lists = expected(picai_folder, name)["lesion_results"]
    assert len(lists) == len(picai_cases)
    for n, (pred, ref) in enumerate(picai_cases):
        found = match(pred, ref, PICAI)
        score = [item.score for item in pred]
        rows = [(1, score[p], iou) for p, iou in zip(found.pred, found.iou.tolist(), strict=True)]
        rows += [(1, 0.0, 0.0)] * found.unmatched_ref.size
        rows += [(0, score[p], 0.0) for p in found.unmatched_pred]
        wanted = sorted(tuple(row) for row in lists[f"case-{n}"])
        assert len(rows) == len(wanted)
        for row, other in zip(sorted(rows), wanted, strict=True):
            assert row == pytest.approx(other, abs=1e-9)  # picai_eval adds 1e-8 to both terms


def test_picai_figures_come_out_exactly(picai_folder: Path, picai_cases) -> None:
    wanted = expected(picai_folder, "full-expected")
    assert average_precision(picai_cases, PICAI, points="every")["pooled"] == wanted["AP"]
    assert case_auroc(picai_cases) == wanted["auroc"] == 0.75
    assert detection_scores(picai_cases, PICAI)[:3] == (5, 4, 5)
    tops = [max((item.score for item in pred), default=0.0) for pred, _ in picai_cases]
    assert tops == list(wanted["case_pred"].values())


def test_picai_curve_is_the_same_up_to_its_last_point(picai_folder: Path, picai_cases) -> None:
    """picai_eval ends its curve at infinitely many false alarms, ours at the lowest score."""
    wanted = expected(picai_folder, "full-expected")
    found = froc(picai_cases, PICAI, (0.05, 0.1, 0.39, 0.4, 1e9))
    assert found.thresholds.tolist() == wanted["thresholds"][:-1] == [2.0, 1.0]
    assert found.sensitivity.tolist() == wanted["lesion_TPR"][:-1]
    assert found.fp_per_case.tolist() == pytest.approx(wanted["lesion_FPR"][:-1], abs=1e-7)
    assert found.values == (0.0, 0.0, 0.0, 0.5, wanted["lesion_TPR"][-1])


def test_picai_cases_differ_by_greedy_matching_in_one_false_alarm(picai_cases) -> None:
    """In case 6 the second candidate lies on a taken lesion: one to one it is a false alarm."""
    assert detection_scores(picai_cases, 0.1)[:3] == (5, 5, 5)
    greedy = match(*picai_cases[6], MatchingRule("iou", 0.1))
    assert greedy.iou.tolist() == pytest.approx([2 / 7])  # of the higher score, not the better fit


def test_picai_curve_of_six_subjects_comes_out_exactly() -> None:
    """Its last threshold stands for lesions without a candidate: the two of score 1 are such."""
    rows = [
        [(2.0, 0)],
        [(3.0, 1)],
        [],  # two lesions, both with the lowest score
        [(3.0, 0)],
        [(2.5, 1), (1.5, 1)],
        [],  # one false alarm of the lowest score
    ]
    found = froc_of([subject(one, 2 * (n == 2)) for n, one in enumerate(rows)], (0.3, 0.1, 1e9))
    assert found.thresholds.tolist() == [3.0, 2.5, 2.0, 1.5]
    assert found.sensitivity.tolist() == [0.2, 0.4, 0.4, 0.6]
    assert found.fp_per_case.tolist() == [1 / 6, 1 / 6, 1 / 3, 1 / 3]
    assert found.values == (0.4, 0.0, 0.6)
    # With the objects of score 1 as what they are, the curve has a fifth point of its own.
    rows[2], rows[5] = [(1.0, 1), (1.0, 1)], [(1.0, 0)]
    whole = froc_of([subject(one, 0) for one in rows], (0.3, 0.1, 1e9))
    assert whole.sensitivity.tolist() == [0.2, 0.4, 0.4, 0.6, 1.0]
    assert whole.fp_per_case.tolist() == [1 / 6, 1 / 6, 1 / 3, 1 / 3, 1 / 2]
    assert whole.values == (0.4, 0.0, 1.0)


def subject(rows: list[tuple[float, int]], missed: int) -> Findings:
    """Findings of one subject from its scores and whether each is a lesion."""
    scores = np.asarray([score for score, _ in rows], dtype=np.float64)
    hits = np.asarray([hit for _, hit in rows], dtype=np.bool_)
    names = ("lesion",) * len(rows)
    wanted = {"lesion": int(hits.sum()) + missed}
    return Findings(PICAI, scores, hits, np.where(hits, 1.0, np.nan), names, wanted)


def test_panoptica_cases_come_out_exactly(shared_data: Path, skip_unless) -> None:
    file = shared_data.parent / "reference" / "panoptica_cases" / "cases.json"
    skip_unless(file.is_file(), "the panoptica cases are not in the shared folder")
    for case in json.loads(file.read_text("utf-8"))["cases"]:
        pred, ref = (study(masks(case[side])) for side in ("pred", "ref"))
        for rule in (MatchingRule(), MatchingRule(assignment="optimal")):
            for found in (panoptic_quality([(pred, ref)], rule), panoptic_quality([(pred, ref)])):
                counts = (found.pooled.tp, found.pooled.fp, found.pooled.fn)
                assert counts == (case["tp"], case["fp"], case["fn"])
                # Panoptica calls the quality of no pair 0; there is none to be told.
                sq = case["sq"] if case["tp"] else math.nan
                assert found.pooled.sq == pytest.approx(sq, nan_ok=True)
                assert found.pooled.pq == pytest.approx(case["pq"])
                assert found.pooled.rq == pytest.approx(case.get("rq", 0.0))
                assert found.mean_pq == pytest.approx(case["pq"])
        if "dsc" in case:
            assert class_dice(pred, ref)["tumour"] == pytest.approx(case["dsc"])
        assert math.isnan(class_dice(pred, ref)["node"])


def masks(regions: dict[str, list[list[int]]]) -> list[np.ndarray]:
    drawn = []
    for rows, columns in regions.values():
        mask = np.zeros((1, 50, 50), dtype=bool)
        mask[0, slice(*rows), slice(*columns)] = True
        drawn.append(mask)
    return drawn
