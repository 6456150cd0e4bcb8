"""The strip of thumbnails: the middle slice of each volume, in viewing order, with its label."""

from __future__ import annotations

import numpy as np
import pytest
from matplotlib.figure import Figure

from medseg.io.preview_strip import MOST_THUMBNAILS, strip_figure, thumbnail, write_strip
from medseg.types import Geometry, Volume


def numbered(axis: int | None = 0) -> Volume:
    """Every voxel holds its index along z, y and x as a number z y x."""
    shape = (5, 6, 7)
    z, y, x = np.indices(shape)
    array = (100 * z + 10 * y + x).astype(np.int16)
    grid = Geometry.from_spacing(shape, (3.0, 1.0, 1.0))
    return Volume(array, grid, "MR", "arbitrary", acquisition_axis=axis)


def texts(figure: Figure) -> list[str]:
    return [text.get_text() for text in figure.texts]


def test_a_thumbnail_is_the_middle_slice_of_the_plane_of_acquisition() -> None:
    axial = thumbnail(numbered(), "a").shown.view
    assert (axial.plane, axial.position) == ("axial", "z index 2")
    np.testing.assert_array_equal(axial.image, numbered().array[2])
    assert thumbnail(numbered(2), "a").shown.view.plane == "sagittal"
    assert thumbnail(numbered(None), "a").shown.view.plane == "axial"


def test_a_thumbnail_does_not_hold_the_volume() -> None:
    volume = numbered()
    assert not np.shares_memory(thumbnail(volume, "a").shown.view.image, volume.array)


@pytest.mark.parametrize(("count", "rows"), [(1, 1), (4, 1), (5, 2), (9, 3)])
def test_four_stand_in_a_row(count: int, rows: int) -> None:
    shown = [thumbnail(numbered(), f"series {n}") for n in range(count)]
    figure = strip_figure(shown, title="volumes", left_out=0)
    tops = {round(axes.get_position().y1, 4) for axes in figure.axes}
    assert (len(figure.axes), len(tops)) == (count, rows)


def test_labels_window_and_sides_are_written() -> None:
    figure = strip_figure([thumbnail(numbered(), "series 3/2: EchoTime 90")], title="t", left_out=0)
    for word in ("t", "series 3/2: EchoTime 90", "axial, z index 2", "R", "L", "A", "P"):
        assert word in texts(figure)


def test_a_long_label_is_cut_to_its_panel() -> None:
    figure = strip_figure([thumbnail(numbered(), "series " * 20)], title="t", left_out=0)
    (label,) = [text for text in texts(figure) if text.startswith("series")]
    assert label.endswith("…") and len(label) < 60


def test_it_says_how_many_are_left_out() -> None:
    shown = [thumbnail(numbered(), "a")]
    assert "3 more volumes are not shown." in texts(strip_figure(shown, title="t", left_out=3))
    assert "no volume can be shown" in texts(strip_figure([], title="t", left_out=0))
    assert MOST_THUMBNAILS % 4 == 0


def test_the_same_volumes_give_the_same_bytes(tmp_path) -> None:
    for name in ("a.png", "b.png"):
        write_strip([thumbnail(numbered(), "a")], tmp_path / name, title="t", left_out=0)
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
