"""One line for each value that is compared with one known from elsewhere."""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

BESIDE = Path(__file__).resolve().parent.parent.parent / "shared"
SHARED = Path(os.environ.get("MEDSEG_SHARED", BESIDE))
"""Where reference cases and real studies lie, unless an argument names another folder."""


def present(path: Path, option: str) -> Path:
    """The folder; where it is absent one line that names the option, and exit status 2."""
    if not path.is_dir():
        print(f"no folder {path}; name it with {option}, or set MEDSEG_SHARED", file=sys.stderr)
        raise SystemExit(2)
    return path


class Check(NamedTuple):
    """What was expected, how far off it may be (same unit), and what was got."""

    case: str
    quantity: str
    expected: float
    tolerance: float
    got: float

    @property
    def passes(self) -> bool:
        """Whether the value is within the tolerance; NaN and infinities only equal themselves."""
        if math.isnan(self.expected) or math.isnan(self.got):
            return math.isnan(self.expected) and math.isnan(self.got)
        if math.isinf(self.expected) or math.isinf(self.got):
            return self.expected == self.got
        return abs(self.got - self.expected) <= self.tolerance * (1 + 1e-9)


@dataclass(frozen=True)
class Difference:
    """A value that is not compared, because medseg's rule is another: which, and why."""

    case: str
    quantity: str
    reason: str


def half_last_digit(printed: str) -> float:
    """Half a unit of the last digit of a number as it is printed: 0.05 for "13.1"."""
    mantissa, _, exponent = printed.strip().lower().partition("e")
    decimals = len(mantissa.partition(".")[2])
    return float(0.5 * 10.0 ** (int(exponent or 0) - decimals))


def print_checks(title: str, checks: Sequence[Check]) -> int:
    """The lines of one set and their sum; the number of values outside."""
    print(f"\n{title}\n{'case':<22}{'quantity':<30}{'expected':>14}{'+-':>12}{'got':>14}")
    for one in checks:
        word = "PASS" if one.passes else "FAIL"
        numbers = f"{one.expected:>14.7g}{one.tolerance:>12.3g}{one.got:>14.7g}"
        print(f"{one.case:<22}{one.quantity:<30}{numbers}  {word}")
    outside = sum(not one.passes for one in checks)
    print(f"{len(checks) - outside} of {len(checks)} inside the tolerance")
    return outside


def print_differences(differences: Sequence[Difference]) -> None:
    """What is not compared, each with its reason."""
    for one in differences:
        print(f"{one.case:<22}{one.quantity:<30}differs by rule: {one.reason}")
