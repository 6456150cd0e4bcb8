"""The Cases panel: a folder of studies, stepped through with one key."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QModelIndex
from qtpy.QtWidgets import (
    QAbstractItemView,
    QComboBox,
    QFileDialog,
    QGroupBox,
    QHBoxLayout,
    QHeaderView,
    QLabel,
    QProgressBar,
    QPushButton,
    QTableView,
    QVBoxLayout,
    QWidget,
)

from medseg.errors import MedsegError
from medseg_napari.controller import Controller, controller_of, watch
from medseg_napari.run import Job, JobState
from medseg_napari.run.qt import JobWatcher
from medseg_napari.session import STATUSES, Exported, export_cases
from medseg_napari.view.adapter import unwrapped
from medseg_napari.view.study_view import attach
from medseg_napari.widgets.cases_compare import Comparison, compare, readers_of
from medseg_napari.widgets.cases_forms import CompareForm, StudiesForm
from medseg_napari.widgets.cases_page import PAGE_FILTER, page_job
from medseg_napari.widgets.cases_table import HEADS, CaseTable, export_in_words
from medseg_napari.widgets.cases_work import CasesWork, ReadCase
from medseg_napari.widgets.dock_end import EndsWithDock
from medseg_napari.widgets.dock_tabs import SharesTabs
from medseg_napari.widgets.preferences import preferences, usable_keys
from medseg_napari.widgets.segment_banner import Banner
from medseg_napari.widgets.segment_show import way_back

if TYPE_CHECKING:
    import napari

_DONE = "done"


class CasesPanel(SharesTabs, EndsWithDock, QWidget):
    """Lists studies, opens one, saves it and goes to the next."""

    def __init__(self, napari_viewer: napari.Viewer, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.viewer = unwrapped(napari_viewer)
        attach(self.viewer)
        self.work = CasesWork(self.viewer)
        self.watcher = JobWatcher(self)
        self._then: Callable[[Any], None] | None = None
        wishes = preferences()
        self.banner = Banner(self)
        at_work = controller_of(self.viewer)
        reader = wishes.reader if at_work is None else at_work.session.reader
        self.studies = StudiesForm(reader, self)
        self.model = CaseTable(self)
        self.table = QTableView(self)
        self.counts, self.status = QLabel(self), QLabel(self)
        self.status.setWordWrap(True)
        self.previous = QPushButton("Previous", self)
        keys, lines = usable_keys(wishes)
        self.next = QPushButton(_with_key("Save, next", keys.get("next_case")), self)
        self.by_hand = QPushButton("Begin by hand", self)
        self.by_hand.setToolTip("A session without an object, for a case that is drawn by hand")
        self.as_status = QComboBox(self)
        self.as_status.addItems(STATUSES)
        self.as_status.setCurrentText(_DONE)
        self.compare = CompareForm(self)
        self.export = QPushButton("Export data set …", self)
        self.page = QPushButton("Page …", self)
        self.page.setToolTip("One HTML file with a picture of each lesion and the table")
        self.progress = QProgressBar(self)
        self.progress.setTextVisible(False)
        self._arrange()
        self._connect()
        self._bind_keys(keys)
        if lines:
            self.banner.say(lines, "warning")
        self.refresh()

    def _arrange(self) -> None:
        self.table.setModel(self.model)
        self.table.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.table.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        side, top = self.table.verticalHeader(), self.table.horizontalHeader()
        if side is not None and top is not None:
            side.hide()
            top.setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
            top.setSectionResizeMode(HEADS.index("Work"), QHeaderView.ResizeMode.Stretch)
        self.table.setWordWrap(False)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(8, 8, 8, 8)
        layout.addWidget(self.banner)
        layout.addWidget(_group("Studies", self.studies, self))
        layout.addWidget(self.counts)
        layout.addWidget(self.table, 1)
        first = QHBoxLayout()
        for widget in (self.previous, self.by_hand):
            first.addWidget(widget)
        layout.addLayout(first)
        second = QHBoxLayout()
        second.addWidget(QLabel("as", self))
        second.addWidget(self.as_status, 1)
        second.addWidget(self.next, 2)
        layout.addLayout(second)
        layout.addWidget(_group("Agreement", self.compare, self))
        last = QHBoxLayout()
        for widget in (self.page, self.export):
            last.addWidget(widget)
        layout.addLayout(last)
        layout.addWidget(self.progress)
        layout.addWidget(self.status)

    def _connect(self) -> None:
        self.studies.wanted.connect(self.open_list)
        self.table.activated.connect(self._open_row)
        self.previous.clicked.connect(lambda _=False: self.go_back())
        self.next.clicked.connect(lambda _=False: self.save_and_next())
        self.by_hand.clicked.connect(lambda _=False: self.begin_by_hand())
        self.compare.wanted.connect(self.run_comparison)
        self.compare.scope.currentIndexChanged.connect(lambda _: self.refresh())
        self.export.clicked.connect(lambda _=False: self._ask_export())
        self.page.clicked.connect(lambda _=False: self._ask_page())
        self.watcher.changed.connect(self._show_state)
        self.watcher.finished.connect(self._finished)
        self.watcher.failed.connect(self._failed)
        self.at_end(watch(self.viewer, self._on_session))

    def _bind_keys(self, keys: Mapping[str, str]) -> None:
        """For as long as this panel lives."""
        actions = {"next_case": self.save_and_next, "previous_case": self.go_back}
        viewer, bound = self.viewer, [keys[name] for name in actions if name in keys]
        for name, act in actions.items():
            if name in keys:
                viewer.bind_key(keys[name], _pressed(act), overwrite=True)
        self.at_end(partial(_unbind, viewer, bound))

    def open_list(self) -> None:
        """Take the folder that is written in the form."""
        studies, out = self.studies.folders
        if studies is None:
            self.banner.say(["Choose the folder that holds the studies."], "question")
            return
        reader = self.studies.reader.text().strip()
        if not reader:
            self.banner.say(["Enter your initials beside Reader."], "question")
            return
        self.banner.clear()
        secret = preferences().secret
        place = Path(secret).expanduser() if secret else None
        found = self._try(lambda: self.work.open_list(studies, out, reader, secret=place))
        if found:
            if found.problem:
                self.banner.say([found.problem], "warning")
            self.compare.show_result(None)
            self.refresh()

    def open_case(self, case_id: str) -> None:
        """Read a case's image beside the interface, then show it with its session."""
        if self.watcher.is_busy:
            return
        self.banner.clear()
        self.status.setText(f"Opening {case_id} …")
        self._run(Job(lambda _: self.work.read(case_id)), partial(self._show_case, case_id))

    def save_and_next(self) -> None:
        """Save the case, set its status, and open the next one that is to do."""
        if self.watcher.is_busy or self.work.list is None:
            return
        if self.work.current is None:
            self._open_or_say(self.work.list.step(1, status="to do"))
            return
        status = next(one for one in STATUSES if one == self.as_status.currentText())
        found = self._try(lambda: (self.work.finish(status),))
        if found:
            self.as_status.setCurrentText(_DONE)
            self._open_or_say(found[0])
        else:
            self.status.setText(self._words_of_case())
            self.refresh()

    def go_back(self) -> None:
        """Open the case before this one; this one's work is kept, its status stays."""
        current = self.work.current
        if self.work.list is None or current is None or self.watcher.is_busy:
            return
        case = self.work.list.step(-1, current.id)
        if case is None:
            self.status.setText("This is the first case.")
        else:
            self.open_case(case.id)

    def begin_by_hand(self) -> None:
        """A session without an object on the case that is open."""
        current = self.work.current
        begun = self._try(lambda: (self.work.begin_by_hand(preferences()),))
        if begun and current is not None:
            self.status.setText(f"{current.id}: begun by hand. Draw with Paint new in Correct.")
        self.refresh()

    def run_comparison(self) -> None:
        """Compare this reader with the one that is chosen."""
        other, ids = self.compare.reader.currentText(), self._compared()
        cases = self.work.list
        if cases is None or not other or self.watcher.is_busy:
            return

        def work(job: Job[Comparison]) -> Comparison:
            job.enter("working")
            return compare(cases, other, ids, job.count)

        self._run(Job(work), self.compare.show_result)

    def export_to(self, target: Path) -> None:
        """Write the corrected cases as a data set into a new folder."""
        cases = self.work.list
        if cases is None or self.watcher.is_busy:
            return

        def work(job: Job[Exported]) -> Exported:
            job.enter("working")
            return export_cases(cases, target, progress=job.count)

        self._run(Job(work), partial(self._exported, target))

    def write_page(self, path: Path) -> None:
        """Write the page of the case that is open."""
        session = self.work.session
        if session is None or self.watcher.is_busy or self.work.current is None:
            return
        self._run(page_job(session, path, self.work.current.id), partial(self._said, path))

    def refresh(self) -> None:
        """Show the list as it stands on the disk."""
        cases, current = self.work.list, self.work.current
        if cases is not None:
            rows = self._try(cases.rows) or ()
            self.model.show(rows, None if current is None else current.id)
            place = self.model.place(None if current is None else current.id)
            if place >= 0:
                self.table.selectRow(place)
            said = self._try(cases.counts) or {}
            self.counts.setText(", ".join(f"{n} {status}" for status, n in said.items()))
            self.compare.offer(self._try(lambda: readers_of(cases, self._compared())) or [])
        self._enable()

    def _enable(self) -> None:
        """Only what can be done now can be pressed."""
        busy, session = self.watcher.is_busy, self.work.session
        has_list, is_open = self.work.list is not None, self.work.current is not None
        self.previous.setEnabled(is_open and not busy)
        self.by_hand.setEnabled(is_open and session is None and not busy)
        self.next.setEnabled(has_list and not busy and (session is not None or not is_open))
        self.page.setEnabled(session is not None and not busy)
        self.export.setEnabled(has_list and not busy)
        self.compare.setEnabled(has_list and not busy)
        self.progress.setVisible(busy)

    def _show_case(self, case_id: str, found: ReadCase) -> None:
        lines = self._try(lambda: self.work.show(case_id, found, preferences()))
        self.status.setText(self._words_of_case())
        if lines:
            self.banner.say(lines, "warning", way_back(self.viewer))
        self.refresh()

    def _words_of_case(self) -> str:
        session, current = self.work.session, self.work.current
        if current is None:
            return ""
        if session is None:
            why = f" The batch says {current.note}." if current.note else ""
            return f"{current.id} has no objects yet: segment it, or begin by hand.{why}"
        counts = ", ".join(f"{one.count} {name}" for name, one in session.totals().items())
        return f"{current.id}: {counts or 'no object'}."

    def _open_or_say(self, case: Any) -> None:
        if case is None:
            self.work.leave()
            self.banner.say(["Every case has been read."], "good")
            self.status.clear()
            self.refresh()
        else:
            self.open_case(case.id)

    def _open_row(self, index: QModelIndex) -> None:
        self.open_case(self.model.rows[index.row()].case.id)

    def _compared(self) -> list[str]:
        cases, current = self.work.list, self.work.current
        if cases is None:
            return []
        if self.compare.is_all or current is None:
            return [case.id for case in cases.cases]
        return [current.id]

    def _ask_export(self) -> None:
        found = QFileDialog.getExistingDirectory(self, "New folder for the data set")
        if found:
            self.export_to(Path(found))

    def _ask_page(self) -> None:
        name = "" if self.work.current is None else f"{self.work.current.id}.html"
        found, _ = QFileDialog.getSaveFileName(self, "Page of this case", name, PAGE_FILTER)
        if found:
            self.write_page(Path(found))

    def _exported(self, target: Path, found: Exported) -> None:
        lines = export_in_words(found)
        self.banner.say([f"{target}:", *lines], "good" if len(lines) == 1 else "warning")

    def _said(self, path: Path, _result: object) -> None:
        self.banner.say([f"The page is {path}."], "good")

    def _run(self, job: Job[Any], then: Callable[[Any], None]) -> None:
        self._then = then
        self.watcher.watch(job)
        self._enable()

    def _finished(self, result: object) -> None:
        then, self._then = self._then, None
        if then is not None:
            then(result)
        self._enable()

    def _failed(self, error: MedsegError) -> None:
        self._then = None
        self.status.clear()
        self.refresh()
        self.banner.say([str(error)], "error")

    def _show_state(self, state: JobState) -> None:
        self.progress.setRange(0, state.total)
        self.progress.setValue(state.done)

    def _on_session(self, _controller: Controller | None) -> None:
        self._enable()

    def _try(self, work: Callable[[], Any]) -> Any:
        """What `work` gives; None where it refuses, which is said."""
        try:
            return work()
        except (ValueError, MedsegError) as error:
            self.banner.say([str(error)], "error")
            return None


def _group(title: str, inner: QWidget, parent: QWidget) -> QGroupBox:
    group = QGroupBox(title, parent)
    layout = QVBoxLayout(group)
    layout.setContentsMargins(8, 6, 8, 8)
    layout.addWidget(inner)
    return group


def _with_key(word: str, key: str | None) -> str:
    return f"{word} ({key})" if key else word


def _pressed(act: Callable[[], None]) -> Callable[[object], None]:
    """What napari calls for a key: a function, for it wants a name of it."""

    def press(_viewer: object) -> None:
        act()

    return press


def _unbind(viewer: Any, keys: Sequence[str]) -> None:
    for key in keys:
        viewer.bind_key(key, None, overwrite=True)
