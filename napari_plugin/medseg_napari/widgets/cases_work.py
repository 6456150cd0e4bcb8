"""Stepping through studies without Qt: open one, save it, go to the next, export them all."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from medseg.types import InstanceClass, Instances, Volume
from medseg_napari.controller import Controller, controller_of, release
from medseg_napari.page import Case as CaseOfPage
from medseg_napari.page import CaseAbout
from medseg_napari.session import (
    READERS,
    BatchCase,
    Case,
    CaseList,
    Found,
    Session,
    Status,
    find_session,
    is_batch,
)
from medseg_napari.view.facts import (
    LayerFacts,
    StudySource,
    facts_of,
    instance_layers,
    volume_layers,
)
from medseg_napari.view.layer_data import image_data
from medseg_napari.view.opening import add_layers, open_study, read_volume
from medseg_napari.widgets.preferences import Preferences
from medseg_napari.widgets.segment_sessions import CASE_KEY, OUT, session_source
from medseg_napari.widgets.segment_show import remarks, show_session

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Layer

BY_HAND = (InstanceClass("lesion", "lesion", 1),)
"""The class of a case that is drawn by hand from nothing."""


@dataclass(frozen=True, eq=False)
class ReadCase:
    """What a case is shown from; `others` are images of other channels by name.

    `objects` are what a batch found, for a reader who has no session on them yet.
    """

    image: Volume
    source: StudySource
    others: Mapping[str, Volume] = field(default_factory=dict)
    objects: Instances | None = None


class CasesWork:
    """The list of studies of one viewer, and the case that is open there."""

    def __init__(self, viewer: ViewerModel) -> None:
        self.viewer = viewer
        self.list: CaseList | None = None
        self.current: Case | None = None

    def open_list(
        self, studies: Path, out: Path | None, reader: str, *, secret: Path | None = None
    ) -> CaseList:
        """Take a folder of studies, or of a batch with the file of its site's secret.

        Work goes to `out`, by default `medseg` inside that folder, and `readers` in a batch's.

        Raises InputRefused and ValueError as `CaseList` does; then the old list stays.
        """
        own = studies / (READERS if is_batch(studies) else OUT)
        self.list = CaseList(studies, own if out is None else out, reader, secret=secret)
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

    def read(self, case_id: str) -> ReadCase:
        """The image of a case as its session chose it; any thread may read it.

        Raises InputRefused as `medseg.read` does, and of a batch what `BatchCase.images` raises.
        """
        case = self.cases.case(case_id)
        found = find_session(self.cases.folder(case_id))
        said = {} if found is None else found.saved.source
        if isinstance(case, BatchCase):
            images, code, number = case.images(said)
            first, *others = images
            objects = case.objects() if found is None else None
            by_name = {name: images[name] for name in others}
            return ReadCase(images[first], StudySource(None, code, number), by_name, objects)
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
        return ReadCase(image, StudySource(str(case.path), series, volume))

    def show(self, case_id: str, read: ReadCase, wishes: Preferences) -> list[str]:
        """Put a case in the viewer instead of what is there, with its session if there is one.

        A session begins on objects that a batch found. What the reader should know is given back, a
        line each. Raises InputRefused and OutputError as `Session.resume` and `Session.begin` do;
        the image is shown all the same.
        """
        case = self.cases.case(case_id)
        self.leave()
        for name, other in read.others.items():
            add_layers(self.viewer, [image_data(other, name=f"{case.id}: {name}")])
        layer = open_study(self.viewer, read.image, name=case.id, source=read.source)[0]
        layer.metadata[CASE_KEY] = self.cases.out / case.id
        self.current = case
        found = find_session(self.cases.folder(case.id))
        facts = facts_of(layer)
        if facts is None or (found is None and read.objects is None):
            return []
        session = self.cases.open(case.id, read.image, read.objects, source=self._source(facts))
        controller = self._bound(session, layer, wishes)
        return remarks(session, controller) + self._older(found)

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
        source = self._source(facts)
        session = self.cases.open(self.current.id, facts.volume, nothing, source=source)
        return self._bound(session, layer, wishes)

    def finish(self, status: Status) -> Case | None:
        """Save the current case, set its status, leave it, and say which case to do comes next.

        Raises ValueError where it has no session yet, OutputError.
        """
        session = self.session
        if session is None or self.current is None:
            msg = "this case has no objects yet: segment it, or begin by hand"
            raise ValueError(msg)
        try:
            return self.cases.finish(self.current.id, session, status)
        finally:
            self.leave()  # what stayed on display could be painted in, and nothing kept it

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

    def _source(self, facts: LayerFacts) -> dict[str, Any]:
        """What a session on the current case keeps of its image, and of which result it is."""
        case = self.current
        return session_source(facts) | ({"batch": case.key} if isinstance(case, BatchCase) else {})

    def _older(self, found: Found | None) -> list[str]:
        """A line where a session was begun on another result of the batch than the one now."""
        then = None if found is None else found.saved.source.get("batch")
        if then is None or not isinstance(self.current, BatchCase) or then == self.current.key:
            return []
        return [
            "the batch has another result of this study by now (another input, model or option), "
            "and this work goes on with the older one; kept in another folder, it begins on the new"
        ]

    def _bound(self, session: Session, layer: Layer, wishes: Preferences) -> Controller:
        facts = facts_of(layer)
        source = StudySource() if facts is None else facts.source
        name = f"{layer.name}: objects"
        return show_session(self.viewer, session, name=name, source=source, wishes=wishes)


def page_of(session: Session, title: str) -> tuple[CaseOfPage, CaseAbout]:
    """What the page of a case shows, under a title that stands there as it is.

    Of a batch that is the study's code, else the name of its folder or file: where those are called
    after patients, so is the page.
    """
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
