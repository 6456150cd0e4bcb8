"""Windows of lesions: the statistics that benchmarks rely on, and what each window promises."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy.ndimage import binary_dilation, binary_erosion

from medseg.phantom import Phantom, nested_lesions, rasterise, touching_lesions
from medseg.types import Instance, Instances

SHAPE = (48, 64, 64)


@pytest.fixture(scope="module")
def windows() -> list[Phantom]:
    return [touching_lesions(seed) for seed in range(100)]


@pytest.fixture(scope="module")
def nested() -> list[Phantom]:
    return [nested_lesions(seed) for seed in range(30)]


def full(item: Instance) -> np.ndarray:
    mask = np.zeros(SHAPE, bool)
    mask[item.box] = item.mask
    return mask


def apart(one: Instance, other: Instance, gap: int = 0) -> bool:
    """Whether the boxes lie more than `gap` voxels from each other along some axis."""
    return any(
        a.start >= b.stop + gap or b.start >= a.stop + gap
        for a, b in zip(one.box, other.box, strict=True)
    )


def iou(one: np.ndarray, other: np.ndarray) -> float:
    return float((one & other).sum() / (one | other).sum())


def box_iou(one: Instance, other: Instance) -> float:
    shared = whole = other_whole = 1
    for a, b in zip(one.box, other.box, strict=True):
        shared *= max(min(a.stop, b.stop) - max(a.start, b.start), 0)
        whole *= a.stop - a.start
        other_whole *= b.stop - b.start
    return shared / (whole + other_whole - shared)


def touching_and_overlapping(truth: Instances) -> tuple[int, int]:
    """How many touch or overlap another of their class; overlap any other by IoU > 0.03."""
    masks = [full(item) for item in truth]
    touching, overlapping = set(), set()
    for i, j in itertools.combinations(range(len(masks)), 2):
        one, other = truth.items[i], truth.items[j]
        if apart(one, other, gap=1):
            continue
        if one.class_name == other.class_name and (binary_dilation(masks[i]) & masks[j]).any():
            touching |= {i, j}
        if iou(masks[i], masks[j]) > 0.03:
            overlapping |= {i, j}
    return len(touching), len(overlapping)


def test_statistics_over_100_windows_are_those_that_benchmarks_compare_with(windows) -> None:
    items = [item for window in windows for item in window.truth]
    counts = np.array([touching_and_overlapping(window.truth) for window in windows]).sum(axis=0)
    touching, overlapping = counts / len(items)
    voxels = [item.voxel_count for item in items]
    assert len(items) / 100 == pytest.approx(8.0, abs=0.3)
    assert touching == pytest.approx(0.59, abs=0.04)
    assert overlapping == pytest.approx(0.57, abs=0.06)
    assert np.median(voxels) == pytest.approx(943, rel=0.05)
    assert np.percentile(voxels, 5) == pytest.approx(343, rel=0.1)
    doubly = np.mean([window.truth.overlap_voxels() for window in windows])
    assert doubly == pytest.approx(741, rel=0.15)
    shells = np.mean([item.class_name == "shell" for item in items])
    assert shells == pytest.approx(0.5, abs=0.05)


def test_each_window_keeps_its_limits(windows) -> None:
    for window in windows:
        assert 3 <= len(window.truth) <= 12
        assert min(item.voxel_count for item in window.truth) >= 60
        for number, solid in enumerate(window.shapes):
            assert min(solid.semi_axes_mm) >= 4
            assert max(solid.semi_axes_mm) <= (12 if number < 4 else 8)
            assert solid.hollow == {"ellipsoid": 0.0, "shell": 0.55}[solid.class_name]


def test_a_window_that_cuts_most_leaves_60_voxels_of_each() -> None:
    thin = [touching_lesions(seed, shape=(8, 16, 16)) for seed in range(30)]
    smallest = min(item.voxel_count for window in thin for item in window.truth)
    assert 60 <= smallest < 80


def test_no_pair_of_filled_shapes_overlaps_by_more_than_030(windows) -> None:
    for window in windows:
        masks = []
        for solid in window.shapes:
            box, _, inside = rasterise(solid, window.truth.geometry)
            masks.append(np.zeros(SHAPE, bool))
            masks[-1][box] = inside
        for one, other in itertools.combinations(masks, 2):
            assert iou(one, other) <= 0.30


def test_truth_is_what_lies_in_the_solids_as_far_as_the_window_reaches(windows) -> None:
    whole = np.moveaxis(np.indices(SHAPE), 0, -1)[..., ::-1]  # x, y, z on a grid of 1 mm
    for window in windows[:5]:
        for item, solid in zip(window.truth, window.shapes, strict=True):
            assert item.class_name == solid.class_name
            level = solid.level(whole)
            assert np.array_equal(full(item), (level <= 1) & (level >= solid.hollow))


def test_some_objects_are_cut_and_the_rest_have_their_closed_form_volume(windows) -> None:
    cut = 0
    for window in windows:
        for item, solid in zip(window.truth, window.shapes, strict=True):
            ends = zip(item.box, SHAPE, strict=True)
            if any(part.start == 0 or part.stop == n for part, n in ends):
                cut += 1
            else:
                volume_ml = item.voxel_count * window.truth.geometry.voxel_ml
                assert volume_ml == pytest.approx(solid.volume_ml, rel=0.08)
    assert cut > 300


def test_the_image_is_z_scored_mr_of_one_millimetre(windows) -> None:
    volume = windows[0].volume
    assert (volume.modality, volume.unit, volume.array.dtype) == ("MR", "arbitrary", np.float32)
    assert volume.geometry.spacing_mm == (1.0, 1.0, 1.0)
    for window in windows[:10]:
        assert window.volume.array.mean() == pytest.approx(0, abs=1e-3)
        assert window.volume.array.std() == pytest.approx(1, abs=1e-3)


def test_lesions_stand_out_by_about_three_standard_deviations_of_the_noise(windows) -> None:
    ratios = []
    for window in windows[:30]:
        image = window.volume.array
        count = np.sum([full(item) for item in window.truth], axis=0)
        outside = image[binary_erosion(count == 0, iterations=3)]
        for item, solid in zip(window.truth, window.shapes, strict=True):
            core = binary_erosion(full(item) & (count == 1), iterations=2)
            if core.sum() > 50 and solid.hollow == 0:
                ratios.append((image[core].mean() - outside.mean()) / outside.std())
    assert len(ratios) > 30
    assert np.mean(ratios) == pytest.approx(3.0, abs=0.3)
    assert np.std(ratios) > 0.3  # contrast and bias field differ


def test_where_two_overlap_the_signal_is_their_sum_over_the_root_of_two(windows) -> None:
    single, double = [], []
    for window in windows[:40]:
        count = np.sum([full(item) for item in window.truth], axis=0)
        background = window.volume.array[count == 0].mean()
        single.append(window.volume.array[count == 1].mean() - background)
        if (count == 2).sum() > 300:
            double.append(window.volume.array[count == 2].mean() - background)
    assert np.mean(double) / np.mean(single) == pytest.approx(2**0.5, abs=0.25)


@pytest.mark.parametrize("make", [touching_lesions, nested_lesions])
def test_the_same_seed_gives_the_same_bytes_and_another_does_not(make) -> None:
    one, twin, other = make(3), make(3), make(4)
    assert one.volume.array.tobytes() == twin.volume.array.tobytes()
    assert one.volume.array.tobytes() != other.volume.array.tobytes()
    assert one.shapes == twin.shapes
    for item, same in zip(one.truth, twin.truth, strict=True):
        assert (item.id, item.class_name, item.box) == (same.id, same.class_name, same.box)
        assert item.mask.tobytes() == same.mask.tobytes()


@pytest.mark.parametrize("shape", [(32, 48, 40), (64, 64, 96)])
def test_a_window_of_another_shape_is_filled_too(shape) -> None:
    window = touching_lesions(1, shape=shape)
    assert window.volume.array.shape == shape
    assert len(window.truth) >= 3


def test_disjoint_objects_come_back_from_a_label_map(windows) -> None:
    for window in windows[:20]:
        kept: list[Instance] = []
        for item in window.truth:
            if not any((full(item) & full(other)).any() for other in kept):
                kept.append(item)
        disjoint = window.truth.filter(lambda item, kept=kept: item in kept)
        again = Instances.from_labelmap(disjoint.to_labelmap(), disjoint.geometry)
        assert [item.id for item in again] == [item.id for item in kept]
        for item, same in zip(kept, again, strict=True):
            assert item.box == same.box
            assert np.array_equal(item.mask, same.mask)


def test_harder_windows_hold_crossed_pairs_of_one_class_that_share_a_box(nested) -> None:
    for window in nested:
        pairs = [
            (one, other)
            for one, other in itertools.combinations(window.truth, 2)
            if one.class_name == other.class_name and box_iou(one, other) > 0.5
        ]
        assert pairs
        assert all(iou(full(one), full(other)) <= 0.31 for one, other in pairs)


def test_harder_windows_hold_objects_wholly_inside_another(nested) -> None:
    for window in nested:
        inside = 0
        for host, guest in itertools.permutations(range(len(window.truth)), 2):
            places = np.argwhere(full(window.truth.items[guest]))[:, ::-1]
            inside += bool((window.shapes[host].level(places) < 1).all())
        assert inside >= 1


def test_the_objects_in_a_shell_lie_in_its_hole(nested) -> None:
    in_shells = 0
    for window in nested:
        shells = [n for n, solid in enumerate(window.shapes) if solid.hollow]
        for host, guest in itertools.product(shells, range(len(window.truth))):
            places = np.argwhere(full(window.truth.items[guest]))[:, ::-1]
            if host != guest and (window.shapes[host].level(places) < 0.55).all():
                in_shells += 1
    assert in_shells >= 10


def test_a_window_too_small_for_a_pair_is_refused() -> None:
    with pytest.raises(ValueError, match=r"a window of \(16, 16, 16\) voxels is too small"):
        nested_lesions(0, shape=(16, 16, 16))
