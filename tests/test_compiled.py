"""Compiled loops: kept where they can be, compiled anew where they cannot, never out of date."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

KERNEL = """
import numpy as np
from medseg.compiled import compiled

@compiled
def total(values):
    result = 0.0
    for value in values:
        result += value
    return result
"""

USE = """
import numpy as np
from kernel import total
found = total(np.arange(5.0))
hits = sum(total.stats.cache_hits.values()) if total.stats.cache_path else None
print(found, hits)
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a module that holds a compiled function."""
    made = tmp_path / "site"
    made.mkdir()
    (made / "kernel.py").write_text(KERNEL, encoding="utf-8")
    return made


def used(folder: Path, cache_home: str | Path) -> str:
    """What a fresh process prints that calls the function; its user's cache is at `cache_home`."""
    paths = [str(folder), *sys.path]
    environment = {key: value for key, value in os.environ.items() if "NUMBA_CACHE" not in key}
    environment |= {
        "PYTHONPATH": os.pathsep.join(filter(None, paths)),
        "XDG_CACHE_HOME": str(cache_home),
        "HOME": str(cache_home),
    }
    ran = subprocess.run(
        [sys.executable, "-W", "error", "-c", USE],
        env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    return ran.stdout.strip()


def blocked(folder: Path) -> None:
    """Nothing can be kept beside the module: as a file stands where the folder would be.

    Permissions would not do, as tests may run as root.
    """
    (folder / "__pycache__").write_text("", encoding="utf-8")


def kept_files(folder: Path) -> list[Path]:
    return [*folder.rglob("*.nbi"), *folder.rglob("*.nbc")]


def test_machine_code_is_kept_beside_the_module_and_used_by_the_next_process(folder: Path) -> None:
    assert used(folder, os.devnull) == "10.0 0"
    assert len(kept_files(folder / "__pycache__")) == 2
    assert used(folder, os.devnull) == "10.0 1"


@pytest.mark.skipif(sys.platform == "win32", reason="where the user's cache is differs")
def test_beside_a_read_only_module_it_is_kept_in_the_users_cache(
    folder: Path, tmp_path: Path
) -> None:
    blocked(folder)
    home = tmp_path / "home"
    home.mkdir()
    assert used(folder, home) == "10.0 0"
    assert len(kept_files(home)) == 2
    assert used(folder, home) == "10.0 1"


@pytest.mark.skipif(sys.platform == "win32", reason="where the user's cache is differs")
def test_where_nothing_can_be_kept_it_is_compiled_anew_without_an_error(folder: Path) -> None:
    blocked(folder)
    assert used(folder, os.devnull) == "10.0 None"
    assert not kept_files(folder)


def compiled_functions(module: ast.Module) -> list[ast.FunctionDef]:
    return [
        node
        for node in module.body
        if isinstance(node, ast.FunctionDef)
        and any(isinstance(one, ast.Name) and one.id == "compiled" for one in node.decorator_list)
    ]


def test_a_compiled_function_uses_nothing_of_another_module_of_ours(repository: Path) -> None:
    # What is kept is renewed when its own file changes. Code of another file that is compiled into
    # it, a function or a number, would stay as it was: an upgrade would go on with old results.
    found = 0
    for path in sorted((repository / "medseg").rglob("*.py")):
        module = ast.parse(path.read_text(encoding="utf-8"))
        imported = {
            alias.asname or alias.name
            for node in ast.walk(module)
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("medseg")
            for alias in node.names
        }
        for function in compiled_functions(module):
            found += 1
            names = {
                node.id
                for line in function.body
                for node in ast.walk(line)
                if isinstance(node, ast.Name)
            }
            assert not names & imported, f"{path.name}: {function.name}"
    assert found > 10
