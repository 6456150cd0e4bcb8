"""Prototype masks: one detector, a few volumes for the window, a product for every object."""

from medseg.heads.contract import HeadParts
from medseg.heads.yolact.decode import YolactDecoder
from medseg.heads.yolact.loss import WEIGHTS, yolact_loss
from medseg.heads.yolact.network import YolactNetwork

YOLACT = HeadParts(YolactNetwork, yolact_loss, WEIGHTS, YolactDecoder)

__all__ = ["YOLACT", "YolactDecoder"]
