"""Objects of a part of an image on the whole grid, and spans of time and memory in words."""

from __future__ import annotations

import numpy as np
import pytest
from medseg_napari.run import bytes_in_words, cropped, on_whole_grid, seconds_in_words
from session_cases import CLASSES, GRID, cuboid, faded, image

from medseg.types import Instances

BOX = (slice(2, 8), slice(0, 6), slice(4, 10))


def found_in_box() -> Instances:
    """On the box's grid (6, 6, 6): 3 lies free, 5 touches its left face, 9 the image's own."""
    grid = GRID.crop(BOX)
    items = [cuboid(3, "1:3,1:3,1:4"), cuboid(5, "1:2,1:2,0:2"), cuboid(9, "5:6,0:2,2:3")]
    return Instances(grid, [faded(items[0]), *items[1:]], CLASSES, (), {"model": "toy"})


def test_objects_keep_their_place_in_the_patient() -> None:
    part = found_in_box()
    whole = on_whole_grid(part, GRID, BOX)
    for mine, theirs in zip(whole, part, strict=True):
        np.testing.assert_array_equal(mine.mask, theirs.mask)
        corners = [[p.start for p in one.box] for one in (mine, theirs)]
        np.testing.assert_allclose(
            GRID.index_to_world(np.asarray(corners[0])),
            part.geometry.index_to_world(np.asarray(corners[1])),
        )
    assert [item.id for item in whole] == [3, 5, 9]
    assert whole.items[0].probability is not None


def test_a_region_is_warned_of_with_the_objects_that_it_cuts() -> None:
    warnings = dict(on_whole_grid(found_in_box(), GRID, BOX).warnings)
    assert set(warnings) == {"region-only", "cut-by-region"}
    assert warnings["cut-by-region"].endswith(": 5")  # 9 touches the end of the image itself
    assert "z 2-7, y 0-5, x 4-9" in warnings["region-only"]


def test_a_box_of_the_whole_image_cuts_nothing() -> None:
    box = tuple(slice(0, length) for length in GRID.shape)
    items = [cuboid(40, "7:8,9:10,11:12")]
    found = on_whole_grid(Instances(GRID, items, CLASSES), GRID, box)
    assert [code for code, _ in found.warnings] == ["region-only"]


def test_only_the_channel_that_gives_the_grid_is_cropped() -> None:
    given = cropped({"ct": image(), "pet": image()}, BOX)
    assert given["ct"].array.shape == (6, 6, 6)
    assert given["pet"].array.shape == GRID.shape


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0.0, "under 5 s"),
        (12.4, "10 s"),
        (57.4, "55 s"),
        (58.0, "1 min"),
        (150.0, "2 min"),
        (3570.0, "1 h"),
        (4800.0, "1 h 20 min"),
    ],
)
def test_times_are_told_no_finer_than_they_are_known(seconds: float, words: str) -> None:
    assert seconds_in_words(seconds) == words


@pytest.mark.parametrize(
    ("amount", "words"),
    [(0, "0 bytes"), (57_507_840, "58 MB"), (1_250_000_000, "1.2 GB"), (999_600, "1.0 MB")],
)
def test_memory_has_two_digits(amount: int, words: str) -> None:
    assert bytes_in_words(amount) == words
