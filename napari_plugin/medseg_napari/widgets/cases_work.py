"""Stepping through studies without Qt: open one, save it, go to the next, export them all."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from medseg.types import InstanceClass, Instances, Volume
from medseg_napari.controller import Controller, controller_of, release
from medseg_napari.page import Case as CaseOfPage
from medseg_napari.page import CaseAbout
from medseg_napari.session import Case, CaseList, Session, Status, find_session
from medseg_napari.view.facts import StudySource, facts_of, instance_layers, volume_layers
from medseg_napari.view.opening import open_study, read_volume
from medseg_napari.widgets.preferences import Preferences
from medseg_napari.widgets.segment_sessions import CASE_KEY, OUT, session_source
from medseg_napari.widgets.segment_show import remarks, show_session

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Layer

BY_HAND = (InstanceClass("lesion", "lesion", 1),)
"""The class of a case that is drawn by hand from nothing."""


class CasesWork:
    """The list of studies of one viewer, and the case that is open there."""

    def __init__(self, viewer: ViewerModel) -> None:
        self.viewer = viewer
        self.list: CaseList | None = None
        self.current: Case | None = None

    def open_list(self, studies: Path, out: Path | None, reader: str) -> CaseList:
        """Take a folder of studies; work goes to `out`, by default `medseg` inside that folder.

        Raises InputRefused and ValueError as `CaseList` does; then the old list stays.
        """
        self.list = CaseList(studies, studies / OUT if out is None else out, reader)
        self.current = None
        return self.list

    @property
    def cases(self) -> CaseList:
        """The list. Raises ValueError where none is open."""
        if self.list is None:
            msg = "open a folder of studies first"
            raise ValueError(msg)
        return self.list

    @property
    def controller(self) -> Controller | None:
        """The controller of the session on the current case; None where there is none yet."""
        controller = controller_of(self.viewer)
        store = None if controller is None else controller.session.store
        if store is None or self.current is None or self.list is None:
            return None
        own = self.list.folder(self.current.id).resolve()
        return controller if store.folder.resolve() == own else None

    @property
    def session(self) -> Session | None:
        """The session on the current case; None where there is none yet."""
        return None if self.controller is None else self.controller.session

    def read(self, case_id: str) -> tuple[Volume, StudySource]:
        """The image of a case as its session chose it; any thread may read it.

        Raises InputRefused as `medseg.read` does.
        """
        case = self.cases.case(case_id)
        found = find_session(self.cases.folder(case_id))
        said = {} if found is None else found.saved.source
        series, volume = said.get("series"), said.get("volume")
        image = read_volume(
            case.path,
            series=series,
            volume=volume,
            modality=said.get("modality"),
            unit=said.get("unit"),
        )
        own = image.meta.get("series")
        series = series if series is not None or own is None else str(own)
        return image, StudySource(str(case.path), series, volume)

    def show(
        self, case_id: str, image: Volume, source: StudySource, wishes: Preferences
    ) -> list[str]:
        """Put a case in the viewer instead of what is there, with its session if there is one.

        What the reader should know is given back, a line each. Raises InputRefused and OutputError
        as `Session.resume` does; the image is shown all the same.
        """
        case = self.cases.case(case_id)
        self.leave()
        layer = open_study(self.viewer, image, name=case.id, source=source)[0]
        layer.metadata[CASE_KEY] = self.cases.out / case.id
        self.current = case
        folder = self.cases.folder(case.id)
        if find_session(folder) is None:
            return []
        session = self.cases.open(case.id, image)
        controller = self._bound(session, layer, wishes)
        return remarks(session, controller)

    def begin_by_hand(self, wishes: Preferences) -> Controller:
        """A session without an object, for a case that is drawn by hand.

        Raises ValueError where no case is open or it has a session, OutputError as
        `Session.begin` does.
        """
        layer = self.layer
        facts = None if layer is None else facts_of(layer)
        if self.current is None or layer is None or facts is None or facts.volume is None:
            msg = "open a case first"
            raise ValueError(msg)
        nothing = Instances(facts.volume.geometry, [], BY_HAND, (), {"model": "drawn by hand"})
        source = session_source(facts)
        session = self.cases.open(self.current.id, facts.volume, nothing, source=source)
        return self._bound(session, layer, wishes)

    def finish(self, status: Status) -> Case | None:
        """Save the current case, set its status, and say which case to do comes next.

        Raises ValueError where it has no session yet, OutputError.
        """
        session = self.session
        if session is None or self.current is None:
            msg = "this case has no objects yet: segment it, or begin by hand"
            raise ValueError(msg)
        try:
            return self.cases.finish(self.current.id, session, status)
        finally:
            release(self.viewer)

    def leave(self) -> None:
        """Close the session and take away the layers of studies, not those of others."""
        release(self.viewer)
        for layer in [*instance_layers(self.viewer.layers), *volume_layers(self.viewer.layers)]:
            self.viewer.layers.remove(layer)
        self.current = None

    @property
    def layer(self) -> Layer | None:
        """The layer of the current case's image."""
        if self.current is None or self.list is None:
            return None
        own = self.list.out / self.current.id
        layers = volume_layers(self.viewer.layers)
        return next((one for one in layers if one.metadata.get(CASE_KEY) == own), None)

    def _bound(self, session: Session, layer: Layer, wishes: Preferences) -> Controller:
        facts = facts_of(layer)
        source = StudySource() if facts is None else facts.source
        name = f"{layer.name}: objects"
        return show_session(self.viewer, session, name=name, source=source, wishes=wishes)


def page_of(session: Session, title: str) -> tuple[CaseOfPage, CaseAbout]:
    """What the page of a case shows; its title is a study's name, never a patient's."""
    said = session.output.provenance
    facts = {}
    model = said.get("model")
    if isinstance(model, dict):
        facts["model"] = f"{model.get('name', '')} {model.get('version', '')}".strip()
    elif model:
        facts["model"] = str(model)
    if session.volume is not None:
        spacing = " × ".join(f"{mm:.3g}" for mm in session.volume.geometry.spacing_mm)
        shape = " × ".join(str(n) for n in session.volume.geometry.shape)
        facts["image"] = f"{session.volume.modality}, {shape} voxels of {spacing} mm (z, y, x)"
    facts["steps of correction"] = str(len(session.steps))
    return CaseOfPage.of(session), CaseAbout(title, facts)
