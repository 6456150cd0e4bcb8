"""Which images each model calls out of its domain: all models by all sets.

    python benchmarks/model_domains.py [--data FOLDER] [--most N] [--write]

Images are read as files that do not say their modality. A model's own column holds its held-out
cases, or in folds each case by what the other folds have in common; beside it the same images with
slices further apart than any that were trained on. The check wants no weights: a recipe without
them is measured from its training cases. With `--write` each package keeps its rows, for its page
and the docs.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from checking import SHARED, present

import medseg
from medseg.card import Card
from medseg.inference.domain import domain_warnings
from medseg.models import card_of, recipe_path, shipped, shipped_recipes
from medseg.models.packages import FIGURES, package_folder
from medseg.models.readme import render_readme
from medseg.training.datasets import Case, list_cases, load_case, split_cases
from medseg.training.package import training_domain
from medseg.training.recipe import Recipe, read_recipe
from medseg.training.sections import PhantomData
from medseg.types import Geometry, InputWarning, Volume

Row = dict[str, Any]

SETS: Mapping[str, str] = {
    "hippocampus_mr": "hippocampus_mr/images/*.nii.gz",
    "sarcoma_mr": "sarcoma_mr/images/*.nii.gz",
    "ms_lesion_mr, FLAIR": "ms_lesion_mr/images/*_flair.nii.gz",
    "ms_lesion_mr, T1": "ms_lesion_mr/images/*_t1.nii.gz",
    "sarcoma_pet": "sarcoma_pet/images/*.nii.gz",
    "lung_nodule_ct": "lung_nodule_ct/images/*.nii.gz",
    "headneck_organs_ct": "headneck_organs_ct/images/*.nii.gz",
}
OWN, SPREAD_APART = "its own cases", "its own, slices further apart than any"
FURTHER = 1.5
"""How many times as far apart the slices are then as the farthest that were trained on."""
OWN_BAR, OTHER_BAR = 0.05, 1.0
CT_SETS = ("lung_nodule_ct", "headneck_organs_ct")

Judged = list[tuple[InputWarning, ...]]


def evenly(items: Sequence[Any], most: int) -> list[Any]:
    """Up to `most` of the items, evenly over them."""
    count = min(most, len(items))
    return [items[n * len(items) // count] for n in range(count)]


def set_of(model: str) -> str:
    """The folder of a model's own set."""
    return model.replace("-", "_")


def row_of(what: str, judged: Judged) -> Row:
    """How many images were called out of domain, and for what."""
    reasons = Counter(
        reason
        for warnings in judged
        for reason in dict.fromkeys(one.detail.split(":")[0] for one in warnings)
    )
    said = ", ".join(f"{reason} {count}" for reason, count in reasons.most_common())
    flagged = sum(bool(warnings) for warnings in judged)
    return {"images": what, "n": len(judged), "called out of domain": flagged, "for": said}


def own_rows(recipe: Recipe, data: Path) -> list[Row]:
    """The rows of a model's own set: cases that its statistics do not know."""
    near: Judged = []
    apart: Judged = []
    for card, cases in judged_cases(recipe, data):
        for case in cases:
            volumes = load_case(case, recipe).volumes
            near.append(domain_warnings(volumes, card))
            wide = {name: spread_apart(one, card) for name, one in volumes.items()}
            apart.append(domain_warnings(wide, card))
    return [row_of(OWN, near), row_of(SPREAD_APART, apart)]


def judged_cases(recipe: Recipe, data: Path) -> Iterator[tuple[Card, Sequence[Case]]]:
    """Cards with the statistics of some cases, and others of the set that they are to judge."""
    if isinstance(recipe.data, PhantomData):
        return
    numbers = range(1, len(recipe.data.folds) + 1)
    for part in [recipe.fold(n) for n in numbers] or [recipe]:
        split = split_cases(part.data, list_cases(part, data))  # type: ignore[arg-type]
        domain = training_domain(split.training, part)
        yield recipe.model.model_copy(update={"domain": domain}), split.held_out  # type: ignore[misc]


