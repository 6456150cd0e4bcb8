"""A batch in a process of its own, to be killed: `chaos_main.py ROOT OUT KIND ...`."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

from batch_runs import QUICK, jobs_of, run_all
from medseg_workflows.cluster_file import Local

CHAOS = replace(QUICK, cluster=Local(workers=2), timeout_s=10.0, memory_mb=500.0, stall_s=45.0)

if __name__ == "__main__":
    run_all(Path(sys.argv[1]), Path(sys.argv[2]), jobs_of(*sys.argv[3:]), CHAOS)
