"""Of an organ there is one: islands beside it are dropped where the decoder is told so."""

from __future__ import annotations

import numpy as np
import pytest
from fringe_cases import whole_slab
from modelling import ORGANS, card

from medseg.errors import ModelError
from medseg.models import decoder_of

SHAPE, UNIT = (12, 16, 40), (1.0, 1.0, 1.0)


def found(parts: int, *, empty: bool = False):
    """An organ of 64 voxels with islands of 27 and 8 of its own, beside another organ of 27."""
    organs = np.zeros((3, *SHAPE), dtype=np.float32)
    if not empty:
        organs[1, 4:8, 4:8, 4:8] = 0.9
        organs[1, 4:7, 4:7, 14:17] = 0.8
        organs[1, 4:6, 4:6, 34:36] = 1.0
    organs[2, 4:7, 4:7, 24:27] = 0.9
    organs[0] = 1 - organs[1:].sum(axis=0)
    decoder = decoder_of(
        card(ORGANS, head={"name": "center_offset", "decoder": {"organ_parts": parts}})
    )
    return decoder.group([whole_slab({"organ": organs})], UNIT)


@pytest.mark.parametrize(("parts", "voxels"), [(0, 99), (1, 64), (2, 91), (3, 99), (9, 99)])
def test_so_many_of_the_largest_parts_are_kept_as_one_object(parts: int, voxels: int) -> None:
    organ, other = found(parts)
    assert (organ.class_name, organ.voxel_count) == ("left", voxels)
    assert (other.class_name, other.voxel_count) == ("right", 27)


def test_the_score_is_that_of_what_is_kept() -> None:
    assert found(1)[0].score == pytest.approx(0.9)
    assert found(2)[0].score == pytest.approx((64 * 0.9 + 27 * 0.8) / 91)


def test_an_organ_that_is_not_there_has_no_parts() -> None:
    (other,) = found(1, empty=True)
    assert other.class_name == "right"


def test_less_than_none_is_refused() -> None:
    with pytest.raises(ModelError, match=r"head\.decoder\.organ_parts = -1 is not above -1"):
        found(-1)
