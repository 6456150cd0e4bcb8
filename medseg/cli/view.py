"""`medseg view`: a study in a window, with the objects that were found in it."""

from __future__ import annotations

import os
import sys
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import typer

from medseg.cli.console import show_warnings
from medseg.cli.errors import about, reported
from medseg.cli.options import Debug, ModalityName, Series, UnitName, VolumeNumber
from medseg.errors import MedsegError

INSTALL = "pip install 'medseg[napari]' pyqt6 (in a checkout: pip install -e '.[napari]' pyqt6)"
_BINDINGS = ("PyQt6", "PySide6", "PyQt5")
_BROKEN_BINDING = ("PySide6", "6.12.0", (3, 12))  # counts None wrongly, and ends the process


def view(  # noqa: PLR0913 - one parameter an option
    study: Annotated[
        Path,
        typer.Argument(metavar="STUDY", help="DICOM folder, NIfTI, NRRD or MHA file."),
    ],
    *,
    labels: Annotated[
        Path | None,
        typer.Option(
            "--labels",
            metavar="FILE",
            help="Objects to show over it: label map, .seg.nrrd, DICOM SEG or RTSTRUCT.",
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            metavar="OUT",
            help="Folder in which the review is kept, one inside it for each reader; by default "
            "medseg/STUDY beside the study.",
        ),
    ] = None,
    reader: Annotated[
        str,
        typer.Option(
            "--reader",
            metavar="INITIALS",
            help="Who reads; by default the initials in napari's Preferences.",
        ),
    ] = "",
    series: Series = None,
    volume: VolumeNumber = None,
    modality: ModalityName = None,
    unit: UnitName = None,
    debug: Debug = False,
) -> None:
    """Open one study in napari, the patient upright, with the panels of medseg.

    With --labels the review of these objects begins at once where the reader is known. Every step
    is kept; work that is there from before, after a crash too, is offered first.

    Needs napari and a Qt binding (PyQt6 or PySide6), which the base install leaves out.
    """
    with reported(debug=debug):
        require_viewer()
        from medseg_napari.view.launch import launch, run
        from medseg_napari.view.opening import read_volume

        with about(study):
            image = read_volume(study, series=series, volume=volume, modality=modality, unit=unit)
        show_warnings(image.warnings)
        number = volume or (1 if series else None)  # other series have folders of their own
        launch(image, study, labels, output=output, reader=reader, number=number)
        run()


def require_viewer() -> None:
    """Refuse where no window can be opened, with the line that mends it.

    Raises MedsegError (`extra-missing`, `binding-broken`, `display-missing`).
    """
    missing = [] if find_spec("napari") else ["napari"]
    if not any(find_spec(name) for name in _BINDINGS):
        missing.append("a Qt binding")
    if missing:
        detail = f"needs {' and '.join(missing)}"
        raise MedsegError("extra-missing", "medseg view", detail, INSTALL)
    name, broken, fixed = _BROKEN_BINDING
    if sys.version_info < fixed and _installed(name) == broken and not find_spec("PyQt6"):
        detail = f"{name} {broken} crashes on this Python"
        raise MedsegError("binding-broken", "medseg view", detail, "pip install 'pyside6<6.12'")
    screens = ("DISPLAY", "WAYLAND_DISPLAY", "QT_QPA_PLATFORM")
    if sys.platform.startswith("linux") and not any(os.environ.get(one) for one in screens):
        detail = "there is no screen to open a window on"
        remedy = "run it on a desktop, with ssh -X, or under xvfb-run"
        raise MedsegError("display-missing", "medseg view", detail, remedy)


def _installed(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
