"""Loops over voxels, compiled once and kept on disk."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

from numba import njit

_P = ParamSpec("_P")
_R = TypeVar("_R")

_OPTIONS: dict[str, Any] = {"nogil": True, "no_cfunc_wrapper": True}
"""The wrapper is for calls from C, which nobody makes: a tenth of the time to compile."""


def compiled(function: Callable[_P, _R]) -> Callable[_P, _R]:
    """Compile a function of arrays and numbers on its first call; it releases the GIL.

    The machine code is kept beside the module, or in the user's cache where that is read-only;
    where neither can be written each process compiles anew, which takes seconds, not an error.

    What is kept is renewed when the function's own file changes, and only then: it may use
    compiled functions and constants of its own module, never those of another module of medseg.
    """
    try:
        kept: Callable[_P, _R] = njit(cache=True, **_OPTIONS)(function)
    except RuntimeError:  # numba's word for: no place to keep it
        kept = njit(**_OPTIONS)(function)
    return kept
