"""What a local worker loads as it starts: its end, and Ctrl-C, are the batch's business."""

from __future__ import annotations

import signal
from typing import Any

from medseg_workflows.worker import stop_children


def dask_setup(_: Any) -> None:
    """Let the batch end this process in its own time, without a traceback of each worker."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def dask_teardown(_: Any) -> None:
    """End the children before their parent goes."""
    stop_children()
