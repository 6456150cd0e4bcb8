"""Run the code blocks of one Markdown page, in order, in the current folder.

`python` blocks share one namespace; in `console` blocks every line that starts with `$ ` is run; a
`toml` block with a title is written to the file of that name. Other blocks are shown only.

Usage: python page_blocks.py PAGE.md
"""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

RUN = ("python", "console")
FENCE = re.compile(
    r'^(?P<indent> *)```(?P<language>[a-z]+)(?: title="(?P<title>[^"]+)")?\n'
    r"(?P<source>.*?)^(?P=indent)```$",
    flags=re.MULTILINE | re.DOTALL,
)


class Block(NamedTuple):
    """One fenced block; `line` is that of its first source line, from 1."""

    language: str
    source: str
    line: int
    title: str = ""


def blocks(page: Path) -> list[Block]:
    """The blocks of a page that are run or written."""
    text = page.read_text(encoding="utf-8")
    found = []
    for match in FENCE.finditer(text):
        if match["language"] in RUN or match["title"]:
            indent = len(match["indent"])
            source = "\n".join(line[indent:] for line in match["source"].splitlines())
            line = text.count("\n", 0, match.start()) + 2
            found.append(Block(match["language"], source, line, match["title"] or ""))
    return found


def commands(block: Block) -> list[list[str]]:
    """The commands of a `console` block; a backslash at a line's end goes on."""
    lines = block.source.replace("\\\n", " ").splitlines()
    return [shlex.split(line[2:]) for line in lines if line.startswith("$ ")]


def run(page: Path) -> None:
    """Run a page's blocks; the first that fails raises."""
    namespace: dict[str, object] = {"__name__": "__main__"}
    for block in blocks(page):
        if block.title:
            Path(block.title).write_text(block.source + "\n", encoding="utf-8")
            continue
        if block.language == "python":
            padded = "\n" * (block.line - 1) + block.source
            exec(compile(padded, str(page), "exec"), namespace)  # noqa: S102 - our own pages
            continue
        for command in commands(block):
            print("$", shlex.join(command), flush=True)  # noqa: T201 - shown where a page fails
            subprocess.run(command, check=True)


if __name__ == "__main__":
    run(Path(sys.argv[1]))
