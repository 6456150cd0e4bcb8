"""Kappa of readers: published tables, independent programs, closed forms, degenerate readings."""

from __future__ import annotations

import math

import numpy as np
import pytest

from medseg.evaluation.kappa import cohen_kappa, fleiss_kappa

# Skin condition of 88 patients by two dermatologists (example of PROC FREQ, SAS/STAT).
SKIN = np.array([[10, 4, 1, 0], [5, 10, 12, 2], [2, 4, 12, 5], [0, 2, 6, 13]])
# Anxiety of 20 subjects by 3 readers, 1 to 6 (example of R's irr).
ANXIETY = np.array(
    [
        [3, 3, 3, 4, 5, 5, 2, 3, 5, 2, 2, 6, 1, 5, 2, 2, 1, 2, 4, 3],
        [3, 6, 4, 6, 2, 4, 2, 4, 3, 3, 2, 3, 3, 3, 2, 2, 1, 3, 3, 4],
        [2, 1, 4, 4, 3, 2, 1, 6, 1, 1, 1, 2, 3, 3, 1, 1, 3, 3, 2, 2],
    ]
).T
# Ten subjects, fourteen readers, five categories (the usual textbook table).
COUNTS = np.array(
    [
        [0, 0, 0, 0, 14], [0, 2, 6, 4, 2], [0, 0, 3, 5, 6], [0, 3, 9, 2, 0], [2, 2, 8, 1, 1],
        [7, 7, 0, 0, 0], [3, 2, 6, 3, 0], [2, 5, 3, 2, 2], [6, 5, 2, 1, 0], [0, 2, 2, 3, 7],
    ]
)  # fmt: skip


def readings(table: np.ndarray) -> tuple[list[int], list[int]]:
    """Two readers whose cross table is this one."""
    first, second = [], []
    for (row, column), n in np.ndenumerate(table):
        first += [row] * int(n)
        second += [column] * int(n)
    return first, second


def test_kappa_and_its_interval_are_those_of_sas() -> None:
    found = cohen_kappa(*readings(SKIN))
    expected = (0.3449, 0.2030, 0.4868)
    assert (found.kappa, found.low, found.high) == pytest.approx(expected, abs=5e-5)


@pytest.mark.parametrize(
    ("weights", "kappa", "se"),
    # statsmodels 0.14.
    [
        ("none", 0.11949685534591192, 0.11927129716314591),
        ("linear", 0.18918918918918937, 0.13129501234709426),
        ("quadratic", 0.2967651195499298, 0.15700646065360163),
    ],
)
def test_kappa_of_two_readers_is_that_of_statsmodels(weights, kappa, se) -> None:
    found = cohen_kappa(
        ANXIETY[:, 0].tolist(), ANXIETY[:, 1].tolist(), categories=range(1, 7), weights=weights
    )
    assert (found.kappa, found.se) == pytest.approx((kappa, se))


def test_weights_make_no_difference_between_two_categories() -> None:
    first, second = readings(np.array([[20, 5], [10, 15]]))
    kappas = [
        cohen_kappa(first, second, categories=(0, 1), weights=weights)
        for weights in ("none", "linear", "quadratic")
    ]
    assert [one.kappa for one in kappas] == pytest.approx([0.4] * 3)  # (0.7 - 0.5) / (1 - 0.5)
    assert kappas[1].se == pytest.approx(kappas[0].se)


def test_a_category_that_nobody_used_widens_the_scale_of_weights_only() -> None:
    first, second = readings(SKIN)
    plain = [cohen_kappa(first, second, categories=range(n)) for n in (4, 5)]
    assert plain[0].kappa == pytest.approx(plain[1].kappa)
    far = [
        cohen_kappa(first, second, categories=order, weights="linear")
        for order in ((0, 1, 2, 3), (0, 1, 2, 9, 3))
    ]
    assert far[0].kappa != pytest.approx(far[1].kappa)


def test_the_standard_error_is_that_of_many_draws() -> None:
    rng = np.random.default_rng(0)
    shares = np.array([[0.35, 0.1, 0.05], [0.05, 0.2, 0.05], [0.0, 0.05, 0.15]])
    n = 400
    drawn = [
        cohen_kappa(*readings(rng.multinomial(n, shares.ravel()).reshape(3, 3))) for _ in range(300)
    ]
    scatter = np.std([one.kappa for one in drawn], ddof=1)
    assert np.mean([one.se for one in drawn]) == pytest.approx(scatter, rel=0.12)


