"""Run a network on one window."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from itertools import combinations
from typing import Any, NamedTuple, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from medseg.errors import MedsegError
from medseg.heads.contract import InstanceDecoder, LimitedDecoder, MapSpec, WindowInstance
from medseg.heads.window_objects import refuse_not_finite
from medseg.inference.convolutions import OneDnnConvolutions
from medseg.models.network import InstanceNetwork
from medseg.types import Shape

Found = TypeVar("Found")
"""What running one window gives."""


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
    """A network in PyTorch, 32-bit floats, one window at a time.

    `mirror_axes` (0 is z) are those along which every window is also run mirrored; the maps, turned
    back, are averaged.
    """

    network: InstanceNetwork
    specs: tuple[MapSpec, ...]
    device: torch.device
    mirror_axes: tuple[int, ...] = ()

    def maps(self, window: Tensor) -> dict[str, NDArray[np.float32]]:
        """The activated maps of a window (C, Z, Y, X), each (channels, Z / stride, ...)."""
        views = [
            axes
            for count in range(len(self.mirror_axes) + 1)
            for axes in combinations(self.mirror_axes, count)
        ]
        with torch.inference_mode(), _exact():
            image = window.to(self.device)
            seen = [self._mirrored(image, axes) for axes in views]
            maps = {
                spec.name: torch.stack([one[spec.name] for one in seen]).mean(dim=0)
                for spec in self.specs
            }
        return _as_arrays(maps)

    def _mirrored(self, image: Tensor, axes: tuple[int, ...]) -> dict[str, Tensor]:
        """The maps of a window mirrored along `axes`, turned back."""
        places = [axis + 1 for axis in axes]
        view = image.flip(places)[None] if places else image[None]
        raw = _raw(self.network, view)
        return {
            spec.name: _turned_back(_activated(getattr(raw, spec.name)[0], spec), spec, axes)
            for spec in self.specs
        }


class WindowResult(NamedTuple):
    """The organs' activated maps of a window, its objects, and how full its places for them are."""

    maps: dict[str, NDArray[np.float32]]
    objects: list[WindowInstance]
    fired: float


@dataclass(frozen=True)
class InstanceEngine:
    """A network of a box or query head in PyTorch, 32-bit floats, one window at a time."""

    network: InstanceNetwork
    decoder: InstanceDecoder
    device: torch.device

    @property
    def specs(self) -> tuple[MapSpec, ...]:
        """The maps that are blended over windows: those of the organs."""
        organs = self.decoder.organs
        return () if organs is None else organs.maps

    def run(self, window: Tensor) -> WindowResult:
        """What is found in a window (C, Z, Y, X)."""
        with torch.inference_mode(), _exact():
            view = window.to(self.device)[None]
            raw = _raw(self.network, view)
            (found,) = self.decoder.decode(raw)
            decoder = self.decoder
            fired = decoder.fired(raw)[0] if isinstance(decoder, LimitedDecoder) else 0.0
            maps = {
                spec.name: _activated(getattr(raw.dense, spec.name)[0], spec) for spec in self.specs
            }
        refuse_not_finite(torch.tensor([one.score for one in found]))
        return WindowResult(_as_arrays(maps), found, fired)


def _raw(network: InstanceNetwork, view: Tensor) -> Any:
    with OneDnnConvolutions():
        return network.refine_found(view, network.coarse(view))


def _exact() -> AbstractContextManager[None]:
    """No choice of algorithm by speed and no shortened floats, so that runs agree."""
    return torch.backends.cudnn.flags(
        enabled=True, benchmark=False, deterministic=True, allow_tf32=False
    )


def _as_arrays(maps: Mapping[str, Tensor]) -> dict[str, NDArray[np.float32]]:
    refuse_not_finite(*maps.values())
    return {name: values.cpu().numpy() for name, values in maps.items()}


def _turned_back(values: Tensor, spec: MapSpec, axes: tuple[int, ...]) -> Tensor:
    if not axes:
        return values
    turned = values.flip([axis + 1 for axis in axes])
    if spec.vectors:
        for axis in axes:
            turned[axis::3] *= -1
    return turned


def window_runner(
    image: Tensor, window: Shape, run: Callable[[Tensor], Found]
) -> Callable[[Shape], Found]:
    """A function of a window's start (z, y, x) that cuts it from `image` (C, Z, Y, X) and runs it.

    Beyond the image's end its outermost voxels are repeated.
    """

    def at(start: Shape) -> Found:
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
