"""Picture, selection and session agree after every step; no Qt."""

from __future__ import annotations

import gc
import weakref
from dataclasses import replace

import numpy as np
import pytest
from lesions_cases import agree, bound, drag, event_at, labels_of, only, world_of
from medseg_napari import controller_steps as steps
from medseg_napari.controller import bind, controller_of, release, watch
from medseg_napari.session import Filter, Order, Session
from medseg_napari.view.facts import facts_of
from medseg_napari.view.layer_data import drawn, image_data, labels_data
from medseg_napari.view.opening import add_layers
from medseg_napari.view.placement import Placement
from session_cases import GRID, cuboid, image, many, output, random_step
from view_cases import SAGITTAL


def visible(work) -> set[int]:
    """The ids that the picture shows in a colour."""
    found = np.unique(work.objects.data).tolist()
    colors = work.objects.colormap.map(np.array(found, dtype=work.objects.data.dtype))
    return {number for number, color in zip(found, colors, strict=True) if number and color[3]}


@pytest.mark.parametrize("number", [3, 7, 12, 40])
def test_a_row_leads_to_the_slice_with_the_largest_area(viewer, number) -> None:
    work = bound(viewer)
    work.select([number])
    best = work.session.largest_slice(number, 0)
    z = (viewer.dims.point[0] - 40.0) / 3.0
    assert round(z) == best.index
    assert viewer.scene.camera.center[1:] == pytest.approx(
        tuple(world_of(work, best.index_zyx)[1:])
    )
    agree(work)
    assert set(np.unique(work.current.layer.data)) == {0, number}
    assert work.current.layer.contour == 1


def test_a_bent_lesion_is_seen_after_the_jump(viewer) -> None:
    mask = np.zeros((5, 6, 6), dtype=bool)
    mask[0, :, 0:2], mask[4, :, 5] = True, True
    mask[0:5, 0, 0], mask[4, 0] = True, True
    bent = replace(cuboid(3, "1:6,1:7,1:7"), mask=mask)
    work = bound(viewer, replace(output(), items=[bent]))
    work.select([3])
    index = round((viewer.dims.point[0] - 40.0) / 3.0)
    assert (labels_of(work)[index] == 3).sum() == mask.sum(axis=(1, 2)).max()


@pytest.mark.parametrize(
    ("shown", "taken"), [({1, 12, 7}, 1), ({12, 7, 40}, 12), ({7, 40}, 7), ({40}, None)]
)
def test_a_click_in_3d_looks_through_what_the_filter_hides(viewer, shown, taken) -> None:
    """Along y first the liver 1 lies in the line of sight, then 12, then 7."""
    work = bound(viewer)
    work.session.selection.choose([])
    work.hidden = frozenset({1, 3, 7, 12, 40} - shown)
    viewer.dims.ndisplay = 3
    event = event_at(
        world_of(work, (4, -3, 7)), view_direction=(0.0, 1.0, 0.0), dims_displayed=[0, 1, 2]
    )
    press = work.clicks._on_press(viewer, event)
    next(press)
    event.type = "mouse_release"
    next(press, None)
    assert work.session.selection.current == taken


def test_a_click_takes_what_is_drawn_on_top_also_of_equal_scores(viewer) -> None:
    items = [cuboid(3, "1:7,1:9,1:11"), cuboid(7, "2:4,2:4,2:4")]
    work = bound(viewer, replace(output(), items=items))
    assert labels_of(work)[2, 2, 2] == 7
    assert work.at(world_of(work, (2, 2, 2))) == [7, 3]


def test_a_click_selects_and_where_lesions_overlap_the_next_click_takes_the_other(viewer) -> None:
    """12 has the higher score and lies above 7, and both above the liver."""
    work = bound(viewer)
    shared = world_of(work, (3, 5, 7))
    assert [work.pick(shared) for _ in range(4)] == [12, 7, 1, 12]
    assert work.pick(world_of(work, (7, 9, 11))) == 40
    assert work.pick(world_of(work, (7, 0, 11))) is None
    assert work.pick([1e4, 0, 0]) is None
    assert work.session.selection.current == 40


