"""The fully convolutional head: class logits, a heat map of centres, offsets to them."""

from functools import partial

from medseg.heads.center_offset.decode import CenterOffsetDecoder, ComponentDecoder
from medseg.heads.center_offset.loss import WEIGHTS, center_offset_loss
from medseg.heads.center_offset.network import CenterOffsetNetwork
from medseg.heads.contract import HeadParts

CENTER_OFFSET = HeadParts(CenterOffsetNetwork, center_offset_loss, WEIGHTS, CenterOffsetDecoder)
COMPONENTS = CENTER_OFFSET._replace(
    network=partial(CenterOffsetNetwork, votes=False),
    loss_weights={name: one for name, one in WEIGHTS.items() if name not in ("centre", "offset")},
    decoder=ComponentDecoder,
)

__all__ = ["CENTER_OFFSET", "COMPONENTS", "CenterOffsetDecoder", "ComponentDecoder"]
