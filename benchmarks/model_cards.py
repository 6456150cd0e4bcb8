"""The card of a model: every figure that it owes, from its weights and the cases they never saw.

    python benchmarks/model_cards.py MODEL [--data FOLDER] [--packages FOLDER] [--write]

`--data` holds the sets, or is the model's own. A recipe with folds wants `--packages`, which holds
what `medseg train MODEL --fold N -o PACKAGES/MODEL-fold-N` wrote: each case is then segmented by
the package that did not learn from it. Records of cases lie below `--results`, so that a second
run is quick and one that was stopped goes on. With `--write` figures, pictures, the calibration of
scores and the page for people go into the package.
"""

from __future__ import annotations

import argparse
import importlib
import json
import tempfile
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import card_scores
import card_tables
import card_trials
from card_cost import cost_rows
from card_stress import stress_records, stress_rows
from card_trials import HELD_OUT, Record, Trial
from checking import SHARED, present

import medseg
from medseg.card import Card, ScoreMap
from medseg.io.preview import write_preview
from medseg.models import card_of
from medseg.models.packages import FIGURES, RECIPE, package_folder
from medseg.models.readme import render_readme
from medseg.training.datasets import list_cases, load_case, phantom_split, split_cases
from medseg.training.package import training_domain, write_card
from medseg.training.recipe import Recipe, read_recipe
from medseg.training.sections import PhantomData

FACTS = Path(__file__).with_name("model_facts.toml")
RESULTS = Path(tempfile.gettempdir()) / "medseg-model-cards"
RELIABILITY = "reliability.png"
FEWEST_PATIENTS = 10
"""Scores of fewer tell nothing of the next patient's: they are not made probabilities."""
OF_A_MAP = ("calibration error", "map fitted on")
OTHERS: Mapping[str, str] = {
    "headneck-organs-ct": "model_headneck",
    "hippocampus-mr": "model_hippocampus_head",
    "lung-nodule-ct": "model_nodules",
    "ms-lesion-mr": "model_ms",
    "sarcoma-mr": "model_sarcoma",
    "sarcoma-pet": "model_sarcoma",
}
"""The script with a model's own tables: its `tables(data, packages)` gives rows by title."""


@dataclass(frozen=True)
class Subject:
    """The model of a card, where its cases lie, and what `model_facts.toml` says of it."""

    folder: Path
    recipe: Recipe
    card: Card
    data: Path
    facts: Mapping[str, Any]

    @classmethod
    def of(cls, model: str, data: Path) -> Subject:
        """A shipped model, or a package's folder."""
        folder = package_folder(model)
        recipe, card = read_recipe(folder / RECIPE), card_of(model)
        own = data / card.name.replace("-", "_")
        facts = tomllib.loads(FACTS.read_text(encoding="utf-8")).get(card.name, {})
        return cls(folder, recipe, card, own if own.is_dir() else data, facts)


