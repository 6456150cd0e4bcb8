"""What a batch may be told beside what changes its results."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path

from medseg_workflows.cluster_file import ClusterFile, Local, Running, read_cluster
from medseg_workflows.guard import Limits
from medseg_workflows.worker import WORK

START_S = 300.0
WORKER_MB = 4096.0
"""What a worker may take of this machine where nobody says how many there are."""


@dataclass(frozen=True, slots=True)
class BatchOptions:
    """How a batch runs; nothing here changes a result.

    `select` is a RULES.toml, `secret` the file of the site's secret, `index` a folder that keeps
    what headers say, None keeps nothing; `only` names the folders of the root to look into, "" its
    own files. `resume` goes on in an OUT of another wish,
    `retry_quarantined` does failed studies once more, `keep_map` writes whom the codes stand for.

    `timeout_s` and `memory_mb` are the limits of one study; without `memory_mb` the workers share
    nine tenths of the machine. `insecure` allows a scheduler on the network without TLS.
    `reserve_mb` stays free on the disk of OUT. `stall_s` is how long nothing may finish before a
    new pass. `work` is what a child does with a job.
    """

    cluster: ClusterFile = field(default_factory=Local)
    timeout_s: float = 3600.0
    memory_mb: float | None = None
    select: Path | None = None
    secret: Path | None = None
    index: Path | None = None
    only: frozenset[str] | None = None
    resume: bool = False
    retry_quarantined: bool = False
    keep_map: bool = False
    insecure: bool = False
    reserve_mb: float = 100.0
    stall_s: float | None = None
    work: str = WORK

    @property
    def limits(self) -> Limits:
        """What one study may take."""
        if self.memory_mb is None and isinstance(self.cluster, Local):
            return Limits(self.timeout_s, Limits(self.timeout_s).most_mb / self.cluster.workers)
        return Limits(self.timeout_s, self.memory_mb)

    @property
    def longest_s(self) -> float:
        """How long nothing may finish: twice what a study may take, and the start of a child."""
        return 2 * self.timeout_s + START_S if self.stall_s is None else self.stall_s


def chosen_cluster(
    workers: int | None, scheduler: str | None, cluster: Path | None, *, memory_mb: float | None
) -> ClusterFile:
    """Where a batch runs, of which one is said: here, on a scheduler, or as a file says.

    Without any, as many workers as this machine has cores and memory for.

    Raises MedsegError for a file with faults.
    """
    if cluster is not None:
        return read_cluster(cluster)
    if scheduler is not None:
        return Running(address=scheduler)
    return Local(workers=workers or _fitting(memory_mb or WORKER_MB))


def _fitting(memory_mb: float) -> int:
    affinity = getattr(os, "sched_getaffinity", None)
    cores = len(affinity(0)) if affinity else os.cpu_count() or 1
    return max(1, min(cores, int(Limits(0.0).most_mb / memory_mb)))
