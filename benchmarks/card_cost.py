"""Seconds and peak memory of a model on two cores, each case in a process of its own.

    python benchmarks/card_cost.py MODEL --data FOLDER --case ID

prints one line of JSON for the first of which the parent asks; the clock starts once the model is
loaded and has seen one small image, so that compiling is not counted.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

CORES = 2
CASES = 3


def measured(model: str, data: Path, case_id: str) -> dict[str, float]:
    """Seconds of a case and the peak memory of this process."""
    import resource

    import medseg
    from medseg.models.packages import RECIPE, package_folder
    from medseg.training.datasets import list_cases, load_case
    from medseg.training.recipe import read_recipe

    recipe = read_recipe(package_folder(model) / RECIPE)
    (case,) = (one for one in list_cases(recipe, data) if one.id == case_id)
    volumes = load_case(case, recipe).volumes
    began = time.perf_counter()
    loaded = medseg.load_model(model)
    load_s = time.perf_counter() - began
    times = []
    for _ in range(2):
        began = time.perf_counter()
        medseg.segment(volumes, loaded, device="cpu")
        times.append(time.perf_counter() - began)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"load_s": load_s, "first_s": times[0], "seconds": times[1], "peak_mb": peak}


def cost_rows(model: str, data: Path, cases: Sequence[str]) -> list[dict[str, Any]]:
    """One row: the median over up to `CASES` cases, evenly over them, and the largest memory."""
    count = min(CASES, len(cases))
    chosen = [cases[n * len(cases) // count] for n in range(count)]
    found = []
    for case in chosen:
        command = [sys.executable, __file__, model, "--data", str(data), "--case", case]
        environment = {**os.environ, "OMP_NUM_THREADS": str(CORES), "NUMBA_NUM_THREADS": str(CORES)}
        ran = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
        found.append(json.loads(ran.stdout.splitlines()[-1]))
    return [
        {
            "cores": CORES,
            "cases": count,
            "median seconds a case": statistics.median(one["seconds"] for one in found),
            "seconds of the first case in a process": statistics.median(
                one["first_s"] for one in found
            ),
            "peak memory in MB": round(max(one["peak_mb"] for one in found)),
        }
    ]


def main() -> int:
    """Measure one case in this process."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--case", required=True)
    asked = parser.parse_args()
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:CORES])
    print(json.dumps(measured(asked.model, asked.data, asked.case)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
