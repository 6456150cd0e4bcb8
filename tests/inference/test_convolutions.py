"""Convolutions of a lone window take PyTorch's fast path, with the same numbers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from modelling import LESIONS, card
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from medseg.inference.convolutions import OneDnnConvolutions
from medseg.inference.engines import TorchEngine
from medseg.models import build, decoder_of

FAST = "aten.mkldnn_convolution.default"


class Noted(TorchDispatchMode):
    """Which convolutions PyTorch is asked for."""

    def __init__(self) -> None:
        super().__init__()
        self.names: set[str] = set()

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        if "conv" in str(func):
            self.names.add(str(func))
        return func(*args, **(kwargs or {}))


def convolutions(run: Callable[[], object]) -> set[str]:
    with torch.inference_mode(), Noted() as noted:
        run()
    return noted.names


def noise(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(
    "arguments",
    [
        {"kernel_size": 3, "padding": 1},
        {"kernel_size": 3, "padding": 1, "stride": 2, "bias": False},
        {"kernel_size": 1},
        {"kernel_size": 3, "padding": 2, "dilation": 2, "groups": 2},
    ],
)
def test_a_lone_window_gets_the_same_numbers_on_the_fast_path(arguments: dict[str, Any]) -> None:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        layer = nn.Conv3d(4, 6, **arguments)
    window = noise(1, 4, 8, 9, 10)
    with torch.inference_mode():
        usual = layer(window)
        with OneDnnConvolutions():
            fast = layer(window)
    torch.testing.assert_close(fast, usual, atol=1e-5, rtol=1e-5)


def test_a_network_runs_its_window_on_the_fast_path_alone() -> None:
    described = card(LESIONS)
    decoder = decoder_of(described)
    engine = TorchEngine(build(described).eval(), decoder.maps, torch.device("cpu"))
    assert convolutions(lambda: engine.maps(noise(1, 16, 16, 16))) == {FAST}


@pytest.mark.parametrize(
    ("layer", "window"),
    [
        (nn.Conv3d(2, 2, 3), noise(2, 2, 5, 5, 5)),
        (nn.Conv3d(2, 2, 3).double(), noise(1, 2, 5, 5, 5).double()),
        (nn.Conv3d(2, 2, 3, padding="same"), noise(1, 2, 5, 5, 5)),
        (nn.Conv2d(2, 2, 3), noise(1, 2, 5, 5)),
    ],
)
def test_other_convolutions_are_left_alone(layer: nn.Module, window: Tensor) -> None:
    def run() -> None:
        with OneDnnConvolutions():
            layer(window)

    asked = convolutions(run)
    assert asked and FAST not in asked
