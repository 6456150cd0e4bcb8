"""Convolutions of a training step that a CPU cannot do in bfloat16."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode


class ExactShortConvolutions(TorchFunctionMode):
    """Here a 3D convolution on a CPU whose kernel is longer than its image runs in 32-bit floats.

    Of many such in bfloat16 the gradient of the weights is what happened to lie in memory, and
    memory beyond its ends is written, on CPUs with AVX512-BF16: so measured with torch 2.13.0 for
    kernels of 3 and 5. Where the image was as long as the kernel along every axis, none was wrong.
    Images so short are the deepest levels of small windows: they cost next to nothing.
    """

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """`func` of its arguments."""
        # As torch.nn.Conv3d calls it: image, weight, bias, stride, padding, dilation, groups.
        if func is torch.conv3d and len(args) == 7 and _is_short(args[0], args[1]):
            image, weight, bias, *others = args
            with torch.autocast("cpu", enabled=False):
                bias = None if bias is None else bias.float()
                return func(image.float(), weight.float(), bias, *others)
        return func(*args, **(kwargs or {}))


def _is_short(image: Tensor, weight: Tensor) -> bool:
    return (
        image.device.type == "cpu"
        and torch.is_autocast_enabled("cpu")
        and any(n < k for n, k in zip(image.shape[2:], weight.shape[2:], strict=True))
    )
