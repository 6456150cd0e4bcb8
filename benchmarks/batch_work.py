"""What a child of `batch.py` does in place of a model: it keeps one core busy, and commits."""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from medseg_workflows.commit import commit, fresh_folder
from medseg_workflows.records import Job, Record

from medseg.io.pseudonyms import unveiled
from medseg.measurement import COLUMNS

BUSY_S = "BATCH_BUSY_S"
"""Variable of the environment: the processor's seconds of a study."""


def burn(request: Mapping[str, Any]) -> dict[str, Any]:
    """A study that takes a core for `BUSY_S` and finds nothing."""
    data = unveiled(Path(request["job"]).read_bytes(), bytes.fromhex(request["veil"]))
    job, out = Job.from_dict(json.loads(data)), Path(request["out"])
    began, until = time.monotonic(), time.process_time() + float(os.environ[BUSY_S])
    block = bytes(2**20)
    while time.process_time() < until:
        hashlib.sha256(block)
    seconds = {"segment": round(time.monotonic() - began, 3)}
    with fresh_folder(out, job.key) as folder:
        header = ",".join(column.name for column in COLUMNS)
        (folder / "instances.csv").write_text(f"{header}\n", encoding="utf-8")
        commit(out, record_of(job.as_dict(), {}, seconds), folder)
    return {"stale": False}


def record_of(
    names: Mapping[str, Any], classes: Mapping[str, Any], seconds: Mapping[str, float]
) -> Record:
    """The record of a small MR study; `names` has what a job has beside its files."""
    image = {"shape_zyx": [16, 24, 24], "spacing_mm_zyx": [1.0, 1.0, 1.0], "modality": "MR"}
    said = {
        **{name: names[name] for name in ("key", "study", "patient", "model", "settings")},
        "inputs": {"mr": image},
        "classes": classes,
        "warnings": [],
        "files": ["instances.csv"],
        "versions": {},
        "seconds": seconds,
        "peak_memory_mb": 0.0,
    }
    said["model"] = {key: one for key, one in said["model"].items() if key != "place"}
    return Record.from_dict(said)