def test_a_click_is_a_press_that_does_not_move(viewer) -> None:
    work = bound(viewer)
    place = world_of(work, (7, 9, 11))
    drag(viewer, [place], [work.clicks._on_press])
    assert work.session.selection.current == 40
    work.select([3], go=False)
    press = event_at(place)
    running = work.clicks._on_press(viewer, press)
    next(running)
    press.type, press.pos = "mouse_move", np.array([30.0, 0.0])
    assert next(running, None) is None
    assert work.session.selection.current == 3


def test_a_click_while_a_brush_is_in_hand_selects_nothing(viewer) -> None:
    work = bound(viewer)
    work.select([7])
    work.brush.start("paint")
    assert list(work.clicks._on_press(viewer, event_at(world_of(work, (7, 9, 11))))) == []
    assert work.session.selection.current == 7


def test_what_is_filtered_away_is_clear_in_the_picture_and_stays_in_the_session(viewer) -> None:
    work = bound(viewer)
    assert visible(work) == {1, 3, 7, 12, 40}
    work.show(filter=Filter(score=(0.6, 1.0)))
    assert visible(work) == {1, 12, 40} == set(work.session.selection.ids.tolist())
    assert len(work.session.instances) == 5
    assert work.pick(world_of(work, (1, 1, 1))) == 1  # 3 is there too, and hidden
    agree(work)
    work.show(filter=Filter())
    assert visible(work) == {1, 3, 7, 12, 40}


def test_a_step_is_about_no_chosen_row_that_the_filter_hides(viewer) -> None:
    work = bound(viewer)
    work.select([7, 40, 12])
    work.show(filter=Filter(score=(0.6, 1.0)))
    shown = set(work.session.selection.ids.tolist())
    assert work.chosen == tuple(number for number in (7, 40, 12) if number in shown)
    assert work.chosen != (7, 40, 12)
    work.select([7, 12])
    work.show(filter=Filter(score=(0.0, 0.01)))
    assert work.chosen == (12,)  # outlined as before: who filtered all away sees what is edited
    work.show(filter=Filter())
    assert work.chosen == (7, 12)


def test_a_decision_that_filters_the_row_away_hides_it_in_the_picture(viewer) -> None:
    work = bound(viewer)
    work.show(filter=Filter(marks=frozenset([""])))
    work.select([7])
    work.decide("reject", then_next=True)
    assert 7 not in visible(work)
    assert work.session.selection.current == 12
    work.undo()
    assert 7 in visible(work)


def test_next_and_previous_follow_the_order_on_display(viewer) -> None:
    work = bound(viewer)
    work.show(order=Order("score", descending=True), filter=Filter(kinds=frozenset(["lesion"])))
    walked = []
    for _ in range(4):
        work.step(1)
        walked.append(work.session.selection.current)
    assert walked == [12, 40, 7, 3]
    work.step(1)
    assert (work.message, work.session.selection.current) == ("this is the last row", 3)
    work.step(-1)
    assert work.session.selection.current == 7


def test_keys_of_layer_and_viewer_undo_the_step_of_the_session(viewer) -> None:
    work = bound(viewer)
    work.select([7])
    work.apply(steps.delete(work.session, [7]))
    agree(work)
    assert 7 not in labels_of(work)
    for layer in (work.objects, work.current.layer, work.lines.layer, viewer):
        keys = {str(key): action for key, action in layer.keymap.items()}
        keys["Ctrl+Z"](layer)
        assert (work.message, work.session.undo_name) == ("undone: Delete lesion 7", None)
        assert 7 in labels_of(work)
        agree(work)
        keys["Ctrl+Shift+Z"](layer)
        assert work.session.undo_name == "Delete lesion 7"
        agree(work)


def test_marks_by_key_carry_the_readers_initials(viewer) -> None:
    work = bound(viewer)
    work.select([3])
    keys = {str(key): action for key, action in viewer.keymap.items()}
    keys["G"](viewer)
    mark = work.session.review(3).mark
    assert (mark.decision, mark.reader) == ("accept", "AB")
    assert work.session.selection.current == 7


