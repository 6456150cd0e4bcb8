"""The name under which all classes, or all sizes, are pooled, and whom it would confuse."""

from __future__ import annotations

from collections.abc import Iterable

from medseg.errors import InputRefused
from medseg.types import InstanceClass

ALL = "all"
"""The name under which all classes, or all sizes, stand as one pool."""


def refuse_class_named_all(classes: Iterable[InstanceClass], subject: str) -> None:
    """Refuse a class whose rows could not be told from those of all classes.

    Raises InputRefused (`names-invalid`).
    """
    if any(one.name == ALL for one in classes):
        raise InputRefused(
            code="names-invalid",
            subject=subject,
            detail=f"has a class named {ALL!r}, which is what all classes together are called",
            remedy="give the class another name",
        )
