"""Scores become probabilities that hold, keep their order, and can be undone."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from modelling import bright_is_organ, card

import medseg
from medseg.card import Card, ScoreMap
from medseg.inference.calibration import (
    MANY,
    apply_map,
    calibrated,
    expected_calibration_error,
    fit_map,
    raw_score,
)
from medseg.models import card_of
from medseg.phantom import touching_lesions
from medseg.types import Instance

LESIONS = [
    {"name": "spot", "kind": "lesion", "label": 1},
    {"name": "other", "kind": "lesion", "label": 2},
]
HALVED = {
    "class_name": "spot",
    "criterion": "overlap",
    "objects": 9,
    "scores": (0.0, 0.5, 1.0),
    "probabilities": (0.0, 0.2, 1.0),
}


def found(score: float, name: str = "spot") -> Instance:
    one = Instance.from_mask(
        np.ones((2, 2, 2), bool), id=1, class_name=name, kind="lesion", score=score
    )
    assert one is not None
    return one


def with_map(**changes: object) -> Card:
    return card(LESIONS, calibration=[{**HALVED, **changes}])


def test_scores_go_along_the_lines_of_their_class_map_and_others_stay() -> None:
    items = [found(0.25), found(0.75), found(0.75, "other")]
    assert [one.score for one in calibrated(items, with_map())] == pytest.approx([0.1, 0.6, 0.75])


def test_the_raw_score_of_one_side_of_a_head_can_be_had_back() -> None:
    card = card_of("hippocampus-mr")
    known = card.calibration[0]
    item = calibrated([found(0.9, known.class_name)], card)[0]
    side = replace(item, class_name=f"{known.class_name}_left")
    assert item.score != pytest.approx(0.9, abs=1e-3)
    assert raw_score(side, card) == pytest.approx(0.9, abs=1e-6)


def test_the_raw_score_can_be_had_back() -> None:
    for score in (0.0, 0.01, 0.3, 0.5, 0.77, 1.0):
        (item,) = calibrated([found(score)], with_map())
        assert raw_score(item, with_map()) == pytest.approx(score, abs=1e-9)
    assert raw_score(found(0.4, "other"), with_map()) == 0.4


@pytest.mark.parametrize("count", [60, 3 * MANY])
def test_a_fitted_map_holds_on_objects_that_it_was_not_fitted_on(count: int) -> None:
    rng = np.random.default_rng(0)

    def drawn(n: int) -> tuple[np.ndarray, np.ndarray]:
        scores = rng.uniform(0, 1, n)
        return scores, rng.random(n) < scores**3  # true much less often than the score says

    scores, true = drawn(count)
    fitted = fit_map(scores, true, class_name="spot", criterion="overlap")
    fresh, hits = drawn(20_000)
    assert expected_calibration_error(fresh, hits) > 0.2
    assert expected_calibration_error(apply_map(fitted, fresh), hits) < 0.08
    assert fitted.objects == count


@pytest.mark.parametrize("count", [4, MANY])
@pytest.mark.parametrize("true", [True, False])
def test_a_map_of_objects_that_are_all_alike_still_rises(count: int, true: bool) -> None:
    fitted = fit_map([0.9] * count, [true] * count, class_name="spot", criterion="iou 0.5")
    said = apply_map(fitted, np.linspace(0, 1, 101))
    assert (np.diff(said) > 0).all()
    assert (float(apply_map(fitted, 0.9)) > 0.8) is true


def test_few_objects_hardly_move_a_score() -> None:
    fitted = fit_map([0.6], [True], class_name="spot", criterion="overlap")
    assert float(apply_map(fitted, 0.6)) == pytest.approx(0.6, abs=0.15)


def test_the_error_of_calibration_is_the_mean_gap_by_hand() -> None:
    said = [0.15, 0.15, 0.95, 0.95]
    assert expected_calibration_error(said, [False, False, True, False]) == pytest.approx(
        0.5 * 0.15 + 0.5 * 0.45
    )
    assert np.isnan(expected_calibration_error([], []))


def test_no_object_to_fit_on_is_a_bad_call() -> None:
    with pytest.raises(ValueError, match="at least one"):
        fit_map([], [], class_name="spot", criterion="overlap")
    with pytest.raises(ValueError, match="as many scores as truths"):
        fit_map([0.1, 0.2], [True], class_name="spot", criterion="overlap")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"scores": (0.0, 1.0)}, "of one length"),
        ({"scores": (0.1, 0.5, 1.0)}, "reach from 0 to 1"),
        ({"scores": (0.0, 0.0, 1.0)}, "rise at every point"),
        ({"probabilities": (0.0, 0.3, 0.3)}, "rise at every point"),
        ({"probabilities": (-0.1, 0.3, 0.4)}, "lie in 0 to 1"),
        ({"criterion": "guess"}, "criterion"),
        ({"class_name": "wart"}, "calibration names 'wart'"),
    ],
)
def test_a_map_that_would_not_work_is_refused(changes: dict[str, object], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        with_map(**changes)


def test_two_maps_of_one_class_are_refused() -> None:
    with pytest.raises(ValueError, match="share one score map"):
        card(LESIONS, calibration=[HALVED, HALVED])


def test_segmenting_gives_probabilities_and_says_of_what() -> None:
    model, image = bright_is_organ(), touching_lesions(3, shape=(24, 24, 24)).volume
    (plain,) = medseg.segment(image, model).items
    maps = (ScoreMap.model_validate({**HALVED, "class_name": "bright", "criterion": "dice 0.7"}),)
    known = replace(model, card=model.card.model_copy(update={"calibration": maps}))
    result = medseg.segment(image, known)
    (item,) = result.items
    assert item.score == pytest.approx(float(apply_map(maps[0], plain.score)))
    assert raw_score(item, known.card) == pytest.approx(plain.score)
    assert result.provenance["score_is_probability_of"] == {"bright": "dice 0.7"}
