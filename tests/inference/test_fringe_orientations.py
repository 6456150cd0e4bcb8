"""The fringe of a segmented object lies where the object does, however the image is turned."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from modelling import bright_is_organ

import medseg
from medseg.types import Geometry, Instance, Volume, reoriented_array

TURNS = [
    (axes, flips)
    for axes in itertools.permutations(range(3))
    for flips in itertools.product((False, True), repeat=3)
]


def ellipsoid() -> Volume:
    """Bright and soft-edged, off the middle of a grid of three lengths and spacings."""
    geometry = Geometry.from_spacing((20, 27, 24), (2.0, 1.0, 1.5))
    z, y, x = np.ogrid[:20, :27, :24]
    distance = np.sqrt(((z - 8) / 4) ** 2 + ((y - 14) / 8) ** 2 + ((x - 12) / 6) ** 2)
    array = 100 / (1 + np.exp((distance - 1) / 0.08))
    return Volume(array.astype(np.float32), geometry, modality="MR", unit="arbitrary")


def spread(item: Instance, shape: tuple[int, ...]) -> np.ndarray:
    """The probability on the whole grid."""
    whole = np.zeros(shape, dtype=np.float32)
    assert item.probability is not None and item.probability_box is not None
    whole[item.probability_box] = item.probability
    return whole


@pytest.mark.parametrize("turn", TURNS)
def test_a_fringe_turns_with_its_image(turn) -> None:
    axes, flips = turn
    straight = ellipsoid()
    turned = straight.reoriented(axes, flips)
    model = bright_is_organ(window_shape=(48, 48, 48))
    (one,) = medseg.segment(straight, model, device="cpu")
    (other,) = medseg.segment(turned, model, device="cpu")
    assert one.probability_box is not None and one.probability_box != one.box
    wanted = reoriented_array(spread(one, straight.geometry.shape), axes, flips)
    found = spread(other, turned.geometry.shape)
    # Turned the other way round, values are summed in another order.
    np.testing.assert_allclose(found, wanted, atol=2e-3)
