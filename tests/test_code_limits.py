"""Limits of the code's form that no linter here checks: lengths of files and functions."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

LIBRARIES = ("medseg", "napari_plugin", "workflows")
MAX_FILE_LINES = 400
MAX_FUNCTION_LINES = 50


def sources(repository: Path) -> Iterator[tuple[str, str]]:
    for folder in LIBRARIES:
        for path in sorted((repository / folder).rglob("*.py")):
            yield path.relative_to(repository).as_posix(), path.read_text(encoding="utf-8")


def test_no_file_is_too_long(repository: Path) -> None:
    too_long = {
        name: len(text.splitlines())
        for name, text in sources(repository)
        if len(text.splitlines()) > MAX_FILE_LINES
    }
    assert not too_long


def test_no_function_is_too_long(repository: Path) -> None:
    too_long = {}
    for name, text in sources(repository):
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                # The signature of a command is its options: only the body counts.
                last = node.end_lineno or node.lineno
                lines = last - node.body[0].lineno + 1
                if lines > MAX_FUNCTION_LINES:
                    too_long[f"{name}:{node.name}"] = lines
    assert not too_long
