"""The code blocks of README and docs run as they stand, against the library of this checkout."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest
from page_blocks import RUN, Block, blocks, commands

REPOSITORY = Path(__file__).resolve().parents[2]
RUNNER = Path(__file__).with_name("page_blocks.py")
PAGES = [REPOSITORY / "README.md", *sorted((REPOSITORY / "docs").rglob("*.md"))]


def name_of(page: Path) -> str:
    return page.relative_to(REPOSITORY).as_posix()


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_page_has_a_block_that_runs(page: Path) -> None:
    assert any(block.language in RUN for block in blocks(page)), (
        f"{name_of(page)} shows no python or console block"
    )


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_the_blocks_of_a_page_run(page: Path, tmp_path: Path) -> None:
    scripts = sysconfig.get_path("scripts")
    environment = {
        **os.environ,
        "PATH": os.pathsep.join([scripts, os.environ.get("PATH", "")]),
        "PYTHONWARNINGS": "ignore",
        "COLUMNS": "100",
    }
    ran = subprocess.run(
        [sys.executable, str(RUNNER), str(page)],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert ran.returncode == 0, f"{name_of(page)}\n{ran.stdout[-3000:]}\n{ran.stderr[-3000:]}"


PAGE = """\
# Page

```python
x = 1
```

```bash
rm -r /
```

- item

    ```console
    $ a \\
      b
    output
    ```

```toml title="recipe.toml"
seed = 1
```
"""


def test_blocks_are_found_with_language_and_line(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(PAGE)
    assert blocks(page) == [
        Block("python", "x = 1", 4),
        Block("console", "$ a \\\n  b\noutput", 14),
        Block("toml", "seed = 1", 20, "recipe.toml"),
    ]
    assert commands(blocks(page)[1]) == [["a", "b"]]


def test_a_block_that_fails_is_named_by_page_and_line(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("text\n\n```python\nx = 1\nraise KeyError(x)\n```\n")
    ran = subprocess.run(
        [sys.executable, str(RUNNER), str(page)], capture_output=True, text=True, check=False
    )
    assert ran.returncode == 1
    assert f'File "{page}", line 5' in ran.stderr
