"""The transformer backbone: shapes as promised, whatever the window, and it exports."""

from __future__ import annotations

import pytest
import torch

from medseg.networks import SwinPyramid

FELT = 1e-20
"""A masked voxel is not felt, but for a weight of exp(-100)."""


def small(**arguments: object) -> SwinPyramid:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return SwinPyramid(1, **{"width": 8, "depths": (2, 1, 1), "heads": (1, 2, 2), **arguments})


def noise(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("lengths", [(16, 24, 40), (8, 16, 32), (48, 16, 8), (64, 24, 16)])
def test_levels_have_the_promised_channels_and_strides(lengths: tuple[int, ...]) -> None:
    backbone = small()
    with torch.inference_mode():
        levels = backbone(noise(2, 1, *lengths))
    assert backbone.channels == (8, 16, 32) and backbone.strides == (2, 4, 8)
    for level, channels, stride in zip(levels, backbone.channels, backbone.strides, strict=True):
        assert level.shape == (2, channels, *[length // stride for length in lengths])
        assert bool(torch.isfinite(level).all())


def test_levels_are_as_many_as_depths() -> None:
    backbone = SwinPyramid(3, width=8, depths=(1, 1, 1, 1), heads=(1, 1, 1, 1))
    with torch.inference_mode():
        levels = backbone(noise(1, 3, 16, 32, 16))
    assert backbone.strides == (2, 4, 8, 16) and levels[-1].shape == (1, 64, 1, 2, 1)


@pytest.mark.parametrize(
    "arguments",
    [{"depths": (1,), "heads": (1,)}, {"heads": (1, 2)}, {"width": 12}, {"heads": (3, 2, 2)}],
)
def test_arguments_that_make_no_pyramid_are_refused(arguments: dict) -> None:
    with pytest.raises(ValueError, match="pyramid needs|multiples of 8"):
        small(**arguments)


@pytest.mark.parametrize("lengths", [(16, 16, 24), (8, 24, 16)])
def test_gradients_reach_every_weight(lengths: tuple[int, ...]) -> None:
    backbone = small()
    levels = backbone(noise(1, 1, *lengths))
    sum((level * noise(*level.shape)).sum() for level in levels).backward()
    silent = [
        name
        for name, weight in backbone.named_parameters()
        if weight.grad is None or not bool(weight.grad.abs().sum() > 0)
    ]
    # A bias in front of a normalisation that takes its mean away has no effect by construction.
    assert [name for name in silent if not name.endswith("bias")] == []


def test_a_batch_gives_what_its_windows_give_alone() -> None:
    backbone = small().eval()
    images = noise(2, 1, 16, 24, 16)
    with torch.inference_mode():
        for both, alone in zip(backbone(images), backbone(images[1:]), strict=True):
            torch.testing.assert_close(both[1:], alone, atol=1e-5, rtol=1e-5)


def test_attention_reaches_over_the_borders_of_its_windows() -> None:
    """The second block's windows are shifted: a voxel is felt beyond the first block's window."""
    backbone = small(depths=(2, 1, 1)).eval()
    tokens = noise(1, 8, 8, 8, 8).requires_grad_()
    backbone.attend[0](tokens)[0, 0, 0, 0].square().sum().backward()
    felt = tokens.grad.abs().sum(dim=(0, -1)) > FELT
    assert bool(felt[:4, :4, :4].all()) and not bool(felt[4:].any())
    tokens.grad = None
    backbone.attend[0](tokens)[0, 3, 3, 3].square().sum().backward()
    assert bool((tokens.grad.abs().sum(dim=(0, -1)) > FELT)[4:, 4:, 4:].any())


def test_windows_give_the_same_numbers_without_gradients_as_with_them() -> None:
    backbone, image = small(depths=(2, 2), heads=(1, 2)).eval(), noise(1, 1, 8, 24, 56)
    learning = backbone(image)
    with torch.inference_mode():
        for mine, theirs in zip(backbone(image), learning, strict=True):
            torch.testing.assert_close(mine, theirs.detach(), atol=1e-5, rtol=1e-5)


def test_the_backbone_exports_and_gives_the_same_numbers() -> None:
    backbone, image = small(depths=(2, 1), heads=(1, 2)).eval(), noise(1, 1, 4, 16, 24)
    exported = torch.export.export(backbone, (image,)).module()
    with torch.inference_mode():
        for mine, theirs in zip(backbone(image), exported(image), strict=True):
            torch.testing.assert_close(mine, theirs, atol=1e-5, rtol=1e-5)
