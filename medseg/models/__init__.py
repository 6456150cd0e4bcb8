"""Model packages: cards, weights and the networks they describe.

What needs torch is imported on first use: listing models costs none.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from medseg.models.packages import card_of, figures_of, recipe_path, shipped, shipped_recipes

if TYPE_CHECKING:
    from medseg.models.loading import Model, decoder_of, load_model
    from medseg.models.network import InstanceNetwork, build

_LAZY = {
    "InstanceNetwork": "medseg.models.network",
    "Model": "medseg.models.loading",
    "build": "medseg.models.network",
    "decoder_of": "medseg.models.loading",
    "load_model": "medseg.models.loading",
}

__all__ = [
    "InstanceNetwork",
    "Model",
    "build",
    "card_of",
    "decoder_of",
    "figures_of",
    "load_model",
    "recipe_path",
    "shipped",
    "shipped_recipes",
]


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        msg = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(msg)
    return getattr(import_module(_LAZY[name]), name)
