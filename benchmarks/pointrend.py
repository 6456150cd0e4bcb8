"""What points are worth: fine outlines from a coarse mask, beside that mask and full resolution.

    python benchmarks/pointrend.py --set lobed|headneck --minutes M
        [--head center_offset|pointrend] [--most N...] [--limit L] [--cases K]
        [--data FOLDER] [--out FOLDER] [--picture FILE]

Lobed lesions in windows of 96³ voxels, or the parotids and mandible of `headneck_organs_ct`, are
learned by `center_offset` with `refine = "pointrend"`, from a mask of the window at stride 4, or by
`pointrend`, which takes organs for lesions, from masks of 7³ cells in boxes. Recipes are in
`pointrend/`. Minutes are planned and kept as `heads.py` does. Then unseen seeds, or patients whose
number divides by five, are segmented twice as a user would: with points, at most `--most` of them
in each doubling of a mask and where its logit lies within ± `--limit`, and by the same network's
coarse logits interpolated.

Bars: surface Dice at one voxel at least 0.03 above the coarse mask's, mean over cases of the mean
over classes, at no more than half the multiplications of full resolution, counted without backbone
and coarse logits, which all share. At every voxel of a window: of the convolutions that
`refine = "convolution"` has, and of the points' own perceptron; for comparison also of those
convolutions in the box around what was found, to which `center_offset` confines them. At every
voxel of a region's box: of its mask branch, and of the perceptron.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import sys
import tomllib
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from checking import SHARED, present
from heads import ROW, base_of, merged
from heads_training import DECAYED, Budget, planned, trained, write_json
from matplotlib.figure import Figure
from numpy.typing import NDArray
from pointrend_masks import MASKS, CoarseMask, Spent, WindowMask, union
from scipy.ndimage import find_objects
from timing import machine

import medseg
from medseg.evaluation import surface_dice, surface_distances
from medseg.models import Model
from medseg.training.datasets import LoadedCase, PhantomCase, list_cases, load_case, split_cases
from medseg.training.recipe import Recipe

RECIPES = Path(__file__).with_suffix("")
HEADNECK = "headneck_organs_ct"
DRAWN = (3, 4, 7)
"""The labels of the parotids and the mandible."""
VOXEL = (1.0, 1.0, 1.0)
GAIN_BAR, COST_BAR = 0.03, 0.5


def recipe_of(
    name: str, mask: CoarseMask, exclude: Sequence[str], ids: Sequence[str], steps: int
) -> Recipe:
    """What `heads.py` has for the mask's head, with what the set says, for so many steps."""
    said = tomllib.loads((RECIPES / f"{name}.toml").read_text(encoding="utf-8"))
    raw = base_of(mask.head)
    backbone = raw.pop("backbones")["residual_pyramid"]
    if "kind" in said["data"]:
        for part in ("data", "augmentation"):
            raw.pop(part)
        said["data"] |= {
            "exclude": list(exclude),
            "held_out": [one for one in ids if number(one) % 5 == 0],
            "validation": [one for one in ids if number(one) % 5 == 1][:2],
        }
    recipe = merged(raw, said)
    recipe["model"]["head"] = {"name": mask.head, "network": dict(mask.network)}
    if mask.lesions_alone:
        recipe["model"]["classes"] = [
            {**one, "kind": "lesion"} for one in recipe["model"]["classes"]
        ]
    recipe["model"]["backbone"] = {"name": "residual_pyramid", "arguments": backbone}
    training = recipe["training"]
    training["warmup_steps"] = min(training["warmup_steps"], steps // 10)
    training |= {"seed": 0, "steps": steps, "validate_every": steps}
    return Recipe.model_validate(recipe)


def number(case: str) -> int:
    """The patient's number in a case's id."""
    return int(case.split("_")[1])


def three_organs(source: Path, root: Path) -> tuple[list[str], list[str]]:
    """Label maps of the three organs below `root`; cases with all of them, and the others.

    Where one was not drawn, its absence would be learned as background.
    """
    (root / "labels").mkdir(parents=True, exist_ok=True)
    if not (root / "images").exists():
        (root / "images").symlink_to((source / "images").resolve(), target_is_directory=True)
    whole, partial_cases = [], []
    for path in sorted((source / "labels").glob("*.nii.gz")):
        drawn = medseg.read_instances(path, values="class").filter(lambda one: one.id in DRAWN)
        complete = len(drawn) == len(DRAWN)
        (whole if complete else partial_cases).append(path.name.removesuffix(".nii.gz"))
        if complete and not (root / "labels" / path.name).is_file():
            medseg.write(drawn, root / "labels" / path.name)
    return whole, partial_cases


def of_case(loaded: LoadedCase, found: Callable[[str], NDArray[np.bool_]]) -> float:
    """Surface Dice at one voxel of what `found` gives for a class, mean over those of the case.

    A voxel is 1 along each axis, whatever its size in mm; where nothing was found it is 0.
    """
    values = []
    for one in loaded.truth.classes:
        true = union(loaded.truth, one.name)
        if true.any():
            values.append(surface_dice(surface_distances(found(one.name), true, VOXEL), 1.0))
    return statistics.fmean(values)


def figures(
    model: Model,
    mask: CoarseMask,
    cases: Sequence[LoadedCase],
    most: Sequence[int],
    limit: float | None,
) -> list[dict[str, Any]]:
    """A row for each number of points: surface Dice, gain over the coarse mask, and cost."""
    network, coarse_model = model.network, mask.coarse_of(model)
    refinement = mask.refinement(network)
    usual = refinement.most, refinement.limit
    refinement.limit = refinement.limit if limit is None else limit
    kept = [of_case(one, partial(mask.kept, one.truth)) for one in cases]
    coarse = [surface(coarse_model, one) for one in cases]
    rows = []
    for count in most:
        refinement.most = count
        spent = Spent()
        with mask.counting(network, spent):
            refined = [surface(model, one) for one in cases]
        gains = [a - b for a, b in zip(refined, coarse, strict=True)]
        rows.append(
            {
                "most": count,
                "limit": refinement.limit,
                "kept": statistics.fmean(kept),
                "coarse": statistics.fmean(coarse),
                "surface_dice": statistics.fmean(refined),
                "gain": statistics.fmean(gains),
                "gain_error": standard_error(gains),
                "points": spent.points / spent.windows,
                "voxels": spent.voxels / spent.windows,
                "cost": mask.costs(network, len(model.card.channels), spent),
            }
        )
    refinement.most, refinement.limit = usual
    return rows


def standard_error(values: Sequence[float]) -> float:
    """Of their mean; NaN for a single value."""
    return statistics.stdev(values) / len(values) ** 0.5 if len(values) > 1 else math.nan


def surface(model: Model, loaded: LoadedCase) -> float:
    """The case segmented as a user would: its surface Dice."""
    found = medseg.segment(loaded.volumes, model, device="cpu")
    return of_case(loaded, partial(union, found))


def draw(model: Model, coarse: Model, loaded: LoadedCase, path: Path) -> None:
    """The slice with most of the true objects: truth, coarse and refined outlines."""
    shown = {"truth": loaded.truth}
    for title, one in {"coarse mask": coarse, "with points": model}.items():
        shown[title] = medseg.segment(loaded.volumes, one, device="cpu")
    masks = {title: one.to_labelmap(on_overlap="higher_score") > 0 for title, one in shown.items()}
    z = int(masks["truth"].sum(axis=(1, 2)).argmax())
    y, x = find_objects(masks["truth"].any(axis=0).astype(int))[0]
    picture = next(iter(loaded.volumes.values())).array[z]
    low, high = np.percentile(picture, [1, 99])
    sheet = Figure(figsize=(12, 4.3), layout="constrained")
    for axes, (title, mask) in zip(sheet.subplots(1, 3), masks.items(), strict=True):
        axes.imshow(picture, cmap="gray", vmin=low, vmax=high)
        axes.contour(masks["truth"][z], [0.5], colors="#e69f00", linewidths=0.8)
        if title != "truth" and mask[z].any():
            axes.contour(mask[z], [0.5], colors="#56b4e9", linewidths=0.8)
        axes.set(title=title, xlim=(x.start - 8, x.stop + 8), ylim=(y.stop + 8, y.start - 8))
        axes.set_axis_off()
    sheet.savefig(path, dpi=150)


def share_of(cost: dict[str, float], name: str) -> float:
    """Of a way of full resolution, what points cost; infinite where that has nothing to do."""
    return cost["refined"] / cost[name] if cost[name] else math.inf


def print_rows(row: dict[str, Any]) -> None:
    """The figures, and which bars are met."""
    mask = MASKS[row["head"]]
    minutes, cases = row["training_minutes"], row["cases"]
    print(f"## {row['set']}, {mask.head}, trained {minutes:.1f} min, {cases} cases")
    if not row["decayed"]:
        print(f"  stopped at step {row['steps']} of {row['planned_steps']}: not a fair figure")
    print(f"surface Dice at one voxel: coarse {row['rows'][0]['coarse']:.4f}")
    print(f"  (exact masks kept by {mask.title}: {row['rows'][0]['kept']:.4f})")
    for one in row["rows"]:
        cost = one["cost"]
        print(f"points within ±{one['limit']:g}, at most {one['most']} in a doubling:")
        print(f"  surface Dice {one['surface_dice']:.4f}")
        print(f"  gain {one['gain']:+.4f}, standard error {one['gain_error']:.4f}")
        print(f"  {one['points']:.0f} points in a window of {one['voxels']:.0f} voxels")
        print(f"  G multiplications a window: {cost['refined'] / 1e9:.3f}; at full resolution")
        for name, title in mask.full.items():
            print(f"    {title}: {cost[name] / 1e9:.3f}, share {share_of(cost, name):.3f}")
        share = max(share_of(cost, name) for name in ("convolved", "perceptron"))
        bars = {
            f"gain of {GAIN_BAR} or more": one["gain"] >= GAIN_BAR,
            f"shares of the first two of {COST_BAR} or less": share <= COST_BAR,
        }
        for title, met in bars.items():
            print(f"  {title}: {'met' if met else 'NOT MET'}")


def budget_of(asked: argparse.Namespace, folder: Path) -> Budget:
    """What is trained, with the data that it needs below the folder."""
    whole, lacking, root = [], [], folder / "data"
    if asked.set == "headneck":
        source = present(asked.data or SHARED / "data" / HEADNECK, "--data")
        whole, lacking = three_organs(source, root)
    said = {"set": asked.set, "head": asked.head, "minutes": asked.minutes}
    make = partial(recipe_of, asked.set, MASKS[asked.head], lacking, whole)
    return Budget(said, make, asked.minutes, root=root)


def unseen(recipe: Recipe, root: Path, count: int) -> list[LoadedCase]:
    """The first of the patients held out, or of the seeds from 0 up."""
    data = recipe.data
    if data.kind == "phantom":
        cases = [PhantomCase(f"seed-{n}", n, data.generator, data.shape) for n in range(count)]
    else:
        cases = split_cases(data, list_cases(recipe, root)).held_out[:count]
    return [load_case(one, recipe) for one in cases]


def arguments_of(words: Sequence[str] | None) -> argparse.Namespace:
    """What was asked for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--set", choices=("lobed", "headneck"), required=True)
    parser.add_argument("--head", choices=sorted(MASKS), default=WindowMask.head)
    parser.add_argument("--minutes", type=float, required=True)
    parser.add_argument("--most", type=int, nargs="+", metavar="N", help="default: the head's")
    parser.add_argument("--limit", type=float, metavar="L", help="default: the head's")
    parser.add_argument("--cases", type=int, default=40, help="at most so many are tested")
    parser.add_argument("--data", type=Path, help=f"the folder {HEADNECK}")
    parser.add_argument("--out", type=Path, help="folder of the run, resumed where there is one")
    parser.add_argument(
        "--picture",
        type=Path,
        help="draw the first case there, with the points that a user gets (.png or .svg)",
    )
    return parser.parse_args(words)


def main(words: Sequence[str] | None = None) -> int:
    """Train, test, print; 0 whether or not the bars are met."""
    asked = arguments_of(words)
    torch.set_num_threads(1)
    mask = MASKS[asked.head]
    folder = asked.out or Path("pointrend-runs") / f"{asked.set}-{mask.head}-{asked.minutes:g}"
    folder.mkdir(parents=True, exist_ok=True)
    budget = budget_of(asked, folder)
    plan = planned(budget, folder)
    package, progress = trained(budget, plan["steps"], folder)
    model, recipe = medseg.load_model(package), budget.recipe(plan["steps"])
    loaded = unseen(recipe, budget.root, asked.cases)
    row = {
        "set": asked.set,
        "head": mask.head,
        "cases": len(loaded),
        "rows": figures(model, mask, loaded, asked.most or [mask.most], asked.limit),
        "training_minutes": progress.minutes,
        "steps": progress.step,
        "planned_steps": plan["steps"],
        "decayed": progress.step >= DECAYED * plan["steps"],
        "machine": machine("medseg", "torch", "monai"),
    }
    write_json(folder / ROW, row)
    print_rows(json.loads((folder / ROW).read_text(encoding="utf-8")))
    if asked.picture:
        draw(model, mask.coarse_of(model), loaded[0], asked.picture)
    return 0


if __name__ == "__main__":
    sys.exit(main())
