"""Lobed solids: their closed form, what a window promises, and that a coarse grid loses them."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.ndimage import binary_dilation
from torch.nn import functional

from medseg.evaluation import surface_dice, surface_distances
from medseg.phantom import Phantom
from medseg.phantom.lobed import CLASSES, LobedSolid, lobed_lesions, lobed_solids
from medseg.phantom.shapes import random_rotation
from medseg.types import Instance

SHAPE = (96, 96, 96)
ZONAL = LobedSolid("lobed", (0, 0, 0), (20, 20, 20), 3, ((0, 0, 1),), (0.5,))


@pytest.fixture(scope="module")
def windows() -> list[Phantom]:
    return [lobed_lesions(seed) for seed in range(6)]


def full(item: Instance, shape: tuple[int, int, int] = SHAPE) -> np.ndarray:
    mask = np.zeros(shape, bool)
    mask[item.box] = item.mask
    return mask


def directions(count: int) -> np.ndarray:
    ways = np.random.default_rng(0).normal(size=(count, 3))
    return ways / np.linalg.norm(ways, axis=1, keepdims=True)


def test_the_relief_of_one_pole_is_a_legendre_polynomial() -> None:
    ways = directions(200)
    z = ways[:, 2]
    assert ZONAL.relief(ways) == pytest.approx(0.5 * (5 * z**3 - 3 * z) / 2)
    assert ZONAL.mean_square == pytest.approx(0.25 / 7)  # of P_3: 1 / (2 * 3 + 1)
    # (1/2) integral of (1 + P_3 / 2)^3 over -1..1 is 1 + 3 / 4 / 7: P_3 and its cube are odd.
    ball_ml = 4 / 3 * math.pi * 8
    assert ZONAL.volume_ml == pytest.approx(ball_ml * (1 + 0.75 / 7))


def test_a_solid_holds_what_lies_below_its_relief() -> None:
    assert ZONAL.contains([(0, 0, 29.9), (0, 0, 30.1), (0, 0, -9.9), (0, 0, -10.1)]).tolist() == [
        True,
        False,
        True,
        False,
    ]
    assert ZONAL.contains([(19.9, 0, 0), (0, 20.1, 0), (0, 0, 0)]).tolist() == [True, False, True]


def test_axes_and_rotation_carry_the_relief_with_them() -> None:
    turned = replace(ZONAL, semi_axes_mm=(10, 10, 20), rotation=((0, 0, 1), (0, 1, 0), (-1, 0, 0)))
    assert turned.contains([(29.9, 0, 0), (30.1, 0, 0), (0, 9.9, 0), (0, 0, 10.1)]).tolist() == [
        True,
        False,
        True,
        False,
    ]
    assert turned.volume_ml == pytest.approx(ZONAL.volume_ml / 4)


def test_voxels_add_up_to_the_closed_form() -> None:
    places = np.indices(SHAPE).reshape(3, -1).T[:, ::-1]
    for solid in lobed_solids(0)[:2]:
        middle = replace(solid, centre_mm=(47.5, 47.5, 47.5))
        assert middle.contains(places).sum() / 1000 == pytest.approx(solid.volume_ml, rel=0.005)
        assert solid.volume_ml > 1.02 * solid.ellipsoid.volume_ml


def test_an_instance_holds_the_voxels_whose_centre_lies_in_its_solid(windows) -> None:
    places = np.indices(SHAPE).reshape(3, -1).T[:, ::-1]
    for item, solid in zip(windows[2].truth, lobed_solids(2), strict=True):
        assert np.array_equal(full(item), solid.contains(places).reshape(SHAPE))


def test_no_relief_is_higher_than_its_bound() -> None:
    for solid in lobed_solids(0) + lobed_solids(1):
        most = np.abs(solid.relief(directions(100_000))).max()
        assert 0.97 * most < solid.highest < 1.25 * most
        assert solid.relief(directions(9)) == pytest.approx(-solid.relief(-directions(9)))


def test_solids_are_of_the_size_and_depth_that_the_window_promises(windows) -> None:
    for seed, window in enumerate(windows):
        solids = lobed_solids(seed)
        assert 1 <= len(window.truth) == len(solids) <= 3
        for solid in solids:
            radius = math.prod(solid.semi_axes_mm) ** (1 / 3)
            assert all(12 <= axis <= 28 for axis in solid.semi_axes_mm)
            assert 1.5 <= math.sqrt(solid.mean_square) * radius <= 2.5
            assert 7 <= 2 * math.pi * radius / solid.degree <= 14
    assert len({len(window.truth) for window in windows}) > 1


def test_solids_do_not_touch_and_are_in_the_classes(windows) -> None:
    for window in windows:
        assert window.truth.classes == CLASSES
        masks = [full(item) for item in window.truth]
        for n, mask in enumerate(masks):
            assert mask.sum() >= 2000
            others = np.any(masks[:n] + masks[n + 1 :], axis=0) if len(masks) > 1 else ~mask & mask
            assert not (binary_dilation(mask, np.ones((3, 3, 3))) & others).any()


def test_lesions_stand_out_by_about_three_standard_deviations_of_the_noise(windows) -> None:
    ratios = []
    for window in windows:
        image = window.volume.array
        assert image.dtype == np.float32
        assert image.mean() == pytest.approx(0, abs=1e-3)
        assert image.std() == pytest.approx(1, abs=1e-3)
        outside = image[~np.any([full(item) for item in window.truth], axis=0)]
        ratios += [
            (image[full(item)].mean() - outside.mean()) / outside.std() for item in window.truth
        ]
    assert np.mean(ratios) == pytest.approx(3.0, abs=0.4)


def test_half_resolution_holds_the_outlines_and_a_quarter_does_not(windows) -> None:
    held: dict[int, list[float]] = {2: [], 4: []}
    for window in windows[:5]:
        mask = np.any([full(item) for item in window.truth], axis=0)
        exact = torch.tensor(mask[None, None], dtype=torch.float32)
        for stride, values in held.items():
            shares = functional.avg_pool3d(exact, stride)
            again = functional.interpolate(shares, size=SHAPE, mode="trilinear")[0, 0] > 0.5
            found = surface_distances(again.numpy(), mask, (1, 1, 1))
            values.append(surface_dice(found, 1.0))
    assert np.mean(held[2]) > 0.99
    assert 0.85 < np.mean(held[4]) < 0.94


def test_the_same_seed_gives_the_same_bytes_and_another_does_not() -> None:
    one, twin, other = (lobed_lesions(seed, shape=(48, 64, 64)) for seed in (3, 3, 4))
    assert one.volume.array.shape == (48, 64, 64)
    assert one.volume.array.tobytes() == twin.volume.array.tobytes()
    assert one.volume.array.tobytes() != other.volume.array.tobytes()
    assert [item.box for item in one.truth] == [item.box for item in twin.truth]


@pytest.mark.parametrize(
    "change", [{"degree": 4}, {"degree": -1}, {"weights": (0.1, 0.2)}, {"poles": ()}]
)
def test_what_has_no_closed_form_is_refused(change) -> None:
    with pytest.raises(ValueError, match="an odd degree and a weight for each pole"):
        replace(ZONAL, **change)


def test_poles_that_do_not_agree_add_up_by_the_addition_theorem() -> None:
    (a, b, c), other = random_rotation(np.random.default_rng(5)), (0.0, 0.6, 0.8)
    assert np.dot(c, other) ** 2 > 0.01
    solid = replace(ZONAL, poles=(a, b, c, other), weights=(0.1, -0.2, 0.3, 0.2), degree=5)
    mean = np.mean(solid.relief(directions(400_000)) ** 2)
    assert solid.mean_square == pytest.approx(mean, rel=0.01)
