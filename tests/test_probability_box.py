"""An instance whose probability reaches beyond its mask: what is refused, and what stays right."""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import medseg
from medseg.evaluation.unions import without_overlap
from medseg.types import Box, Geometry, Instance, InstanceClass, Instances, box_inside

GRID = Geometry.identity((6, 7, 8))
LESION = (InstanceClass("lesion", "lesion", 1),)


def box(text: str) -> Box:
    """A box as written in NumPy, `0:2,1:3,2:4`."""
    z, y, x = (slice(*(int(end) for end in part.split(":"))) for part in text.split(","))
    return z, y, x


def fringed(number: int = 1, at: str = "2:4,3:5,2:5", wider: str = "1:5,2:6,0:6") -> Instance:
    lengths, wide = ([part.stop - part.start for part in box(text)] for text in (at, wider))
    probability = np.random.default_rng(number).random(wide).astype(np.float16)
    mask = np.ones(lengths, bool)
    return Instance(number, "lesion", "lesion", 0.5, box(at), mask, probability, box(wider))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"probability_box": box("1:5,2:6,3:9")}, "its probability's box does not hold its box"),
        ({"probability_box": box("3:5,2:6,0:6")}, "its probability's box does not hold its box"),
        ({"probability_box": box("1:5,2:6,0:5")}, r"shape \(4, 4, 5\) is wanted; got \(4, 4, 6\)"),
        ({"probability_box": (slice(1, 5), slice(2, 6), slice(0, 6, 2))}, "does not hold"),
        ({"probability_box": None}, "probability and mask differ in shape"),
        ({"box": box("0:2,3:5,2:5")}, "its probability's box does not hold its box"),
        ({"probability": np.ones((2, 2, 3), np.float16)}, r"\(4, 4, 6\) is wanted; got \(2, 2, 3"),
    ],
)
def test_a_wider_box_that_makes_no_sense_is_refused(changes: dict, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        replace(fringed(), **changes)


@pytest.mark.parametrize("wider", ["1:7,2:6,0:6", "-1:5,2:6,0:6"])
def test_a_wider_box_stays_inside_the_grid(wider: str) -> None:
    with pytest.raises(ValueError, match="leaves the grid"):
        Instances(GRID, [fringed(wider=wider)], LESION)


def test_the_core_is_where_the_mask_lies_in_the_probability() -> None:
    item = fringed()
    assert item.core == box("1:3,1:3,2:5") == box_inside(item.box, box("1:5,2:6,0:6"))
    assert item.probability is not None and item.probability[item.core].shape == item.mask.shape
    bare = replace(item, probability=None)
    assert bare.core == box("0:2,0:2,0:3")


def test_without_its_probability_an_instance_has_no_box_of_it() -> None:
    assert replace(fringed(), probability=None).probability_box is None
    moved = replace(fringed(), box=box("0:2,0:2,0:3"), probability=None)
    assert moved.probability_box is None


@pytest.mark.parametrize("twin", [copy.copy, copy.deepcopy])  # as pickle copies, for a process
def test_a_copy_keeps_the_wider_box(twin) -> None:
    item = fringed()
    other = twin(item)
    assert (other.box, other.probability_box) == (item.box, item.probability_box)
    assert np.array_equal(other.probability, item.probability)
    assert repr(other) == repr(item)


def test_what_masks_say_does_not_change_with_a_fringe(tmp_path: Path) -> None:
    items = [fringed(1), fringed(7, "4:6,3:5,2:5", "3:6,1:7,1:7")]
    wide = Instances(GRID, items, LESION)
    bare = Instances(GRID, [replace(item, probability=None) for item in items], LESION)
    assert np.array_equal(wide.to_labelmap(), bare.to_labelmap())
    assert wide.overlap_voxels() == 0
    columns = ["instance_id", "volume_ml", "nearest_lesion_mm", "touches_border"]
    tables = [medseg.measure(one, groups=("size", "relations"))[columns] for one in (wide, bare)]
    assert tables[0].equals(tables[1])
    medseg.write(wide, tmp_path / "found.seg.nrrd")
    back = medseg.read_instances(tmp_path / "found.seg.nrrd")
    assert [(one.id, one.box, one.score) for one in back] == [
        (one.id, one.box, one.score) for one in wide
    ]
    assert all(one.probability is None and one.probability_box is None for one in back)


def test_instances_made_one_lose_probability_and_its_box() -> None:
    both = Instances(GRID, [fringed(1), fringed(2, "3:5,3:5,2:5", "2:6,2:6,0:6")], LESION)
    (one,) = without_overlap(both)
    assert one.box == box("2:5,3:5,2:5") and one.probability_box is None
