"""The Mask2Former head: queries from peaks, masked attention, masks that know their place."""

from medseg.heads.contract import HeadParts
from medseg.heads.mask2former.network import Mask2FormerNetwork
from medseg.heads.query_decode import QueryDecoder
from medseg.heads.set_loss import set_loss, set_weights

WEIGHTS = set_weights("class", "mask", "dice", organ_query=1.0, mask_points=5.0)

MASK2FORMER = HeadParts(Mask2FormerNetwork, set_loss, WEIGHTS, QueryDecoder)

__all__ = ["MASK2FORMER", "Mask2FormerNetwork"]
