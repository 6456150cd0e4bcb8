"""The model card for people: a page made from `card.toml` and `figures.json`, never by hand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from medseg.card import Card


def render_readme(card: Card, figures: Mapping[str, Any]) -> str:
    """The page as Markdown; `figures` as a package's `figures.json` holds them.

    Known parts: "held_out" with "cases" and a "table" of rows; "worst" with rows of case, figure
    and picture; "validation" with the last row of the training's log.
    """
    parts = [
        f"# {card.name} {card.version}",
        card.summary,
        f"**Intended use.** {card.intended_use}",
        f"**Limits.** {card.limits}",
        "Research use only; not a medical device.",
        "## What it finds",
        _table(
            ("class", "kind", "label"), [(one.name, one.kind, one.label) for one in card.classes]
        ),
        "## What it takes",
        _table(
            ("channel", "required", "intensities"),
            [(one.name, _yes(one.required), one.normalisation.kind) for one in card.channels],
        ),
        f"Modality {card.modality}, {card.body_part}; resampled to "
        f"{' × '.join(f'{mm:g}' for mm in card.spacing_mm)} mm (z, y, x).",
        "## Training",
        f"{card.training.cases} cases of {card.training.name}; {card.training.minutes:g} minutes "
        f"on {card.training.device}; backbone `{card.backbone.name}`, head `{card.head.name}`. "
        "The recipe is `recipe.toml`.",
        *_held_out(figures),
        *_worst(figures),
        "## Licence",
        f"Weights {card.licence.weights}, training data {card.licence.data}. "
        f"{card.licence.attribution}",
    ]
    return "\n\n".join(parts) + "\n"


def _held_out(figures: Mapping[str, Any]) -> list[str]:
    found = figures.get("held_out")
    if not found:
        return []
    columns = list(found["table"][0])
    rows = [[_figure(row[name]) for name in columns] for row in found["table"]]
    return [f"## Figures on {found['cases']} cases it never saw", _table(columns, rows)]


def _worst(figures: Mapping[str, Any]) -> list[str]:
    found = figures.get("worst")
    if not found:
        return []
    pictures = [
        f"{row['case']}, mean Dice {_figure(row['dice'])}:\n\n![{row['case']}]({row['picture']})"
        for row in found
    ]
    return ["## Its worst held-out cases", *pictures]


def _table(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join("| " + " | ".join(str(cell) for cell in line) + " |" for line in lines)


def _figure(value: Any) -> str:
    return f"{value:.3f}" if isinstance(value, float) else str(value)


def _yes(value: bool) -> str:  # noqa: FBT001 - a word for a boolean
    return "yes" if value else "no"