@pytest.mark.parametrize("turn", [((0, 1, 2), (False, False, False)), SAGITTAL])
def test_table_and_picture_agree_through_random_steps(viewer, turn) -> None:
    placement = Placement(GRID, *turn)
    items = [
        replace(
            item,
            box=placement.shown_box(item.box),
            mask=placement.shown_mask(item.mask),
            probability=None,
        )
        for item in output()
    ]
    start = replace(output(), geometry=GRID.reoriented(*turn), items=items)
    work = bound(viewer, start, image().reoriented(*turn))
    rng = np.random.default_rng(5)
    if turn[0] == (0, 1, 2):
        for _ in range(40):
            random_step(work.session, rng)
            agree(work)
            assert visible(work) <= set(work.session.selection.ids.tolist())
    for number in (3, 7, 12, 40):
        if number in work.session.selection.ids:
            work.select([number])
            agree(work)


def test_an_empty_result_is_shown_and_takes_new_objects(viewer) -> None:
    work = bound(viewer, only())
    work.step(1)
    work.decide("accept")
    work.undo()
    assert work.message == "there is nothing to undo"
    work.brush.start("paint", new=True)
    work.brush.resize(1.0)
    layer = work.current.layer
    drag(layer, [world_of(work, (2, 3, 4))], layer.mouse_drag_callbacks)
    assert [item.id for item in work.session.instances] == [1]
    agree(work)


def test_a_layer_of_bytes_gets_room_for_larger_ids(viewer) -> None:
    work = bound(viewer, replace(output(), items=[cuboid(255, "1:3,1:3,1:4")]))
    assert work.objects.data.dtype == np.uint8
    item = replace(work.session.instance(255), id=work.session.next_id)
    work.apply(work.session.edit("Copy", "copy", {}, {256: item, 255: None}))
    assert work.objects.data.dtype == np.uint16
    agree(work)
    work.undo()
    agree(work)


def test_a_step_that_is_refused_is_said_and_changes_nothing(viewer) -> None:
    work = bound(viewer)
    assert work.attempt(lambda: steps.merge(work.session, [7])) is None
    assert "merging wants two objects or more" in work.message
    assert work.session.undo_name is None
    agree(work)


def test_300_lesions_agree_after_steps(viewer) -> None:
    volume, start = many(300, spread=48)
    work = bound(viewer, start, volume)
    work.select([300, 302])
    work.apply(steps.merge(work.session, [300, 302], "node"))
    work.apply(steps.grow(work.session, [10, 20, 30], 1.0))
    agree(work)
    work.undo()
    work.undo()
    agree(work)
    assert np.array_equal(work.objects.data, drawn(start, Placement.of(start.geometry)))


def test_a_released_viewer_has_its_own_keys_and_layers_again(viewer) -> None:
    told, callbacks = [], list(viewer.mouse_drag_callbacks)
    end = watch(viewer, told.append)
    work = bound(viewer)
    work.select([7])
    assert controller_of(viewer) is work
    release(viewer)
    assert controller_of(viewer) is None
    assert [layer.name for layer in viewer.layers] == ["image", "objects"]
    assert list(viewer.mouse_drag_callbacks) == callbacks
    assert "N" not in {str(key) for key in viewer.keymap}
    assert [one is work for one in told] == [True, False]
    end()
    end()


def test_another_session_takes_the_place_of_the_first(viewer) -> None:
    first = bound(viewer)
    _, layer = add_layers(viewer, [image_data(image()), labels_data(only(3), name="second")])
    second = bind(viewer, Session.begin(image(), only(3), "CD"), layer)
    assert controller_of(viewer) is second
    second.select([3])
    assert first.current.layer is None
    viewer.layers.remove(layer)
    assert controller_of(viewer) is None


def test_a_closed_study_is_freed(viewer) -> None:
    work = bound(viewer)
    work.select([7])
    gone = weakref.ref(work)
    release(viewer)
    del work
    gc.collect()
    assert gone() is None


def test_the_facts_of_the_layer_are_the_sessions_objects(viewer) -> None:
    work = bound(viewer)
    work.apply(steps.delete(work.session, [7, 40]))
    assert facts_of(work.objects).instances is work.session.instances
