"""Fine-tuning: a training begins from the weights of another model, as far as they fit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn

from medseg.card import Card, read_card
from medseg.errors import InputRefused, ModelError
from medseg.models.packages import CARD, check_weights, package_folder, shipped
from medseg.training.problems import closest

KEY = "training.init"
SHOWN = 6
"""How many parts a line names."""


def initial_folder(init: str | None, root: Path) -> Path | None:
    """The package that a recipe begins from: a shipped model's name, or a folder below `root`.

    None for None: the weights are fresh.

    Raises InputRefused (`recipe-invalid`) for neither, ModelError (`model-invalid`) for a folder
    that is no package.
    """
    if init is None:
        return None
    if init in shipped():
        return package_folder(init)
    if not (root / init).is_dir():
        detail = f"no shipped model and no folder of that name: {init!r}{closest(init, shipped())}"
        remedy = "name a shipped model, or the folder of a model package below the data root"
        raise InputRefused("recipe-invalid", KEY, detail, remedy)
    return package_folder(root / init)


def take_weights(network: nn.Module, folder: Path) -> dict[str, Any]:
    """Give `network` every weight of a package whose name and shape are one of its own.

    Returns what the card says of it: model, version and hash, how many weights were taken of how
    many, and the parts of the network that keep fresh ones.

    Raises:
        InputRefused: `recipe-invalid` where no weight fits.
        ModelError: `model-invalid` for a package that is incomplete or altered.
    """
    card = read_card(folder / CARD)
    path = check_weights(folder, card)
    try:
        found = load_file(path)
    except SafetensorError as error:
        detail, remedy = "the weights cannot be read", "fetch the model package again"
        raise ModelError("model-invalid", f"model {card.name}", detail, remedy) from error
    own = network.state_dict()
    fitting = {
        name: value
        for name, value in found.items()
        if name in own and own[name].shape == value.shape
    }
    if not fitting:
        detail = (
            f"no weight of {card.name} ({card.backbone.name}, {card.head.name}) has the name and "
            "shape of one of this network"
        )
        remedy = "name a model with the same backbone and arguments"
        raise InputRefused("recipe-invalid", KEY, detail, remedy)
    network.load_state_dict(fitting, strict=False)
    fresh = dict.fromkeys(name.rpartition(".")[0] for name in own if name not in fitting)
    return {
        "model": card.name,
        "version": card.version,
        "weights_sha256": card.weights_sha256,
        "licence": card.licence.weights,
        "taken": len(fitting),
        "of": len(own),
        "fresh": list(fresh),
    }


def in_words(taken: dict[str, Any], card: Card) -> list[str]:
    """Lines for the user: what was taken, what was not, and terms that come with the weights.

    None where all weights were fresh (`taken` is empty).
    """
    if not taken:
        return []
    fresh = taken["fresh"]
    more = f" and {len(fresh) - SHOWN} more" if len(fresh) > SHOWN else ""
    rest = f"; fresh: {', '.join(fresh[:SHOWN])}{more}" if fresh else ""
    lines = [
        f"begins from {taken['model']} {taken['version']}: {taken['taken']} of {taken['of']} "
        f"weights taken{rest}"
    ]
    if taken["licence"] != card.licence.weights:
        lines.append(
            f"{taken['model']} is under {taken['licence']}, this recipe says "
            f"{card.licence.weights}: what is trained from its weights keeps its terms"
        )
    return lines
