"""The static part of every head, on either backbone, gives the same numbers in OpenVINO."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from importlib import import_module
from importlib.util import find_spec
from types import ModuleType

import pytest
import torch
from head_cases import untrained
from modelling import LESIONS, ORGANS, card
from torch import Tensor, nn
from torch.utils import _pytree

from medseg.heads import HEADS
from medseg.networks import SwinPyramid

CLOSE = 1e-4
"""Of the largest value of an output."""

BACKBONES = {
    "residual_pyramid": {"channels": [8, 16], "blocks": [1, 1]},
    "swin_pyramid": {"width": 8, "depths": [2, 1], "heads": [1, 2]},
}
FEW_LAYERS = {
    "detr": {"queries": 8, "layers": 2, "encoder_layers": 1},
    "mask2former": {"queries": 8, "layers": 2},
}

pytestmark = [
    pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning"),
    pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning"),
]


@pytest.fixture(scope="module")
def openvino(skip_unless) -> Iterator[ModuleType]:
    """OpenVINO without the part that tells its makers of every import and conversion."""
    skip_unless(find_spec("openvino") is not None, "openvino is not installed")
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "openvino_telemetry", None)
        yield import_module("openvino")


class Flat(nn.Module):
    """The tensors that a module gives, in a row."""

    def __init__(self, module: nn.Module, method: str = "forward") -> None:
        super().__init__()
        self.module, self.method = module, method

    def forward(self, image: Tensor) -> list[Tensor]:
        leaves = _pytree.tree_leaves(getattr(self.module, self.method)(image))
        return [leaf for leaf in leaves if isinstance(leaf, Tensor)]


def largest_error(openvino: ModuleType, module: Flat, image: Tensor) -> float:
    """The largest difference of an output, relative to its largest value."""
    with torch.no_grad():
        wanted = module.eval()(image)
        converted = openvino.convert_model(module, example_input=image)
    hints = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": 1}
    given = openvino.Core().compile_model(converted, "CPU", hints)(image.numpy())
    assert len(wanted) == len(given)
    return max(
        float((torch.from_numpy(given[n]) - one).abs().max() / one.abs().max().clamp(min=1e-6))
        for n, one in enumerate(wanted)
    )


def noise(*shape: int) -> Tensor:
    return torch.randn(1, 1, *shape, generator=torch.Generator().manual_seed(1))


def test_openvino_is_taken_without_its_telemetry(openvino: ModuleType) -> None:
    used = import_module("openvino.tools.ovc.convert_impl").tm
    assert used.__name__ == "openvino.tools.ovc.telemetry_stub"


@pytest.mark.parametrize(
    "backbone", ["residual_pyramid", pytest.param("swin_pyramid", marks=pytest.mark.slow)]
)
@pytest.mark.parametrize("head", sorted(HEADS))
def test_the_static_part_gives_the_same_numbers_in_openvino(
    openvino: ModuleType, head: str, backbone: str
) -> None:
    described = card(
        [ORGANS[0], LESIONS[1]],
        head={"name": head, "network": FEW_LAYERS.get(head, {})},
        backbone={"name": backbone, "arguments": BACKBONES[backbone]},
    )
    network = untrained(described)
    assert largest_error(openvino, Flat(network, "coarse"), noise(16, 24, 40)) < CLOSE


def test_windows_that_attention_does_not_divide_give_the_same_numbers_in_openvino(
    openvino: ModuleType,
) -> None:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        backbone = SwinPyramid(1, width=8, depths=(2, 2), heads=(1, 2))
    assert largest_error(openvino, Flat(backbone), noise(8, 24, 56)) < CLOSE