def test_all_agree_in_several_categories() -> None:
    found = cohen_kappa(["a", "b", "a"], ["a", "b", "a"])
    assert (found.kappa, found.se, found.low, found.high) == (1.0, 0.0, 1.0, 1.0)
    several = fleiss_kappa([["a", "a", "a"], ["b", "b", "b"]])
    assert (several.kappa, several.se, several.low, several.high) == (1.0, 0.0, 1.0, 1.0)


def test_all_agree_in_one_category_gives_no_kappa() -> None:
    found = cohen_kappa([1, 1, 1], [1, 1, 1], categories=(1, 2), weights="quadratic")
    assert (found.agreement, found.chance_agreement) == (1.0, 1.0)
    several = fleiss_kappa([[1, 1], [1, 1]])
    assert several.agreement == 1.0
    for one in (found, several):
        assert math.isnan(one.kappa) and math.isnan(one.se) and math.isnan(one.low)


@pytest.mark.parametrize("n", [0, 1])
def test_fewer_than_two_subjects_give_no_kappa(n) -> None:
    for found in (cohen_kappa([1] * n, [2] * n), fleiss_kappa([[1, 2]] * n)):
        assert found.n == n
        assert math.isnan(found.kappa) and math.isnan(found.se) and math.isnan(found.agreement)


def test_readers_that_always_differ_are_below_chance() -> None:
    assert cohen_kappa([1, 2], [2, 1]).kappa == -1.0
    assert fleiss_kappa([[1, 2], [2, 1]]).kappa == -1.0


def test_fleiss_kappa_is_that_of_the_textbook_table() -> None:
    ratings = [np.repeat(np.arange(5), row).tolist() for row in COUNTS]
    found = fleiss_kappa(ratings)
    assert (found.n, found.raters) == (10, 14)
    expected = (0.378, 0.213, 0.210)  # P mean, P expected and kappa as printed there
    assert (found.agreement, found.chance_agreement, found.kappa) == pytest.approx(
        expected, abs=5e-4
    )
    # irrCAC 0.4: Gwet's standard error and interval.
    assert (found.se, found.low, found.high) == pytest.approx((0.09237, 0.00097, 0.41889), abs=5e-6)


def test_fleiss_kappa_of_three_readers_is_that_of_other_programs() -> None:
    found = fleiss_kappa(ANXIETY.tolist())
    assert found.kappa == pytest.approx(-0.04107648725212462)  # statsmodels 0.14
    assert (found.se, found.low, found.high) == pytest.approx(  # irrCAC 0.4
        (0.04741, -0.14031, 0.05816), abs=5e-6
    )
    assert found.kappa / found.se_chance == pytest.approx(-0.634, abs=5e-4)  # z of irr


def test_two_readers_by_chance_have_the_closed_form() -> None:
    # For two categories, se_chance is 1 / sqrt(subjects * pairs of readers), whatever the shares.
    found = fleiss_kappa([[1, 1, 2], [1, 2, 2], [2, 2, 2], [1, 1, 1]])
    assert found.se_chance == pytest.approx(1 / math.sqrt(4 * 3))


@pytest.mark.parametrize(
    ("first", "second", "options", "message"),
    [
        ([1, 2], [1], {}, "same subjects; got 2 and 1"),
        ([1, 2], [1, 3], {"categories": (1, 2)}, "3 is not one of the categories"),
        ([1, 2], [1, 2], {"categories": (1, 2, 2)}, "listed twice"),
        ([1, None], [1, 2], {}, "a rating is missing"),
        ([1, math.nan], [1, 2], {}, "a rating is missing"),
        ([1, 2], [1, 2], {"weights": "linear"}, "list all, in their order"),
        ([1, 2], [1, 2], {"weights": "cubic", "categories": (1, 2)}, "got 'cubic'"),
    ],
)
def test_readings_that_do_not_fit_are_a_bad_call(first, second, options, message) -> None:
    with pytest.raises(ValueError, match=message):
        cohen_kappa(first, second, **options)


@pytest.mark.parametrize("ratings", [[[1], [2]], [[1, 2], [1]]])
def test_every_subject_needs_every_reader(ratings) -> None:
    with pytest.raises(ValueError, match="one category from each reader"):
        fleiss_kappa(ratings)
