"""A training's figures as curves for TensorBoard."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from medseg.errors import MissingExtraError

FOLDER = "tensorboard"


class Curves:
    """Writes rows of figures to `out`/tensorboard, as `medseg train` keeps them in its table.

    A run that resumes after `step` hides what an earlier one wrote beyond it. Nothing is written
    before the first row.

    Raises MissingExtraError without TensorBoard's writer.
    """

    def __init__(self, out: Path, step: int) -> None:
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError as error:
            raise MissingExtraError("train", "curves for TensorBoard") from error
        self._make: Any = SummaryWriter
        self._folder, self._step = out / FOLDER, step
        self._writer: Any = None

    def add(self, row: Mapping[str, float]) -> None:
        """Add a row, whose "step" says where; figures that are not finite are left out."""
        if self._writer is None:
            self._writer = self._make(str(self._folder), purge_step=self._step + 1)
        for name, value in row.items():
            if name != "step" and math.isfinite(value):
                self._writer.add_scalar(_tag(name), value, int(row["step"]))
        self._writer.flush()

    def close(self) -> None:
        """Finish the file."""
        if self._writer is not None:
            self._writer.close()


def _tag(name: str) -> str:
    """Curves of one kind stand together: the part before the slash is a group."""
    if name == "loss":
        return "loss/total"
    if name.startswith("loss_"):
        return f"loss/{name.removeprefix('loss_')}"
    return f"training/{name}" if name == "learning_rate" else f"validation/{name}"
