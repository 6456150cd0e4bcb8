"""Statistics of intensities: the IBSI phantom, and Python's statistics on every voxel."""

from __future__ import annotations

import statistics
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from relation_cases import instance, random_affine, random_study, study

from medseg.errors import InputRefused
from medseg.io import read
from medseg.measurement.intensity import Intensities, intensities
from medseg.types import Geometry, Instances, Volume

GRID = Geometry.from_spacing((3, 4, 5), (5.0, 0.7, 0.7))


def row(found: Intensities, place: int) -> dict[str, float]:
    return {one.name: getattr(found, one.name)[place] for one in fields(found)}


def test_the_ibsi_phantom_has_its_consensus_values(shared_data: Path, skip_unless) -> None:
    folder = shared_data.parent / "reference" / "ibsi1_digital"
    skip_unless(folder.is_dir(), "the IBSI phantom is not in the shared folder")
    image, mask = (read(folder / f"{name}.nii.gz") for name in ("phantom", "mask"))
    objects = Instances.from_labelmap(mask.array, mask.geometry)
    found = row(intensities(objects, image), 0)
    assert found["mean"] == pytest.approx(2.15, abs=0.005)
    assert found["std"] ** 2 == pytest.approx(3.05, abs=0.005)
    assert (found["min"], found["max"], found["median"]) == (1, 6, 1)
    assert (found["p10"], found["p90"], found["p75"] - found["p25"]) == (1, 4, 3)


@given(seed=st.integers(0, 2**32 - 1), kind=st.sampled_from(["int16", "uint8", "float32"]))
@settings(max_examples=1000)
def test_statistics_of_overlapping_instances_equal_those_of_a_list_of_values(
    seed: int, kind: str
) -> None:
    rng = np.random.default_rng(seed)
    geometry = Geometry((4, 5, 6), random_affine(rng, 0.5))
    objects = random_study(rng, geometry, 3, ("liver", "tumour"))
    array = rng.normal(60, 20, size=geometry.shape).astype(kind)
    found = intensities(objects, Volume(array, geometry))
    for place, item in enumerate(objects):
        values = sorted(float(value) for value in array[item.box][item.mask])
        measured = row(found, place)
        assert measured["mean"] == pytest.approx(statistics.fmean(values))
        assert measured["std"] == pytest.approx(statistics.pstdev(values), abs=1e-6)
        assert (measured["min"], measured["max"]) == (values[0], values[-1])
        assert measured["median"] == pytest.approx(statistics.median(values))
        assert measured["left_out"] == 0
        if len(values) > 1:
            tenths = statistics.quantiles(values, n=20, method="inclusive")
            wanted = [tenths[n - 1] for n in (2, 5, 15, 18)]
            parts = [measured[name] for name in ("p10", "p25", "p75", "p90")]
            assert parts == pytest.approx(wanted)


def test_flipped_axes_change_nothing_not_even_by_rounding() -> None:
    rng = np.random.default_rng(4)
    array = rng.normal(size=GRID.shape)
    mask = rng.random(GRID.shape) < 0.7
    turned, flips = (2, 0, 1), (True, False, True)
    image = Volume(array, GRID)
    other = image.reoriented(turned, flips)
    there = np.flip(np.transpose(mask, turned), axis=(0, 2))
    found = intensities(study(GRID, instance(mask, 1)), image)
    again = intensities(study(other.geometry, instance(there, 1)), other)
    assert row(found, 0) == row(again, 0)


def test_voxels_without_a_number_are_left_out_of_everything_and_counted() -> None:
    array = np.arange(60, dtype=np.float32).reshape(GRID.shape)
    array[0, 0, 1], array[0, 0, 2], array[2] = np.nan, -np.inf, np.nan
    first, nothing = np.zeros((2, *GRID.shape), dtype=bool)
    first[0, 0], nothing[2, 1:3] = True, True
    found = intensities(study(GRID, instance(first, 1), instance(nothing, 2)), Volume(array, GRID))
    values = row(found, 0)  # of 0, 3 and 4
    assert values["left_out"] == 2
    assert (values["min"], values["median"], values["max"]) == (0, 3, 4)
    assert values["p10"] == pytest.approx(0.6)
    assert values["p90"] == pytest.approx(3.8)
    assert values["mean"] == pytest.approx(7 / 3)
    assert found.left_out.tolist() == [2, 10]
    nothing_found = {name: value for name, value in row(found, 1).items() if name != "left_out"}
    assert np.isnan(list(nothing_found.values())).all()


def test_one_voxel_is_all_of_its_statistics_but_the_spread() -> None:
    mask = np.zeros(GRID.shape, dtype=bool)
    mask[1, 2, 3] = True
    array = np.full(GRID.shape, -1024, dtype=np.int16)
    values = row(intensities(study(GRID, instance(mask, 1)), Volume(array, GRID)), 0)
    assert (values.pop("std"), values.pop("left_out")) == (0, 0)
    assert set(values.values()) == {-1024}


def test_without_an_instance_every_statistic_is_an_empty_array() -> None:
    found = intensities(study(GRID), Volume(np.zeros(GRID.shape), GRID))
    assert {getattr(found, one.name).shape for one in fields(found)} == {(0,)}


def test_an_image_on_another_grid_is_refused() -> None:
    other = Geometry.from_spacing(GRID.shape, (5.0, 0.7, 0.8))
    with pytest.raises(InputRefused, match=r"^image: .* that of the objects: spacing"):
        intensities(study(GRID), Volume(np.zeros(GRID.shape), other))
