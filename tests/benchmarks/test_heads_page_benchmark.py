"""The tables of `docs/heads.md` are what the kept rows say."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

Load = Callable[[str], ModuleType]
PHANTOM = ((200, 200), [48, 64, 64])
"""How many were tested and chose the score, and the window."""
PUBLISHED = {"nodules": ((120, 40), [32, 48, 48]), "ms": ((1, 2), [64, 64, 64])}


def test_the_page_on_disk_is_what_the_rows_say(load: Load, repository: Path) -> None:
    script = load("heads_page")
    assert repository / "docs" / "heads.md" == script.PAGE
    text = script.PAGE.read_text(encoding="utf-8")
    made = load("made_parts").with_made(
        text, script.made(script.kept_rows()), script.BEGIN, script.END
    )
    assert made == text, "run benchmarks/heads_page.py --write"


def test_every_kept_row_is_of_the_published_test(load: Load) -> None:
    rows = load("heads_page").kept_rows()
    assert rows
    for row in rows:
        tested, shape = PUBLISHED.get(row["phantom"], PHANTOM)
        assert (row["windows"], row["threshold_windows"]) == tested
        assert row["shape"] == shape


def test_tables_of_the_page_lie_below_its_headings(load: Load) -> None:
    script = load("heads_page")
    made = script.made(script.kept_rows())
    assert made.startswith("#### ") and "\n## " not in made


def test_a_page_without_its_marks_is_a_bad_call(load: Load) -> None:
    with pytest.raises(ValueError, match="needs the marks"):
        load("made_parts").with_made("# Heads\n", "", "<!-- a -->", "<!-- b -->")
