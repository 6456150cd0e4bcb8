"""The centre-offset head against connected components on touching lesions.

    python benchmarks/center_offset.py [--out FOLDER] [--windows 100] [--write]

Trains the head by the recipe of the shipped model `phantom-lesions` from scratch (a killed run goes
on where it stopped; half an hour on one core), then finds the lesions of unseen phantoms with both
decoders on the same network's maps. The score above which an object counts is chosen on phantoms of
their own (seeds 3000 up), where the total count is right; the test (seeds 0 up) sees it once. With
`--write` what was trained becomes the shipped package, with the figures that it has without such a
score, as users meet it.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from heads_figures import above
from scipy.ndimage import binary_dilation

import medseg
from medseg.evaluation.detection import average_precision, count_error
from medseg.heads.center_offset import ComponentDecoder
from medseg.models import Model
from medseg.models.packages import CARD, FIGURES, RECIPE, WEIGHTS, read_card, recipe_path
from medseg.models.readme import render_readme
from medseg.phantom import touching_lesions
from medseg.training import train
from medseg.training.recipe import read_recipe
from medseg.types import Instance, Instances

MODEL = "phantom-lesions"
AP_BAR, COUNT_BAR, TOUCHING_BAR = 0.80, 0.05, 0.5
THRESHOLD_SEEDS = 3000
Pair = tuple[Instances, Instances]


def touching_share(truths: Sequence[Instances]) -> float:
    """The share of lesions that touch or overlap another of their class (26 neighbours)."""
    touching = total = 0
    for truth in truths:
        for one in truth.items:
            total += 1
            touching += any(
                touches(one, other, truth.geometry.shape)
                for other in truth.items
                if other.id != one.id and other.class_name == one.class_name
            )
    return touching / total


def touches(one: Instance, other: Instance, shape: tuple[int, int, int]) -> bool:
    """Whether some voxel of one is or neighbours a voxel of the other."""
    both = np.zeros((2, *shape), dtype=bool)
    both[0][one.box], both[1][other.box] = one.mask, other.mask
    grown = binary_dilation(both[0], np.ones((3, 3, 3)))
    return bool((grown & both[1]).any())


def segment_windows(model: Model, seeds: range) -> list[Pair]:
    """Prediction and truth of each seed's phantom."""
    pairs = []
    for seed in seeds:
        phantom = touching_lesions(seed)
        pairs.append((medseg.segment(phantom.volume, model, device="cpu"), phantom.truth))
    return pairs


def balanced_score(pairs: Sequence[Pair]) -> float:
    """The score above which the total count is nearest to the truth's."""
    scores = np.linspace(0.05, 0.8, 76)
    return float(min(scores, key=lambda score: abs(count_error(above(pairs, score)).bias)))


def row(name: str, pairs: Sequence[Pair], score: float, seconds: float) -> dict[str, float]:
    """Print one decoder's figures and return them."""
    ap = {iou: average_precision(pairs, iou) for iou in (0.5, 0.75)}
    counts = count_error(above(pairs, score))
    classes = ", ".join(f"{key} {value:.3f}" for key, value in ap[0.5]["per_class"].items())
    print(
        f"  {name:<22} AP50 {ap[0.5]['mean']:.3f} ({classes})  AP75 {ap[0.75]['mean']:.3f}  "
        f"count {100 * counts.bias:+.1f} %, absolute {100 * counts.absolute:.1f} % "
        f"at score {score:.2f}  {seconds:.2f} s a window"
    )
    return {"ap50": ap[0.5]["mean"], "bias": counts.bias}


def class_row(
    name: str, ap: dict[float, dict[str, float]], pairs: Sequence[Pair]
) -> dict[str, float | int | str]:
    """One class's figures over the held-out pairs, all that is found counted."""
    of_class = [
        tuple(one.filter(lambda item: item.class_name == name) for one in pair) for pair in pairs
    ]
    counts = count_error(of_class)
    return {
        "class": name,
        "objects": sum(len(truth) for _, truth in of_class),
        "AP at IoU 0.5": ap[0.5][name],
        "AP at IoU 0.75": ap[0.75][name],
        "count error": counts.bias,
        "mean absolute count error": counts.absolute,
    }


def write_model(package: Path, pairs: Sequence[Pair]) -> None:
    """Make the trained package the shipped one, with its figures on the held-out `pairs`."""
    folder = recipe_path(MODEL).parent
    for name in (RECIPE, WEIGHTS, CARD):
        shutil.copyfile(package / name, folder / name)
    figures = json.loads((package / FIGURES).read_text(encoding="utf-8"))
    ap = {iou: average_precision(pairs, iou)["per_class"] for iou in (0.5, 0.75)}
    table = [class_row(name, ap, pairs) for name in ap[0.5]]
    figures["held_out"] = {"cases": len(pairs), "table": table}
    (folder / FIGURES).write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
    page = render_readme(read_card(folder / CARD), figures)
    (folder / "README.md").write_text(page, encoding="utf-8")


def progress_line(began: float) -> Callable[[int, int], None]:
    """Prints a line every 100 steps."""

    def show(done: int, total: int) -> None:
        if done % 100 == 0:
            print(f"  step {done} of {total}, {(time.time() - began) / 60:.1f} min", flush=True)

    return show


def main() -> int:
    """Train, compare, print; 0 where every bar is met."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("center-offset-run"))
    parser.add_argument("--windows", type=int, default=100)
    parser.add_argument("--threshold-windows", type=int, default=200)
    parser.add_argument("--write", action="store_true", help="make it the shipped package")
    arguments = parser.parse_args()
    recipe = read_recipe(recipe_path(MODEL))
    package = train(
        recipe, arguments.out, data_root=Path(), device="cpu", progress=progress_line(time.time())
    )
    centres = medseg.load_model(package)
    components = replace(centres, decoder=ComponentDecoder(centres.card.classes))
    test = range(arguments.windows)
    tuning = range(THRESHOLD_SEEDS, THRESHOLD_SEEDS + arguments.threshold_windows)
    print(f"touching lesions, trained for {centres.card.training.minutes:g} min")
    figures = {}
    for name, model in (("connected components", components), ("centre + offset", centres)):
        score = balanced_score(segment_windows(model, tuning))
        began = time.time()
        pairs = segment_windows(model, test)
        figures[name] = row(name, pairs, score, (time.time() - began) / len(pairs))
    if arguments.write:
        write_model(package, pairs)
    share = touching_share([truth for _, truth in pairs])
    print(f"  {sum(len(truth) for _, truth in pairs)} lesions, {100 * share:.0f} % touch another")
    ours = figures["centre + offset"]
    met = ours["ap50"] >= AP_BAR and abs(ours["bias"]) <= COUNT_BAR and share >= TOUCHING_BAR
    print("bars met" if met else "BARS NOT MET", f"(AP50 {AP_BAR}, count ±{100 * COUNT_BAR:g} %)")
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
