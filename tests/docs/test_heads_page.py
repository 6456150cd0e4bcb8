"""What `docs/heads.md` states of settings and losses is what the code has."""

from __future__ import annotations

import inspect
import re
from collections.abc import Mapping
from dataclasses import fields
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from medseg.heads import HEADS
from medseg.heads.detr.network import DetrSettings
from medseg.heads.mask2former.network import Mask2FormerSettings
from medseg.heads.mask_rcnn.settings import MaskRCNNSettings

PAGE = Path(__file__).resolve().parents[2] / "docs" / "heads.md"
TEXT = PAGE.read_text(encoding="utf-8")
SETTINGS = {"detr": DetrSettings, "mask2former": Mask2FormerSettings, "mask_rcnn": MaskRCNNSettings}
AS_ANOTHER = {"components": "center_offset", "pointrend": "mask_rcnn"}
"""Heads that learn as another, and those that have another's decoder settings."""


def section(name: str) -> str:
    """What stands under the heading of a head."""
    found = re.search(rf"^## {name}\n(.*?)(?=^## )", TEXT, flags=re.MULTILINE | re.DOTALL)
    assert found, f"the page has no section {name}"
    return found[1]


def stated(text: str, kind: str) -> dict[str, str]:
    """Argument and default of the section's table `head.KIND`; empty where it has none."""
    table = re.search(rf"^\| `head\.{kind}` \|.*?\n\n", text + "\n\n", re.MULTILINE | re.DOTALL)
    rows = table[0].splitlines()[2:] if table else []
    cells = [[cell.strip().strip("`") for cell in row.split("|")] for row in rows if row]
    return {cell[1]: cell[2] for cell in cells}


def shown(value: Any) -> str:
    """A default as the page writes it."""
    if isinstance(value, Mapping):
        return repr(dict(value))
    return repr(value).replace("'", '"')


def network_defaults(name: str) -> dict[str, str]:
    network = HEADS[name].network
    if isinstance(network, partial):
        return {key: shown(value) for key, value in network.keywords.items()}
    if name in SETTINGS:
        made = SETTINGS[name]()
        return {one.name: shown(getattr(made, one.name)) for one in fields(made)}
    parameters = inspect.signature(network).parameters.values()
    return {one.name: shown(one.default) for one in parameters if one.default is not one.empty}


def stated_weights() -> dict[str, dict[str, float]]:
    """Weight of each part of the loss, for each head that the table has a column for."""
    lines = TEXT.splitlines()
    first = next(n for n, line in enumerate(lines) if line.startswith("| part |"))
    heads = [cell.strip(" `") for cell in lines[first].split("|")[2:-2]]
    weights: dict[str, dict[str, float]] = {head: {} for head in heads}
    for line in lines[first + 2 :]:
        if not line.startswith("|"):
            break
        cells = [cell.strip(" `") for cell in line.split("|")[1:-1]]
        for head, cell in zip(heads, cells[1:-1], strict=True):
            if cell:
                weights[head][cells[0]] = float(cell)
    return weights


@pytest.mark.parametrize("name", HEADS)
def test_every_head_has_a_section_with_a_drawing(name: str) -> None:
    pictures = re.findall(r"!\[.+?\]\((images/heads/\w+\.svg)\)", section(name))
    assert pictures
    assert all((PAGE.parent / picture).is_file() for picture in pictures)


@pytest.mark.parametrize("name", [name for name in HEADS if name != "components"])
def test_network_arguments_are_stated_with_their_defaults(name: str) -> None:
    assert stated(section(name), "network") == network_defaults(name)


@pytest.mark.parametrize("name", [name for name in HEADS if name not in AS_ANOTHER])
def test_decoder_settings_are_stated_with_their_defaults(name: str) -> None:
    decoder: Any = HEADS[name].decoder
    defaults = {one.name: shown(one.default) for one in fields(decoder) if one.name != "classes"}
    assert stated(section(name), "decoder") == defaults


@pytest.mark.parametrize("name", HEADS)
def test_weights_of_losses_are_stated(name: str) -> None:
    found = stated_weights()[AS_ANOTHER.get(name, name)]
    if name == "components":  # said below the table
        found = {part: one for part, one in found.items() if part not in ("centre", "offset")}
    assert found == dict(HEADS[name].loss_weights)


@pytest.mark.parametrize(("name", "other"), AS_ANOTHER.items())
def test_a_head_that_takes_anothers_settings_has_the_same(name: str, other: str) -> None:
    decoders: list[Any] = [HEADS[one].decoder for one in (name, other)]
    ours, theirs = ([one.name for one in fields(decoder)] for decoder in decoders)
    assert ours == theirs
