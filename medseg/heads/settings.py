"""What decoders of all heads share: settings that make no sense are refused by name."""

from __future__ import annotations

from collections.abc import Mapping


def check_numbers(values: Mapping[str, object], limits: Mapping[str, tuple[float, float]]) -> None:
    """Refuse what is no number or does not lie between its limits, neither included.

    Raises ValueError that names the setting as a card does: `head.decoder.NAME`.
    """
    for name, (low, high) in limits.items():
        value = values[name]
        if isinstance(value, bool) or not isinstance(value, int | float):
            msg = f"head.decoder.{name} is a number; got {value!r}"
            raise ValueError(msg)
        if not low < value < high:
            msg = f"head.decoder.{name} = {value:g} is not above {low:g} and below {high:g}"
            raise ValueError(msg)
