"""Proposals, and for each region a class, a better box and a mask."""

from medseg.heads.contract import HeadParts
from medseg.heads.mask_rcnn.decode import MaskRCNNDecoder
from medseg.heads.mask_rcnn.loss import WEIGHTS, mask_rcnn_loss
from medseg.heads.mask_rcnn.network import MaskRCNNNetwork

MASK_RCNN = HeadParts(MaskRCNNNetwork, mask_rcnn_loss, WEIGHTS, MaskRCNNDecoder)

__all__ = ["MASK_RCNN", "MaskRCNNDecoder"]
