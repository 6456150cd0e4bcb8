"""Ways to separate objects, under one contract."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from medseg.heads.center_offset import CENTER_OFFSET, COMPONENTS
from medseg.heads.contract import HeadParts

HEADS: Mapping[str, HeadParts] = MappingProxyType(
    {"center_offset": CENTER_OFFSET, "components": COMPONENTS}
)
"""Heads by the name that a card gives."""

__all__ = ["HEADS", "HeadParts"]
