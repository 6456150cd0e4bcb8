"""Tables of the docs that come from the code at build, so that they cannot differ from it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any


def markdown_table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table; a bar inside a cell is escaped."""
    lines = [list(heads), ["---"] * len(heads), *(list(row) for row in rows)]
    return "\n".join(
        "| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines
    )


def refusal_codes() -> str:
    """Every code of `InputRefused`, with what it means."""
    from medseg.errors import REFUSAL_CODES

    rows = [(f"`{code}`", meaning) for code, meaning in REFUSAL_CODES.items()]
    return markdown_table(("code", "what it means"), rows)


def refusals() -> str:
    """Every code with meaning, example and way out, a table a group."""
    from medseg.refusal_codes import REFUSALS

    groups: dict[str, list[tuple[str, str, str, str]]] = {}
    for code, one in REFUSALS.items():
        row = (f"`{code}`", one.meaning, one.example, one.remedy)
        groups.setdefault(one.group, []).append(row)
    heads = ("code", "what it means", "for example", "the way out")
    return "\n\n".join(
        f"### {group}\n\n{markdown_table(heads, rows)}" for group, rows in groups.items()
    )


def columns() -> str:
    """Every column of the table of measures."""
    from medseg.measurement.columns import COLUMNS

    rows = [(f"`{one.name}`", one.group, one.unit, one.definition, one.source) for one in COLUMNS]
    return markdown_table(("column", "group", "unit", "definition", "after"), rows)


TABLES: Mapping[str, Callable[[], str]] = MappingProxyType(
    {"refusal-codes": refusal_codes, "refusals": refusals, "columns": columns}
)
"""What a page may ask for with `<!-- table: NAME -->`."""


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Put the tables in place; MkDocs calls this for each page."""
    for name, make in TABLES.items():
        mark = f"<!-- table: {name} -->"
        if mark in markdown:
            markdown = markdown.replace(mark, make())
    return markdown
