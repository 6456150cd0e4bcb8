"""Every warning that medseg can give stands on the page of warnings, and no other."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
ROW = re.compile(r"^\| (`[^|]+`) \| [^|]+ \| [^|]+ \|$", re.MULTILINE)
SOURCES = ("medseg", "workflows", "napari_plugin")
ELSEWHERE = {
    *("derived-image", "lossy-compression", "burned-in-annotation"),  # a table of marks
    "cut-copies-dropped",  # a job's pair
    *("small-left-out", "mask-in-parts", "kind-assumed"),  # handed to a function
}
"""Codes whose place of use does not show them."""


def described() -> list[str]:
    page = (REPOSITORY / "docs" / "warnings.md").read_text(encoding="utf-8")
    return [code for cell in ROW.findall(page) for code in re.findall(r"`([^`]+)`", cell)]


def given() -> set[str]:
    """The codes of all `InputWarning(code, …)` in the source, also those that have a name there."""
    return {
        code
        for source in SOURCES
        for path in (REPOSITORY / source).rglob("*.py")
        for code in codes_in(ast.parse(path.read_text(encoding="utf-8")))
    }


def codes_in(tree: ast.Module) -> Iterator[str]:
    names = dict(constants(tree))
    for node in ast.walk(tree):
        if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.args):
            continue
        code = node.args[0]
        if node.func.id == "InputWarning" and isinstance(code, ast.Constant):
            yield str(code.value)
        elif node.func.id == "InputWarning" and isinstance(code, ast.Name) and code.id in names:
            yield names[code.id]


def constants(tree: ast.Module) -> Iterator[tuple[str, str]]:
    """Names of text at the top of a module, one or several in a line."""
    for node in tree.body:
        if not isinstance(node, ast.Assign):
            continue
        target, value = node.targets[0], node.value
        pairs = (
            zip(target.elts, value.elts, strict=False)
            if isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple)
            else [(target, value)]
        )
        for name, text in pairs:
            if isinstance(name, ast.Name) and isinstance(text, ast.Constant):
                yield name.id, str(text.value)


def test_the_page_has_every_code_once_and_no_other() -> None:
    rows = described()
    assert len(rows) == len(set(rows))
    assert set(rows) == given() | ELSEWHERE


def test_codes_that_are_found_elsewhere_stand_in_the_source() -> None:
    text = "".join(
        path.read_text(encoding="utf-8")
        for source in SOURCES
        for path in (REPOSITORY / source).rglob("*.py")
    )
    assert all(f'"{code}"' in text for code in ELSEWHERE)
