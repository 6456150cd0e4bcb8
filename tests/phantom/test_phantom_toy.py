"""The toy problem: nnDetection's own cases at its size, and what ours promises at half of it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from medseg.phantom.toy import toy_cubes
from medseg.types import Instance

THEIRS = {"shape": (256, 256, 256), "sides": (16, 31), "wall": 4}


@pytest.fixture(scope="module")
def published(shared_data: Path, skip_unless) -> list[dict]:
    path = shared_data.parent / "reference" / "nndet_toy" / "first10.json"
    skip_unless(path.is_file(), "nnDetection's first cases are not in the shared folder")
    return json.loads(path.read_text())


def only(seed: int, **settings) -> Instance:
    (item,) = toy_cubes(seed, **settings).truth.items
    return item


def test_at_its_size_the_cases_are_those_of_nndetection(published) -> None:
    for case in published[:5]:
        item = only(case["case"], **THEIRS)
        assert [part.start for part in item.box] == case["top_left_zyx"]
        assert {part.stop - part.start for part in item.box} == {case["size"]}
        assert item.voxel_count == case["voxels"]
        assert item.class_name == ["square", "square_hole"][case["cls"]]


def test_ours_is_half_as_large_in_a_smaller_window() -> None:
    items = [only(seed) for seed in range(60)]
    sides = {part.stop - part.start for item in items for part in item.box}
    assert sides == set(range(8, 16))
    assert 20 <= sum(item.class_name == "square" for item in items) <= 40
    assert all(part.start >= 0 and part.stop <= 64 for item in items for part in item.box)


def test_the_tube_runs_along_z_and_leaves_its_walls() -> None:
    holed = next(one for one in map(only, range(20)) if one.class_name == "square_hole")
    side = holed.mask.shape[0]
    assert holed.voxel_count == side**3 - side * (side - 4) ** 2
    assert (holed.mask == holed.mask[:1]).all()
    assert holed.mask[:, :2].all() and not holed.mask[:, 2:-2, 2:-2].any()


def test_a_cube_adds_its_contrast_to_uniform_noise_below_one() -> None:
    made = toy_cubes(0)
    (item,) = made.truth.items
    inside = np.zeros(made.volume.array.shape, bool)
    inside[item.box] = item.mask
    image = made.volume.array
    assert image.min() >= 0 and image.max() == 1
    assert image[~inside].mean() == pytest.approx(0.5, abs=0.01)
    # Noise u in 0..1 gives min(u + 0.4, 1), whose mean is 0.9 - 0.4^2 / 2.
    assert image[inside].mean() == pytest.approx(0.82, abs=0.02)
    assert image[inside].min() >= 0.4


def test_the_same_seed_gives_the_same_bytes_and_another_does_not() -> None:
    one, twin, other = toy_cubes(3), toy_cubes(3), toy_cubes(4)
    assert one.volume.array.tobytes() == twin.volume.array.tobytes()
    assert one.volume.array.tobytes() != other.volume.array.tobytes()


@pytest.mark.parametrize("settings", [{"shape": (15, 64, 64)}, {"wall": 4}, {"sides": (9, 8)}])
def test_what_does_not_fit_is_refused(settings) -> None:
    with pytest.raises(ValueError, match="do not fit"):
        toy_cubes(0, **settings)
