r"""A prediction against a reference, 200 objects each: medseg beside Panoptica.

    python benchmarks/evaluating_speed.py [--size 512] [--objects 200] [--rounds 3] [--processor]
        [--panoptica /path/to/its/bin/python]

Two label volumes of ellipsoids with the volumes of balls of radius 2 to 24 voxels; a tenth of the
reference is missed, as many predictions are false, the rest is shifted and scaled. medseg goes from
the two label arrays to the finished evaluation: matching, all its counts and curves, and of every
pair Dice, surface Dice, HD95 and ASSD. Panoptica takes the same arrays as unmatched instances
(naive matching at IoU 0.5, no global metrics) and computes IoU, Dice (DSC) and ASSD, in a further
row HD95 and NSD too. Both have evaluated something small before; rounds in turn, one thread each.
On a busy machine `--processor` counts the processor's seconds.

Panoptica 2.1.7 wants an older NumPy, so it has an environment of its own:

    python3.11 -m venv peers/panoptica
    peers/panoptica/bin/pip install panoptica==2.1.7 "numpy<2"
"""

from __future__ import annotations

import statistics
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from evaluating_peers import PANOPTICA
from scenes import Labels, pair
from timing import (
    Clock,
    Peer,
    Samples,
    interleaved,
    machine,
    peer_in,
    print_ratios,
    ratios,
    speed_arguments,
    untimed,
    verdict,
)

import medseg
from medseg.evaluation import Evaluation
from medseg.types import Geometry, Instances

SPACING_MM = (1.0, 1.0, 1.0)
PART = 30
METRICS = {
    "Panoptica, IoU + DSC": ("IOU", "DSC"),
    "Panoptica, IoU + DSC + ASSD": ("IOU", "DSC", "ASSD"),
    "Panoptica, + HD95 + NSD": ("IOU", "DSC", "ASSD", "HD95", "NSD"),
}
BAR_ROW = "Panoptica, IoU + DSC + ASSD"


def evaluated(pred: Labels, ref: Labels) -> Evaluation:
    """From two label arrays (z, y, x) to everything medseg says about them."""
    geometry = Geometry.from_spacing(ref.shape, SPACING_MM)
    sides = [Instances.from_labelmap(labels, geometry) for labels in (pred, ref)]
    return medseg.evaluate(*sides)


class Files:
    """A pair on disk, for a peer in another process."""

    def __init__(self, folder: Path, pred: Labels, ref: Labels) -> None:
        self.pred, self.ref = (
            folder / f"{pred.shape[0]}_pred.npy",
            folder / f"{ref.shape[0]}_ref.npy",
        )
        np.save(self.pred, pred)
        np.save(self.ref, ref)

    def question(self, row: str) -> dict[str, Any]:
        """What the peer is asked for a row of the table."""
        named = {"pred": str(self.pred), "ref": str(self.ref)}
        return {**named, "spacing": SPACING_MM, "metrics": METRICS[row]}


def timed(
    pred: Labels, ref: Labels, peer: Peer | None, rounds: int, clock: Clock
) -> tuple[dict[str, Samples], dict[str, Any]]:
    """Seconds of all in turn, and what the peer answered last."""
    small = pair(5, 48)
    evaluated(*small)
    runs: dict[str, Callable[[], Any]] = {"medseg": untimed(lambda: evaluated(pred, ref))}
    answers: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        if peer is not None:
            large = Files(Path(folder), pred, ref)
            peer.ask(Files(Path(folder), *small).question(BAR_ROW))
            for row in METRICS:
                runs[row] = _asking(peer, large.question(row), row, answers, clock)
        return interleaved(runs, rounds, clock), answers


def _asking(
    peer: Peer, question: dict[str, Any], row: str, answers: dict[str, Any], clock: Clock
) -> Callable[[], float]:
    def ask() -> float:
        answers[row] = peer.ask(question)
        return float(answers[row][clock.answer])

    return ask


def print_agreement(found: Evaluation, answer: dict[str, Any] | None) -> None:
    """Counts and means of both, side by side."""
    print(f"\n{'':<14}{'medseg':>12}{'Panoptica':>12}")
    rows = (
        ("tp", "tp", ""),
        ("fp", "fp", ""),
        ("fn", "fn", ""),
        ("sq", "sq", ""),
        ("rq", "rq", ""),
        ("pq", "pq", ""),
        ("dice", "sq_dsc", ""),
        ("assd_mm", "sq_assd", "  by area of the surface; Panoptica: by its voxels"),
    )
    for ours, theirs, note in rows:
        other = "not run" if answer is None else f"{answer[theirs]:.6f}"
        print(f"{ours:<14}{found.value(ours):>12.6f}{other:>12}{note}")


def main() -> None:
    """Print the tables."""
    about = __doc__.partition("\n")[0]
    arguments = speed_arguments(about, objects=200, rounds=3, peer="Panoptica")
    pred, ref = pair(arguments.objects, arguments.size)
    print(machine("medseg", "numpy", "numba", "scipy"))
    print(f"{arguments.objects} x {arguments.objects} objects, {ref.dtype} {ref.shape}")
    with peer_in(arguments.peer, PANOPTICA) as peer:
        seconds, answers = timed(pred, ref, peer, arguments.rounds, arguments.clock)
    rows = [(run, run, "medseg") for run in ("medseg", *METRICS)]
    print_ratios(seconds, rows, arguments.clock)
    if BAR_ROW in seconds:
        times = statistics.median(ratios(seconds[BAR_ROW], seconds["medseg"]))
        print(f"\n{BAR_ROW} over medseg: {times:.1f}", verdict(times, PART, at_least=True))
    print_agreement(evaluated(pred, ref), answers.get(BAR_ROW))


if __name__ == "__main__":
    main()
