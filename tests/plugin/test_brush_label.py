"""What napari's label and tools say of a stroke is what the stroke does, or it is refused."""

from __future__ import annotations

import pytest
from lesions_cases import agree, bound, drag, only, world_of
from medseg_napari.controller import Controller
from medseg_napari.view.adapter import is_encircling
from session_cases import full_mask


@pytest.fixture
def work(viewer) -> Controller:
    """Lesions 3, 7 and 40, a disc of half a voxel to paint with."""
    made = bound(viewer, only(3, 7, 40))
    made.select([7])
    made.brush.resize(0.3)
    return made


def stroke(work: Controller, *way, layer=None) -> None:
    layer = layer or work.current.layer
    drag(layer, [world_of(work, index) for index in way], layer.mouse_drag_callbacks)


@pytest.mark.parametrize("where", ["current", "objects"])
def test_the_brush_with_the_label_of_nothing_erases_stroke_by_stroke(work, where: str) -> None:
    """X in napari swaps to that label; the next stroke erases too, as napari still shows it."""
    work.brush.start("paint")
    layer = work.current.layer if where == "current" else work.objects
    layer.mode = "paint"
    layer.swap_selected_and_background_labels()
    for index in ((4, 5, 7), (4, 6, 8)):
        stroke(work, index, layer=layer)
        assert work.session.undo_name == "Erase in lesion 7"
        assert not full_mask(work.session.instance(7))[index]
        assert layer.selected_label == 0
    assert len(work.session.steps) == 2
    agree(work)
    layer.swap_selected_and_background_labels()
    stroke(work, (4, 5, 7), layer=layer)
    assert work.session.undo_name == "Paint in lesion 7"


def test_paint_in_the_panel_and_another_row_end_the_label_of_nothing(work) -> None:
    work.brush.start("paint")
    work.current.layer.selected_label = 0
    work.brush.start("paint")
    assert work.current.layer.selected_label == 7
    work.current.layer.selected_label = 0
    work.objects.selected_label = 0
    work.select([3])
    assert work.current.layer.selected_label == work.objects.selected_label == 3


@pytest.mark.parametrize("where", ["current", "objects"])
def test_a_stroke_with_another_label_is_refused_and_the_next_one_is_taken(work, where) -> None:
    """M, - and = in napari choose another label, here one that no object has."""
    work.brush.start("paint")
    layer = work.current.layer if where == "current" else work.objects
    layer.mode = "paint"
    layer.selected_label = 8
    stroke(work, (6, 2, 2), layer=layer)
    assert work.message.startswith("the brush is set to 8, not to 7")
    assert work.session.undo_name is None
    agree(work)
    work.brush.start("paint")
    stroke(work, (6, 2, 2))
    assert work.session.undo_name == "Paint in lesion 7"
    agree(work)


def test_a_refused_stroke_leaves_the_new_object_waiting(work) -> None:
    work.brush.start("paint", new=True)
    work.current.layer.selected_label = 42
    stroke(work, (6, 2, 2))
    assert work.message.startswith("the brush is set to 42, not to 41")
    assert work.current.layer.selected_label == 41
    stroke(work, (6, 2, 2))
    assert work.session.undo_name == "Paint a new lesion 41"
    agree(work)


def test_a_mark_leaves_the_new_object_waiting(work) -> None:
    work.brush.start("paint", new=True)
    work.decide("accept")
    assert work.current.layer.selected_label == 41
    assert not work.current.layer.data.any()
    stroke(work, (6, 2, 2))
    assert work.session.undo_name == "Paint a new lesion 41"
    agree(work)


@pytest.mark.parametrize(("mode", "name"), [("erase", "Erase"), ("paint", "Paint")])
def test_once_another_row_is_taken_a_stroke_is_about_that(work, mode: str, name: str) -> None:
    work.brush.start("paint", new=True)
    work.select([3])
    work.current.layer.mode = mode
    stroke(work, (1, 1, 1) if mode == "erase" else (6, 2, 2))
    assert work.session.undo_name == f"{name} in lesion 3"
    assert len(work.session.instances) == 3
    agree(work)


def test_the_eraser_makes_no_new_object(work) -> None:
    work.brush.start("paint", new=True)
    work.objects.mode = "erase"
    stroke(work, (4, 5, 7), layer=work.objects)
    assert work.session.undo_name == "Erase in lesion 7"
    assert len(work.session.instances) == 3
    agree(work)


def test_paint_after_paint_new_is_about_the_current_object_again(work) -> None:
    work.brush.start("paint", new=True)
    work.brush.start("paint")
    assert work.current.layer.selected_label == 7
    agree(work)
    stroke(work, (6, 2, 2))
    assert work.session.undo_name == "Paint in lesion 7"
    agree(work)


def test_moving_the_picture_while_an_outline_is_drawn_paints_nothing_there(work) -> None:
    """The overlay is napari's own: this fails when it says in another way that it is at work."""
    work.brush.start("paint")
    layer = work.current.layer
    assert not is_encircling(layer)
    layer._overlays["brush_stroke"].active = True
    assert is_encircling(layer)
    stroke(work, (6, 8, 1), (6, 8, 9))
    layer._overlays["brush_stroke"].active = False
    with layer.block_history():
        layer.paint_polygon([[6, 1, 1], [6, 1, 4], [6, 4, 4], [6, 4, 1]], 7)
    painted = full_mask(work.session.instance(7))[6]
    assert painted[1:5, 1:5].any()
    assert not painted[8].any()
    agree(work)
