"""Backbones, and the layers that heads share."""

from medseg.networks.backbones import BACKBONES, Backbone, ResidualPyramid

__all__ = ["BACKBONES", "Backbone", "ResidualPyramid"]
