"""The user's own defaults, as napari's Preferences keep them (`configurations` of the manifest)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, Literal, get_args

from medseg.io.colors import PALETTE
from medseg.types import Instances

Colors = Literal["of the model", "colour-blind safe", "bright"]
Device = Literal["auto", "cpu", "cuda"]
Connectivity = Literal[6, 18, 26]

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

    `min_volume_ml` hides smaller lesions, and deletes none. `next_case` and `previous_case` are
    keys as napari writes them, "" for none.
    """

    reader: str = ""
    device: Device = "auto"
    min_volume_ml: float = 0.0
    connectivity: Connectivity = 26
    colors: Colors = "of the model"
    next_case: str = "K"
    previous_case: str = "Shift-K"


def preferences() -> Preferences:
    """What the user set; the defaults where napari knows no page of medseg."""
    from napari.settings import get_plugin_settings

    try:
        pages = get_plugin_settings(PLUGIN)
    except KeyError:
        return Preferences()
    said: dict[str, Any] = {}
    for page in PAGES:
        said |= {
            one.name: getattr(getattr(pages, page, None), one.name)
            for one in fields(Preferences)
            if hasattr(getattr(pages, page, None), one.name)
        }
    return from_values(said)


def from_values(said: Mapping[str, Any]) -> Preferences:
    """Preferences from plain values; what cannot be one keeps its default."""
    checks: dict[str, Callable[[Any], Any]] = {
        "reader": lambda value: str(value).strip(),
        "device": lambda value: _among(str(value), get_args(Device)),
        "min_volume_ml": lambda value: max(0.0, float(value)),
        "connectivity": lambda value: _among(int(value), get_args(Connectivity)),
        "colors": lambda value: _among(str(value), get_args(Colors)),
        "next_case": lambda value: str(value).strip(),
        "previous_case": lambda value: str(value).strip(),
    }
    found = {}
    for name, check in checks.items():
        try:
            found[name] = check(said[name])
        except (KeyError, TypeError, ValueError):
            continue
    return Preferences(**found)


def recolored(instances: Instances, colors: Colors) -> Instances:
    """The instances with the colours of their classes changed, as files and pictures show them."""
    if colors == "of the model":
        return instances
    palette = SAFE if colors == "colour-blind safe" else PALETTE
    classes = tuple(
        replace(one, color=palette[n % len(palette)]) for n, one in enumerate(instances.classes)
    )
    return replace(instances, classes=classes)


def _among(value: Any, allowed: tuple[Any, ...]) -> Any:
    if value not in allowed:
        msg = f"{value!r} is none of {allowed}"
        raise ValueError(msg)
    return value
