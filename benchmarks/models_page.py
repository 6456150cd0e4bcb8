"""The part of `docs/models.md` that is made from the cards of the shipped models.

    python benchmarks/models_page.py [--write]

Prints the page, or writes it; what stands outside of its two marks is written by hand. Status 1
where the page on disk is another, so that it cannot drift from the packages.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from made_parts import show_or_write, with_made, write_asked

from medseg.card import Card
from medseg.models import card_of, figures_of, shipped
from medseg.models.packages import WEIGHTS, package_folder
from medseg.models.readme import headline, held_out_parts, rows_table

PAGE = Path(__file__).resolve().parent.parent / "docs" / "models.md"
BEGIN, END = "<!-- made from the cards -->", "<!-- end of what is made from the cards -->"
OTHER_SETS = "images"

Shipped = Sequence[tuple[Card, Mapping[str, Any]]]


def made(models: Shipped) -> str:
    """Everything between the marks, as Markdown."""
    parts = [
        overview(models),
        *(part for card, figures in models for part in section(card, figures)),
    ]
    table = matrix(models)
    if table:
        parts += [
            "## What each model calls out of its domain",
            "Images of each set that get the warning `out-of-domain`, read as files that do not "
            "say their modality: all should, but for a model's own cases, of which 5 % may. "
            "`benchmarks/model_domains.py` makes the table.",
            table,
        ]
    return "\n\n".join(parts)


def overview(models: Shipped) -> str:
    """A row a model: what it finds, in what, how well on how many cases, and whose data it is."""
    rows = []
    for card, figures in models:
        figure, cases = headline(card, figures)
        size = (package_folder(card.name) / WEIGHTS).stat().st_size / 1e6
        rows.append(
            {
                "model": f"[{card.name}](#{card.name})",
                "finds": ", ".join(one.name for one in card.classes),
                "in": f"{card.modality}, {card.body_part}",
                "held out": figure or "–",
                "n": cases or "–",
                "licence of the weights": card.licence.weights,
                "MB": f"{size:.1f}",
            }
        )
    return rows_table(rows)


def section(card: Card, figures: Mapping[str, Any]) -> list[str]:
    """What a user has to know of a model before they choose it."""
    parts = [f"## {card.name}", card.summary, f"**Intended use.** {card.intended_use}"]
    parts.append(f"**Limits.** {card.limits}")
    if figures.get("not_for"):
        parts.append(f"**Not for** {'; '.join(figures['not_for'])}.")
    parts.append(
        f"{card.training.cases} cases of {card.training.name} ({card.licence.data}), "
        f"{card.training.minutes:g} minutes on {card.training.device}; backbone "
        f"`{card.backbone.name}`, head `{card.head.name}`."
    )
    if figures.get("why_head"):
        parts.append(f"**Why this head.** {figures['why_head']}")
    parts += held_out_parts(figures, level=3)
    for key, title in (("peers", "Beside it"), ("calibration", "What its scores mean")):
        if figures.get(key):
            parts += [f"### {title} {{: #{card.name}-{key} }}", rows_table(figures[key])]
    if figures.get("robustness"):
        title = f"### What changes cost {{: #{card.name}-changes }}"
        parts += [title, rows_table(figures["robustness"]["table"])]
    for one in figures.get("tables", []):
        parts += [f"### {one['title'][:1].upper()}{one['title'][1:]}", rows_table(one["rows"])]
        if one.get("note"):
            parts.append(one["note"])
    if figures.get("cost"):
        parts += [f"### What it costs {{: #{card.name}-cost }}", rows_table(figures["cost"])]
    if figures.get("worst"):
        parts.append("Its worst cases are pictured in the `README.md` of its package.")
    return parts


def matrix(models: Shipped) -> str:
    """All models by all sets; "" before there is a row."""
    rows = []
    for card, figures in models:
        if figures.get("other_sets"):
            cells = {
                one[OTHER_SETS]: f"{one['called out of domain']} of {one['n']}"
                for one in figures["other_sets"]
            }
            rows.append({"model": card.name, **cells})
    return rows_table(rows) if rows else ""


def page(text: str, models: Shipped) -> str:
    """The page with its made part anew; ValueError where a mark is missing."""
    return with_made(text, made(models), BEGIN, END)


def main() -> int:
    """Print or write the page; 0 where the one on disk is the same."""
    write = write_asked(__doc__)
    models = [(card_of(name), figures_of(name)) for name in shipped()]
    return show_or_write(PAGE, page(PAGE.read_text(encoding="utf-8"), models), write=write)


if __name__ == "__main__":
    sys.exit(main())
