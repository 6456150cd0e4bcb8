"""From a recipe and a data set to a model package.

What needs torch is imported on first use: checking a recipe or a data set costs none.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from medseg.training.loop import train
    from medseg.training.overfit import overfit_one

_LAZY = {"overfit_one": "medseg.training.overfit", "train": "medseg.training.loop"}

__all__ = ["overfit_one", "train"]


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        msg = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(msg)
    return getattr(import_module(_LAZY[name]), name)