def main() -> int:
    """Print the tables; 0 where every bar is met."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", help="a shipped name or a package's folder")
    parser.add_argument("--data", type=Path, default=SHARED / "data", help="holds the sets")
    parser.add_argument("--packages", type=Path, help="holds MODEL-fold-N of every fold")
    parser.add_argument("--results", type=Path, default=RESULTS, help="where records are kept")
    parser.add_argument("--tables", action="store_true", help="run the model's own script too")
    parser.add_argument("--quick", action="store_true", help="neither changes nor cost")
    parser.add_argument("--write", action="store_true", help="write figures to the package")
    asked = parser.parse_args()
    root = present(asked.data, "--data")
    subject = Subject.of(asked.model, root)
    if asked.write:
        subject = with_domain(subject)
    todo = card_trials.trials(subject.recipe, subject.data, subject.folder, asked.packages)
    found = card_trials.records(
        todo, subject.recipe, asked.results, smallest_mm3=subject.facts.get("smallest_mm3", 0.0)
    )
    figures, maps, points = measured(subject, found)
    held_out = [one for one in todo if one.part == HELD_OUT]
    if not asked.quick:
        changed = stress_records(held_out, subject.recipe, asked.results)
        figures["robustness"] = {"cases": len(changed), "table": stress_rows(changed)}
        figures["cost"] = cost_rows(
            str(subject.folder), subject.data, [one.case.id for one in held_out]
        )
    if asked.tables:
        figures["tables"] = own_tables(subject.card.name, root, asked.packages)
    words = missed(subject, figures)
    figures["asked"] = {"for": asked_for(subject.facts), "missed": words}
    show(subject, figures)
    print("\nall bars met" if not words else "\nNOT MET\n  " + "\n  ".join(words))
    if asked.write:
        kept = written(subject, figures, maps)
        if points:
            card_scores.write_reliability(points, subject.folder / RELIABILITY, subject.card.name)
            kept["reliability"] = RELIABILITY
        kept["worst"] = pictures(subject, held_out, figures["worst"])
        finish(subject, kept)
    return 1 if words else 0


def measured(subject: Subject, found: Sequence[Record]) -> tuple[dict[str, Any], Any, Any]:
    """All figures that rest on the records alone, the maps of scores, and what those rest on."""
    card, facts = subject.card, subject.facts
    held_out = [one for one in found if one["part"] == HELD_OUT]
    maps, rows, points = card_scores.calibration(found, card, facts.get("criterion", "iou 0.5"))
    if len({one["patient"] for one in found}) < FEWEST_PATIENTS:
        maps, points = (), {}
        rows = [{key: row[key] for key in row if key not in OF_A_MAP} for row in rows]
    folds = 0 if isinstance(subject.recipe.data, PhantomData) else len(subject.recipe.data.folds)
    if folds:
        rows = [{key: _by_folds(key, row[key]) for key in row} for row in rows]
    figures: dict[str, Any] = {
        "held_out": {
            "cases": len(held_out),
            "patients": len({one["patient"] for one in held_out}),
            "folds": folds,
            "table": card_tables.class_rows(
                held_out, card, together=bool(facts.get("together", False))
            ),
            "lesions": card_tables.lesion_rows(held_out, card),
        },
        "calibration": rows,
        "domain": [card_tables.domain_row(held_out)],
        "worst": card_tables.worst_cases(held_out, card),
        "peers": list(facts.get("peers", [])),
        "not_for": list(facts.get("not_for", [])),
        "looks": facts.get("looks", ""),
        "why_head": facts.get("why_head", ""),
    }
    return figures, maps, points


def _by_folds(column: str, value: Any) -> Any:
    """A map rests on the scores of the folds' weights, which are not those of the package."""
    return f"{value}, by the folds' weights" if column == "map fitted on" else value


def own_tables(name: str, root: Path, packages: Path | None) -> list[dict[str, Any]]:
    """The tables of a model's own script, without those that name another model first."""
    script = importlib.import_module(OTHERS[name])
    found = script.tables(root, packages)
    listed = (
        [{"title": title, "rows": list(rows)} for title, rows in found.items()]
        if isinstance(found, Mapping)
        else [dict(one) for one in found]
    )
    others = tuple(other for other in OTHERS if other != name)
    return [one for one in listed if not one["title"].startswith(others)]


def asked_for(facts: Mapping[str, Any]) -> list[str]:
    """The bars of `model_facts.toml` in words."""
    words = [f"mean Dice of {name} {bar:g}" for name, bar in facts.get("bars", {}).items()]
    for key, text in (
        ("mean_bar", "mean Dice over the classes {:g}"),
        ("class_bar", "mean Dice of each class {:g}"),
        ("volume_bar", "median absolute volume error at most {:g}"),
        ("f1_bar", "F1 of lesions {:g}"),
        ("count_bar", "count at most {:.0%} off"),
    ):
        if key in facts:
            words.append(text.format(facts[key]))
    return words + (["none failed"] if facts.get("none_fail") else [])


