"""The head that splits touching lesions by their cores: class logits, and those of the cores."""

from medseg.heads.border_core.decode import BorderCoreDecoder
from medseg.heads.border_core.loss import WEIGHTS, border_core_loss
from medseg.heads.border_core.network import BorderCoreNetwork
from medseg.heads.contract import HeadParts

BORDER_CORE = HeadParts(BorderCoreNetwork, border_core_loss, WEIGHTS, BorderCoreDecoder)

__all__ = ["BORDER_CORE", "BorderCoreDecoder"]
