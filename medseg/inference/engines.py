"""Run a network on one window."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from medseg.errors import MedsegError
from medseg.heads.contract import MapSpec
from medseg.models.network import InstanceNetwork
from medseg.types import Shape


def choose_device(name: str) -> torch.device:
    """The device that `name` stands for; "auto" takes CUDA where there is one.

    Raises MedsegError (`device-missing`) where "cuda" is asked for and there is none.
    """
    if name not in ("auto", "cpu", "cuda"):
        msg = f"a device is auto, cpu or cuda; got {name!r}"
        raise ValueError(msg)
    if name == "cuda" and not torch.cuda.is_available():
        raise MedsegError(
            "device-missing", "device cuda", "this machine has none", "use --device cpu"
        )
    cuda = name == "cuda" or (name == "auto" and torch.cuda.is_available())
    return torch.device("cuda" if cuda else "cpu")


@dataclass(frozen=True)
class TorchEngine:
    """A network in PyTorch, 32-bit floats, one window at a time."""

    network: InstanceNetwork
    specs: tuple[MapSpec, ...]
    device: torch.device

    def maps(self, window: Tensor) -> dict[str, NDArray[np.float32]]:
        """The activated maps of a window (C, Z, Y, X), each (channels, Z / stride, ...)."""
        with torch.inference_mode():
            image = window[None].to(self.device)
            raw = self.network.refine_found(image, self.network.coarse(image))
            return {
                spec.name: _activated(getattr(raw, spec.name)[0], spec).cpu().numpy()
                for spec in self.specs
            }


def window_runner(
    image: Tensor, window: Shape, run: Callable[[Tensor], dict[str, NDArray[np.float32]]]
) -> Callable[[Shape], dict[str, NDArray[np.float32]]]:
    """A function of a window's start (z, y, x) that cuts it from `image` (C, Z, Y, X) and runs it.

    Beyond the image's end its outermost voxels are repeated.
    """

    def at(start: Shape) -> dict[str, NDArray[np.float32]]:
        part = image
        for axis, (first, length) in enumerate(zip(start, window, strict=True), start=1):
            index = torch.arange(first, first + length).clamp(max=image.shape[axis] - 1)
            part = part.index_select(axis, index)
        return run(part)

    return at


def _activated(values: Tensor, spec: MapSpec) -> Tensor:
    if spec.activation == "softmax":
        return torch.softmax(values.float(), dim=0)
    if spec.activation == "sigmoid":
        return torch.sigmoid(values.float())
    return values.float()
