"""A model package in memory, ready to segment."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file

from medseg.card import Card, read_card
from medseg.errors import ModelError
from medseg.heads import HEADS
from medseg.heads.contract import Decoder, InstanceDecoder
from medseg.models.network import InstanceNetwork, build
from medseg.models.packages import CARD, check_weights, package_folder


@dataclass(frozen=True, repr=False)
class Model:
    """A card, the network with its trained weights, and the decoder of its head."""

    card: Card
    network: InstanceNetwork
    decoder: Decoder

    def __repr__(self) -> str:
        classes = ", ".join(one.name for one in self.card.classes)
        return f"Model({self.card.name} {self.card.version}, {self.card.modality}: {classes})"


def load_model(name_or_folder: str | Path) -> Model:
    """Load a shipped model by name, or a model package by its folder; runs no code from it.

    Raises ModelError: `model-unknown`; `model-invalid` where the card is wrong, the weights'
    hash is not the card's, or the weights do not fit the network.
    """
    folder = package_folder(name_or_folder)
    card = read_card(folder / CARD)
    path = check_weights(folder, card)
    network = build(card)
    try:
        weights = {name: value.float() for name, value in load_file(path).items()}
        network.load_state_dict(weights)
    except (SafetensorError, RuntimeError) as error:
        detail, remedy = "the weights do not fit the network", "fetch the model package again"
        raise ModelError("model-invalid", f"model {card.name}", detail, remedy) from error
    return Model(card, network.eval(), decoder_of(card))


def decoder_of(card: Card) -> Decoder:
    """The decoder that a card describes; ModelError (`model-invalid`) for a wrong argument."""
    try:
        decoder = HEADS[card.head.name].decoder(card.classes, **card.head.decoder)
    except (TypeError, ValueError) as error:
        raise ModelError("model-invalid", card.name, str(error), "mend the card") from error
    if card.mirror_axes and isinstance(decoder, InstanceDecoder):
        detail = f"head {card.head.name} finds whole objects: mirrored views cannot be averaged"
        raise ModelError("model-invalid", card.name, detail, "leave mirror_axes out of the card")
    return decoder
