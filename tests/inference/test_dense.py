"""Blending in slabs: the same maps as a whole-volume sum, whatever windows and slabs there are."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from modelling import LESIONS, card

from medseg.heads.center_offset.targets import dense_target
from medseg.heads.contract import MapSpec
from medseg.inference.dense import blended_slabs
from medseg.inference.windows import blending_weights, plan_windows
from medseg.models import decoder_of
from medseg.phantom import touching_lesions
from medseg.training.datasets import LoadedCase
from medseg.training.grid_cases import on_model_grid
from medseg.training.windows import whole_window
from medseg.transforms.grids import GridMap

SAME = GridMap((1.0, 1.0, 1.0), (0.0, 0.0, 0.0))
SPECS = (MapSpec("fine", 2, 1, "none"), MapSpec("half", 1, 2, "none"))

lengths = st.integers(3, 40)


@given(
    shape=st.tuples(lengths, lengths, lengths),
    window=st.tuples(*[st.sampled_from([4, 8, 16])] * 3),
    overlap=st.sampled_from([0.0, 0.25, 0.5, 0.75]),
)
@settings(max_examples=50)
def test_windows_cover_the_grid_inside_the_padded_one(
    shape: tuple[int, int, int], window: tuple[int, int, int], overlap: float
) -> None:
    plan = plan_windows(shape, window, overlap=overlap, multiple=4)
    for axis in range(3):
        starts, length = plan.starts[axis], plan.window[axis]
        covered = np.zeros(plan.padded[axis], dtype=int)
        for start in starts:
            assert start % 2 == 0
            covered[start : start + length] += 1
        assert covered.min() >= 1 and plan.padded[axis] >= shape[axis]
        assert starts[-1] + length == plan.padded[axis] and length % 4 == 0


def test_a_small_grid_gets_a_window_of_its_own_size() -> None:
    plan = plan_windows((35, 50, 36), (48, 64, 48), overlap=0.5, multiple=8)
    assert plan.window == (40, 56, 40) and plan.count == 1 and plan.padded == (40, 56, 40)


def noisy_windows(seed: int, shape: tuple[int, int, int]):
    """A window's maps depend on where it starts, as a network's do near its border."""

    def run(start: tuple[int, int, int]) -> dict[str, np.ndarray]:
        rng = np.random.default_rng([seed, *start])
        return {
            spec.name: rng.random(
                (spec.channels, *[length // spec.stride for length in shape]), dtype=np.float32
            )
            for spec in SPECS
        }

    return run


@pytest.mark.parametrize("shape", [(16, 16, 16), (38, 20, 17), (61, 9, 30)])
def test_slabs_hold_the_weighted_mean_of_all_windows(shape: tuple[int, int, int]) -> None:
    plan = plan_windows(shape, (16, 16, 16), overlap=0.5, multiple=4)
    run = noisy_windows(0, plan.window)
    wanted = {}
    for spec in SPECS:
        cells = [length // spec.stride for length in plan.padded]
        total, weight = np.zeros((spec.channels, *cells)), np.zeros(cells)
        each = blending_weights(plan.window, spec.stride)
        for z in plan.starts[0]:
            for y in plan.starts[1]:
                for x in plan.starts[2]:
                    at = tuple(
                        slice(s // spec.stride, s // spec.stride + n)
                        for s, n in zip((z, y, x), each.shape, strict=True)
                    )
                    total[:, *at] += run((z, y, x))[spec.name] * each
                    weight[at] += each
        wanted[spec.name] = total / weight
    seen = {spec.name: 0 for spec in SPECS}
    settled = 0
    for slab in blended_slabs(run, SPECS, plan, shape, SAME):
        assert slab.start == settled
        settled = slab.stop
        for spec in SPECS:
            values, first = slab.maps[spec.name], slab.starts[spec.name]
            part = wanted[spec.name][:, first : first + values.shape[1]]
            np.testing.assert_allclose(values, part, rtol=1e-4, atol=1e-5)
            seen[spec.name] = first + values.shape[1]
            coordinates = slab.grids[spec.name].coordinates(0, slab.start, slab.stop)
            if coordinates.size and slab.stop < shape[0]:
                assert coordinates.min() >= -0.5 and coordinates.max() <= values.shape[1] - 1
    assert settled == shape[0]
    assert seen == {spec.name: plan.padded[0] // spec.stride for spec in SPECS}


def test_no_more_slices_are_held_than_a_window_and_what_slabs_look_back_at() -> None:
    plan = plan_windows((200, 16, 16), (16, 16, 16), overlap=0.5, multiple=4)
    run = noisy_windows(1, plan.window)
    deepest = max(
        slab.maps["fine"].shape[1] for slab in blended_slabs(run, SPECS, plan, (200, 16, 16), SAME)
    )
    assert deepest <= 16 + 2


@pytest.mark.parametrize("scale", [1.0, 0.4, 2.5])
def test_thick_and_thin_image_slices_are_each_settled_once(scale: float) -> None:
    plan = plan_windows((64, 16, 16), (16, 16, 16), overlap=0.5, multiple=4)
    depth = int(63 / scale) + 1
    to_model = GridMap((scale, 1.0, 1.0), (0.0, 0.0, 0.0))
    run = noisy_windows(2, plan.window)
    slabs = list(blended_slabs(run, SPECS, plan, (depth, 16, 16), to_model))
    starts = [slab.start for slab in slabs]
    stops = [slab.stop for slab in slabs]
    assert starts[0] == 0 and stops[-1] == depth and starts[1:] == stops[:-1]


@pytest.mark.parametrize("window", [(48, 64, 64), (16, 32, 24), (12, 64, 64)])
def test_lesions_across_slabs_are_the_same_as_in_one_piece(window: tuple[int, int, int]) -> None:
    phantom = touching_lesions(5, shape=(48, 64, 64))
    small = card(LESIONS)
    loaded = LoadedCase("one", {"mr": phantom.volume}, phantom.truth)
    target = whole_window(on_model_grid(loaded, small)).target
    drawn = dense_target([target], small.classes, (48, 64, 64), (1.0, 1.0, 1.0))
    whole = {name: getattr(drawn, name)[0].numpy() for name in ("lesion", "centre", "offset_mm")}
    decoder = decoder_of(small)

    def cut(plan):
        def run(start: tuple[int, int, int]) -> dict[str, np.ndarray]:
            return {
                spec.name: whole[spec.name][
                    :,
                    *[
                        slice(s // spec.stride, (s + n) // spec.stride)
                        for s, n in zip(start, plan.window, strict=True)
                    ],
                ]
                for spec in decoder.maps
            }

        return run

    def items(shape: tuple[int, int, int]):
        plan = plan_windows((48, 64, 64), shape, overlap=0.5, multiple=4)
        slabs = blended_slabs(cut(plan), decoder.maps, plan, (48, 64, 64), SAME)
        return decoder.group(slabs, (1.0, 1.0, 1.0))

    one, several = items((48, 64, 64)), items(window)
    assert [item.box for item in one] == [item.box for item in several]
    for left, right in zip(one, several, strict=True):
        assert left.class_name == right.class_name and left.score == pytest.approx(right.score)
        np.testing.assert_array_equal(left.mask, right.mask)
