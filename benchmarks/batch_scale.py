"""Folders of very many studies for `batch.py`: made, planned, collected, in fresh processes.

Image files are looked into for real, as many as there are studies. DICOM headers are read for real
too. Results are made by hand: the tables of 20 phantoms take turns.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import NamedTuple

from batch_work import record_of
from medseg_workflows.api import plan_batch
from medseg_workflows.collect import collect
from medseg_workflows.commit import RECORD
from medseg_workflows.options import BatchOptions
from medseg_workflows.plan_output import PLAN_JSON
from medseg_workflows.records import Settings
from medseg_workflows.report import write_report
from pydicom import dcmread
from timing import extra_memory_mb, in_fresh_process

import medseg
from medseg.io.images import write_volume
from medseg.io.tables import write_table
from medseg.models import card_of
from medseg.phantom import touching_lesions, write_dicom_series
from medseg.types import Volume

MODEL = "phantom-lesions"
SHAPE = (16, 24, 24)
SLICES = 10
A_FOLDER = 1000
TABLES = 20
SETTINGS = Settings(modality="MR")

ONCE = """
import json, sys, batch_scale
print(json.dumps(batch_scale.once(*sys.argv[1:])))
"""


class Cost(NamedTuple):
    """What a step took: seconds by the clock and of the processor, and memory."""

    clock_s: float
    processor_s: float
    extra_mb: float


def phantom(seed: int, shape: Sequence[int] = SHAPE) -> Volume:
    """An MR of lesions that touch, (z, y, x)."""
    z, y, x = shape
    made = touching_lesions(seed, shape=(z, y, x)).volume
    return replace(made, modality="MR", unit="arbitrary")


def make_studies(root: Path, count: int) -> None:
    """DICOM studies of lesions that touch, a folder each."""
    for seed in range(count):
        write_dicom_series(phantom(seed), root / f"{seed:03d}")


def make_files(root: Path, count: int) -> None:
    """Image files of one voxel value each, a thousand a folder."""
    root.mkdir(parents=True)
    first = root / "first.nii"
    write_volume(phantom(0, (SLICES, 16, 16)), first)
    data = first.read_bytes()
    first.unlink()
    for n in range(count):
        folder = root / f"{n // A_FOLDER:03d}"
        folder.mkdir(exist_ok=True)
        (folder / f"{n:06d}.nii").write_bytes(data)


def make_dicom(root: Path, count: int) -> None:
    """DICOM studies of `SLICES` slices each; they differ in the last digits of their UIDs."""
    with tempfile.TemporaryDirectory() as name:
        files = write_dicom_series(phantom(0, (SLICES, 16, 16)), Path(name) / "first")
        slices = [(file.name, file.read_bytes(), _uids(file)) for file in files]
    for n in range(count):
        folder = root / f"{n // A_FOLDER:03d}" / f"{n:06d}"
        folder.mkdir(parents=True)
        for name, data, uids in slices:
            text = data
            for uid in uids:
                text = text.replace(uid, uid[:-6] + b"%06d" % n)
            (folder / name).write_bytes(text)


def _uids(file: Path) -> list[bytes]:
    ds = dcmread(file, stop_before_pixels=True)
    return [
        str(one).encode() for one in (ds.StudyInstanceUID, ds.SeriesInstanceUID, ds.SOPInstanceUID)
    ]


def fill(out: Path) -> None:
    """`done/` of every job that is planned in `out`."""
    tables = []
    for seed in range(TABLES):
        made = touching_lesions(seed)
        table = medseg.measure(made.truth)
        write_table(table, out / "one.csv")
        volumes_ml = table.groupby("class_name")["volume_ml"]
        classes = {
            str(name): {"kind": "lesion", "count": len(each), "volume_ml": float(each.sum())}
            for name, each in volumes_ml
        }
        tables.append(((out / "one.csv").read_bytes(), classes))
    (out / "one.csv").unlink()
    card = card_of(MODEL)
    model = {"name": card.name, "version": card.version, "weights_sha256": card.weights_sha256}
    jobs = json.loads((out / PLAN_JSON).read_bytes())["jobs"]
    for n, job in enumerate(jobs):
        data, classes = tables[n % TABLES]
        names = {**job, "model": model, "settings": asdict(SETTINGS)}
        folder = out / "done" / job["key"]
        folder.mkdir()
        (folder / "instances.csv").write_bytes(data)
        text = json.dumps(record_of(names, classes, {"segment": 1.0}).as_dict())
        (folder / RECORD).write_text(text, encoding="utf-8")


def once(step: str, root: str, out: str) -> dict[str, float]:
    """Seconds and megabytes of one step; for a fresh process (Linux)."""
    options = BatchOptions(secret=Path(out).with_name("secret"), reserve_mb=0.0)
    plan = partial(plan_batch, root, out, [MODEL], settings=SETTINGS, options=options)
    run: dict[str, Callable[[], object]] = {
        "scan and plan": plan,
        "collect": partial(collect, Path(out)),
        "report": partial(write_report, Path(out)),
    }
    began, worked = time.perf_counter(), time.process_time()
    extra_mb = extra_memory_mb(run[step])
    clock_s, processor_s = time.perf_counter() - began, time.process_time() - worked
    return {"clock_s": clock_s, "processor_s": processor_s, "extra_mb": extra_mb}


def costs(
    what: str, counts: Sequence[int], folder: Path, rounds: int
) -> dict[str, dict[int, list[Cost]]]:
    """What each step takes for each number of studies of a kind, which are made in `folder`.

    Every round goes through the numbers in turn: how fast a shared machine is changes by the
    minute, so only what is measured side by side is compared.
    """
    make = {"image files": make_files, "DICOM": make_dicom}[what]
    roots = {count: folder / str(count) / "root" for count in counts}
    for count, root in roots.items():
        make(root, count)
    found = {"scan and plan": _in_turn("scan and plan", roots, rounds, lambda n: f"out-{n}")}
    if what == "image files":
        for root in roots.values():
            fill(root.with_name("out-0"))
        for step in ("collect", "report"):
            found[step] = _in_turn(step, roots, rounds, lambda _: "out-0")
    return found


def _in_turn(
    step: str, roots: Mapping[int, Path], rounds: int, out_of: Callable[[int], str]
) -> dict[int, list[Cost]]:
    found: dict[int, list[Cost]] = {count: [] for count in roots}
    for n in range(rounds):
        for count, root in roots.items():
            print(f"{step} of {count}, round {n + 1} ...", file=sys.stderr, flush=True)
            out = root.with_name(out_of(n))
            found[count].append(Cost(**in_fresh_process(ONCE, step, str(root), str(out))))
    return found
