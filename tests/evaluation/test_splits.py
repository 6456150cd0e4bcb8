"""Splits and merges: their definition on full arrays, and cases drawn by hand."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from evaluation_cases import random_pair, rectangle, study
from hypothesis import given, settings
from hypothesis import strategies as st
from slow_detection import voxels

from medseg.errors import InputRefused
from medseg.evaluation.overlap import pair_overlaps
from medseg.evaluation.splits import splits_and_merges
from medseg.types import Geometry, Instances

NOTHING = study([])
WHOLE = rectangle(slice(0, 20), slice(0, 10))
UPPER, LOWER = rectangle(slice(0, 10), slice(0, 10)), rectangle(slice(10, 20), slice(0, 10))


def slow(whole_side, part_side, share, within_class) -> dict[int, tuple[int, ...]]:
    """Of each object the parts that lie in it with at least such a share of their own voxels."""
    found = {}
    parts = list(zip(part_side, voxels(part_side), strict=True))
    for one, inside in zip(whole_side, voxels(whole_side), strict=True):
        ids = tuple(
            part.id
            for part, own in parts
            if (part.class_name == one.class_name or not within_class)
            and Fraction(len(own & inside), len(own)) >= Fraction(str(share))
        )
        if len(ids) >= 2:
            found[one.id] = ids
    return found


@given(
    seed=st.integers(0, 2**32 - 1),
    share=st.sampled_from([0.1, 0.25, 0.5, 0.75, 1.0]),
    within_class=st.booleans(),
)
@settings(deadline=None, max_examples=1000)
def test_splits_and_merges_equal_their_definition(
    seed: int, share: float, within_class: bool
) -> None:
    pred, ref = random_pair(np.random.default_rng(seed))
    found = splits_and_merges(pred, ref, share, within_class=within_class)
    assert found.splits == slow(ref, pred, share, within_class)
    assert found.merges == slow(pred, ref, share, within_class)
    assert (found.split_count, found.merge_count) == (len(found.splits), len(found.merges))


def test_a_reference_in_two_halves_is_split() -> None:
    found = splits_and_merges(study([UPPER, LOWER]), study([WHOLE]))
    assert (found.splits, found.merges) == ({1: (1, 2)}, {})
    assert (found.split_count, found.merge_count) == (1, 0)


def test_a_prediction_over_two_references_merges_them() -> None:
    far = rectangle(slice(40, 50), slice(0, 10))
    found = splits_and_merges(study([far, WHOLE]), study([UPPER, far, LOWER]))
    assert (found.splits, found.merges) == ({}, {2: (1, 3)})


def test_parts_count_by_the_share_of_their_own_voxels() -> None:
    # The second prediction has 4 of 10 rows in the reference.
    pred = study([rectangle(slice(0, 10), slice(0, 10)), rectangle(slice(16, 26), slice(0, 10))])
    assert splits_and_merges(pred, study([WHOLE])).splits == {}
    assert splits_and_merges(pred, study([WHOLE]), 0.4).splits == {1: (1, 2)}
    assert splits_and_merges(pred, study([WHOLE]), 0.41).splits == {}


def test_overlapping_predictions_of_one_object_split_it() -> None:
    found = splits_and_merges(study([WHOLE, WHOLE]), study([WHOLE]))
    assert (found.splits, found.merges) == ({1: (1, 2)}, {})


def test_parts_of_another_class_count_only_where_asked_for() -> None:
    pred, ref = study([UPPER, LOWER], names=["tumour", "node"]), study([WHOLE])
    assert splits_and_merges(pred, ref).splits == {}
    assert splits_and_merges(pred, ref, within_class=False).splits == {1: (1, 2)}


def test_known_overlaps_are_used_and_empty_sides_have_neither() -> None:
    pred, ref = study([UPPER, LOWER]), study([WHOLE])
    known = pair_overlaps(pred, ref)
    assert splits_and_merges(pred, ref, overlaps=known).splits == {1: (1, 2)}
    for sides in ((NOTHING, NOTHING), (pred, NOTHING), (NOTHING, ref)):
        found = splits_and_merges(*sides)
        assert (found.splits, found.merges) == ({}, {})


def test_bad_calls_are_refused() -> None:
    for share in (0.0, -0.5, 1.01, float("nan")):
        with pytest.raises(ValueError, match="above 0 and up to 1; got"):
            splits_and_merges(NOTHING, NOTHING, share)
    other = Instances(Geometry.from_spacing((1, 50, 50), (1.0, 1.0, 2.0)), [])
    with pytest.raises(InputRefused, match="^prediction: .* that of the reference: spacing"):
        splits_and_merges(other, NOTHING)
