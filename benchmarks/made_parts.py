"""Pages of the documentation of which one part, between two marks, is made by a script."""

from __future__ import annotations

import argparse
from pathlib import Path


def with_made(text: str, made: str, begin: str, end: str) -> str:
    """The page with its made part anew; ValueError where a mark is missing."""
    if text.count(begin) != 1 or text.count(end) != 1:
        msg = f"the page needs the marks {begin} and {end} once each"
        raise ValueError(msg)
    before, after = text.partition(begin)[0], text.partition(end)[2]
    return f"{before}{begin}\n\n{made}\n\n{end}{after}"


def write_asked(description: str | None) -> bool:
    """Whether the command line says `--write`."""
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--write", action="store_true", help="write the page")
    return bool(parser.parse_args().write)


def show_or_write(page: Path, found: str, *, write: bool) -> int:
    """Write the page, or print it: then 1 where the one on disk is another."""
    if write:
        page.write_text(found, encoding="utf-8")
        return 0
    print(found)
    return int(found != page.read_text(encoding="utf-8"))
