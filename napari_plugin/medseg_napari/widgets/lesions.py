"""Panel "Lesions": totals, filter, table, and what the reader says of each row."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING

from qtpy.QtCore import QTimer
from qtpy.QtWidgets import (
    QCheckBox,
    QDialog,
    QFileDialog,
    QHBoxLayout,
    QLabel,
    QPushButton,
    QSizePolicy,
    QStackedWidget,
    QVBoxLayout,
    QWidget,
)

from medseg.io.colors import class_colors
from medseg.io.tables import write_table
from medseg_napari.controller import Controller, What, controller_of, watch
from medseg_napari.controller_keys import ACTIONS, REDO, UNDO, Action
from medseg_napari.session import Decision
from medseg_napari.view.adapter import unwrapped
from medseg_napari.view.facts import facts_of, volume_layers
from medseg_napari.widgets.dock_end import EndsWithDock
from medseg_napari.widgets.dock_tabs import SharesTabs
from medseg_napari.widgets.lesions_choices import ColumnsDialog
from medseg_napari.widgets.lesions_columns import column_names, first_columns
from medseg_napari.widgets.lesions_filter import FilterBox
from medseg_napari.widgets.lesions_picture import save_picture
from medseg_napari.widgets.lesions_totals import TotalsTable
from medseg_napari.widgets.lesions_view import LesionTable
from medseg_napari.widgets.panel_size import PanelSize
from medseg_napari.widgets.preferences import preferences, review_keys, usable_keys, watch_keys
from medseg_napari.widgets.review import ReviewBox
from medseg_napari.widgets.review_start import StartBox
from medseg_napari.widgets.table_model import LesionTableModel

if TYPE_CHECKING:
    import napari

_FIRST_PART, _LEAST_PART, _MOST_PART = 32, 1, 2048
_TICK_S = 0.05
"""How long measuring may hold the interface up between two events."""


class LesionsPanel(PanelSize, SharesTabs, EndsWithDock, QWidget):
    """The panel of a viewer: a start page until a session is bound, then its lesions."""

    def __init__(self, napari_viewer: napari.Viewer, parent: QWidget | None = None) -> None:
        super().__init__(parent)  # napari hands in the viewer by the argument's name
        self.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Expanding)
        self._viewer = unwrapped(napari_viewer)
        self._part = _FIRST_PART
        self._end_listening: Callable[[], None] = _nothing
        self.controller: Controller | None = None
        self.start = StartBox(self._viewer)
        self.totals, self.filter = TotalsTable(), FilterBox()
        self.table, self.review = LesionTable(), ReviewBox()
        self.shown, self.message = QLabel(""), QLabel("")
        self.message.setWordWrap(True)
        self.diameters = QCheckBox("Diameters")
        self.diameters.setChecked(True)
        self.diameters.setToolTip("Draw the RECIST diameters of the current lesion")
        self.measure_line = QPushButton("Go to diameter")
        self.measure_line.setToolTip("Go to the slice of the long diameter, ready to drag its ends")
        self.reset_line = QPushButton("Reset")
        self.reset_line.setToolTip("Take the mask's diameters again, where they were moved")
        self.columns, self.copy, self.save, self.picture = (
            QPushButton(words) for words in ("Columns…", "Copy", "Save CSV…", "Picture…")
        )
        self.picture.setToolTip("Save what is on display, with scale bar and numbers")
        self.copy.setToolTip("Copy the marked rows, or all, for a spreadsheet")
        self._pages = QStackedWidget()
        self._pages.addWidget(self.start)
        self._pages.addWidget(self._page())
        layout = QVBoxLayout(self)
        layout.setContentsMargins(6, 6, 6, 6)
        layout.addWidget(self._pages)
        self._timer = QTimer(self)
        self._timer.setInterval(0)
        self._timer.timeout.connect(self.measure_part)
        self._connect()
        self._on_bound(controller_of(self._viewer))
        ends = watch(self._viewer, self._on_bound), watch_keys(self._on_keys)
        self.at_end(*ends, self._stop_listening, self.start.let_go)

    def measure_part(self) -> None:
        """Measure as much as nobody notices; stops by itself."""
        rows = self.table.rows
        if rows is None:
            self._timer.stop()
            return
        before = perf_counter()
        left = rows.measure_some(self._part)
        took = perf_counter() - before
        scale = 2.0 if took < _TICK_S / 2 else (0.5 if took > _TICK_S else 1.0)
        self._part = int(min(_MOST_PART, max(_LEAST_PART, self._part * scale)))
        self._say_shown(left)
        if not left:
            self._timer.stop()

    def choose_columns(self) -> None:
        """Ask for the columns, and show them."""
        rows, work = self.table.rows, self.controller
        if rows is None or work is None:
            return
        dialog = ColumnsDialog(column_names(work.session), rows.columns, self)
        if dialog.exec() == QDialog.DialogCode.Accepted:
            self.show_columns(dialog.chosen)
        dialog.deleteLater()

    def show_columns(self, names: list[str]) -> None:
        """Show these columns, in this order."""
        rows = self.table.rows
        if rows is not None and names and self.controller is not None:
            rows.set_columns(names)
            self.table.fit_columns()
            self.table.show_order(self.controller.session)
            self._keep_view()
            self._timer.start()

    def save_csv(self, path: str | None = None) -> None:
        """Save the columns on display of all rows on display, values unrounded."""
        rows, work = self.table.rows, self.controller
        if rows is None or work is None:
            return
        if path is None:
            path, _ = QFileDialog.getSaveFileName(self, "Save table", "lesions.csv", "CSV (*.csv)")
        if not path:
            return
        place = Path(path)
        place = place if place.suffix else place.with_suffix(".csv")
        chosen = {*rows.columns, "instance_id"}
        frame = work.session.frame(chosen).set_index("instance_id", drop=False)
        frame = frame.loc[rows.ids.tolist()].reset_index(drop=True)

        def write() -> str:
            write_table(frame, place)
            return f"saved {len(frame)} rows: {place.name}"

        said = work.attempt(write)
        if said is not None:
            work.say(said)

    def _page(self) -> QWidget:
        page = QWidget()
        layout = QVBoxLayout(page)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(6)
        layout.addWidget(self.totals)
        layout.addWidget(self.filter)
        layout.addWidget(self.shown)
        layout.addWidget(self.table, 1)
        layout.addWidget(self.review)
        for widgets in (
            (self.diameters, self.measure_line, self.reset_line),
            (self.columns, self.copy, self.save, self.picture),
        ):
            row = QHBoxLayout()
            row.setSpacing(4)
            for widget in widgets:
                row.addWidget(widget, 0 if isinstance(widget, QCheckBox) else 1)
            layout.addLayout(row)
        layout.addWidget(self.message)
        return page

    def _connect(self) -> None:
        self.filter.changed.connect(self._on_filter)
        self.table.picked.connect(self._on_picked)
        heads = self.table.horizontalHeader()
        if heads is not None:
            heads.sectionClicked.connect(lambda _: self._keep_view())
        self.review.decided.connect(self._on_decided)
        self.review.commented.connect(lambda text: self._act(lambda work: work.comment(text)))
        self.review.stepped.connect(lambda by: self._act(lambda work: work.step(by)))
        self.columns.clicked.connect(self.choose_columns)
        self.copy.clicked.connect(self._on_copy)
        self.save.clicked.connect(self._on_save)
        self.diameters.toggled.connect(
            lambda on: self._act(lambda work: work.lines.set_wanted(wanted=on))
        )
        self.measure_line.clicked.connect(lambda: self._act(lambda work: work.lines.go()))
        self.reset_line.clicked.connect(lambda: self._act(lambda work: work.lines.reset()))
        self.picture.clicked.connect(lambda: save_picture(self._viewer))

    def _act(self, action: Action) -> None:
        if self.controller is not None:
            action(self.controller)

    def _stop_listening(self) -> None:
        self._end_listening()
        self._end_listening = _nothing

    def _on_bound(self, controller: Controller | None) -> None:
        self._stop_listening()
        self.controller = controller
        if controller is None:
            self._timer.stop()
            self.table.take(None, None)
            self.start.refresh()
            self._pages.setCurrentIndex(0)
            return
        session = controller.session
        self._end_listening = controller.subscribe(self._on_told)
        model = LesionTableModel(session, first_columns(session), self)
        self.table.take(model, session)
        self._take_keys(controller.keys)
        self._pages.setCurrentIndex(1)
        self._on_told("change")
        _, lines = usable_keys(preferences())
        self.message.setText("; ".join([*(note.detail for note in session.notes), *lines]))

    def _on_keys(self, _event: object) -> None:
        """Keys that were changed in Preferences count at once."""
        if self.controller is not None:
            wishes = preferences()
            self.controller.take_keys(review_keys(wishes))
            self._take_keys(self.controller.keys)
            self.message.setText("; ".join(usable_keys(wishes)[1]))

    def _take_keys(self, keys: Mapping[str, str]) -> None:
        """The keys of review while the table has the focus, and those of every table."""
        own = {key: partial(self._act, ACTIONS[name]) for name, key in keys.items()}
        always: dict[str, Callable[[], object]] = {
            UNDO: partial(self._act, Controller.undo),
            REDO: partial(self._act, Controller.redo),
            "Control-C": self._on_copy,
        }
        self.table.on_keys({**own, **always})
        self.review.show_keys(keys)

    def _on_told(self, what: What) -> None:
        work = self.controller
        if work is None:
            return
        if what == "message":
            self.message.setText(work.message)
            return
        session, rows = work.session, self.table.rows
        if what != "selection" and rows is not None:
            rows.refresh()
            self.table.show_order(session)
            self._timer.start()
        if what == "rows":
            self._keep_view()
        if what == "change":
            self._show_totals()
        if what != "selection":
            self.filter.show_filter(session.selection.filter)
        self.table.follow(session)
        item = work.item
        number = None if item is None else item.id
        self.review.show_review(number, None if number is None else session.review(number))
        self._say_shown()

    def _keep_view(self) -> None:
        """Let the session keep columns, filter and order."""
        work, rows = self.controller, self.table.rows
        if work is not None and rows is not None:
            session, columns = work.session, rows.columns
            work.attempt(lambda: session.keep_view(columns))

    def _show_totals(self) -> None:
        if self.controller is None:
            return
        instances = self.controller.session.instances
        self.totals.show_totals(self.controller.session.totals(), class_colors(instances.classes))
        organs = sorted({item.class_name for item in instances if item.kind == "organ"})
        self.filter.offer([one.name for one in instances.classes], organs)

    def _say_shown(self, left: int = 0) -> None:
        rows, work = self.table.rows, self.controller
        if rows is None or work is None:
            return
        every, here = len(work.session.instances), rows.rowCount()
        text = f"{here} of {every} objects shown" if here < every else f"{every} objects"
        if not every:
            text = "nothing was found"
        text += self._measured_in(work)
        self.shown.setText(f"{text}, measuring…" if left else text)

    def _measured_in(self, work: Controller) -> str:
        """Which image the intensities are of: of several on one grid no other line says it."""
        volume = work.session.volume
        if volume is None:
            return "; no image, no intensities"
        found = ((layer.name, facts_of(layer)) for layer in volume_layers(self._viewer.layers))
        name = next((name for name, own in found if own and own.volume is volume), None)
        return "" if name is None else f"; intensities of {name}"

    def _on_copy(self) -> None:
        self.table.copy()

    def _on_save(self) -> None:
        self.save_csv()

    def _on_filter(self) -> None:
        if self.controller is not None:
            self.controller.show(filter=self.filter.filter)

    def _on_picked(self, numbers: list[int]) -> None:
        if self.controller is not None:
            self.controller.select(numbers)

    def _on_decided(self, decision: Decision | None) -> None:
        if self.controller is not None:
            on = self.review.go_on.isChecked() and decision is not None
            self.controller.decide(decision, then_next=on)


def _nothing() -> None:
    return None
