"""The user's own defaults, as napari's Preferences keep them (`configurations` of the manifest)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, Literal, get_args

from medseg.io.colors import PALETTE
from medseg.types import Instances
from medseg_napari.controller_keys import CANCEL, KEYS, REDO, UNDO

Colors = Literal["of the model", "colour-blind safe", "bright"]
Device = Literal["auto", "cpu", "cuda"]
Connectivity = Literal[6, 18, 26]

_ACTIONS = {
    "next_lesion": "next",
    "previous_lesion": "previous",
    "accept": "accept",
    "reject": "reject",
    "unsure": "unsure",
    "go_to_lesion": "go",
}
_KEYS = ("next_case", "previous_case", *_ACTIONS)
_FIXED = (UNDO, REDO, CANCEL)

PLUGIN = "medseg"
PAGES = ("reading", "keys")

SAFE = (
    *((230, 159, 0), (86, 180, 233), (0, 158, 115), (240, 228, 66)),
    *((0, 114, 178), (213, 94, 0), (204, 121, 167)),
)
"""Colours that people who see colours otherwise tell apart (Okabe and Ito 2008)."""


@dataclass(frozen=True)
class Preferences:
    """Defaults of the panels; each field is one entry of a page in Preferences.

    `min_volume_ml` hides smaller lesions, and deletes none. `secret` is the file of the site's
    secret, "" for where a batch keeps it. From `next_case` on they are keys as
    napari writes them, "" for none; `usable_keys` says which can be bound.
    """

    reader: str = ""
    device: Device = "auto"
    min_volume_ml: float = 0.0
    connectivity: Connectivity = 26
    colors: Colors = "of the model"
    secret: str = ""
    next_case: str = "K"
    previous_case: str = "Shift-K"
    next_lesion: str = KEYS["next"]
    previous_lesion: str = KEYS["previous"]
    accept: str = KEYS["accept"]
    reject: str = KEYS["reject"]
    unsure: str = KEYS["unsure"]
    go_to_lesion: str = KEYS["go"]


def preferences() -> Preferences:
    """What the user set; the defaults where napari knows no page of medseg."""
    pages = _pages()
    said: dict[str, Any] = {}
    for page in PAGES:
        said |= {
            one.name: getattr(getattr(pages, page, None), one.name)
            for one in fields(Preferences)
            if hasattr(getattr(pages, page, None), one.name)
        }
    return from_values(said)


def watch_keys(listener: Callable[[Any], None]) -> Callable[[], None]:
    """Call `listener` whenever a key is changed in Preferences; what is returned ends that."""
    page = getattr(_pages(), "keys", None)
    if page is None:
        return lambda: None
    page.events.connect(listener)
    return lambda: page.events.disconnect(listener)


def from_values(said: Mapping[str, Any]) -> Preferences:
    """Preferences from plain values; what cannot be one keeps its default."""
    checks: dict[str, Callable[[Any], Any]] = {
        **dict.fromkeys(("reader", "secret"), lambda value: str(value).strip()),
        "device": lambda value: _among(str(value), get_args(Device)),
        "min_volume_ml": lambda value: max(0.0, float(value)),
        "connectivity": lambda value: _among(int(value), get_args(Connectivity)),
        "colors": lambda value: _among(str(value), get_args(Colors)),
        **dict.fromkeys(_KEYS, lambda value: str(value).strip()),
    }
    found = {}
    for name, check in checks.items():
        try:
            found[name] = check(said[name])
        except (KeyError, TypeError, ValueError):
            continue
    return Preferences(**found)


def usable_keys(wishes: Preferences) -> tuple[dict[str, str], list[str]]:
    """The keys that can be bound, by the names of preferences, and a line for each that cannot.

    A key that napari does not know is none, and of two actions with one key the first has it.
    """
    from app_model.types import KeyBinding

    taken = {str(KeyBinding.from_str(key)): "undo, redo and Escape" for key in _FIXED}
    usable, lines = {}, []
    for name in _KEYS:
        key = getattr(wishes, name)
        words = name.replace("_", " ")
        said = str(KeyBinding.from_str(key)) if key else ""
        if key and (not said or said.endswith("+") or " " in said):
            lines.append(f"Preferences: {key!r} is no single key, so {words} has none")
        elif said in taken:
            lines.append(f"Preferences: {key} is taken by {taken[said]}, so {words} has no key")
        elif said:
            usable[name], taken[said] = key, words
    return usable, lines


def review_keys(wishes: Preferences) -> dict[str, str]:
    """The keys of review that can be bound, by the actions of the controller."""
    usable, _ = usable_keys(wishes)
    return {action: usable[name] for name, action in _ACTIONS.items() if name in usable}


def recolored(instances: Instances, colors: Colors) -> Instances:
    """The instances with the colours of their classes changed, as files and pictures show them."""
    if colors == "of the model":
        return instances
    palette = SAFE if colors == "colour-blind safe" else PALETTE
    classes = tuple(
        replace(one, color=palette[n % len(palette)]) for n, one in enumerate(instances.classes)
    )
    return replace(instances, classes=classes)


def _pages() -> Any:
    """The pages of medseg in Preferences, None where napari knows none."""
    from napari.settings import get_plugin_settings

    try:
        return get_plugin_settings(PLUGIN)
    except KeyError:
        return None


def _among(value: Any, allowed: tuple[Any, ...]) -> Any:
    if value not in allowed:
        msg = f"{value!r} is none of {allowed}"
        raise ValueError(msg)
    return value
