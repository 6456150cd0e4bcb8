"""A backbone and a head as one network."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn

from medseg.card import Card
from medseg.errors import ModelError
from medseg.heads import HEADS
from medseg.heads.contract import WindowTarget
from medseg.networks import BACKBONES


class InstanceNetwork(nn.Module):
    """A window's image to the head's raw output.

    Shapes: (B, channels, Z, Y, X), lengths divisible by `multiple`, to the head's Raw.
    """

    def __init__(self, backbone: nn.Module, head: nn.Module) -> None:
        super().__init__()
        self.backbone: Any = backbone
        self.head: Any = head

    @property
    def multiple(self) -> int:
        """What the lengths of a window must be divisible by."""
        return int(self.backbone.strides[-1])

    def coarse(self, image: Tensor) -> Any:
        """Everything but the refinement to full resolution."""
        return self.head(self.backbone(image))

    def refine_found(self, image: Tensor, raw: Any) -> Any:
        """`coarse`'s output for one window, completed for decoding around what was found."""
        return self.head.refine_found(image, raw)

    def shift_organs(self, amounts: Sequence[float]) -> None:
        """Add to the logits of the organ classes, in the order of the card, for good."""
        self.head.shift_organs(amounts)

    def forward(self, image: Tensor, targets: Sequence[WindowTarget] | None = None) -> Any:
        """The raw output at full resolution, as training wants it.

        Heads whose second stage learns on given objects want `targets`, one a window.
        """
        return self.head.refine(image, self.coarse(image), targets)


def build(card: Card) -> InstanceNetwork:
    """The network that a card describes, with fresh weights.

    Raises ModelError (`model-invalid`) where the card names an unknown part or argument.
    """
    remedy = "update medseg, or mend the card"
    for what, name, known in (
        ("backbone", card.backbone.name, BACKBONES),
        ("head", card.head.name, HEADS),
    ):
        if name not in known:
            detail = f"no {what} is named {name!r}; there are {', '.join(known)}"
            raise ModelError("model-invalid", card.name, detail, remedy)
    channels = len(card.channels)
    try:
        backbone: Any = BACKBONES[card.backbone.name](channels, **card.backbone.arguments)
        head = HEADS[card.head.name].network(
            channels, backbone.channels, backbone.strides, card.classes, **card.head.network
        )
    except (TypeError, ValueError) as error:
        raise ModelError("model-invalid", card.name, str(error), remedy) from error
    return InstanceNetwork(backbone, head)
