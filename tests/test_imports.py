"""What an import costs and which way it goes."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest

HEAVY = {"torch", "monai", "lightning", "lightning_fabric", "napari", "dask"}
LIGHT = (
    "medseg.editing",
    "medseg.evaluation",
    "medseg.measurement",
    "medseg.io",
    "medseg.io.dicom",
    "medseg.phantom",
    "medseg.samples",
    "medseg.card",
    "medseg.types",
    "medseg.errors",
)
POSIX_ONLY = {"fcntl", "grp", "pty", "pwd", "resource", "syslog", "termios"}
API = (
    "estimate",
    "evaluate",
    "load_model",
    "measure",
    "read",
    "read_instances",
    "read_volumes",
    "segment",
    "write",
)


def loaded_after(code: str) -> set[str]:
    """Top-level modules that a fresh interpreter holds after `code`."""
    tail = "\nimport json, sys; print(json.dumps(sorted({m.split('.')[0] for m in sys.modules})))"
    ran = subprocess.run(
        [sys.executable, "-c", code + tail], capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stderr
    return set(json.loads(ran.stdout.splitlines()[-1]))


def test_importing_medseg_loads_no_library() -> None:
    heavy = HEAVY | {"numpy", "pandas", "SimpleITK", "pydicom", "matplotlib", "pydantic"}
    assert not loaded_after("import medseg") & heavy


@pytest.mark.parametrize("module", LIGHT)
def test_reading_and_measuring_load_no_torch(module: str) -> None:
    assert not loaded_after(f"import {module}") & HEAVY


def test_reading_through_the_top_level_loads_no_torch() -> None:
    loaded = loaded_after("import medseg; medseg.read; medseg.write; medseg.measure")
    assert "numpy" in loaded
    assert not loaded & HEAVY


@pytest.mark.parametrize(
    "words", [["--help"], ["segment", "--help"], ["train", "--help"], ["--version"]]
)
def test_help_loads_no_torch_and_no_tables(words: list[str]) -> None:
    loaded = loaded_after(f"from medseg.cli import main\nassert main({words!r}) == 0")
    assert not loaded & (HEAVY | {"pandas", "matplotlib", "scipy"})


def test_the_public_names_are_there_and_others_are_not() -> None:
    import medseg

    assert set(API) <= set(medseg.__all__) <= set(dir(medseg))
    assert all(callable(getattr(medseg, name)) for name in API)
    with pytest.raises(AttributeError, match="no_such_name"):
        medseg.no_such_name  # noqa: B018 - the access is what is tested


def test_no_module_imports_posix_only_things_at_its_top(repository: Path) -> None:
    for folder in ("medseg", "napari_plugin", "workflows"):
        for path in (repository / folder).rglob("*.py"):
            for node in ast.parse(path.read_text(encoding="utf-8")).body:
                names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
                names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
                assert not POSIX_ONLY & set(names), path.name


def test_the_layers_stand_as_written(repository: Path) -> None:
    script = Path(sys.executable).with_name("lint-imports")
    ran = subprocess.run(
        [str(script), "--no-cache", "--no-logo"],
        cwd=repository, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stdout[-3000:]
