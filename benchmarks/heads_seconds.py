"""Seconds that trained heads take for a window, all in turn in one run.

    python benchmarks/heads_seconds.py FOLDER... [--windows 12]

FOLDER is a run that `heads.py` has finished. Every phantom is segmented by all heads, one after the
other, on one thread, with the score that the run chose; seconds are the processor's. Bar: `yolact`
takes at most half of what `mask_rcnn` takes.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from collections.abc import Mapping
from dataclasses import fields, replace
from functools import partial
from pathlib import Path

import torch
from heads import ROW
from timing import OF_THE_PROCESSOR, Samples, interleaved, machine, spread, untimed, verdict

import medseg
from medseg.models import Model
from medseg.phantom import touching_lesions

FAST, SLOW, BAR = "yolact", "mask_rcnn", 0.5
LOWEST_SCORE = 0.05
"""What instance heads take for the lowest score that counts."""
SHAPE = (48, 64, 64)


def trained_head(folder: Path) -> Model:
    """The model of a run, counting objects from the score that the run chose."""
    score = json.loads((folder / ROW).read_text(encoding="utf-8"))["score"]
    model = medseg.load_model(next(folder.glob("*/card.toml")).parent)
    if "score_threshold" not in {one.name for one in fields(model.decoder)}:
        return model
    return replace(model, decoder=replace(model.decoder, score_threshold=max(score, LOWEST_SCORE)))


def seconds_of(models: Mapping[str, Model], windows: int) -> dict[str, Samples]:
    """Seconds of each model by window; what a first run costs is paid before."""
    found: dict[str, Samples] = {name: [] for name in models}
    for n in range(windows):
        volume = touching_lesions(n, shape=SHAPE).volume
        runs = {
            name: untimed(partial(medseg.segment, volume, model, device="cpu"))
            for name, model in models.items()
        }
        if n == 0:
            interleaved(runs, 1, OF_THE_PROCESSOR)
        for name, samples in interleaved(runs, 1, OF_THE_PROCESSOR).items():
            found[name] += samples
    return found


def main() -> int:
    """Print a line a head; 0 where the bar is met, or where its two heads are not both there."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folders", nargs="+", type=Path)
    parser.add_argument("--windows", type=int, default=12)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    models = {model.card.head.name: model for model in map(trained_head, asked.folders)}
    print(machine("medseg", "torch", "monai"))
    seconds = seconds_of(models, asked.windows)
    for name, samples in sorted(seconds.items(), key=lambda one: statistics.median(one[1])):
        print(f"{name:<14} {spread(samples)} s a window")
    if not {FAST, SLOW} <= seconds.keys():
        return 0
    share = statistics.median(seconds[FAST]) / statistics.median(seconds[SLOW])
    print(f"{FAST} takes {share:.3f} of {SLOW}: {verdict(share, BAR, at_least=False)}")
    return 0 if share <= BAR else 1


if __name__ == "__main__":
    sys.exit(main())
