"""What a window costs: stems of stride 1 and 2 beside MONAI's DynUNet, on the CPU.

    python benchmarks/backbones.py [--size 96] [--rounds 3]

All run in turn in one process, 32-bit floats, all threads that torch takes; medians and the ratio
to DynUNet. The refinement to full resolution is part of a stride-2 network's time, computed on the
whole window (`all`) and not at all (`coarse`): a window costs something in between.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import torch
from monai.networks.nets import DynUNet

from medseg.card import CardClass
from medseg.heads.center_offset.network import CenterOffsetNetwork
from medseg.models import InstanceNetwork
from medseg.networks import ResidualPyramid

CLASSES = (
    CardClass(name="organ", kind="organ", label=1),
    CardClass(name="lesion", kind="lesion", label=2),
)
WIDTHS = (32, 64, 128, 256)


def dynunet() -> torch.nn.Module:
    """MONAI's DynUNet of the same widths, at full resolution."""
    levels = len(WIDTHS)
    return DynUNet(
        3, 1, 2, [3] * levels, [1, *[2] * (levels - 1)], [2] * (levels - 1), filters=WIDTHS
    )


def ours(stem_stride: int) -> InstanceNetwork:
    """The residual pyramid with the centre-offset head."""
    backbone = ResidualPyramid(
        1, channels=WIDTHS, blocks=[1] * len(WIDTHS), stem_stride=stem_stride
    )
    head = CenterOffsetNetwork(1, backbone.channels, backbone.strides, CLASSES)
    return InstanceNetwork(backbone, head)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", type=int, default=96)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    torch.manual_seed(0)
    window = torch.randn(1, 1, *[arguments.size] * 3)
    full, half = ours(1).eval(), ours(2).eval()
    runs: dict[str, tuple[torch.nn.Module, Callable[[], object]]] = {
        "DynUNet": ((peer := dynunet().eval()), lambda: peer(window)),
        "pyramid, stem stride 1": (full, lambda: full(window)),
        "pyramid, stem stride 2, all": (half, lambda: half(window)),
        "pyramid, stem stride 2, coarse": (half, lambda: half.coarse(window)),
    }
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    with torch.inference_mode():
        for _, run in runs.values():
            run()
        for _ in range(arguments.rounds):
            for name, (_, run) in runs.items():
                began = time.perf_counter()
                run()
                seconds[name].append(time.perf_counter() - began)
    slowest = statistics.median(seconds["DynUNet"])
    print(f"window {arguments.size}^3, widths {WIDTHS}, {torch.get_num_threads()} threads")
    for name, (network, _) in runs.items():
        weights = sum(value.numel() for value in network.parameters()) / 1e6
        median = statistics.median(seconds[name])
        print(f"  {name:<32} {weights:5.2f} M  {median:6.2f} s  {slowest / median:5.1f} x faster")


if __name__ == "__main__":
    main()
