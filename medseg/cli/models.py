"""`medseg models`: which models there are, and what one says of itself."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer

from medseg.cli.console import show_json, show_table
from medseg.cli.errors import EXIT_CODES, reported
from medseg.cli.options import Debug, Json, model_names

if TYPE_CHECKING:
    from medseg.card import Card

models = typer.Typer(
    name="models",
    no_args_is_help=True,
    help="List the models that come with medseg, or show one.",
    epilog=EXIT_CODES,
)


@models.command("list", epilog=EXIT_CODES)
def list_models(*, as_json: Json = False, debug: Debug = False) -> None:
    """List the models that come with medseg, each with its figure on cases it never saw."""
    with reported(debug=debug, as_json=as_json):
        from medseg.models import card_of, figures_of, shipped

        rows = [_overview(card_of(name), figures_of(name)) for name in shipped()]
        if as_json:
            show_json({"models": rows})
            return
        columns = ("name", "version", "modality", "body part", "finds", "held out", "n", "licence")
        show_table("models", columns, [list(row.values()) for row in rows])


@models.command("show", no_args_is_help=True, epilog=EXIT_CODES)
def show_model(
    name: Annotated[
        str,
        typer.Argument(
            metavar="NAME",
            autocompletion=model_names,
            help="Name of a shipped model, or the folder of a model package.",
        ),
    ],
    *,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Show what a model is for, what it needs and finds, its limits and its licences."""
    with reported(debug=debug, as_json=as_json):
        from medseg.models import card_of, figures_of

        card = card_of(name)
        if as_json:
            show_json(card.model_dump(mode="json"))
            return
        facts = [*_facts(card), *_held_out(figures_of(name))]
        show_table(f"{card.name} {card.version}", ("", ""), facts)


def _overview(card: Card, figures: Mapping[str, Any]) -> dict[str, object]:
    from medseg.models.readme import headline

    figure, cases = headline(card, figures)
    return {
        "name": card.name,
        "version": card.version,
        "modality": card.modality,
        "body_part": card.body_part,
        "finds": ", ".join(one.name for one in card.classes),
        "held_out": figure,
        "held_out_cases": cases or None,
        "licence": card.licence.weights,
    }


def _held_out(figures: Mapping[str, Any]) -> list[tuple[str, str]]:
    """What the model is not for, and how good it is on cases that it never saw."""
    from medseg.models.readme import figures_in_words

    not_for = [("not for", "; ".join(figures["not_for"]))] if figures.get("not_for") else []
    return [*not_for, *(("on unseen cases", line) for line in figures_in_words(figures))]


def _facts(card: Card) -> list[tuple[str, str]]:
    channels = [one.name + ("" if one.required else " (optional)") for one in card.channels]
    return [
        ("summary", card.summary),
        ("intended use", card.intended_use),
        ("limits", card.limits),
        *([("caveat", card.caveat)] if card.caveat else []),
        ("modality", card.modality),
        ("body part", card.body_part),
        ("channels", ", ".join(channels)),
        ("finds", ", ".join(f"{one.name} ({one.kind})" for one in card.classes)),
        ("spacing z y x (mm)", " ".join(f"{mm:g}" for mm in card.spacing_mm)),
        ("backbone, head", f"{card.backbone.name}, {card.head.name}"),
        ("trained on", f"{card.training.name}, {card.training.cases} cases"),
        ("licence of the data", card.licence.data),
        ("licence of the weights", card.licence.weights),
        ("attribution", card.licence.attribution),
        ("SHA-256 of the weights", card.weights_sha256),
    ]
