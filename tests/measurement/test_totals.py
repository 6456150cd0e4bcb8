"""Count and total volume of each class, against a set of all its voxels."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from relation_cases import random_affine, random_study, voxels

from medseg.measurement import summarise
from medseg.types import Geometry


@given(seed=st.integers(0, 2**32 - 1))
@settings(max_examples=1000)
def test_totals_of_classes_whose_objects_overlap_equal_a_count_of_voxels(seed: int) -> None:
    rng = np.random.default_rng(seed)
    shape = (4, 5, 6)
    geometry = Geometry(shape, random_affine(rng, 0.5))
    found = random_study(rng, geometry, int(rng.integers(0, 7)), ("liver", "node", "tumour"))
    totals_of = summarise(found)
    assert list(totals_of) == ["liver", "lung", "node", "tumour"]
    for name, total in totals_of.items():
        own = [item for item in found if item.class_name == name]
        covered = {tuple(index) for item in own for index in voxels(item).tolist()}
        voxel_ml = abs(np.linalg.det(geometry.affine[:3, :3])) / 1000
        assert total["count"] == len(own)
        assert total["volume_ml"] == pytest.approx(len(covered) * voxel_ml)
