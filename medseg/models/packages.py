"""Model packages as folders: which there are, and what their cards say; without torch."""

from __future__ import annotations

import hashlib
import json
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from medseg.card import Card, read_card
from medseg.errors import ModelError

CARD, WEIGHTS, RECIPE, FIGURES = "card.toml", "weights.safetensors", "recipe.toml", "figures.json"


def shipped() -> tuple[str, ...]:
    """The names of the models that come with medseg."""
    return tuple(sorted(path.parent.name for path in _home().glob(f"*/{CARD}")))


def shipped_recipes() -> tuple[str, ...]:
    """The names of the models whose recipe comes with medseg."""
    return tuple(sorted(path.parent.name for path in _home().glob(f"*/{RECIPE}")))


def recipe_path(name: str) -> Path | None:
    """The shipped recipe of that name, None where there is none."""
    path = _home() / name / RECIPE
    return path if name in shipped_recipes() else None


def package_folder(name_or_folder: str | Path) -> Path:
    """The folder of a shipped model's name, or else of a path.

    Raises ModelError: `model-unknown` with the nearest name; `model-invalid` without a card.
    """
    name = str(name_or_folder)
    if name in shipped():
        return _home() / name
    folder = Path(name_or_folder)
    if not folder.is_dir():
        close = get_close_matches(name, shipped(), n=1)
        hint = f"did you mean {close[0]}?" if close else f"there are: {', '.join(shipped())}"
        detail = "no shipped model and no folder has this name"
        raise ModelError("model-unknown", f"model {folder.name or name}", detail, hint)
    if not (folder / CARD).is_file():
        detail, remedy = f"the folder holds no {CARD}", "give the folder of a model package"
        raise ModelError("model-invalid", f"model {folder.name}", detail, remedy)
    return folder


def card_of(name_or_folder: str | Path) -> Card:
    """The card of a model; ModelError as `package_folder` and `read_card` raise it."""
    return read_card(package_folder(name_or_folder) / CARD)


def figures_of(name_or_folder: str | Path) -> dict[str, Any]:
    """The figures of a model's package; none where it holds no file of them."""
    path = package_folder(name_or_folder) / FIGURES
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    return found


def template_path(name: str) -> Path:
    """Where the template of that name lies that comes with medseg."""
    return _home() / "templates" / f"{name}.nii.gz"


def check_weights(folder: Path, card: Card) -> Path:
    """The weights' file, once its hash is the card's; ModelError (`model-invalid`) else."""
    path = folder / WEIGHTS
    remedy = "fetch the model package again"
    if not path.is_file():
        raise ModelError("model-invalid", f"model {card.name}", f"{WEIGHTS} is missing", remedy)
    found = hashlib.sha256(path.read_bytes()).hexdigest()
    if found != card.weights_sha256:
        detail = f"{WEIGHTS} has SHA-256 {found[:12]}…, the card says {card.weights_sha256[:12]}…"
        raise ModelError("model-invalid", f"model {card.name}", detail, remedy)
    return path


def _home() -> Path:
    return Path(__file__).parent
