"""Boxes of a label map: any integer type, any layout in memory, any values."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from medseg.types import Geometry, Instances, label_boxes

TYPES = ("u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8", ">i2", ">u4", ">i8")
LAYOUTS = ("plain", "fortran", "mirrored", "part", "read only", "off a word")


def boxes_of(labels: NDArray) -> dict[int, tuple[slice, slice, slice]]:
    """The same by looking for every value on its own."""
    found = {}
    for value in np.unique(labels):
        if value > 0:
            places = np.nonzero(labels == value)
            found[int(value)] = tuple(slice(int(n.min()), int(n.max()) + 1) for n in places)
    return found


def laid_out(labels: NDArray, layout: str) -> NDArray:
    """An equal array that lies otherwise in memory."""
    if layout == "fortran":
        return np.asfortranarray(labels)
    if layout == "mirrored":
        return labels[::-1, :, ::-1].copy()[::-1, :, ::-1]
    if layout == "part":
        return np.repeat(labels, 2, axis=2)[:, :, ::2]
    if layout == "read only":
        labels.setflags(write=False)
    if layout == "off a word":
        memory = np.zeros(labels.nbytes + 1, dtype=np.uint8)
        shifted = memory[1:].view(labels.dtype).reshape(labels.shape)
        shifted[...] = labels
        return shifted
    return labels


@given(
    seed=st.integers(0, 2**32 - 1),
    shape=st.tuples(st.integers(1, 5), st.integers(1, 5), st.integers(1, 35)),
    dtype=st.sampled_from(TYPES),
    layout=st.sampled_from(LAYOUTS),
    in_runs=st.booleans(),
)
@settings(max_examples=300)
def test_boxes_are_those_of_each_value_on_its_own(seed, shape, dtype, layout, in_runs) -> None:
    limits = np.iinfo(dtype)
    values = [0, 0, 0, 1, 2, 100, limits.max - 1, limits.max, limits.min]  # below 0: no object
    labels = np.random.default_rng(seed).choice(np.array(values, dtype), size=shape)
    if in_runs:
        labels = np.sort(labels, axis=2)
    labels = laid_out(labels.astype(dtype), layout)
    expected = boxes_of(labels)
    found = label_boxes(labels)
    assert found == expected
    assert list(found) == sorted(expected)
    assert all(type(end) is int for box in found.values() for p in box for end in (p.start, p.stop))


def test_all_types_and_layouts_share_one_compiled_version() -> None:
    from medseg.types.label_kernel import label_ends

    for dtype in TYPES:
        for layout in LAYOUTS:
            label_boxes(laid_out(np.ones((2, 3, 5), dtype), layout))
    assert len(label_ends.signatures) == 1


@pytest.mark.parametrize("dtype", ["u4", "i8"])
def test_each_of_100000_voxels_has_its_own_box(dtype: str) -> None:
    labels = np.random.default_rng(0).permutation(100_000).reshape(40, 50, 50).astype(dtype) + 1
    found = label_boxes(labels)
    assert list(found) == list(range(1, 100_001))
    for value in (1, 65_535, 65_536, 100_000):
        z, y, x = (int(n[0]) for n in np.nonzero(labels == value))
        assert found[value] == (slice(z, z + 1), slice(y, y + 1), slice(x, x + 1))
    corners = np.array([[part.start for part in box] for box in found.values()])
    assert np.array_equal(labels[tuple(corners.T)], np.arange(1, 100_001))


def test_labels_that_differ_only_in_their_high_bits_are_told_apart() -> None:
    labels = (np.arange(1, 4097, dtype=np.uint64) << np.uint64(51)).reshape(16, 16, 16)
    assert label_boxes(labels) == boxes_of(labels)


@pytest.mark.parametrize("shape", [(4, 5, 6), (0, 5, 6), (4, 0, 6), (4, 5, 0)])
def test_without_a_label_there_is_no_box(shape: tuple[int, int, int]) -> None:
    assert label_boxes(np.zeros(shape, np.uint8)) == {}


def test_the_label_map_is_left_as_it_was() -> None:
    labels = np.ones((3, 3, 8), np.uint16)
    label_boxes(labels)
    labels[0, 0, 0] = 2  # still writable
    assert Instances.from_labelmap(labels, Geometry.identity(labels.shape)).items[1].id == 2


def test_types_load_no_compiler_before_labels_are_read() -> None:
    code = "import json, sys, medseg.types; print(json.dumps('numba' in sys.modules))"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert json.loads(ran.stdout) is False
