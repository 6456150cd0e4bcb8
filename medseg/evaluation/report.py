"""What an evaluation leaves in a folder: tables, pictures, and one page that holds them."""

from __future__ import annotations

import json
from pathlib import Path

from medseg.evaluation.document import document
from medseg.evaluation.evaluation import Evaluation
from medseg.evaluation.page import page
from medseg.evaluation.pictures import PICTURES, figures_of
from medseg.evaluation.plots import png
from medseg.evaluation.wording import About
from medseg.io.atomic import atomic_path, staged
from medseg.io.tables import write_table

PAGE, DOCUMENT = "report.html", "evaluation.json"
TABLES = ("summary.csv", "cases.csv", "classes.csv", "objects.csv", "splits_and_merges.csv")
FILES = (*TABLES, *PICTURES, PAGE, DOCUMENT)
"""What `write_report` writes, in this order."""


def write_report(evaluation: Evaluation, out: Path, about: About | None = None) -> None:
    """Write `FILES` into the folder `out`, which must be there; older ones are replaced.

    The same values give the same bytes. All files are written beside the old ones first and take
    their places at the end: an error before that leaves `out` as it was.

    Raises OutputError where a file cannot be written.
    """
    said = about or About()
    pictures = {name: png(figure) for name, figure in figures_of(evaluation).items()}
    with staged(out, FILES) as stage:
        for name in TABLES:
            write_table(getattr(evaluation, name.removesuffix(".csv")), stage / name)
        for name, picture in pictures.items():
            _write(picture, stage / name)
        _write(page(evaluation, pictures, said).encode(), stage / PAGE)
        text = json.dumps(document(evaluation, said), indent=2, allow_nan=False)
        _write(f"{text}\n".encode(), stage / DOCUMENT)


def _write(content: bytes, path: Path) -> None:
    with atomic_path(path) as temporary:
        temporary.write_bytes(content)
