"""Volumes of organs are set right on the validation cases, and by no more than that."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from modelling import LESIONS, BrightIsOrgan, card
from torch import Tensor

from medseg.errors import InputRefused
from medseg.heads.center_offset.network import CenterOffset, CenterOffsetNetwork
from medseg.models import Model, build, decoder_of
from medseg.training import balance
from medseg.training.balance import balance_volumes, least
from medseg.training.datasets import LoadedCase
from medseg.types import Geometry, InstanceClass, Instances, Volume


class Shiftable(BrightIsOrgan):
    """The organ is where the image is above half its range, until its logit is shifted."""

    shift = 0.0

    def coarse(self, image: Tensor) -> CenterOffset:
        half = (image.amin() + image.amax()) / 2
        organ = torch.cat([torch.zeros_like(image), 2.0 * (image - half) + self.shift], dim=1)
        return CenterOffset(organ, None, None, None, organ, image)

    def shift_organs(self, amounts: Any) -> None:
        self.shift += amounts[0]


def cone_case(threshold: float) -> LoadedCase:
    """Brightness falls with the distance from the middle; the organ is where it is above."""
    grid = np.indices((16, 16, 16)) - 7.5
    bright = 12 - np.linalg.norm(grid, axis=0)
    geometry = Geometry.identity(bright.shape)
    organ = InstanceClass("bright", "organ", 1)
    truth = Instances.from_labelmap(
        (bright > threshold).astype(np.uint8), geometry, (organ,), values="class"
    )
    volume = Volume(bright.astype(np.float32), geometry, modality="MR")
    return LoadedCase("cone", {"mr": volume}, truth)


@pytest.mark.parametrize("threshold", [4.0, 8.0])
def test_an_organ_found_too_small_or_too_large_gets_its_volume(threshold: float) -> None:
    case = cone_case(threshold)
    found = card([{"name": "bright", "kind": "organ", "label": 1}])
    network: Any = Shiftable()
    model = Model(found, network, decoder_of(found))
    before = abs(_voxels(model, case) / case.truth.items[0].voxel_count - 1)
    (shift,) = balance_volumes(model, [case], "cpu")
    after = abs(_voxels(model, case) / case.truth.items[0].voxel_count - 1)
    assert before > 0.3 and after < 0.06
    assert shift == pytest.approx(network.shift) and (shift > 0) == (threshold < 6)


def _voxels(model: Model, case: LoadedCase) -> int:
    from medseg.inference.segmentation import segment

    return segment(case.volumes, model, device="cpu").items[0].voxel_count


def test_the_search_ends_near_the_least_value() -> None:
    found = least(lambda at: (at[0] - 0.7) ** 2 + abs(at[1] + 1.1), (0.0, 0.0))
    assert found == pytest.approx((0.7, -1.1), abs=0.1)


def test_where_nothing_is_better_nothing_is_shifted() -> None:
    assert least(lambda at: sum(map(abs, at)), (0.0, 0.0)) == (0.0, 0.0)


@pytest.mark.parametrize("stem_stride", [1, 2])
def test_a_shift_adds_to_the_logits_of_its_organ_alone(stem_stride: int) -> None:
    organs = [{"name": name, "kind": "organ", "label": n} for n, name in enumerate("ab", 1)]
    arguments = {"channels": [8, 16], "blocks": [1, 1], "stem_stride": stem_stride}
    classes = [*organs, {**LESIONS[0], "label": 3}]
    network = build(
        card(classes, backbone={"name": "residual_pyramid", "arguments": arguments})
    ).eval()
    assert isinstance(network.head, CenterOffsetNetwork)
    image = torch.randn((1, 1, 16, 16, 16), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        before = network(image)
        network.shift_organs([0.0, 1.5])
        after = network(image)
    moved = (after.organ - before.organ).mean(dim=(0, 2, 3, 4))
    assert moved.tolist() == pytest.approx([0.0, 0.0, 1.5], abs=1e-5)
    assert torch.equal(after.lesion, before.lesion)


def test_without_a_validation_case_it_is_refused() -> None:
    found = card([{"name": "bright", "kind": "organ", "label": 1}])
    network: Any = Shiftable()
    with pytest.raises(InputRefused, match=r"balance_volumes.*\[recipe-invalid\]"):
        balance_volumes(Model(found, network, decoder_of(found)), [], "cpu")


ORGANS = (InstanceClass("a", "organ", 1), InstanceClass("b", "organ", 2))


def halves(a: int, b: int) -> Instances:
    """Organs of so many voxels; none of 0."""
    array = np.zeros((2, 1, 8), dtype=np.uint8)
    array[0, 0, :a], array[1, 0, :b] = 1, 2
    return Instances.from_labelmap(array, Geometry.identity(array.shape), ORGANS, values="class")


@pytest.mark.parametrize(
    ("found", "truth", "expected"),
    [
        ([(4, 4)], [(4, 8)], (0 + 0.5) / 2),
        ([(4, 2)], [(4, 0)], (0 + 1) / 2),  # found though absent
        ([(4, 0)], [(4, 2)], (0 + 1) / 2),  # not found
        ([(0, 0)], [(4, 2)], 1.0),  # nothing found
        ([(2, 0)], [(4, 0)], 0.5),  # absent on both sides: left out
        ([(0, 0)], [(0, 0)], math.inf),  # no organ anywhere tells nothing
        ([(3, 0), (8, 0), (5, 0)], [(4, 0), (4, 0), (4, 0)], 0.25),  # one far off does not decide
        ([(3, 0), (5, 0)], [(4, 0), (4, 0)], 0.0),  # as many too small as too large
    ],
)
def test_the_error_is_the_median_and_counts_what_is_invented_or_missed(
    monkeypatch: pytest.MonkeyPatch,
    found: list[tuple[int, int]],
    truth: list[tuple[int, int]],
    expected: float,
) -> None:
    answers = iter(halves(*one) for one in found)
    monkeypatch.setattr(balance, "segment", lambda *_, **__: next(answers))
    cases = [LoadedCase(str(n), {}, halves(*one)) for n, one in enumerate(truth)]
    model: Any = None
    error = balance._median_error(model, cases, ("a", "b"), "cpu")
    assert error == pytest.approx(expected)
