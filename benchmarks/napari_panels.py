"""The napari plugin beside bare napari with the same layers: seconds and memory, in a window.

    xvfb-run -a -s "-screen 0 1600x1000x24" python benchmarks/napari_panels.py [--size 512]
        [--objects 300] [--clicks 100] [--edits 10] [--steps 1000] [--rounds 3] [--processor]

A CT of size³ voxels of 16 bits with `objects` lesions and one organ. Two processes, one after the
other, each with a window of its own: bare napari with the image and the labels, and medseg with a
session that is kept on the disk and the panels Lesions and Correct. Each is driven as by hand:
clicks on rows, strokes and buttons, and a time ends when all is measured and drawn. Bare napari
jumps to the same objects by its own calls. In `rounds` more pairs of processes both are opened and
closed alone, in turn. Memory is what belongs to the process alone (Linux), after garbage is
collected. Growth by edits is that of objects that were edited before: of the first edit of an
object its mask is kept, to be undone. Growth is that of a straight line through 20 samples, less
the first fifth, with its standard error. On a busy machine `--processor` counts the processor's
seconds, those of software OpenGL too. (A script named napari.py would stand in the way of napari
itself.)
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
from napari_work import Plan, write_scene
from timing import Samples, in_fresh_process, machine, spread, verdict

Found = dict[str, Any]
OPEN_S, CLICK_S, EDIT_S = 1.5, 0.2, 0.25
EXTRA_MB = 300.0
EDITS = ("paint", "delete", "merge", "organ", "undo")
WORK = "import napari_work; napari_work.main()"


def once(who: str, plan: Plan) -> Found:
    """What a fresh process finds: "bare" or "medseg"."""
    settings = str(Path(plan.folder) / "settings.yaml")
    env = {"NAPARI_CONFIG": settings, "PYTHONWARNINGS": "ignore"}
    return in_fresh_process(WORK, who, json.dumps(asdict(plan)), env=env)


def ninth(samples: Sequence[float]) -> float:
    """The 90th percentile."""
    return float(np.percentile(samples, 90))


def row(title: str, ours: Sequence[float], bare: Sequence[float] | None, bar: float) -> None:
    """A line: median and 90th percentile, those of bare napari, their ratio, and the bar."""
    said = f"{statistics.median(ours):.3f}, {ninth(ours):.3f}"
    theirs = ratio = ""
    if bare:
        theirs = f"{statistics.median(bare):.3f}, {ninth(bare):.3f}"
        ratio = f"{statistics.median(ours) / statistics.median(bare):.1f}"
    met = verdict(ninth(ours), bar, at_least=False)
    print(f"{title:<26}{said:<18}{theirs:<18}{ratio:<8}{met}")


def print_times(ours: Found, bare: Found, starts: dict[str, Samples]) -> None:
    """Opening, clicks and edits."""
    print(f"\n{'':<26}{'medseg':<18}{'bare':<18}{'ratio':<8}bar for the 90th percentile")
    more = [a + b for a, b in zip(starts["medseg"], starts["open"], strict=True)]
    beyond = [a - b for a, b in zip(more, starts["bare"], strict=True)]
    print(f"napari with both layers   {spread(starts['medseg'], '.2f')}; ", end="")
    print(f"bare {spread(starts['bare'], '.2f')}")
    print(f"then the panel, in view   {spread(starts['open'], '.2f')}; ", end="")
    print(verdict(max(starts["open"]), OPEN_S, at_least=False))
    print(f"both beyond bare          {spread(beyond, '.2f')}")
    print(f"then all rows measured    {spread(starts['measured'], '.2f')}")
    row("click on a row", ours["click"], bare["click"], CLICK_S)
    for name in EDITS:
        row(f"measures after: {name}", ours[name], bare.get(name), EDIT_S)


def print_memory(ours: Found, bare: Found, labels_mb: float) -> None:
    """Megabytes beyond bare napari, what is left after closing, growth."""
    print(f"\n{'MB':<34}{'medseg':>10}{'bare':>10}{'more':>10}")
    for title, key, theirs in (
        ("before the window", "before", "before"),
        ("with panel", "opened", "opened"),
        ("after clicks and edits", "memory", "memory"),
        ("at the end", "at end", "at end"),
    ):
        more = ours[key] - bare[theirs]
        print(f"{title:<34}{ours[key]:>10.0f}{bare[theirs]:>10.0f}{more:>10.0f}")
    extra = max(ours[key] - bare[key] for key in ("opened", "memory", "at end"))
    print(f"extra at most the labels ({labels_mb:.0f} MB) and 300 MB: ", end="")
    print(verdict(extra, labels_mb + EXTRA_MB, at_least=False))
    for number, (one, other) in enumerate(zip(ours["closed"], bare["closed"], strict=True)):
        left = one - ours["before"], other - bare["before"]
        print(f"{f'left after closing {number + 1}':<34}{left[0]:>10.0f}{left[1]:>10.0f}")
    print(f"viewer, layers, session alive     {ours['alive']:>10}{bare['alive']:>10}")
    for title, key in (("slice steps", "steps"), ("edits, each undone", "edits")):
        for what, unit in (("growth_mb", "MB"), ("growth_none", "references to None")):
            both = [f"{side[key][what][0]:.1f} ± {side[key][what][1]:.1f}" for side in (ours, bare)]
            count = len(ours[key]["seconds"])
            print(f"{f'growth in {count} {title}':<34}{both[0]:>16}{both[1]:>16}  {unit}")
    for side, found in (("medseg", ours), ("bare", bare)):
        print(f"a slice step, {side}: {statistics.median(found['steps']['seconds']):.3f} s")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    numbers = {
        "size": 512, "objects": 300, "clicks": 100, "edits": 10, "steps": 1000, "rounds": 3
    }  # fmt: skip
    for name, default in numbers.items():
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--processor", action="store_true", help="count the processor's seconds")
    arguments = parser.parse_args()
    if sys.platform == "linux" and not os.environ.get("DISPLAY"):
        parser.error("there is no screen: begin the line with xvfb-run -a")
    return arguments


def main() -> None:
    """Print the tables."""
    arguments = _arguments()
    print(machine("medseg", "napari", "vispy", "PyQt6", "numpy"))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_scene(folder, arguments.size, arguments.objects)
        plan = Plan(
            name, arguments.clicks, arguments.edits, arguments.steps, 3, arguments.processor
        )
        bare, ours = once("bare", plan), once("medseg", plan)
        found = [(bare, ours)]
        alone = replace(plan, clicks=0, cycles=1)
        found += [(once("bare", alone), once("medseg", alone)) for _ in range(arguments.rounds)]
    starts = {
        "bare": [one["start"] for one, _ in found],
        **{key: [one[source] for _, one in found] for key, source in (
            ("medseg", "start"), ("open", "open"), ("measured", "measured"))},
    }  # fmt: skip
    clock = plan.clock.name
    print(f"OpenGL by {ours['renderer']}; {arguments.size}³ voxels, {arguments.objects} lesions")
    print(f"{clock}: median, 90th percentile; opening: median and range of {len(found)}")
    print_times(ours, bare, starts)
    print_memory(ours, bare, arguments.size**3 * 2 / 1e6)


if __name__ == "__main__":
    main()
