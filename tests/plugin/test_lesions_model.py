"""The table model over the session: rows by id, 20,000 of them, measured in parts."""

from __future__ import annotations

from importlib.util import find_spec
from time import perf_counter

import numpy as np
import pytest
from medseg_napari.session import Filter, Order, Session
from session_cases import merge, output, session, split

from medseg.types import Geometry, Instance, InstanceClass, Instances


@pytest.fixture
def model_of(skip_unless):
    """Makes the model of a session; it needs a Qt binding, and no screen."""
    bound = any(find_spec(name) is not None for name in ("PyQt6", "PySide6"))
    skip_unless(bound, "there is no Qt binding: pip install pyqt6")
    from medseg_napari.widgets.table_model import LesionTableModel

    return LesionTableModel


COLUMNS = ["instance_id", "class_name", "volume_ml", "mark", "score"]


def shown(model, name: str) -> list[str]:
    column = model.columns.index(name)
    return [model.data(model.index(row, column)) for row in range(model.rowCount())]


def raw(model, name: str) -> list[object]:
    from qtpy.QtCore import Qt

    column, role = model.columns.index(name), Qt.ItemDataRole.UserRole
    return [model.data(model.index(row, column), role) for row in range(model.rowCount())]


def agrees(model, work) -> None:
    """Every cell is that of the session's row with the same id."""
    frame = work.frame(COLUMNS).set_index("instance_id")
    assert raw(model, "instance_id") == model.ids.tolist() == work.selection.ids.tolist()
    for name in COLUMNS[1:]:
        assert raw(model, name) == frame.loc[model.ids.tolist(), name].tolist()


def test_a_readers_diameter_is_never_shown_without_whether_its_mask_is_another_now(
    model_of,
) -> None:
    work = session()
    work.move_line(12, "long", (0, 0, 0), (0, 30, 40))
    work.apply(split(work, 12, 5))
    model = model_of(work, ["instance_id", "reader_long_mm"])
    flagged = dict(
        zip(shown(model, "instance_id"), shown(model, "edited_after_lines"), strict=True)
    )
    assert flagged.pop("12") == "yes" and set(flagged.values()) == {"no"}
    model.set_columns(["instance_id", "edited_after_lines", "reader_short_mm"])
    assert model.columns == ["instance_id", "edited_after_lines", "reader_short_mm"]


def test_rows_are_the_sessions_after_sort_filter_edit_undo_and_redo(model_of) -> None:
    work = session()
    model = model_of(work, COLUMNS)
    agrees(model, work)
    for step in (
        lambda: model.sort(COLUMNS.index("score")),
        lambda: work.show(filter=Filter(kinds=frozenset(["lesion"]))),
        lambda: work.apply(merge(work, [7, 12])),
        lambda: work.mark([3], "reject"),
        work.undo,
        work.undo,
        work.redo,
        lambda: work.show(filter=Filter(marks=frozenset(["accept"]))),
        lambda: work.show(filter=Filter()),
    ):
        step()
        model.refresh()
        agrees(model, work)
    assert model.row_of(40) is not None
    assert model.row_of(12) is None


def test_a_cell_is_rounded_by_its_unit_and_says_what_is_missing(model_of) -> None:
    work = session()
    model = model_of(work, ["instance_id", "volume_ml", "recist_long_mm", "score", "mark"])
    work.mark([3], "accept")
    model.refresh()
    row = model.row_of(3)
    cells = [model.data(model.index(row, column)) for column in range(5)]
    # 2 x 2 x 3 voxels of 3.0 x 0.9 x 0.7 mm
    assert cells[:2] == ["3", "0.023"]
    assert cells[3:] == ["0.40", "✓ accept"]
    assert model.data(model.index(model.row_of(1), 2)) == "–"  # an organ has no diameter


def test_heads_name_the_unit_and_tell_the_definition(model_of) -> None:
    from qtpy.QtCore import Qt

    model = model_of(session(), ["volume_ml", "intensity_mean", "surface_area_mm2"])
    heads = [model.headerData(n, Qt.Orientation.Horizontal) for n in range(3)]
    assert heads == ["Volume\nmL", "Mean\nHU", "Surface area\nmm2"]
    tip = model.headerData(0, Qt.Orientation.Horizontal, Qt.ItemDataRole.ToolTipRole)
    assert tip.startswith("volume_ml: ")


def test_copied_rows_are_not_rounded(model_of) -> None:
    work = session()
    model = model_of(work, ["instance_id", "volume_ml", "comment"])
    work.comment(3, "seen\tbefore")
    model.refresh()
    text = model.text([model.row_of(3)])
    assert text == f"instance_id\tvolume_ml\tcomment\n3\t{12 * 0.00189}\tseen before\n"


def voxels(number: int) -> Instances:
    """`number` lesions of one voxel, ids 3, 5, 7, ..."""
    geometry = Geometry.from_spacing((28, 28, 28), (1.0, 1.0, 1.0))
    mask = np.ones((1, 1, 1), dtype=bool)
    items = []
    for n in range(number):
        z, y, x = (slice(int(at), int(at) + 1) for at in np.unravel_index(n, geometry.shape))
        items.append(Instance(2 * n + 3, "tumour", "lesion", n / number, (z, y, x), mask))
    return Instances(geometry, items, (InstanceClass("tumour", "lesion", 1),))


def test_20000_rows_come_without_a_wait_and_columns_when_they_are_measured(model_of) -> None:
    work = Session.begin(None, voxels(20_000), "AB")
    start = perf_counter()
    model = model_of(work, ["instance_id", "class_name", "volume_ml", "score"])
    first = [[model.data(model.index(row, column)) for column in range(4)] for row in range(40)]
    assert perf_counter() - start < 1.0
    assert first[0] == ["3", "tumour", "…", "0.00"]
    model.sort(3)
    assert model.rowCount() == 20_000
    told = []
    model.dataChanged.connect(lambda *_: told.append(1))
    left = 20_000
    while left:
        before, left = left, model.measure_some(4000)
        assert left < before
    assert shown(model, "volume_ml")[0] == "0.001"
    assert len(told) == 1
    work.show(order=Order("score", descending=True))
    start = perf_counter()
    model.refresh()
    assert model.data(model.index(0, 0)) == str(2 * 19_999 + 3)
    assert perf_counter() - start < 0.5


def test_an_edit_of_one_row_is_measured_at_once(model_of) -> None:
    work = session()
    model = model_of(work, ["instance_id", "volume_ml"])
    model.measure_some(1000)
    work.apply(merge(work, [7, 12]))
    model.refresh()
    # 3 x 4 x 4 and 3 x 4 x 5 voxels, 2 x 3 x 2 of them shared
    assert raw(model, "volume_ml")[model.row_of(7)] == pytest.approx(96 * 0.00189)


def test_an_empty_result_has_no_rows(model_of) -> None:
    from dataclasses import replace

    work = session(start=replace(output(), items=[]))
    model = model_of(work, COLUMNS)
    model.sort(2)
    assert (model.rowCount(), model.measure_some(10)) == (0, 0)
    assert model.text([]) == "\t".join(COLUMNS) + "\n"


def test_every_column_of_a_session_has_a_head_and_a_definition(model_of) -> None:
    from medseg_napari.widgets.lesions_columns import (
        SLOW_COLUMNS,
        column_names,
        definition_of,
        first_columns,
        title_of,
    )

    work = session()
    names = column_names(work)
    assert len({title_of(name) for name in names}) > 0.8 * len(names)
    assert all(definition_of(name).startswith(f"{name}: ") for name in names)
    assert set(first_columns(work)) <= set(names) - SLOW_COLUMNS