def missed(subject: Subject, figures: Mapping[str, Any]) -> list[str]:
    """The bars of `model_facts.toml` that were not met, and those that hold for every model."""
    facts, words = subject.facts, card_scores.missed(figures["calibration"])
    rows = {row["class"]: row for row in figures["held_out"]["table"]}
    classes = [rows[one.name] for one in subject.card.classes if one.name in rows]
    for name, row in rows.items():
        bar = facts.get("bars", {}).get(name, facts.get("class_bar", 0.0))
        if row["mean Dice"] < bar:
            words.append(f"{name}: mean Dice {row['mean Dice']:.3f}, bar {bar}")
        error, most = row["median absolute volume error"], facts.get("volume_bar")
        if most is not None and error is not None and error > most:
            words.append(f"{name}: median absolute volume error {error:.3f}, bar {most}")
        failed = row[f"failed (Dice < {card_tables.FAILURE})"]
        if facts.get("none_fail") and failed:
            words.append(f"{name}: {failed} failed, bar 0")
    mean = sum(row["mean Dice"] for row in classes) / max(1, len(classes))
    if mean < facts.get("mean_bar", 0.0):
        words.append(f"mean Dice over the classes {mean:.3f}, bar {facts['mean_bar']}")
    for row in figures["held_out"]["lesions"]:
        if (row["F1"] or 0.0) < facts.get("f1_bar", 0.0):
            words.append(f"{row['class']}: F1 {row['F1'] or 0.0:.3f}, bar {facts['f1_bar']}")
        if abs(row["count error"] or 0.0) > facts.get("count_bar", 1e9):
            off, bar = row["count error"], facts["count_bar"]
            words.append(f"{row['class']}: count {off:+.0%} off, bar {bar:.0%}")
    flagged = figures["domain"][0]["share"]
    if flagged > 0.05:
        words.append(f"{flagged:.1%} of the held-out cases are called out of domain, bar 5 %")
    return words


def show(subject: Subject, figures: Mapping[str, Any]) -> None:
    """Print every table."""
    held_out = figures["held_out"]
    print(
        f"{subject.card.name}: {held_out['cases']} cases of {held_out['patients']} patients"
        + (f", {held_out['folds']} folds" if held_out["folds"] else ", held out")
    )
    card_tables.printed("classes", held_out["table"])
    card_tables.printed("lesions", held_out["lesions"])
    card_tables.printed("scores", figures["calibration"])
    card_tables.printed("domain", figures["domain"])
    card_tables.printed("changes", figures.get("robustness", {}).get("table", []))
    card_tables.printed("cost", figures.get("cost", []))
    for table in figures.get("tables", []):
        card_tables.printed(table["title"], table["rows"])
    print("\nworst:", ", ".join(f"{case} {dice:.3f}" for case, dice in figures["worst"]))


def with_domain(subject: Subject) -> Subject:
    """The subject once its card holds the statistics of its training images."""
    data = subject.recipe.data
    if isinstance(data, PhantomData):
        cases = phantom_split(data).training
    else:
        cases = split_cases(data, list_cases(subject.recipe, subject.data)).training
    domain = training_domain(cases, subject.recipe)
    card = subject.card.model_copy(update={"domain": domain})
    write_card(subject.folder, card)
    return replace(subject, card=card)


def written(
    subject: Subject, figures: Mapping[str, Any], maps: Sequence[ScoreMap]
) -> dict[str, Any]:
    """Put the maps into the card; gives all figures that the package then holds."""
    write_card(subject.folder, subject.card.model_copy(update={"calibration": tuple(maps)}))
    kept = json.loads((subject.folder / FIGURES).read_text(encoding="utf-8"))
    return {**kept, **figures}


def pictures(
    subject: Subject, held_out: Sequence[Trial], worst: Sequence[tuple[str, float]]
) -> list[dict[str, Any]]:
    """Pictures of the worst cases, found and true, in the package's folder."""
    trials = {one.case.id: one for one in held_out}
    rows = []
    for n, (case, dice) in enumerate(worst, start=1):
        loaded = load_case(trials[case].case, subject.recipe)
        result = medseg.segment(
            loaded.volumes, medseg.load_model(trials[case].package), device="cpu"
        )
        volume = next(iter(loaded.volumes.values()))
        for what, instances in (("found", result), ("truth", loaded.truth)):
            picture = f"worst-{n}-{what}.png"
            write_preview(volume, instances, subject.folder / picture, title=f"{case}: {what}")
            rows.append({"case": f"{case}, {what}", "dice": dice, "picture": picture})
    return rows


def finish(subject: Subject, figures: Mapping[str, Any]) -> None:
    """Write the figures and the page that is made from them."""
    text = json.dumps(figures, indent=2) + "\n"
    (subject.folder / FIGURES).write_text(text, encoding="utf-8")
    page = render_readme(card_of(subject.folder), figures)
    (subject.folder / "README.md").write_text(page, encoding="utf-8")


if __name__ == "__main__":
    raise SystemExit(main())
