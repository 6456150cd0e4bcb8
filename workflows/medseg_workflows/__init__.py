"""Batches of studies for medseg: plan, run and collect whole folders.

Names load on first use, so that workers and `load_results` wait for nothing they do not need.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from medseg_workflows.api import Batch, plan_batch, run_batch
    from medseg_workflows.cluster_file import Local, read_cluster
    from medseg_workflows.options import BatchOptions
    from medseg_workflows.records import Settings
    from medseg_workflows.results import Results, load_results

_LAZY = {
    "Batch": "medseg_workflows.api",
    "BatchOptions": "medseg_workflows.options",
    "Local": "medseg_workflows.cluster_file",
    "Results": "medseg_workflows.results",
    "Settings": "medseg_workflows.records",
    "load_results": "medseg_workflows.results",
    "plan_batch": "medseg_workflows.api",
    "read_cluster": "medseg_workflows.cluster_file",
    "run_batch": "medseg_workflows.api",
}

__all__ = [
    "Batch",
    "BatchOptions",
    "Local",
    "Results",
    "Settings",
    "load_results",
    "plan_batch",
    "read_cluster",
    "run_batch",
]


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        msg = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(msg)
    return getattr(import_module(_LAZY[name]), name)
