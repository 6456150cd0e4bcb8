"""The fringe of decoded objects: known partial volumes, and masks that stay what they were."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from fringe_cases import (
    SAME,
    as_study,
    ball,
    blurred,
    cut_slabs,
    decoded,
    spots,
    whole_slab,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from modelling import LESIONS, ORGANS, card
from numpy.typing import NDArray
from scipy import ndimage

from medseg.heads import evidence
from medseg.heads.center_offset.targets import dense_target
from medseg.heads.fringe import FADED, FRINGE_MM, Fringe
from medseg.measurement import measure
from medseg.measurement.partial_volume import partial_volumes
from medseg.models import decoder_of
from medseg.phantom import touching_lesions
from medseg.training.datasets import LoadedCase
from medseg.training.grid_cases import on_model_grid
from medseg.training.windows import whole_window
from medseg.transforms.grids import GridMap
from medseg.types import Instance, InstanceClass

UNIT = (1.0, 1.0, 1.0)
GRIDS = {"lesion": SAME, "centre": SAME.strided(2), "offset_mm": SAME.strided(2)}
EVERYWHERE = np.ones((3, 3, 3), dtype=bool)


def full(item: Instance, shape: tuple[int, ...]) -> NDArray[np.float16]:
    """The probability of an instance on the whole grid."""
    whole = np.zeros(shape, dtype=np.float16)
    assert item.probability is not None
    whole[item.probability_box or item.box] = item.probability
    return whole


def smooth(seed: int, shape: tuple[int, ...] = (14, 16, 18)) -> NDArray[np.float32]:
    """A random probability map with hills, some of which touch, and low ground between them."""
    rng = np.random.default_rng(seed)
    hills = ndimage.gaussian_filter(rng.normal(size=shape), rng.uniform(0.8, 2.0))
    level = rng.uniform(0.0, 2.0)
    return (1 / (1 + np.exp(4 * (level - hills / hills.std())))).astype(np.float32)


@pytest.mark.parametrize("spacing_mm", [(1.0, 1.0, 1.0), (2.5, 1.0, 1.0), (5.0, 0.7, 0.7)])
@pytest.mark.parametrize("radius_mm", [5.0, 8.0, 12.0])
def test_a_blurred_ball_has_its_closed_form_volume(
    radius_mm: float, spacing_mm: tuple[float, float, float]
) -> None:
    shape = tuple(math.ceil((2 * radius_mm + 16) / mm) for mm in spacing_mm)
    centre = [mm * (n - 1) / 2 + 0.3 for mm, n in zip(spacing_mm, shape, strict=True)]
    found = decoded(blurred(ball(centre, radius_mm), shape, spacing_mm, 1.0), spacing_mm)
    volumes = partial_volumes(found)
    volume_ml = 4 / 3 * math.pi * radius_mm**3 / 1000
    assert volumes.reasons == ("",) and not volumes.cut[0]
    assert volumes.estimate_ml == pytest.approx([volume_ml], rel=0.02)
    assert volumes.low_ml[0] < volume_ml < volumes.high_ml[0]


def test_touching_balls_share_what_lies_between_them_and_count_it_once() -> None:
    shape, places = (24, 30, 52), [(11.5, 14.5, 15.0), (11.5, 14.5, 34.0)]
    values = np.maximum(*(blurred(ball(place, 9.0), shape, UNIT, 0.7) for place in places))
    found = decoded(values, UNIT)
    assert len(found) == 2
    sums = [full(item, shape).sum(dtype=float) for item in found]
    volume = 4 / 3 * math.pi * 9**3
    assert sums == pytest.approx([volume, volume], rel=0.02)
    together = np.stack([full(item, shape) for item in found])
    assert (np.count_nonzero(together, axis=0) <= 1).all()


def test_organs_that_share_a_border_have_their_shares_of_its_voxels() -> None:
    shape, border = (20, 24, 40), 15 + 1 / 6  # two thirds of a voxel lie left of it
    body = blurred(lambda z, y, x: (abs(z - 9.5) < 6) & (abs(y - 11.5) < 8) & (abs(x - 19.5) < 14),
                   shape, UNIT, 0.8)  # fmt: skip
    left = blurred(lambda z, y, x: (x < border) & (y > -9) & (z > -9), shape, UNIT, 0.8) * body
    organs = np.stack([1 - body, left, body - left])
    items = decoder_of(card(ORGANS)).group([whole_slab({"organ": organs})], UNIT)
    classes = tuple(InstanceClass(name, "organ", n) for n, name in ((1, "left"), (2, "right")))
    volumes = partial_volumes(as_study(items, shape, UNIT, classes))
    sides = np.array([border - 5.5, 33.5 - border])
    assert volumes.estimate_ml == pytest.approx(12 * 16 * sides / 1000, rel=0.01)
    assert (volumes.low_ml < volumes.estimate_ml).all()
    assert (volumes.estimate_ml < volumes.high_ml).all()


def test_a_small_object_that_is_dropped_adds_nothing_to_its_neighbour() -> None:
    shape = (24, 24, 34)
    alone = blurred(ball((11.5, 11.5, 10.5), 7.0), shape, UNIT, 0.7)
    values = np.maximum(alone, blurred(ball((11.5, 11.5, 20.5), 1.8), shape, UNIT, 0.7))
    both, one = decoded(values, UNIT, smallest_mm3=1.0), decoded(values, UNIT, smallest_mm3=99.0)
    assert (len(both), len(one)) == (2, 1)
    assert np.array_equal(full(one.items[0], shape), full(both.items[0], shape))
    assert full(one.items[0], shape).sum(dtype=float) == pytest.approx(alone.sum(), rel=0.02)


def test_a_faint_spot_that_hangs_on_nothing_is_left_out() -> None:
    shape = (24, 24, 34)
    alone = blurred(ball((11.5, 11.5, 10.5), 7.0), shape, UNIT, 0.7)
    values = alone.copy()
    values[11:13, 11:13, 21:23] = 0.3
    assert (values[11, 11, 18:21] < FADED).any()
    kept, wanted = (full(decoded(one, UNIT).items[0], shape) for one in (values, alone))
    assert np.array_equal(kept, wanted)


def test_where_the_probability_does_not_fade_nothing_is_given() -> None:
    shape = (34, 34, 34)
    values = np.maximum(blurred(ball((16.5, 16.5, 16.5), 5.0), shape, UNIT, 0.7), 0.2)
    found = decoded(values, UNIT)
    assert [item.probability_box for item in found] == [None]
    table = measure(found, groups=["size"])
    assert table["volume_partial_ml"].isna().all()
    assert table["notes"][0] == "partial volume: probability outside the mask was not kept"


def test_a_slice_of_twelve_mm_beyond_the_mask_is_part_of_the_fringe() -> None:
    values = np.zeros((9, 20, 20), dtype=np.float32)
    values[4, 6:14, 6:14] = 1.0
    values[3, 6:14, 6:14] = 0.4
    values[3, 5, 6:14] = 0.1
    (item,) = decoded(values, (12.0, 1.0, 1.0))
    assert full(item, values.shape).sum(dtype=float) == pytest.approx(values.sum(), rel=1e-3)


def test_a_sharp_object_gets_a_margin_of_one_voxel_that_the_image_ends() -> None:
    values = np.zeros((6, 7, 8), dtype=np.float32)
    values[2:4, 0:5, 3:8] = 1.0
    found = decoded(values, UNIT)
    assert found.items[0].probability_box == (slice(1, 5), slice(0, 6), slice(2, 8))
    volumes = partial_volumes(found)
    assert volumes.estimate_ml == volumes.low_ml == volumes.high_ml == pytest.approx([0.05])
    assert volumes.reasons == ("",)


def test_what_the_border_of_the_image_cuts_is_noted() -> None:
    shape = (24, 24, 24)
    found = decoded(blurred(ball((11.5, 11.5, 2.0), 7.0), shape, UNIT, 0.7), UNIT)
    notes = measure(found, groups=["size"])["notes"]
    assert notes[0] == "partial volume: probability ends before it fades, some may be missing"


@given(seed=st.integers(0, 2**32 - 1))
@settings(max_examples=30)
def test_masks_and_scores_are_those_of_plain_components_and_each_voxel_counts_once(
    seed: int,
) -> None:
    values = smooth(seed)
    found = decoded(values, UNIT, smallest_mm3=5.0)
    labels, count = ndimage.label(values > 0.5, EVERYWHERE)
    wanted = [labels == n for n in range(1, count + 1)]
    wanted = [mask for mask in wanted if np.count_nonzero(mask) >= 5]
    assert len(found) == len(wanted)
    order = sorted(wanted, key=lambda mask: [int(axis.min()) for axis in np.nonzero(mask)])
    inside, seen = values > 0.5, np.zeros(values.shape, dtype=int)
    for item, mask in zip(found, order, strict=True):
        drawn = np.zeros(values.shape, dtype=bool)
        drawn[item.box] = item.mask
        assert np.array_equal(drawn, mask)
        assert item.score == pytest.approx(values[mask].mean(dtype=float), rel=1e-6)
        kept = full(item, values.shape)
        assert np.array_equal(kept[mask], values[mask].astype(np.float16))
        around = (kept > 0) & ~mask
        assert not (around & inside).any() and (kept[around] >= np.float16(FADED)).all()
        assert np.allclose(kept[around], values[around], atol=1e-3)
        assert ndimage.label(kept > 0, EVERYWHERE)[1] == 1
        seen += around
    assert seen.max() <= 1


def test_every_object_of_votes_is_as_it_was_without_a_fringe(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    phantom = touching_lesions(4, shape=(48, 64, 64))
    small = card(LESIONS)
    target = whole_window(
        on_model_grid(LoadedCase("one", {"mr": phantom.volume}, phantom.truth), small)
    ).target
    drawn = dense_target([target], small.classes, (48, 64, 64), UNIT)
    soft = ndimage.gaussian_filter(drawn.lesion[0].numpy(), (0, 0.8, 0.8, 0.8))
    maps = {"lesion": soft, "centre": drawn.centre[0].numpy()}
    maps["offset_mm"] = drawn.offset_mm[0].numpy()
    slab = replace(whole_slab(maps, shape=(48, 64, 64)), grids=GRIDS)
    decoder = decoder_of(small)
    fringed = decoder.group([slab], UNIT)
    monkeypatch.setattr(evidence, "with_fringes", lambda found, _: list(found))
    bare = decoder.group([slab], UNIT)
    assert len(fringed) == len(bare) > 3
    assert any(item.probability_box is not None for item in fringed)
    for one, other in zip(fringed, bare, strict=True):
        same = ("id", "class_name", "kind", "score", "box")
        assert all(getattr(one, name) == getattr(other, name) for name in same)
        assert np.array_equal(one.mask, other.mask)


@pytest.mark.parametrize("scale", [0.4, 1.0, 2.5])
@pytest.mark.parametrize("depth", [4, 8, 14])
@pytest.mark.parametrize("kind", ["lesion", "organ"])
def test_slabs_give_the_same_fringes_as_one_piece(kind: str, depth: int, scale: float) -> None:
    values = smooth(11, (40, 24, 26))
    grid = GridMap((scale, 1.5, 0.5), (0.2, 0.0, 0.1))
    shape = (int(39 / scale), 15, 50)
    if kind == "lesion":
        maps, decoder = {"lesion": values[None]}, spots()
    else:
        maps = {"organ": np.stack([1 - values, 0.7 * values, 0.3 * values])}
        decoder = decoder_of(card(ORGANS))
    one = decoder.group([whole_slab(maps, grid, shape)], UNIT)
    several = decoder.group(cut_slabs(decoder, maps, depth, grid, shape), UNIT)
    assert len(one) == len(several) > 0
    for left, right in zip(one, several, strict=True):
        assert (left.box, left.probability_box) == (right.box, right.probability_box)
        np.testing.assert_array_equal(left.mask, right.mask)
        np.testing.assert_allclose(left.probability, right.probability, atol=1e-3)


def test_haze_far_from_every_mask_is_not_held() -> None:
    values = np.full((120, 40, 40), 0.1, dtype=np.float32)
    values[80:84, 18:22, 18:22] = 0.9
    decoder = spots()
    fringe, most = Fringe(np.ones(3)), 0
    for slab in cut_slabs(decoder, {"lesion": values[None]}, 8, SAME, values.shape):
        above = values[slab.start : slab.stop] > 0.5
        points = np.argwhere(above) + np.array([slab.start, 0, 0])
        fringe.collect(slab, ("lesion", 0), (above, 1), points)
        most = max(most, len(fringe.waiting[0]))
    cell = math.ceil(FRINGE_MM)
    assert most <= 3 * cell * 40 * 40  # of 120 slices
    assert 0 < len(fringe.all()[0]) <= (4 + 4 * cell) ** 3


@pytest.mark.parametrize(("threshold", "left"), [(0.0, 2), (0.7, 1), (0.95, 0)])
def test_components_below_the_score_threshold_are_dropped(threshold: float, left: int) -> None:
    probability = np.zeros((1, 8, 8, 16), dtype=np.float32)
    probability[0, 2:5, 2:5, 2:5], probability[0, 2:5, 2:5, 9:13] = 0.6, 0.9
    decoder = spots(score_threshold=threshold, smallest_mm3=1.0)
    items = decoder.group([whole_slab({"lesion": probability})], (1.0, 1.0, 1.0))
    assert len(items) == left
    assert all(item.score >= threshold for item in items)
