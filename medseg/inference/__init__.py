"""From a study to instances: windows, engines, blending in slabs, and what is written of it."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from medseg.inference.segmentation import segment

_LAZY = {"segment": "medseg.inference.segmentation"}

__all__ = ["segment"]


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        msg = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(msg)
    return getattr(import_module(_LAZY[name]), name)
