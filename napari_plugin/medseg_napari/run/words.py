"""Times and amounts of memory as people say them."""

from __future__ import annotations

_MINUTE, _HOUR = 60, 3600
_UNITS = ("bytes", "kB", "MB", "GB", "TB")


def seconds_in_words(seconds: float) -> str:
    """A span of time, no finer than an estimate deserves: under 5 s, 20 s, 3 min, 1 h 20 min."""
    if seconds < 5:
        return "under 5 s"
    if seconds < _MINUTE:
        return f"{5 * round(seconds / 5)} s" if seconds < 57.5 else "1 min"
    if seconds < _HOUR - _MINUTE / 2:
        return f"{round(seconds / _MINUTE)} min"
    hours, minutes = divmod(10 * round(seconds / _MINUTE / 10), 60)
    return f"{hours} h {minutes} min" if minutes else f"{hours} h"


def bytes_in_words(amount: int) -> str:
    """An amount of memory with two digits that count, in powers of 1000."""
    size, unit = float(amount), 0
    while size >= 999.5 and unit + 1 < len(_UNITS):
        size, unit = size / 1000, unit + 1
    return f"{size:.1f} {_UNITS[unit]}" if unit and size < 9.95 else f"{size:.0f} {_UNITS[unit]}"
