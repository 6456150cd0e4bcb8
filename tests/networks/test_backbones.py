"""Backbones and refinement: shapes as promised, and work only where it is asked for."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from medseg.networks import BACKBONES, ResidualPyramid
from medseg.networks.refinement import Refinement, crop_around, repeat_up, shuffle_up


@pytest.mark.parametrize("stem_stride", [1, 2])
@pytest.mark.parametrize("in_channels", [1, 3])
def test_levels_have_the_promised_channels_and_strides(stem_stride: int, in_channels: int) -> None:
    backbone = ResidualPyramid(
        in_channels, channels=[8, 16, 24], blocks=[1, 2, 1], stem_stride=stem_stride
    )
    lengths = (16, 24, 32)
    levels = backbone(torch.zeros(2, in_channels, *lengths))
    for level, channels, stride in zip(levels, backbone.channels, backbone.strides, strict=True):
        assert level.shape == (2, channels, *[length // stride for length in lengths])
    assert backbone.strides[0] == stem_stride


def test_with_a_click_a_backbone_knows_where_the_window_s_middle_is() -> None:
    backbone = ResidualPyramid(
        1, channels=[8, 16], blocks=[1, 1], stem_stride=1, click_sigma=2.0
    ).eval()
    blank = torch.zeros(1, 1, 16, 24, 20)
    with torch.no_grad():
        seen: list[torch.Tensor] = []
        backbone.stem.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
        backbone(blank)
    bell = seen[0][0, 1]
    assert torch.equal(seen[0][0, 0], blank[0, 0])
    assert torch.allclose(bell, bell.flip(0, 1, 2))
    assert float(bell.max()) == pytest.approx(np.exp(-3 * 0.5**2 / (2 * 2.0**2)))
    assert float(bell[7, 11, 13]) == pytest.approx(
        float(bell.max() * np.exp(-(3.5**2 - 0.5**2) / 8))
    )


def test_backbones_are_found_by_name() -> None:
    assert set(BACKBONES) == {"residual_pyramid", "swin_pyramid"}


@pytest.mark.parametrize(
    "arguments",
    [
        {"channels": [8]},
        {"channels": [8, 16], "blocks": [1]},
        {"channels": [8, 12, 16]},
        {"stem_stride": 4},
    ],
)
def test_arguments_that_make_no_pyramid_are_refused(arguments: dict) -> None:
    with pytest.raises(ValueError, match="pyramid needs|multiples of 8"):
        ResidualPyramid(1, **arguments)


def test_each_fine_voxel_comes_from_one_channel_of_its_cell() -> None:
    cell = torch.arange(8.0).view(1, 8, 1, 1, 1)
    assert shuffle_up(cell).flatten().tolist() == list(range(8))
    assert repeat_up(torch.tensor([[[[[1.0, 2.0]]]]])).shape == (1, 1, 2, 2, 4)


def test_a_crop_with_its_margin_is_refined_as_the_whole_window() -> None:
    torch.manual_seed(0)
    refinement = Refinement(1, 8, 2, width=8).eval()
    image, features = torch.randn(1, 1, 40, 40, 40), torch.randn(1, 8, 20, 20, 20)
    logits = torch.randn(1, 2, 20, 20, 20)
    inner = torch.zeros(20, 20, 20, dtype=torch.bool)
    inner[8:11, 7:12, 9:10] = True
    box = crop_around(inner, Refinement.margin)
    assert box == (slice(4, 15), slice(3, 16), slice(5, 14))
    fine = tuple(slice(2 * part.start, 2 * part.stop) for part in box)
    with torch.inference_mode():
        whole = refinement(image, features, logits)
        part = refinement(image[:, :, *fine], features[:, :, *box], logits[:, :, *box])
    torch.testing.assert_close(
        part[:, :, 8:14, 8:18, 8:10], whole[:, :, 16:22, 14:24, 18:20], atol=1e-5, rtol=1e-5
    )


def test_nothing_found_is_no_crop() -> None:
    assert crop_around(torch.zeros(4, 4, 4, dtype=torch.bool), 2) is None
