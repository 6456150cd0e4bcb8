"""Grey images of whole numbers are no label maps; label maps of all sorts are, and unwarned."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import ndimage

from medseg.errors import InputRefused
from medseg.io import read, read_instances, write
from medseg.io.grey import check_values
from medseg.io.grey_kernel import face_counts
from medseg.types import Geometry, Volume, as_labels, label_boxes
from medseg.types.instances import label_words

SHAPE = (40, 44, 48)
PLACES = np.indices(SHAPE)
BODY = np.sqrt(((PLACES - np.array([20, 22, 24]).reshape(3, 1, 1, 1)) ** 2).sum(axis=0)) / 18
"""Distance from the middle, 1 where the body ends."""
Labels = NDArray[np.integer[Any]]


def said(labels: Labels, values: Any = "instance") -> str:
    """What is said of a label map: a code, or nothing."""
    whole = as_labels(labels)
    try:
        warnings = check_values(whole, label_boxes(whole), values, "a.nii")
    except InputRefused as refused:
        return refused.code
    return " ".join(one.code for one in warnings)


def in_body(labels: Labels) -> Labels:
    """The objects as 2, 3, ... inside of an organ, which is 1."""
    return np.where((BODY < 0.8) & (labels > 0), labels + 1, (BODY < 1).astype(int))


def lesions(rng: np.random.Generator, count: int = 12) -> NDArray[np.float32]:
    """A mask of balls of 2 to 4 voxels radius."""
    mask = np.zeros(SHAPE, dtype=np.float32)
    for middle in rng.integers(8, 36, (count, 3)):
        apart = ((PLACES - middle.reshape(3, 1, 1, 1)) ** 2).sum(axis=0)
        mask[apart <= rng.integers(4, 17)] = 1
    return mask


def pet(rng: np.random.Generator) -> NDArray[np.float32]:
    """SUV of a body of 1 to 2 with hot lesions and noise, smooth as a scanner makes it."""
    body = (1.5 + rng.normal(0, 0.5, SHAPE)) * (BODY < 1) + 12 * lesions(rng, 6) * (BODY < 0.8)
    return ndimage.gaussian_filter(body, 1.5)


@pytest.mark.parametrize("sigma", [0.7, 1.0, 2.0])
@pytest.mark.parametrize(("scale", "least"), [(255, 0.0), (100, 0.0), (255, 0.1), (255, 0.5)])
def test_a_probability_map_of_whole_numbers_is_refused(sigma, scale, least) -> None:
    share = ndimage.gaussian_filter(lesions(np.random.default_rng(1)), sigma)
    share = share / share.max()
    assert said(np.rint(scale * share * (share >= least)).astype(np.int16)) == "not-a-label-map"


@pytest.mark.parametrize("width", [0.3, 0.7, 1.5])
def test_a_saturated_percent_map_of_one_organ_is_refused(width) -> None:
    share = 1 / (1 + np.exp((18 * BODY - 15) / width))
    assert said(np.rint(100 * share).astype(np.uint8)) == "not-a-label-map"


@pytest.mark.parametrize("width", [0.3, 0.7, 1.5, 3.0])
def test_a_probability_map_of_tenths_is_warned_of(width) -> None:
    share = 1 / (1 + np.exp((18 * BODY - 10) / width))
    assert said(np.rint(10 * share).astype(np.uint8)) == "like-grey-values"


@pytest.mark.parametrize("seed", range(5))
def test_pet_of_whole_suv_is_warned_of(seed) -> None:
    suv = np.maximum(np.rint(pet(np.random.default_rng(seed))), 0).astype(np.int16)
    assert said(suv) == "like-grey-values"


def test_real_pet_of_whole_suv_is_warned_of(shared_data: Path) -> None:
    paths = sorted((shared_data / "sarcoma_pet" / "images").glob("*.nii.gz"))
    found = {said(np.maximum(np.rint(read(path).array), 0).astype(np.int16)) for path in paths}
    assert len(paths) == 17 and found == {"like-grey-values"}


def test_the_warning_says_why_and_goes_with_the_instances(tmp_path: Path) -> None:
    share = 1 / (1 + np.exp((18 * BODY - 10) / 1.5))
    volume = Volume(np.rint(10 * share).astype(np.uint8), Geometry.identity(SHAPE))
    write(volume, tmp_path / "a.nrrd")
    (warning,) = read_instances(tmp_path / "a.nrrd").warnings
    assert warning.code == "like-grey-values"
    assert warning.detail.startswith("its 10 values lie in layers, as those of a rounded image do")


def packed(size: tuple[int, int, int]) -> Labels:
    """Cuboids that fill the grid, numbered row by row."""
    counts = [-(-length // edge) for length, edge in zip(SHAPE, size, strict=True)]
    ids = np.arange(1, np.prod(counts) + 1).reshape(counts)
    return np.kron(ids, np.ones(size, dtype=int))[: SHAPE[0], : SHAPE[1], : SHAPE[2]]


@pytest.mark.parametrize("size", [(2, 2, 2), (3, 3, 3), (1, 1, 48)])
@pytest.mark.parametrize("shuffled", [False, True])
def test_objects_that_touch_each_other_everywhere_are_labels(size, shuffled) -> None:
    labels = packed(size)
    if shuffled:
        rng = np.random.default_rng(0)
        labels = np.append(0, rng.permutation(labels.max()) + 1)[labels]
    ball = np.where(BODY < 1, labels, 0)
    if size != (1, 1, 48):  # boxes of rods cover little more than the rods
        assert said(ball) == ""
    assert said(labels) == said(in_body(labels)) == said(37 * labels % 2**22) == ""


@pytest.mark.parametrize("size", [(1, 1, 1), (1, 1, 2), (1, 2, 2)])
def test_objects_of_few_voxels_that_touch_each_other_are_labels(size) -> None:
    assert said(packed(size)[10:20, 10:20, 11:21]) == ""


@pytest.mark.parametrize("length", [1, 2, 4, 8])
def test_a_chain_of_objects_numbered_in_order_is_labels(length) -> None:
    spine = np.zeros(SHAPE, dtype=int)
    spine[:, 15:30, 15:30] = 1 + np.arange(40).reshape(-1, 1, 1) // length
    assert said(spine) == said(in_body(spine)) == ""
    voxels = np.zeros((1, 1, 60), dtype=int)
    voxels[..., 5:55] = np.arange(1, 51)
    assert said(voxels) == ""


@pytest.mark.parametrize("connected", [1, 2, 3])
@pytest.mark.parametrize("density", [0.02, 0.1, 0.3])
def test_thousands_of_tiny_lesions_are_labels_in_an_organ_too(connected, density) -> None:
    specks = np.random.default_rng(2).random(SHAPE) < density
    labels, _ = ndimage.label(specks, ndimage.generate_binary_structure(3, connected))
    assert said(labels) == said(in_body(labels)) == ""


@pytest.mark.parametrize("count", [30, 3000])
def test_an_atlas_of_touching_regions_is_labels(count) -> None:
    rng = np.random.default_rng(3)
    seeds = np.zeros(SHAPE, dtype=int)
    seeds.reshape(-1)[rng.choice(seeds.size, count, replace=False)] = np.arange(1, count + 1)
    nearest = ndimage.distance_transform_edt(
        seeds == 0, return_distances=False, return_indices=True
    )
    atlas = seeds[tuple(nearest)]
    assert said(atlas) == said(atlas * (BODY < 1)) == said(in_body(atlas), "class") == ""


def test_an_organ_with_lesions_is_labels_whatever_their_numbers() -> None:
    labels, count = ndimage.label(lesions(np.random.default_rng(4)))
    assert count > 5
    whole = in_body(labels)
    largest = np.where(BODY < 0.5, 2, np.where(whole > 2, whole, (BODY < 1).astype(int)))
    assert said(whole) == said(largest) == said(37 * whole) == ""


def test_classes_around_each_other_are_labels() -> None:
    tumour = np.select([BODY < 0.5, BODY < 0.7, BODY < 1], [1, 4, 2])  # as BraTS numbers them
    assert said(tumour) == said(tumour, "class") == ""


def test_five_layers_are_labels_of_classes_and_warned_of_as_objects() -> None:
    layers = np.clip(np.ceil(5 * (1 - BODY)), 0, 5).astype(np.uint8)
    assert said(layers, "class") == said(np.where(layers > 0, 6 - layers, 0)) == ""
    assert said(layers) == "like-grey-values"


def test_eight_layers_of_classes_are_read_with_a_warning() -> None:
    layers = np.clip(np.ceil(8 * (1 - BODY)), 0, 8).astype(np.uint8)
    assert said(layers, "class") == "like-grey-values"


@pytest.mark.parametrize("classes", [6, 24])
def test_specks_of_classes_as_a_poor_network_gives_them_are_labels(classes) -> None:
    rng = np.random.default_rng(5)
    rough = ndimage.gaussian_filter(rng.normal(size=(classes, *SHAPE)), (0, 5, 5, 5))
    noise = 0.5 * rough.std() * rng.normal(size=rough.shape)
    assert said((rough + noise).argmax(axis=0), "class") == ""


def test_no_label_map_of_the_shared_data_is_warned_of(shared_data: Path) -> None:
    paths = [
        path
        for root in (shared_data, shared_data.parent / "reference")
        for path in sorted(root.rglob("*"))
        if path.name.endswith((".nii.gz", ".nrrd")) and _is_label_map(path)
    ]
    for path in paths[::20]:  # all of them would take a minute
        labels = as_labels(read(path).array)
        assert (said(labels), said(labels, "class")) == ("", ""), path
    assert len(paths) > 1000


def _is_label_map(path: Path) -> bool:
    return path.parent.name in ("labels", "extra_labels") or "_label" in path.name


@given(seed=st.integers(0, 2**32 - 1), dtype=st.sampled_from(["u1", "i2", ">u4", "i8"]))
@settings(max_examples=40, deadline=None)
def test_faces_are_those_that_numpy_counts(seed, dtype) -> None:
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 6, rng.integers(1, 7, 3)).repeat(rng.integers(1, 9), axis=2)
    labels = labels.astype(dtype)
    if seed % 2:
        labels = np.asfortranarray(labels)
    words, shape, _ = label_words(labels)
    seen = rng.integers(0, 2, 6)
    found = face_counts(words, 8 * labels.itemsize, shape, np.arange(6), seen)
    expected = np.zeros((6, 6))
    expected[:, 0] = np.bincount(labels.ravel().astype(int), minlength=6)
    expected[:, 1] = 3 * expected[:, 0]
    for axis in range(3):
        one, other = (np.delete(labels, end, axis=axis).ravel().astype(int) for end in (0, -1))
        for a, b in zip(np.append(one, other), np.append(other, one), strict=True):
            expected[a, 1] -= (a == b) / 2
            expected[a, 2:] += (
                [0] * 4
                if a in (b, 0)
                else [0, 0, 1, 0]
                if b == 0
                else [seen[b], seen[b] * (abs(a - b) == 1), 0, b == 1]
            )
    assert np.array_equal(found[:, :2], expected[:, :2])
    assert np.array_equal(found[1:], expected[1:])
