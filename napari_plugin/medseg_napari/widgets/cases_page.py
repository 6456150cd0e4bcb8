"""The page of the case that is open, written beside the interface."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from medseg_napari.controller import controller_of
from medseg_napari.page import write_case_page
from medseg_napari.run import Job
from medseg_napari.session import Session
from medseg_napari.view.facts import volume_layers
from medseg_napari.widgets.cases_work import page_of
from medseg_napari.widgets.segment_sessions import CASE_KEY

if TYPE_CHECKING:
    import napari

PAGE_FILTER = "Web page (*.html)"


def page_job(session: Session, path: Path, title: str) -> Job[Path]:
    """Write the page of a session as it is now. The job's error: OutputError."""
    case, about = page_of(session, title)

    def work(job: Job[Path]) -> Path:
        job.enter("working")
        write_case_page(case, path, about, progress=job.count)
        return path

    return Job(work)


def title_of(viewer: napari.components.ViewerModel) -> str:
    """What the open session's page is called: its case, of a batch by code, else its layer."""
    controller = controller_of(viewer)
    if controller is None:
        return ""
    store = controller.session.store
    for layer in volume_layers(viewer.layers):
        work = layer.metadata.get(CASE_KEY)
        if work is not None and store is not None and store.folder.parent == work:
            return str(work.name)
    return str(controller.objects.name).partition(":")[0]


def save_page(viewer: napari.Viewer) -> None:
    """Ask where, and write the page of the session that is open in a viewer."""
    from napari.utils.notifications import show_error, show_info
    from qtpy.QtWidgets import QFileDialog

    from medseg_napari.run.qt import JobWatcher
    from medseg_napari.view.adapter import window_widget

    controller = controller_of(viewer)
    if controller is None:
        show_info("There are no objects yet: segment a study, or open a case.")
        return
    name = title_of(viewer)
    window = window_widget(viewer)
    found, _ = QFileDialog.getSaveFileName(window, "Page of this case", f"{name}.html", PAGE_FILTER)
    if not found:
        return
    watcher = JobWatcher(window)
    watcher.finished.connect(lambda path: show_info(f"The page is {path}."))
    watcher.failed.connect(lambda error: show_error(str(error)))
    for end in (watcher.finished, watcher.failed):
        end.connect(lambda _: watcher.deleteLater())
    watcher.watch(page_job(controller.session, Path(found), name))
