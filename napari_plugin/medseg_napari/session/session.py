"""One reader's work on one study: the truth that panels and layers are views of.

Every step (masks, classes, marks, comments, lines) stands in one history, so that one undo takes
back whatever came last, and in one log, written to the disk before the step counts.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Self

import pandas as pd

from medseg.io import require_same_grid
from medseg.types import InputWarning, Instance, InstanceClass, Instances, Volume
from medseg_napari.session.document import Document
from medseg_napari.session.edits import Change, Edit, named
from medseg_napari.session.history import Entry
from medseg_napari.session.jump import LargestSlice, largest_slice
from medseg_napari.session.log import class_record, entry_record, move_record, replay
from medseg_napari.session.packing import mask_sum
from medseg_napari.session.review import Decision, Line, Review, Which, utc_now
from medseg_napari.session.reviewing import (
    REVIEW_COLUMNS,
    Lines,
    comment_edit,
    decisions,
    line_edit,
    lines_of,
    mark_edit,
    review_columns,
)
from medseg_napari.session.selection import Filter, Order, Selection
from medseg_napari.session.source import as_begun, image_sum
from medseg_napari.session.store import EDITS, SessionStore, find_session
from medseg_napari.session.table import MeasureOptions, MeasureTable
from medseg_napari.session.totals import ClassCount, UnionCounter, class_counts
from medseg_napari.session.view_state import KeptView, read_view, view_state

Listener = Callable[[Change], None]


class Session:
    """Instances of a study under review and correction, with undo, marks and measures.

    Without a store nothing is written to the disk. `Session.begin` and `Session.resume` are the
    usual ways to make one.
    """

    def __init__(
        self,
        volume: Volume | None,
        document: Document,
        reader: str,
        *,
        store: SessionStore | None = None,
        options: MeasureOptions | None = None,
        clock: Callable[[], str] = utc_now,
    ) -> None:
        if volume is not None:
            require_same_grid(document.start.geometry, volume.geometry, "objects")
        if not reader.strip():
            msg = "a session has a reader: his initials stand in every mark and in the log"
            raise ValueError(msg)
        self.volume, self.reader, self.store = volume, reader.strip(), store
        self._document, self._clock = document, clock
        self._listeners: list[Listener] = []
        self._sums: dict[int, int] = {}
        self.table = MeasureTable(document.instances, volume, options)
        items = document.items.values()
        self._everyone = UnionCounter(items)
        self._kept = UnionCounter(item for item in items if not self._is_rejected(item.id))
        self.selection = Selection()
        self.refresh_selection()

    @classmethod
    def begin(
        cls,
        volume: Volume | None,
        output: Instances,
        reader: str,
        *,
        folder: Path | None = None,
        source: Mapping[str, Any] | None = None,
        options: MeasureOptions | None = None,
    ) -> Self:
        """A new session on a model's output, kept in `folder` (None: not kept).

        `source` is what finds the image again, JSON-able.

        Raises OutputError (`session-there`, `in-use`, and what writing raises), InputRefused
        (`grid-mismatch`).
        """
        if volume is not None:
            require_same_grid(output.geometry, volume.geometry, "objects")
        store = None
        if folder is not None:
            store = SessionStore.create(
                folder,
                output,
                reader.strip(),
                source=source,
                image_sum=None if volume is None else image_sum(volume),
            )
        return cls(volume, Document(output), reader, store=store, options=options)

    @classmethod
    def resume(
        cls,
        volume: Volume | None,
        folder: Path,
        reader: str,
        *,
        options: MeasureOptions | None = None,
    ) -> Self:
        """The session of a folder as it was left, with its undo state, filter and order.

        Raises InputRefused (`path-missing`, `file-corrupt`, `grid-mismatch`), OutputError
        (`in-use`), MedsegError (`image-changed`, as `as_begun` does).
        """
        found = find_session(folder)
        if volume is not None and found is not None:
            volume = as_begun(volume, found.saved.image_sum, found.saved.source)
        store, output = SessionStore.open(folder, reader.strip())
        try:
            document = Document(output)
            replay(document, store.log, EDITS)
            session = cls(volume, document, reader, store=store, options=options)
            kept = read_view(store.saved.view)
            with suppress(ValueError):  # it was kept of a table with other columns
                session.show(filter=kept.filter, order=kept.order)
            return session
        except BaseException:
            store.abandon()
            raise

    @property
    def instances(self) -> Instances:
        """The objects as they are now, rejected ones too."""
        return self._document.instances

    @property
    def output(self) -> Instances:
        """What the model gave, as it was when the session began."""
        return self._document.start

    @property
    def next_id(self) -> int:
        """The id for the next new instance: no other ever had it."""
        return self._document.next_id

    @property
    def notes(self) -> tuple[InputWarning, ...]:
        """What the reader should know of how the session was opened, such as a lost last line."""
        return () if self.store is None else self.store.log.warnings

    @property
    def undo_name(self) -> str | None:
        """The name of the step that an undo takes back; None where there is none."""
        entry = self._document.history.to_undo()
        return None if entry is None else entry.name

    @property
    def redo_name(self) -> str | None:
        """The name of the step that a redo takes again; None where there is none."""
        entry = self._document.history.to_redo()
        return None if entry is None else entry.name

    @property
    def steps(self) -> tuple[Entry, ...]:
        """The steps that hold, in their order."""
        return self._document.history.done

    @property
    def steps_at_risk(self) -> int:
        """How many steps would be lost with this object, as they are not kept on the disk."""
        return len(self.steps) if self.store is None else 0

    def instance(self, number: int) -> Instance:
        """The instance of an id; ValueError where there is none."""
        item = self._document.items.get(number)
        if item is None:
            msg = f"there is no instance {number}"
            raise ValueError(msg)
        return item

    def edit(
        self,
        name: str,
        operation: str,
        arguments: Mapping[str, Any],
        after: Mapping[int, Instance | None],
    ) -> Edit:
        """An edit of the instances as they are now, from what it leaves of those it touches."""
        before = {number: self._document.items.get(number) for number in after}
        return Edit(name, operation, arguments, before, after)

    def apply(self, edit: Edit) -> Change:
        """Take a step: first it is written to the disk, then it counts.

        Raises ValueError where the edit was made on another state or does not fit, OutputError
        where it cannot be written; then nothing has changed.
        """
        entry, left = self._document.entry_of(edit, self.reader, self._clock())
        self._write(entry_record(entry))
        return self._after(entry, lambda: self._document.do(entry, left))

    def undo(self) -> Change | None:
        """Take the last step back; None where there is none. Raises OutputError."""
        entry = self._document.history.to_undo()
        if entry is None:
            return None
        self._write(move_record("undo", entry, self.reader, self._clock()))
        return self._after(entry, self._document.undo)

    def redo(self) -> Change | None:
        """Take the last step again that was taken back; None where there is none."""
        entry = self._document.history.to_redo()
        if entry is None:
            return None
        self._write(move_record("redo", entry, self.reader, self._clock()))
        return self._after(entry, self._document.redo)

    def add_class(self, one: InstanceClass) -> None:
        """Know one more class; no step of the history. ValueError where name or label is taken."""
        self._document.check_class(one)
        self._write(class_record(one, self.reader, self._clock()))
        self._document.add_class(one)
        self.table.update(self.instances, {})

    def delete(self, ids: Collection[int]) -> Change:
        """Delete instances. They may come back by undo alone."""
        items = [self.instance(number) for number in ids]
        after = dict.fromkeys((item.id for item in items), None)
        return self.apply(self.edit(named("Delete", items), "delete", {"ids": [*ids]}, after))

    def mark(self, ids: Collection[int], decision: Decision | None) -> Change:
        """Accept, reject or doubt instances, with the reader's initials and the time; None: unmark.

        One step of the history for all of them.
        """
        items = [self.instance(number) for number in ids]
        by = (self.reader, self._clock())
        return self.apply(mark_edit(items, self._document.reviews, decision, by))

    def comment(self, number: int, text: str) -> Change:
        """Write a comment on an instance; "" takes it away."""
        return self.apply(comment_edit(self.instance(number), self._document.reviews, text))

    def move_line(
        self, number: int, which: Which, start_lps_mm: Sequence[float], stop_lps_mm: Sequence[float]
    ) -> Change:
        """Put a diameter of a lesion where the reader dragged it; the mask's measures stay."""
        line = Line.of(start_lps_mm, stop_lps_mm)
        return self.apply(line_edit(self.instance(number), self._document.reviews, which, line))

    def reset_line(self, number: int, which: Which) -> Change:
        """Take the mask's diameter again."""
        return self.apply(line_edit(self.instance(number), self._document.reviews, which, None))

    def review(self, number: int) -> Review:
        """What was said of an id."""
        return self._document.review(number)

    def decisions(self) -> dict[int, Decision]:
        """What was decided of each id, by its mark or by taking it away; see `reviewing`."""
        return decisions(self.steps, self._document.items, self._document.reviews)

    def lines(self) -> dict[int, Lines]:
        """The RECIST diameters of every lesion in the world, the mask's or the reader's.

        Raises ValueError where the table has no group recist.
        """
        return lines_of(self.table, self.instances, self._document.reviews)

    def frame(self, names: Collection[str] | None = None) -> pd.DataFrame:
        """Measures, then what the reader said: some columns (None: all), one row an instance."""
        measured = [name for name in self.table.column_names if names is None or name in names]
        said = [name for name in REVIEW_COLUMNS if names is None or name in names]
        lost = [name for name in names or () if name not in (*measured, *said)]
        if lost:
            msg = f"there is no column {lost[0]!r}"
            raise ValueError(msg)
        found = self.table.frame(measured)
        if not said:
            return found
        columns = review_columns(self.instances, self._document.reviews, self._sum_of)
        return pd.concat([found, columns[said]], axis=1)

    def said_of(self, instances: Instances) -> pd.DataFrame:
        """What the reader said of instances by their ids, a row each; their masks may be others."""
        sums = {item.id: mask_sum(item) for item in instances}
        return review_columns(instances, self._document.reviews, sums.__getitem__)

    def without_rejected(self, instances: Instances) -> Instances:
        """Those of some instances whose ids the reader did not reject."""
        return instances.filter(lambda item: not self._is_rejected(item.id))

    def totals(self) -> dict[str, ClassCount]:
        """Count and total volume of each class, with and without what was rejected."""
        return class_counts(self.instances, self._everyone, self._kept)

    def largest_slice(self, number: int, axis: int) -> LargestSlice:
        """Where an instance covers the largest area, in slices across an array axis."""
        return largest_slice(self.instance(number), self.instances.geometry, axis)

    def show(self, *, filter: Filter | None = None, order: Order | None = None) -> None:  # noqa: A002
        """Filter or sort the rows on display; what is None stays."""
        before = self.selection.filter, self.selection.order
        self.selection.filter = filter or before[0]
        self.selection.order = order or before[1]
        try:
            self.refresh_selection()
        except ValueError:
            self.selection.filter, self.selection.order = before
            raise

    def refresh_selection(self) -> None:
        """Let the rows on display follow the table."""
        chosen = self.selection
        names = {"instance_id", chosen.order.column, *chosen.filter.columns}
        chosen.show(self.frame(names))

    def subscribe(self, listener: Listener) -> Callable[[], None]:
        """Call `listener` after every step, undo and redo; what is returned ends that."""
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener)

    @property
    def view(self) -> KeptView:
        """What was kept of how the table looks, the defaults where nothing was."""
        return read_view({} if self.store is None else self.store.saved.view)

    def keep_view(self, columns: Sequence[str] = ()) -> None:
        """Write columns, filter and order of the table to the disk. Raises OutputError.

        Without columns those stay that were kept.
        """
        if self.store is None:
            return
        kept = KeptView(
            tuple(columns) or self.view.columns, self.selection.filter, self.selection.order
        )
        if kept != self.view:
            self.store.keep(view=view_state(kept))

    def close(self) -> None:
        """End the work as it should be; the folder is free for others."""
        if self.store is not None:
            self.store.close()

    def _write(self, record: Mapping[str, Any]) -> None:
        if self.store is not None:
            self.store.append(record)

    def _after(self, entry: Entry, move: Callable[[], Change]) -> Change:
        """Move, and let table, totals and selection follow what the step touches."""
        seen = {*entry.after, *entry.reviews_after}
        was = {number: self._document.items.get(number) for number in entry.after}
        kept_was = {number: self._kept_item(number) for number in seen}
        change = move()
        touched = {number: (item, self._document.items.get(number)) for number, item in was.items()}
        for number in touched:
            self._sums.pop(number, None)
        self.table.update(self.instances, touched)
        self._everyone.update(touched)
        kept = {number: (item, self._kept_item(number)) for number, item in kept_was.items()}
        self._kept.update({number: pair for number, pair in kept.items() if pair[0] is not pair[1]})
        self.refresh_selection()
        for listener in tuple(self._listeners):
            listener(change)
        return change

    def _kept_item(self, number: int) -> Instance | None:
        return None if self._is_rejected(number) else self._document.items.get(number)

    def _is_rejected(self, number: int) -> bool:
        return self._document.review(number).decision == "reject"

    def _sum_of(self, number: int) -> int:
        if number not in self._sums:
            self._sums[number] = mask_sum(self._document.items[number])
        return self._sums[number]
