"""Volumes from probabilities: closed forms of blurred solids, and cases that must stay empty."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray
from relation_cases import KINDS, study
from scipy.ndimage import gaussian_filter

from medseg.measurement.partial_volume import PartialVolumes, partial_volumes
from medseg.types import Geometry, Instance

BLUR = 0.5  # standard deviation in voxels


def grid(shape: tuple[int, ...]) -> Geometry:
    return Geometry.from_spacing(shape, (10.0, 10.0, 10.0))  # 1 mL a voxel


def with_probability(
    mask: NDArray[np.bool_], probability: NDArray[np.float64], class_name: str = "tumour"
) -> Instance:
    made = Instance.from_mask(
        mask, id=1, class_name=class_name, kind=KINDS[class_name], probability=probability
    )
    assert made is not None
    return made


def widened(
    mask: NDArray[np.bool_], probability: NDArray[np.float64], class_name: str = "tumour"
) -> Instance:
    """The instance with the probability of the whole image."""
    z, y, x = (slice(0, length) for length in mask.shape)
    whole = probability.astype(np.float16)
    bare = with_probability(mask, probability, class_name)
    return replace(bare, probability=whole, probability_box=(z, y, x))


def measured(mask: NDArray[np.bool_], probability: NDArray[np.float64]) -> PartialVolumes:
    return partial_volumes(study(grid(mask.shape), with_probability(mask, probability)))


def blurred_ball(radius: float, blur: float = BLUR) -> NDArray[np.float64]:
    """Share of each voxel in a ball (4 x 4 x 4 points a voxel), blurred; its sum is the volume."""
    half = math.ceil(radius + 5 * blur) + 1
    points = (np.arange(8 * half) + 0.5) / 4 - half
    z, y, x = np.meshgrid(points, points, points, indexing="ij", sparse=True)
    inside = z * z + y * y + x * x <= radius * radius
    share = inside.reshape((2 * half, 4) * 3).mean(axis=(1, 3, 5))
    return gaussian_filter(share, blur, mode="constant")


@pytest.mark.parametrize("radius", [12.7, 14.2, 15.2])
def test_estimate_of_a_blurred_ball_is_near_its_closed_form_and_inside_its_range(
    radius: float,
) -> None:
    probability = blurred_ball(radius)
    found = measured(probability >= 0.5, probability)
    volume = 4 / 3 * math.pi * radius**3
    assert found.reasons == ("",)
    assert found.estimate_ml == pytest.approx([volume], rel=0.01)
    assert found.low_ml[0] < volume < found.high_ml[0]


@pytest.mark.parametrize("blur", [0.5, 1.0])
@pytest.mark.parametrize("radius", [3.0, 6.0, 10.0, 15.0])
def test_what_is_not_cut_is_within_a_twentieth_however_small_or_blurred(
    radius: float, blur: float
) -> None:
    probability = blurred_ball(radius, blur)
    found = measured(probability >= 0.5, probability)
    assert found.reasons == ("",) and found.low_ml < found.estimate_ml < found.high_ml
    if found.cut[0]:
        assert radius < 15  # large ones lose little
    else:
        assert found.estimate_ml == pytest.approx([probability.sum()], rel=0.05)
        assert found.high_ml == pytest.approx([np.count_nonzero(probability >= 0.25)], rel=0.05)


@pytest.mark.parametrize("blur", [0.5, 1.0])
@pytest.mark.parametrize("radius", [1.5, 3.0, 6.0])
def test_with_its_fringe_a_small_blurred_ball_has_its_closed_form_volume(
    radius: float, blur: float
) -> None:
    probability = blurred_ball(radius, blur)
    item = widened(probability >= min(0.5, probability.max() / 2), probability)
    found = partial_volumes(study(grid(probability.shape), item))
    assert found.reasons == ("",) and not found.cut[0]
    assert found.estimate_ml == pytest.approx([4 / 3 * math.pi * radius**3], rel=0.05)
    assert found.high_ml == pytest.approx([np.count_nonzero(probability >= 0.25)])


def test_a_fringe_of_zeros_says_that_nothing_fades_there() -> None:
    mask = np.zeros((7, 7, 7), dtype=bool)
    mask[2:5, 2:5, 2:5] = True
    mask[2, 2, 2] = False
    probability = np.where(mask, 0.9, 0.0)
    found = partial_volumes(study(grid(mask.shape), widened(mask, probability)))
    assert found.reasons == ("",) and not found.cut[0]
    assert found.estimate_ml == pytest.approx([26 * 0.9], rel=1e-3)
    assert measured(mask, probability).reasons == ("probability outside the mask was not kept",)


def test_another_lesion_in_the_fringe_is_seen() -> None:
    mask = np.zeros((7, 7, 9), dtype=bool)
    mask[2:5, 2:5, 2:5] = True
    probability = np.where(mask, 0.8, 0.1)
    probability[3, 3, 7] = 0.9
    found = partial_volumes(study(grid(mask.shape), widened(mask, probability)))
    assert found.reasons == ("probability outside the mask is another object's",)


def test_sum_and_both_counts_are_as_worked_out_by_hand() -> None:
    probability = np.full((1, 12, 12), 1.0)
    probability[0, 0], probability[0, :, 0] = 0.25, 0.5
    probability[0, 11] = probability[0, :, 11] = 0.75
    found = measured(probability >= 0.5, probability)
    assert found.reasons == ("",) and found.cut[0]  # the image's border cuts it
    # Ten rows of 0.5 + 10 + 0.75, the first 0.5 + 10 x 0.25 + 0.75, the last 12 x 0.75.
    assert found.estimate_ml == pytest.approx([112.5 + 3.75 + 9])
    assert found.low_ml == pytest.approx([10 * 11 + 1 + 12])
    assert found.high_ml == pytest.approx([144])


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("side", [(1, 0), (0, 1)])
def test_a_crop_may_hide_more_where_it_ends_inside_the_image_and_at_its_border(
    axis: int, side: tuple[int, int]
) -> None:
    mask = np.ones((6, 6, 6), dtype=bool)
    assert measured(mask, np.full(mask.shape, 0.9)).cut[0]
    room = [side if n == axis else (0, 0) for n in range(3)]
    wider = np.pad(mask, room)
    found = measured(wider, np.where(wider, 0.9, 0.4))
    assert found.reasons == ("",) and found.cut[0]


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_an_image_of_one_slice_has_nothing_beside_it(axis: int) -> None:
    mask = np.zeros((9, 9), dtype=bool)
    mask[2:7, 2:7] = True
    faint = np.zeros((9, 9))
    faint[1:8, 1:8] = 0.3
    mask, faint = (np.expand_dims(one, axis) for one in (mask, faint))
    item = widened(mask, np.where(mask, 0.9, faint))
    found = partial_volumes(study(grid(mask.shape), item))
    assert found.reasons == ("",) and not found.cut[0]
    assert found.estimate_ml == pytest.approx([25 * 0.9 + 24 * 0.3], rel=1e-3)


@pytest.mark.parametrize(("last", "cut"), [(1.0, True), (0.75, False)])
def test_a_face_may_hide_two_voxels_that_count_where_it_is_certain_and_else_one(
    last: float, cut: bool
) -> None:
    mask = np.ones((1, 1, 30), dtype=bool)
    probability = np.ones(mask.shape)
    probability[..., 0], probability[..., 29] = 0.25, last
    found = measured(mask, probability)  # 2 of 30 are more than a twentieth, 1 of 30 is not
    assert found.reasons == ("",) and found.cut[0] == cut
    assert found.estimate_ml == pytest.approx([28 + 0.25 + last])


def test_a_probability_that_is_the_mask_gives_the_volume_three_times() -> None:
    mask = np.zeros((5, 6, 7), dtype=bool)
    mask[1:4, 1:5, 2], mask[2, 2, 3] = True, True
    found = measured(mask, mask.astype(np.float64))
    assert found.reasons == ("",) and not found.cut[0]
    for volume_ml in (found.estimate_ml, found.low_ml, found.high_ml):
        assert volume_ml == pytest.approx([13.0])


def test_nothing_is_given_where_the_decoder_kept_the_mask_alone() -> None:
    probability = blurred_ball(16.0)
    mask = probability >= 0.5
    found = measured(mask, np.where(mask, probability, 0.0))
    assert found.reasons == ("probability outside the mask was not kept",)
    assert np.isnan([found.estimate_ml, found.low_ml, found.high_ml]).all()


def test_nothing_is_given_where_a_crop_holds_another_lesion_of_the_class() -> None:
    probability = np.zeros((40, 40, 60))
    ball = blurred_ball(12.0)
    probability[: ball.shape[0], : ball.shape[1], : ball.shape[2]] = ball
    probability[2:5, 2:5, 2:5] = 0.9  # in the corner of the crop
    mask = np.zeros(probability.shape, dtype=bool)
    mask[: ball.shape[0], : ball.shape[1], : ball.shape[2]] = ball >= 0.5
    corner = np.zeros_like(mask)
    corner[2:5, 2:5, 2:5] = True
    found = measured(mask & ~corner, np.where(mask | corner, probability, probability))
    assert found.reasons == ("probability outside the mask is another object's",)


def test_an_organ_may_be_less_likely_inside_than_outside() -> None:
    mask = np.zeros((30, 30, 30), dtype=bool)
    mask[:, :, :28] = True
    probability = np.where(mask, 1.0, 0.0)
    probability[0, 0, :3], mask[0, 0, :3] = 0.4, True
    probability[5, 5, 5], mask[5, 5, 5] = 0.45, False  # a third class is the likeliest here
    organ = with_probability(mask, probability, "liver")
    lesion = with_probability(mask, probability)
    whole = grid((30, 30, 28))
    assert partial_volumes(study(whole, organ)).reasons == ("",)
    assert partial_volumes(study(whole, lesion)).reasons != ("",)


@pytest.mark.parametrize("wrong", [np.nan, -0.1, 1.5])
@pytest.mark.parametrize("inside", [True, False])
def test_numbers_that_are_no_probability_give_nothing(wrong: float, inside: bool) -> None:
    mask = np.ones((3, 3, 3), dtype=bool)
    mask[1, 1, 1] = False
    probability = np.where(mask, 0.9, 0.1)
    probability[(0, 0, 0) if inside else (1, 1, 1)] = wrong
    assert measured(mask, probability).reasons == ("probability is not between 0 and 1",)


def test_an_instance_without_probability_stays_empty_and_one_voxel_is_cut() -> None:
    mask = np.zeros((3, 3, 3), dtype=bool)
    mask[1, 1, 1] = True
    bare = Instance.from_mask(mask, id=7, class_name="tumour", kind="lesion")
    assert bare is not None
    spot = with_probability(mask, np.where(mask, 0.9, 0.3))
    found = partial_volumes(study(grid(mask.shape), bare, spot))
    assert found.reasons == ("no probability was kept", "")
    assert np.isnan(found.estimate_ml[0]) and found.estimate_ml[1] == pytest.approx(0.9, rel=1e-3)
    assert found.cut.tolist() == [False, True]


def test_without_an_instance_there_are_empty_arrays() -> None:
    found = partial_volumes(study(grid((2, 2, 2))))
    assert found.estimate_ml.shape == found.low_ml.shape == found.high_ml.shape == (0,)
    assert found.reasons == ()