def spread_apart(volume: Volume, card: Card) -> Volume:
    """The same slices `FURTHER` times as far apart as any that the card's statistics know."""
    farthest_mm = card.domain.largest_spacing_mm[0] if card.domain else 0.0
    affine = volume.geometry.affine.copy()
    axis = int(abs(affine[2, :3]).argmax())
    affine[:3, axis] *= FURTHER * farthest_mm / volume.geometry.spacing_mm[axis]
    return replace(volume, geometry=Geometry(volume.geometry.shape, affine))


def card_with_domain(name: str, recipe: Recipe, data: Path) -> Card:
    """The shipped card, or that of a recipe whose weights are not there yet."""
    if name in shipped() and card_of(name).domain is not None:
        return card_of(name)
    split = split_cases(recipe.data, list_cases(recipe, data))  # type: ignore[arg-type]
    return recipe.model.model_copy(update={"domain": training_domain(split.training, recipe)})


def matrix(root: Path, names: Iterable[str], most: int) -> dict[str, list[Row]]:
    """The rows of each model: its own set, then every other."""
    recipes = {}
    for name in names:
        path = recipe_path(name)
        recipe = None if path is None else read_recipe(path)
        if recipe is not None and not isinstance(recipe.data, PhantomData):
            recipes[name] = recipe
    cards = {
        name: card_with_domain(name, recipe, root / set_of(name))
        for name, recipe in recipes.items()
    }
    found = {name: own_rows(recipe, root / set_of(name)) for name, recipe in recipes.items()}
    for set_name, pattern in SETS.items():
        judged: dict[str, Judged] = {name: [] for name in cards}
        for path in evenly(sorted(root.glob(pattern)), most):
            volume = medseg.read(path)
            for name, card in cards.items():
                judged[name].append(domain_warnings(volume, card))
        for name in cards:
            if judged[name] and set_name.split(",")[0] != set_of(name):
                found[name].append(row_of(set_name, judged[name]))
    return found


def missed(found: Mapping[str, Sequence[Row]], modalities: Mapping[str, str]) -> list[str]:
    """What of the bars was not met: own cases, and CT for MR models or the reverse."""
    words = []
    for name, rows in found.items():
        for row in rows:
            if row["n"] == 0:
                words.append(f"{name}: no image of {row['images']} was judged")
                continue
            share = row["called out of domain"] / row["n"]
            other = (row["images"] in CT_SETS) != (modalities[name] == "CT")
            if row["images"] == OWN and share > OWN_BAR:
                words.append(f"{name}: {share:.1%} of its own cases, bar {OWN_BAR:.0%}")
            elif row["images"] == SPREAD_APART and share < OTHER_BAR:
                words.append(f"{name}: {share:.1%} of images with slices further apart than any")
            elif row["images"] in SETS and other and share < OTHER_BAR:
                words.append(f"{name}: {share:.1%} of {row['images']}, bar {OTHER_BAR:.0%}")
    return words


def main() -> int:
    """Print the matrix; 0 where every bar is met."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, default=SHARED / "data", help="holds the sets")
    parser.add_argument("--models", nargs="+", default=shipped_recipes(), help="all unless named")
    parser.add_argument("--most", type=int, default=60, help="images of a set that are judged")
    parser.add_argument("--write", action="store_true", help="write the rows to the packages")
    asked = parser.parse_args()
    found = matrix(present(asked.data, "--data"), asked.models, asked.most)
    for name, rows in found.items():
        print(f"\n{name}")
        for row in rows:
            share = f"{row['called out of domain']} of {row['n']}"
            print(f"  {row['images']:<36}{share:>12}  {row['for']}")
        if asked.write and name in shipped():
            write_rows(name, rows)
    recipes = {name: read_recipe(path) for name in found if (path := recipe_path(name))}
    words = missed(found, {name: recipe.model.modality for name, recipe in recipes.items()})
    print("\nall bars met" if not words else "\nNOT MET\n  " + "\n  ".join(words))
    return 1 if words else 0


def write_rows(name: str, rows: Sequence[Row]) -> None:
    """Keep a model's rows in its package, and write its page anew."""
    folder = package_folder(name)
    figures = json.loads((folder / FIGURES).read_text(encoding="utf-8"))
    figures["other_sets"] = list(rows)
    (folder / FIGURES).write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
    page = render_readme(card_of(name), figures)
    (folder / "README.md").write_text(page, encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
