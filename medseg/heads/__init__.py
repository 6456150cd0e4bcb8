"""Ways to separate objects, under one contract."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from medseg.heads.border_core import BORDER_CORE
from medseg.heads.center_offset import CENTER_OFFSET, COMPONENTS
from medseg.heads.contract import HeadParts
from medseg.heads.detr import DETR
from medseg.heads.mask2former import MASK2FORMER
from medseg.heads.mask_rcnn import MASK_RCNN
from medseg.heads.pointrend import POINTREND
from medseg.heads.yolact import YOLACT

HEADS: Mapping[str, HeadParts] = MappingProxyType(
    {
        "border_core": BORDER_CORE,
        "center_offset": CENTER_OFFSET,
        "components": COMPONENTS,
        "detr": DETR,
        "mask2former": MASK2FORMER,
        "mask_rcnn": MASK_RCNN,
        "pointrend": POINTREND,
        "yolact": YOLACT,
    }
)
"""Heads by the name that a card gives."""

__all__ = ["HEADS", "HeadParts"]
