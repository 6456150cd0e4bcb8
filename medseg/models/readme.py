"""The model card for people: a page made from `card.toml` and `figures.json`, never by hand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from medseg.card import Card


def render_readme(card: Card, figures: Mapping[str, Any]) -> str:
    """The page as Markdown; `figures` as a package's `figures.json` holds them.

    Known parts: "held_out" with "cases", "patients", "folds" and tables of rows ("table" of
    classes, "lesions"); "asked" has what was asked "for" and "missed"; "looks" says how often those
    cases were looked at, "why_head" why the head was chosen; "peers" are rows of
    what, figure and source; "not_for" lists uses; "calibration", "domain" and "cost" are rows,
    "robustness" has "cases" and a "table"; "tables" are rows with a title and perhaps a note;
    "reliability" is a picture; "worst" has rows of case, Dice and picture; "validation", the last
    row of the training's log, is not shown. What is not there is left out.
    """
    parts = [
        f"# {card.name} {card.version}",
        card.summary,
        f"**Intended use.** {card.intended_use}",
        f"**Limits.** {card.limits}",
        *([f"**With every result.** {card.caveat}"] if card.caveat else []),
        *_not_for(figures),
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
        *_why_head(figures),
        *held_out_parts(figures, level=2),
        *_peers(figures),
        *_scores(card, figures),
        *_robustness(figures),
        *_domain(card, figures),
        *_cost(figures),
        *_own_tables(figures),
        *_worst(figures),
        "## Licence",
        f"Weights {card.licence.weights}, training data {card.licence.data}. "
        f"{card.licence.attribution}",
    ]
    return "\n\n".join(parts) + "\n"


def held_out_parts(figures: Mapping[str, Any], *, level: int) -> list[str]:
    """Heading and tables of the figures on cases that the weights never saw; none: nothing."""
    found = figures.get("held_out")
    if not found:
        return []
    patients = found.get("patients")
    whom = f"{found['cases']} cases" + (f" of {patients} patients" if patients else "")
    folds = found.get("folds")
    how = f" ({folds} folds: each by weights that did not)" if folds else ""
    parts = [f"{'#' * level} Figures on {whom} it never saw{how}", rows_table(found["table"])]
    if folds:
        parts.append(
            "The weights in this package are of one more training, on all of these patients: of "
            "them it has no figure of its own."
        )
    if found.get("lesions"):
        parts += [
            rows_table(found["lesions"]),
            "An object counts as met where any voxel is shared.",
        ]
    parts += _asked(figures)
    if figures.get("looks"):
        parts.append(f"**How often these cases were looked at.** {figures['looks']}")
    return parts


def _asked(figures: Mapping[str, Any]) -> list[str]:
    asked = figures.get("asked")
    if not asked or not asked["for"]:
        return []
    parts = [f"**Asked for.** {'; '.join(asked['for'])}."]
    if asked["missed"]:
        parts.append(f"**Missed.** {'; '.join(asked['missed'])}.")
    return parts


def headline(card: Card, figures: Mapping[str, Any]) -> tuple[str, int]:
    """The held-out figure in words, a mean over classes, and the number of cases; "", 0: none."""
    found = figures.get("held_out")
    if not found:
        return "", 0
    names = [one.name for one in card.classes]
    words = [
        f"{name.removeprefix('mean ')} {sum(known) / len(known):.2f}"
        for name, rows in (
            ("mean Dice", found["table"]),
            ("AP at IoU 0.5", found["table"]),
            ("F1", found.get("lesions", ())),
        )
        if (known := [r[name] for r in rows if r["class"] in names and r.get(name) is not None])
    ]
    return ", ".join(words), int(found["cases"])


def figures_in_words(figures: Mapping[str, Any]) -> list[str]:
    """A line for each row of the held-out tables: every figure with its name."""
    found = figures.get("held_out") or {}
    return [
        f"{row['class']}: "
        + ", ".join(f"{name} {_figure(one)}" for name, one in row.items() if name != "class")
        for row in [*found.get("table", ()), *found.get("lesions", ())]
    ]


def _not_for(figures: Mapping[str, Any]) -> list[str]:
    listed = figures.get("not_for")
    return [f"**Not for** {'; '.join(listed)}."] if listed else []


def _why_head(figures: Mapping[str, Any]) -> list[str]:
    why = figures.get("why_head")
    return [f"**Why this head.** {why}"] if why else []


def _peers(figures: Mapping[str, Any]) -> list[str]:
    found = figures.get("peers")
    if not found:
        return []
    return ["## Beside it", "Other data, other readers: a scale, not a contest.", rows_table(found)]


def _scores(card: Card, figures: Mapping[str, Any]) -> list[str]:
    found = figures.get("calibration")
    if not found:
        return []
    text = (
        "A score is the probability that the object is true, as the table says what true means; "
        "the error is measured on cases used neither for training nor for fitting the map."
        if card.calibration
        else "A score is the head's own and no probability: more than another's says surer, and "
        "no more. The table says what true means, and how far scores lie from rates."
    )
    parts = ["## What its scores mean", text, rows_table(found)]
    if figures.get("reliability"):
        parts.append(f"![Scores against rates]({figures['reliability']})")
    return parts


def _robustness(figures: Mapping[str, Any]) -> list[str]:
    found = figures.get("robustness")
    if not found:
        return []
    text = (
        f"{found['cases']} of those cases, changed. Beside the Dice that a change costs stands "
        "what a mask loses on the changed grid and back, without any model."
    )
    return ["## What changes cost", text, rows_table(found["table"])]


def _domain(card: Card, figures: Mapping[str, Any]) -> list[str]:
    if card.domain is None:
        return []
    least, largest = card.domain.least_spacing_mm, card.domain.largest_spacing_mm
    spacing = " × ".join(
        f"{low:.3g}" if low == high else f"{low:.3g} to {high:.3g}"
        for low, high in zip(least, largest, strict=True)
    )
    parts = [
        "## Images it knows",
        f"Voxels of {spacing} mm (z, y, x). Where an image's modality, voxels, extent or "
        "intensities are unlike those of training, the result carries the warning "
        "`out-of-domain`.",
    ]
    if figures.get("domain"):
        parts += ["Of the cases above, which it should know:", rows_table(figures["domain"])]
    if figures.get("other_sets"):
        text = "Of other sets, files that do not say their modality:"
        parts += [text, rows_table(figures["other_sets"])]
    return parts


def _cost(figures: Mapping[str, Any]) -> list[str]:
    found = figures.get("cost")
    return ["## What it costs", rows_table(found)] if found else []


def _own_tables(figures: Mapping[str, Any]) -> list[str]:
    parts = []
    for one in figures.get("tables", []):
        parts += [f"## {one['title'][:1].upper()}{one['title'][1:]}", rows_table(one["rows"])]
        if one.get("note"):
            parts.append(one["note"])
    return parts


def _worst(figures: Mapping[str, Any]) -> list[str]:
    found = figures.get("worst")
    if not found:
        return []
    pictures = [
        f"{row['case']}, mean Dice {_figure(row['dice'])}:\n\n![{row['case']}]({row['picture']})"
        for row in found
    ]
    return ["## Its worst held-out cases", *pictures]


def rows_table(rows: Sequence[Mapping[str, Any]]) -> str:
    """A table of rows; a row may lack a column."""
    columns = list(dict.fromkeys(name for row in rows for name in row))
    return _table(columns, [[_figure(row.get(name, "")) for name in columns] for row in rows])


def _table(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join(
        "| " + " | ".join(str(cell).replace("|", "\\|") for cell in line) + " |" for line in lines
    )


def _figure(value: Any) -> str:
    if value is None:
        return "–"
    return f"{value:.3f}" if isinstance(value, float) else str(value)


def _yes(value: bool) -> str:  # noqa: FBT001 - a word for a boolean
    return "yes" if value else "no"
