"""Backbones, and the layers that heads share."""

from collections.abc import Callable, Mapping
from types import MappingProxyType

from torch import nn

from medseg.networks.backbones import Backbone, ResidualPyramid
from medseg.networks.swin import SwinPyramid

BACKBONES: Mapping[str, Callable[..., nn.Module]] = MappingProxyType(
    {"residual_pyramid": ResidualPyramid, "swin_pyramid": SwinPyramid}
)
"""Backbones by the name that a card gives; each takes the number of input channels first."""

__all__ = ["BACKBONES", "Backbone", "ResidualPyramid", "SwinPyramid"]
