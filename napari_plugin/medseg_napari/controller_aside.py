"""What people are told of work that was parted from its layer and is nowhere on the disk."""

from __future__ import annotations

from medseg_napari.session import Session


def in_words(session: Session) -> str:
    """What is said of a session that was set aside."""
    steps = session.steps_at_risk
    count = "1 step" if steps == 1 else f"{steps} steps"
    return f"{session.reader}'s review of before ({count}) is not kept on the disk: it stands aside"


def warn_of_aside(session: Session) -> None:
    """Say it in napari's corner, wherever it was done."""
    from napari.utils.notifications import show_warning

    show_warning(f"{in_words(session)}, and the Lesions panel brings it back")
