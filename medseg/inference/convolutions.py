"""Convolutions of one window on a CPU, on PyTorch's fast path."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch.overrides import TorchFunctionMode


class OneDnnConvolutions(TorchFunctionMode):
    """Here 3D convolutions of a batch of one, in 32-bit floats on a CPU, run in oneDNN.

    PyTorch gives them to oneDNN only where channels times the first two lengths exceed 20,480, a
    rule for images that it keeps for volumes; its own code takes some six times as long. The sums
    are the same in another order.
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
        if func is torch.conv3d and len(args) == 7 and _is_slow(args[0], args[4]):
            image, weight, bias, stride, padding, dilation, groups = args
            return torch.mkldnn_convolution(image, weight, bias, padding, stride, dilation, groups)
        return func(*args, **(kwargs or {}))


def _is_slow(image: torch.Tensor, padding: object) -> bool:
    return (
        hasattr(torch, "mkldnn_convolution")  # PyTorch has it, and does not promise it
        and len(image) == 1
        and image.numel() > 0
        and image.device.type == "cpu"
        and image.dtype == torch.float32
        and not isinstance(padding, str)
        and not torch.is_autocast_enabled("cpu")
        and torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
    )
