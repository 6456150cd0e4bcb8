"""Strokes in napari become steps on one object: exact in mm, whatever else lies there."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from lesions_cases import agree, bound, drag, labels_of, only, world_of
from medseg_napari.controller_strokes import own_crop
from medseg_napari.session import Filter
from medseg_napari.view.adapter import painted
from medseg_napari.view.placement import Placement
from session_cases import GRID, cuboid, full_mask, image, output
from view_cases import SAGITTAL, STRAIGHT

from medseg.editing import paint
from medseg.types import Geometry, Instances, Volume

ISO = Geometry.from_spacing((12, 14, 16), (1.0, 1.0, 1.0))


def iso(*items) -> tuple[Instances, Volume]:
    values = np.zeros(ISO.shape, dtype=np.float32)
    return replace(output(), geometry=ISO, items=list(items)), Volume(values, ISO, "CT", "HU")


def stroke(work, *way, layer=None) -> None:
    layer = layer or work.current.layer
    drag(layer, [world_of(work, index) for index in way], layer.mouse_drag_callbacks)


def test_a_stroke_is_one_step_and_covers_a_disc_in_mm(viewer) -> None:
    """Within 2.1 mm of a voxel lie 13 voxel centres of a square grid of 1 mm."""
    work = bound(viewer, *iso(cuboid(3, "6:7,6:7,6:7")))
    work.select([3])
    work.brush.start("paint")
    work.brush.resize(2.1)
    stroke(work, (6, 6, 6))
    assert work.session.undo_name == "Paint in lesion 3"
    assert work.session.instance(3).voxel_count == 13
    agree(work)
    work.undo()
    assert work.session.instance(3).voxel_count == 1
    agree(work)
    assert len(work.session.steps) == 0


def test_a_ball_paints_through_slices(viewer) -> None:
    """Within 2.1 mm lie 33 centres of a cubic grid: 1 + 6 + 12 + 8 + 6."""
    work = bound(viewer, *iso(cuboid(3, "6:7,6:7,6:7")))
    work.select([3])
    work.brush.start("paint")
    work.brush.resize(2.1)
    work.brush.shape(ball=True)
    assert work.current.layer.n_edit_dimensions == 3
    stroke(work, (6, 6, 6))
    assert work.session.instance(3).voxel_count == 33
    agree(work)


def test_thick_slices_get_a_ball_in_mm_and_not_in_voxels(viewer) -> None:
    work = bound(viewer, only(40))
    work.select([40])
    work.brush.start("paint")
    work.brush.shape(ball=True)
    work.brush.resize(2.0)  # slices are 3 mm apart
    stroke(work, (3, 5, 5))
    painted_in = full_mask(work.session.instance(40))
    assert painted_in[3].any()
    assert not painted_in[[2, 4]].any()


def test_a_drag_is_one_step_between_its_points(viewer) -> None:
    work = bound(viewer, *iso(cuboid(3, "6:7,6:7,2:3")))
    work.select([3])
    work.brush.start("paint")
    work.brush.resize(0.5)
    stroke(work, (6, 6, 2), (6, 6, 7), (6, 6, 12))
    assert work.session.instance(3).voxel_count == 11
    assert len(work.session.steps) == 1
    agree(work)


def test_painting_a_lesion_over_organ_and_lesion_takes_nothing_from_them(viewer) -> None:
    work = bound(viewer)
    before = {item.id: item for item in work.session.instances}
    work.select([3])
    work.brush.keep_out = False
    work.brush.start("paint")
    work.brush.resize(1.5)
    stroke(work, (3, 5, 7))  # 12 and 7 lie there, in the liver
    assert labels_of(work)[3, 5, 7] == 12  # the higher score lies above
    for number in (1, 7, 12, 40):
        assert work.session.instance(number) is before[number]
    assert full_mask(work.session.instance(3))[3, 5, 7]
    agree(work)


def test_by_default_a_stroke_keeps_off_other_lesions(viewer) -> None:
    work = bound(viewer)
    work.select([40])
    work.brush.start("paint")
    work.brush.resize(1.5)
    stroke(work, (3, 5, 8))
    mine = full_mask(work.session.instance(40))
    others = full_mask(work.session.instance(7)) | full_mask(work.session.instance(12))
    assert mine[3].any()
    assert not (mine & others).any()
    agree(work)


@pytest.mark.parametrize(
    ("keep_out", "said"), [(True, "keeps off"), (False, "both hold what is painted there")]
)
def test_a_stroke_over_a_hidden_lesion_leaves_it_whole_and_says_so(viewer, keep_out, said) -> None:
    work = bound(viewer)
    hidden = work.session.instance(12)
    work.select([40])
    work.show(filter=Filter(score=(0.0, 0.8)))
    assert 12 not in work.session.selection.ids
    work.brush.keep_out = keep_out
    work.brush.start("paint")
    work.brush.resize(1.5)
    stroke(work, (3, 5, 7))
    assert work.session.instance(12) is hidden
    assert bool(full_mask(work.session.instance(40))[3, 5, 7]) is not keep_out
    assert work.message.startswith("the filter hides lesion 12 here")
    assert said in work.message
    agree(work)
    work.show(filter=Filter())
    work.say("")
    stroke(work, (3, 5, 7))
    assert "filter" not in work.message


def test_of_overlapping_lesions_the_one_below_is_edited_whole(viewer) -> None:
    """The picture shows 12 over 7; erased is what 7 holds below it, and 12 stays whole."""
    work = bound(viewer)
    above = work.session.instance(12)
    work.select([7])
    assert work.current.layer.data[3, 5, 7] == 7
    work.brush.start("erase")
    work.brush.resize(0.3)
    stroke(work, (3, 5, 7))
    assert work.session.undo_name == "Erase in lesion 7"
    assert not full_mask(work.session.instance(7))[3, 5, 7]
    assert work.session.instance(12) is above
    agree(work)


def test_a_lesion_that_is_erased_whole_is_gone_and_comes_back_by_undo(viewer) -> None:
    work = bound(viewer)
    work.select([40])
    work.brush.start("erase")
    work.brush.resize(5.0)
    stroke(work, (7, 9, 11))
    assert 40 not in work.session.selection.ids
    agree(work)
    work.undo()
    assert 40 in labels_of(work)
    agree(work)


def test_a_new_lesion_gets_a_fresh_id_the_chosen_class_and_the_selection(viewer) -> None:
    work = bound(viewer)
    work.brush.class_name = "node"
    work.brush.start("paint", new=True)
    work.brush.resize(0.8)
    stroke(work, (7, 2, 11))
    made = work.session.instance(41)
    assert (made.class_name, work.session.selection.current) == ("node", 41)
    assert work.session.undo_name == "Paint a new lesion 41"
    agree(work)
    stroke(work, (7, 3, 11))  # the next stroke goes on with it
    assert work.session.undo_name == "Paint in lesion 41"
    agree(work)


def test_a_stroke_for_a_new_object_never_goes_to_one_that_was_made_since(viewer) -> None:
    work = bound(viewer)
    work.select([7])
    work.brush.start("paint", new=True)
    made = replace(work.session.instance(40), id=41)
    work.apply(work.session.edit("Add", "add", {}, {41: made}))
    work.select([7])
    said: list[str] = []
    work.subscribe(lambda what: said.append(work.message) if what == "message" else None)
    stroke(work, (6, 2, 2))
    assert said == ["another object was made since: choose Paint new again"]
    assert work.session.undo_name == "Add"
    agree(work)
    work.brush.start("paint", new=True)
    work.brush.stop()
    agree(work)  # the current object is outlined again


def test_a_stroke_that_changes_nothing_is_no_step_and_leaves_no_paint(viewer) -> None:
    work = bound(viewer)
    work.select([40])
    work.brush.start("paint")
    work.brush.resize(0.1)
    stroke(work, (7, 9, 11))
    assert work.session.undo_name is None
    agree(work)


@pytest.mark.parametrize("blocked", [True, False])
def test_fill_and_strokes_in_the_layer_of_all_objects_are_steps_too(viewer, blocked) -> None:
    """Whether napari tells of them before or after it writes them."""
    work = bound(viewer)
    work.select([7])
    layer = work.objects
    layer.mode = "paint"
    if blocked:
        with layer.block_history():
            layer.paint((6, 2, 2), 7)
    else:
        layer.paint((6, 2, 2), 7)
    assert work.session.undo_name == "Paint in lesion 7"
    assert full_mask(work.session.instance(7))[6, 2, 2]
    agree(work)
    layer.data_setitem((np.array([0]), np.array([9]), np.array([11])), 7)
    agree(work)
    work.undo()
    agree(work)
    assert not layer._undo_history


def test_painting_over_another_lesion_in_the_layer_of_all_is_refused_there(viewer) -> None:
    work = bound(viewer)
    work.select([7])
    work.objects.mode = "paint"
    work.objects.paint((1, 1, 1), 7)  # 3 lies there
    assert labels_of(work)[1, 1, 1] == 3
    agree(work)


def test_an_eraser_without_a_selected_object_takes_nothing(viewer) -> None:
    work = bound(viewer)
    work.objects.mode = "erase"
    work.objects.paint((2, 2, 2), 0)
    assert work.message.startswith("select a row first")
    agree(work)


def test_on_a_sagittal_series_the_stroke_lands_where_the_mouse_was(viewer) -> None:
    turned = Placement(GRID, *SAGITTAL)
    items = [
        replace(
            one,
            box=turned.shown_box(one.box),
            mask=turned.shown_mask(one.mask),
            probability=None,
        )
        for one in output()
    ]
    start = replace(output(), geometry=GRID.reoriented(*SAGITTAL), items=items)
    work = bound(viewer, start, image().reoriented(*SAGITTAL))
    work.select([40])
    work.brush.keep_out = False
    work.brush.start("paint")
    work.brush.resize(1.0)
    place = world_of(work, (3, 5, 4))
    stroke(work, (3, 5, 4))
    geometry = start.geometry
    before = next(one for one in start if one.id == 40)
    axis = work.placement.own_axis(0)
    wanted = paint(before, geometry, work.placement.world_to_lps(place), 1.0, axis=axis)
    assert np.array_equal(work.session.instance(40).mask, wanted.mask)
    agree(work)
    work.objects.mode = "paint"
    shown = work.placement.shown_box((slice(3, 4), slice(5, 6), slice(7, 8)))
    work.objects.data_setitem(tuple(np.array([part.start]) for part in shown), 40)
    own = np.zeros(geometry.shape, dtype=bool)
    own[work.session.instance(40).box] = work.session.instance(40).mask
    assert own[3, 5, 7]
    agree(work)


@pytest.mark.parametrize("turn", [((0, 1, 2), (False, True, False)), SAGITTAL])
def test_a_crop_turns_as_the_whole_does(turn) -> None:
    rng = np.random.default_rng(0)
    own = rng.integers(0, 9, STRAIGHT.shape)
    placement = Placement(STRAIGHT, *turn)
    box = (slice(1, 3), slice(0, 4), slice(2, 5))
    shown = placement.to_shown(own)[placement.shown_box(box)]
    assert np.array_equal(own_crop(placement, shown), own[box])


def test_what_napari_says_of_a_stroke_gives_values_before_and_after(viewer) -> None:
    """The atoms are napari's own: this fails when it says it in another way."""
    layer = viewer.add_labels(np.zeros((6, 8, 8), dtype=np.uint8))
    told = []
    layer.events.paint.connect(lambda event: told.append(event.value))
    layer.brush_size = 1
    with layer.block_history():
        layer.paint((2, 3, 3), 5)
        layer.data_setitem((np.array([2, 4]), np.array([3, 4]), np.array([3, 4])), 7)
        layer.paint((2, 3, 4), 9)
    box, old, new = painted(layer, told[0])
    assert not old.any()
    assert np.array_equal(layer.data[box], new)
    assert set(np.unique(new)) == {0, 7, 9}


def test_the_brush_of_napari_and_the_radius_in_mm_follow_each_other(viewer) -> None:
    work = bound(viewer)  # the smallest step is 0.7 mm
    work.brush.resize(3.5)
    assert work.objects.brush_size == 10
    assert work.brush.radius_mm == 3.5
    work.objects.brush_size = 20
    assert work.brush.radius_mm == pytest.approx(7.0)
