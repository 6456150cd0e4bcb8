"""One HTML page of a batch that needs no other file and no network."""

from __future__ import annotations

import base64
import hashlib
import json
from importlib import resources
from importlib.metadata import version
from pathlib import Path

from jinja2 import Environment, StrictUndefined

from medseg.io.atomic import atomic_path
from medseg_workflows.report.content import MOST_OBJECTS, MOST_PICTURES, STATES, content_of
from medseg_workflows.report.plots import HEIGHT, WIDTH

REPORT = "report.html"


def write_report(out: Path) -> Path:
    """Write `report.html` into the folder of a batch, from the tables of `collect`; its path.

    The page holds text, tables, plots and pictures; whatever comes from data is escaped. Only its
    own script may run, and nothing is fetched. The same results give the same bytes.

    Raises InputRefused for a damaged record and OutputError where the page cannot be written.
    """
    folder = resources.files("medseg_workflows.report")
    script = folder.joinpath("report.js").read_text(encoding="utf-8")
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    template = environment.from_string(
        folder.joinpath("report.html.jinja").read_text(encoding="utf-8")
    )
    content = content_of(out)
    page = template.render(
        of=content,
        states=STATES,
        plot={"width": WIDTH, "height": HEIGHT},
        most={"objects": MOST_OBJECTS, "pictures": MOST_PICTURES},
        data=_as_json(content.data),
        script=script,
        script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
        version=version("medseg"),
    )
    path = out / REPORT
    with atomic_path(path) as temporary:
        temporary.write_bytes(page.encode())
    return path


def _as_json(data: object) -> str:
    """JSON that can stand in a page: no "<" is left that could begin or end an element."""
    text = json.dumps(data, separators=(",", ":"), allow_nan=False, ensure_ascii=False)
    return text.replace("<", "\\u003c")
