"""The DETR head: queries from peaks, each with a box that layers refine, and a mask."""

from medseg.heads.contract import HeadParts
from medseg.heads.detr.network import DetrNetwork
from medseg.heads.query_decode import QueryDecoder
from medseg.heads.set_loss import set_loss, set_weights

WEIGHTS = set_weights("class", "mask", "dice", "box", "giou")

DETR = HeadParts(DetrNetwork, set_loss, WEIGHTS, QueryDecoder)

__all__ = ["DETR", "DetrNetwork"]
