"""What a card may say of Mask R-CNN's network."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

CONSIDERED = 1000
"""So many of a window's boxes, the best, take part in non-maximum suppression."""


@dataclass(frozen=True)
class MaskRCNNSettings:
    """Widths and numbers of the network.

    Proposals come from the levels of `finest_stride` and above; set it to 2 where lesions are
    smaller than 6 voxels. `anchor_sizes` are in strides. `positives`, `negatives` and
    `mask_regions` are the regions a window that training takes; `most` is how many objects a window
    may hold. Boxes of a class that meet at an IoU above `overlap` are one; what that lets through
    is decided on masks. With `points` the masks of `mask_size`^3 are refined at uncertain points.
    `dense` are the arguments of the dense head.

    Raises ValueError for a number that makes no sense.
    """

    width: int = 64
    region_width: int = 32
    finest_stride: int = 4
    anchor_sizes: tuple[float, ...] = (3.0,)
    mask_size: int = 14
    points: bool = False
    positives: int = 16
    negatives: int = 16
    mask_regions: int = 8
    most: int = 200
    overlap: float = 0.7
    dense: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in ("positives", "negatives", "mask_regions", "most", "mask_size"):
            if getattr(self, name) < 1:
                msg = f"head.network.{name} is 1 or more; got {getattr(self, name)!r}"
                raise ValueError(msg)
        if not self.anchor_sizes or min(self.anchor_sizes) <= 0:
            msg = f"head.network.anchor_sizes are above 0; got {tuple(self.anchor_sizes)}"
            raise ValueError(msg)
        if not 0 < self.overlap < 1:
            msg = f"head.network.overlap lies between 0 and 1; got {self.overlap:g}"
            raise ValueError(msg)
