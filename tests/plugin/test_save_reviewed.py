"""What File > Save writes of objects under review, and what stands beside their diameters."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from lesions_cases import bound, only
from medseg_napari.controller import Controller, release
from medseg_napari.session import REVIEW_COLUMNS
from medseg_napari.writer import write_labels
from session_cases import split

from medseg.errors import OutputError
from medseg.io import read_instances


@pytest.fixture
def work(viewer, monkeypatch: pytest.MonkeyPatch) -> Controller:
    """Lesions 3, 12 and 40 under review: 3 accepted, 40 rejected with a comment."""
    monkeypatch.setattr("medseg_napari.writer.open_viewer", lambda: viewer)
    made = bound(viewer, only(3, 12, 40))
    made.session.mark([3], "accept")
    made.session.mark([40], "reject")
    made.session.comment(40, "vessel")
    return made


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    lines: list[str] = []
    monkeypatch.setattr("medseg_napari.writer._warn", lines.append)
    return lines


def save(work: Controller, path: Path) -> None:
    layer = work.objects
    data, attributes, _ = layer.as_layer_data_tuple()
    write_labels(str(path), np.asarray(data), attributes)


@pytest.mark.parametrize("name", ["out.seg.nrrd", "out.nii.gz"])
def test_masks_leave_out_what_was_rejected_as_the_totals_do_and_say_so(
    work: Controller, said: list[str], tmp_path: Path, name: str
) -> None:
    save(work, tmp_path / name)
    saved = read_instances(tmp_path / name)
    assert len(saved) == sum(one.kept_count for one in work.session.totals().values()) == 2
    volume_ml = sum(item.voxel_count for item in saved) * saved.geometry.voxel_ml
    kept_ml = sum(one.kept_volume_ml for one in work.session.totals().values())
    assert volume_ml == pytest.approx(kept_ml)
    assert len(said) == 1 and "1 rejected, left out" in said[0]


def test_a_table_has_a_row_for_every_object_with_what_was_said_of_it(
    work: Controller, said: list[str], tmp_path: Path
) -> None:
    save(work, tmp_path / "out.csv")
    table = pd.read_csv(tmp_path / "out.csv", keep_default_na=False).set_index("instance_id")
    assert table["mark"].to_dict() == {12: "", 3: "accept", 40: "reject"}
    assert table.loc[40, ["marked_by", "comment"]].tolist() == ["AB", "vessel"]
    assert set(REVIEW_COLUMNS) <= set(table.columns)
    assert (table["intensity_mean"] != "").all()
    assert said == []


def test_nothing_is_left_out_where_nothing_was_rejected_or_no_session_is_there(
    work: Controller, said: list[str], tmp_path: Path, viewer
) -> None:
    work.session.mark([40], "unsure")
    save(work, tmp_path / "unsure.seg.nrrd")
    assert len(read_instances(tmp_path / "unsure.seg.nrrd")) == 3
    release(viewer)
    save(work, tmp_path / "out.csv")
    assert "mark" not in pd.read_csv(tmp_path / "out.csv").columns
    assert said == []


def test_a_diameter_in_the_picture_says_that_it_was_drawn_on_another_mask(viewer) -> None:
    made = bound(viewer, only(3, 12, 40))
    made.select([12])
    made.session.move_line(12, "long", (0, 0, 0), (3, 4, 0))
    text = made.lines.layer.features["mm"]
    assert text.iloc[0].startswith("5.0 × ") and text.iloc[0].endswith(" mm")
    made.session.apply(split(made.session, 12, 5))
    assert made.lines.layer.features["mm"].iloc[0].endswith(" mm, drawn on another mask")
    made.undo()
    assert made.lines.layer.features["mm"].iloc[0].endswith(" mm")


def test_the_layer_that_tools_paint_in_is_not_saved_as_if_it_were_all(
    work: Controller, said: list[str], tmp_path: Path
) -> None:
    work.select([12])
    work.brush.start("paint")
    layer = work.viewer.layers.selection.active
    assert layer is work.current.layer
    data, attributes, _ = layer.as_layer_data_tuple()
    for name in ("out.seg.nrrd", "out.csv"):
        with pytest.raises(OutputError, match=r"one object alone.*\[one-object\]; select the "):
            write_labels(str(tmp_path / name), data, attributes)
    assert not any(tmp_path.iterdir())
    work.brush.stop()
    assert work.viewer.layers.selection.active is work.objects


def test_putting_the_brush_away_leaves_another_layer_selected(work: Controller) -> None:
    work.select([12])
    work.brush.start("paint")
    image = work.viewer.layers["image"]
    work.viewer.layers.selection.active = image
    work.brush.stop()
    assert work.viewer.layers.selection.active is image
