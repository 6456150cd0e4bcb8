"""Mask R-CNN with a coarse mask, sharpened at the points where it is uncertain."""

from functools import partial

from medseg.heads.contract import HeadParts
from medseg.heads.mask_rcnn.decode import MaskRCNNDecoder
from medseg.heads.mask_rcnn.loss import WEIGHTS, mask_rcnn_loss
from medseg.heads.mask_rcnn.network import MaskRCNNNetwork

PointRendNetwork = partial(MaskRCNNNetwork, mask_size=7, points=True, mask_regions=16)
"""PointRend (Kirillov et al. 2020): the mask of 7^3 is doubled up to the image's resolution, and
predicted anew where it is uncertain. The coarse mask is cheap, so more regions learn it."""

POINTREND = HeadParts(PointRendNetwork, mask_rcnn_loss, WEIGHTS, MaskRCNNDecoder)

__all__ = ["POINTREND", "PointRendNetwork"]
