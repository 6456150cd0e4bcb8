"""A window on one study, as `medseg view` opens it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from medseg.types import Volume
from medseg_napari.view.facts import StudySource
from medseg_napari.view.opening import open_study, stem

if TYPE_CHECKING:
    from napari import Viewer


def launch(volume: Volume, study: Path, labels: Path | None = None) -> Viewer:
    """A window with a study upright, and the objects of `labels` over it; `run` shows it.

    Raises InputRefused where the objects do not lie on the image's grid.
    """
    from napari import Viewer

    series = volume.meta.get("series")
    source = StudySource(str(study.absolute()), None if series is None else str(series))
    viewer = Viewer(title=f"medseg: {stem(study)}", show=False)
    try:
        open_study(viewer, volume, name=stem(study), source=source, labels=labels)
    except BaseException:
        viewer.close()
        raise
    viewer.show()
    return viewer


def run() -> None:
    """Show the windows until the last of them is closed."""
    import napari

    napari.run()
