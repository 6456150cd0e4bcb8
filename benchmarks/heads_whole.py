"""The same phantoms whole in one window and in many: does stitching change the count?

    python benchmarks/heads_whole.py FOLDER... [--phantoms 40] [--score S]

FOLDER is a trained package, as `heads.py` leaves one in its folder. Phantoms of 64 x 96 x 96 voxels
are segmented in one window and in overlapping ones of 48 x 64 x 64, which the head learned on. Bar:
total counts within 2 % of each other.
"""

from __future__ import annotations

import argparse
import sys
import time
from dataclasses import replace
from pathlib import Path

import medseg
from medseg.evaluation import average_precision
from medseg.models import Model
from medseg.phantom import touching_lesions

SHAPE, WINDOW = (64, 96, 96), (48, 64, 64)
FIRST_SEED = 5000
BAR = 0.02


def with_window(model: Model, shape: tuple[int, int, int]) -> Model:
    """The model with another window, a volume's worth or less."""
    return replace(model, card=model.card.model_copy(update={"window_shape": shape}))


def main() -> int:
    """Segment, compare, print; 0 where every package meets the bar."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("packages", nargs="+", type=Path)
    parser.add_argument("--phantoms", type=int, default=40)
    parser.add_argument("--score", type=float, default=0.3, help="from which an object counts")
    arguments = parser.parse_args()
    phantoms = [touching_lesions(FIRST_SEED + n, shape=SHAPE) for n in range(arguments.phantoms)]
    print(f"{len(phantoms)} phantoms, {sum(len(one.truth) for one in phantoms)} objects")
    met = True
    for package in arguments.packages:
        model = medseg.load_model(package)
        counts = {}
        for name, window in (("one window", SHAPE), ("many windows", WINDOW)):
            began = time.perf_counter()
            shown = with_window(model, window)
            pairs = [
                (
                    medseg.segment(one.volume, shown, device="cpu").filter(
                        lambda item: item.score >= arguments.score
                    ),
                    one.truth,
                )
                for one in phantoms
            ]
            counts[name] = sum(len(found) for found, _ in pairs)
            ap = average_precision(pairs, 0.5)["mean"]
            seconds = (time.perf_counter() - began) / len(phantoms)
            print(
                f"  {model.card.head.name:<14} {name:<13} {counts[name]} objects, AP50 {ap:.3f}, "
                f"{seconds:.1f} s a phantom"
            )
        change = counts["many windows"] / max(counts["one window"], 1) - 1
        good = abs(change) <= BAR
        met = met and good
        print(
            f"  {100 * change:+.1f} % in many windows: {'met' if good else 'NOT MET'}", flush=True
        )
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
