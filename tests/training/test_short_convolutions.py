"""Gradients in bfloat16 on a CPU are those of 32-bit floats but for rounding, at every length."""

from __future__ import annotations

from itertools import product

import pytest
import torch
from torch import Tensor, nn

from medseg.training.short_convolutions import ExactShortConvolutions

SHAPES = [*product((1, 2, 3, 5), repeat=3), (2, 9, 24), (9, 2, 24), (2, 24, 1)]


def gradient(layer: nn.Conv3d, image: Tensor, *, bf16: bool) -> Tensor:
    """Of the weights, of a sum that weighs every output differently."""
    layer.zero_grad()
    with ExactShortConvolutions(), torch.autocast("cpu", torch.bfloat16, enabled=bf16):
        found = layer(image)
    weights = torch.randn(found.shape, generator=torch.Generator().manual_seed(1)).bfloat16()
    (found.float() * weights.float()).sum().backward()
    assert layer.weight.grad is not None
    return layer.weight.grad.clone()


@pytest.mark.parametrize(("kernel", "stride"), [(3, 1), (3, 2), (1, 1)])
def test_gradients_of_weights_are_right_however_short_the_image(kernel: int, stride: int) -> None:
    torch.manual_seed(0)
    layer = nn.Conv3d(16, 16, kernel, stride=stride, padding=kernel // 2)
    for shape in SHAPES:
        image = torch.randn(2, 16, *shape)
        exact = gradient(layer, image, bf16=False)
        found = gradient(layer, image, bf16=True)
        assert (found - exact).abs().max() <= 0.03 * exact.abs().max(), shape


def test_only_short_images_lose_the_speed_of_bfloat16() -> None:
    layer = nn.Conv3d(4, 4, 3, padding=1)
    with ExactShortConvolutions(), torch.autocast("cpu", torch.bfloat16):
        assert layer(torch.ones(1, 4, 8, 2, 8)).dtype == torch.float32
        assert layer(torch.ones(1, 4, 3, 3, 3)).dtype == torch.bfloat16
    with ExactShortConvolutions():
        assert layer(torch.ones(1, 4, 2, 8, 8, dtype=torch.float32)).dtype == torch.float32


def test_a_layer_without_a_bias_is_none_the_worse() -> None:
    layer = nn.Conv3d(4, 4, 3, padding=1, bias=False)
    with ExactShortConvolutions(), torch.autocast("cpu", torch.bfloat16):
        assert layer(torch.ones(1, 4, 2, 2, 2)).shape == (1, 4, 2, 2, 2)
