"""The part of `docs/heads.md` that is made from the rows of `heads_rows/`.

    python benchmarks/heads_page.py [--write]

A row is what `heads.py` leaves as `row.json` in a run's folder: one head, one seed, one budget.
Prints the page, or writes it; what stands outside of its two marks is written by hand. Status 1
where the page on disk is another, so that it cannot drift from the rows.
"""

from __future__ import annotations

import json
import sys
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any

from heads_tables import print_tables
from made_parts import show_or_write, with_made, write_asked

PAGE = Path(__file__).resolve().parent.parent / "docs" / "heads.md"
ROWS = Path(__file__).resolve().parent / "heads_rows"
BEGIN, END = "<!-- made from the rows -->", "<!-- end of what is made from the rows -->"


def kept_rows() -> list[dict[str, Any]]:
    """All rows that are kept."""
    return [json.loads(path.read_text(encoding="utf-8")) for path in sorted(ROWS.glob("*.json"))]


def made(rows: list[dict[str, Any]]) -> str:
    """The tables, under headings that fit the page."""
    printed = StringIO()
    with redirect_stdout(printed):
        print_tables(rows)
    return printed.getvalue().strip().replace("## ", "#### ")


def main() -> int:
    """Print or write the page; 0 where the one on disk is the same."""
    write = write_asked(__doc__)
    found = with_made(PAGE.read_text(encoding="utf-8"), made(kept_rows()), BEGIN, END)
    return show_or_write(PAGE, found, write=write)


if __name__ == "__main__":
    sys.exit(main())
