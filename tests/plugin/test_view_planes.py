"""Planes, letters, banner and jumps, on a viewer without a window."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from medseg_napari.view.jump import (
    index_at,
    jump_to_index,
    jump_to_lps,
    own_slice_axis,
    required_facts,
)
from medseg_napari.view.layer_data import image_data, labels_data
from medseg_napari.view.opening import add_layers
from medseg_napari.view.picture import numbers_on_display
from medseg_napari.view.planes import PLANES, banner, letters, screen_directions
from medseg_napari.view.study_view import attach
from session_cases import GRID, cuboid, output
from view_cases import CORONAL, IDS, LARGE, SAGITTAL, STRAIGHT, marked, oblique, twisted

from medseg.types import Geometry

UPRIGHT = {
    "axial": ("R", "L", "A", "P"),
    "coronal": ("R", "L", "H", "F"),
    "sagittal": ("A", "P", "H", "F"),
}
AXIAL = ((0, 1, 2), (False, False, False))
ACQUISITIONS = {"axial": AXIAL, "sagittal": SAGITTAL, "coronal": CORONAL}


def overlay_texts(viewer) -> tuple[str, ...]:
    """What stands on the canvas at left, right, top and bottom."""
    overlays = viewer.canvas.overlays
    found = [overlays[f"medseg_{side}"] for side in ("left", "right", "top", "bottom")]
    return tuple(one.text if one.visible else "" for one in found)


def column_row(viewer, world) -> tuple[float, float]:
    """How far right and how far down on the canvas a point lies."""
    right, down = screen_directions(viewer)
    return float(right @ world), float(down @ world)


@pytest.mark.parametrize("ndisplay", [2, 3])
@pytest.mark.parametrize("plane", PLANES)
@pytest.mark.parametrize("acquired", ACQUISITIONS)
def test_the_patient_stands_upright_in_every_plane(viewer, acquired, plane, ndisplay) -> None:
    volume, _ = marked(LARGE.reoriented(*ACQUISITIONS[acquired]))
    add_layers(viewer, [image_data(volume)])
    view = attach(viewer)
    view.show(plane, ndisplay=ndisplay)
    assert view.plane == plane
    assert overlay_texts(viewer) == UPRIGHT[plane]


@pytest.mark.parametrize("plane", PLANES)
@pytest.mark.parametrize("degrees", [0.0, 2.0, 20.0, None])
@pytest.mark.parametrize("acquired", ACQUISITIONS)
def test_marks_lie_on_the_side_that_the_letters_name(viewer, acquired, degrees, plane) -> None:
    """The arms of the phantom lead to the patient's left, back and head whatever the grid is."""
    turned = twisted(LARGE) if degrees is None else oblique(LARGE, degrees)
    grid = turned.reoriented(*ACQUISITIONS[acquired])
    volume, objects = marked(grid)
    layer = add_layers(viewer, [image_data(volume), labels_data(objects)])[1]
    attach(viewer).show(plane)
    middle = np.asarray(layer.data_to_world((np.asarray(layer.data.shape) - 1) / 2))
    for name, number in IDS.items():
        voxels = np.argwhere(layer.data == number)
        away = np.asarray(layer.data_to_world(voxels.mean(axis=0))) - middle
        column, row = column_row(viewer, away)
        if name == "L" and plane != "sagittal":
            assert column > 10
        if name == "P" and plane == "axial":
            assert row > 10
        if name == "P" and plane == "sagittal":
            assert column > 10
        if name == "S" and plane != "axial":
            assert row < -7


def test_left_is_left_in_3d_too(viewer) -> None:
    """Right, down and away from the eye keep the handedness of the patient: no mirror image."""
    volume, _ = marked(twisted(LARGE).reoriented(*SAGITTAL))
    add_layers(viewer, [image_data(volume)])
    for plane in PLANES:
        attach(viewer).show(plane, ndisplay=3)
        viewer.scene.camera.angles = (20.0, -35.0, 10.0)
        placement = required_facts(viewer.layers[0]).placement
        right, down = (placement.world_to_lps(one) for one in screen_directions(viewer))
        view = np.zeros(3)
        view[list(viewer.dims.displayed)] = viewer.scene.camera.view_direction
        assert np.cross(right, down) == pytest.approx(placement.world_to_lps(view), abs=1e-6)


def test_letters_follow_whatever_turns_the_view(viewer) -> None:
    add_layers(viewer, [image_data(marked()[0])])
    view = attach(viewer)
    assert overlay_texts(viewer) == UPRIGHT["axial"]
    viewer.scene.camera.orientation2d = ("up", "left")
    assert overlay_texts(viewer) == ("L", "R", "P", "A")
    assert view.plane is None
    view.show("coronal")
    viewer.dims.order = (1, 2, 0)  # napari's button that swaps the axes on display
    assert set(overlay_texts(viewer)) == {"R", "L", "H", "F"}
    assert overlay_texts(viewer)[0] in "FH"
    assert view.plane is None
    view.show("axial", ndisplay=3)
    viewer.scene.camera.angles = (90.0, 0.0, 0.0)
    assert set(overlay_texts(viewer)) == {"R", "L", "A", "P"}
    assert overlay_texts(viewer) != UPRIGHT["axial"]


def test_letters_of_a_strongly_oblique_image_name_two_sides(viewer) -> None:
    add_layers(viewer, [image_data(marked(oblique(LARGE, 30.0))[0])])
    assert overlay_texts(viewer) == ("RH", "LF", "A", "P")
    assert letters(viewer, required_facts(viewer.layers[0]).placement).top == "A"


@pytest.mark.parametrize(
    ("degrees", "said"),
    [(0.0, ""), (2.0, "oblique by 2.0 degrees"), (20.0, "oblique by 20.0 degrees")],
)
def test_the_banner_says_how_oblique_an_image_is(viewer, degrees, said) -> None:
    volume, _ = marked(oblique(LARGE, degrees).reoriented(*CORONAL))
    add_layers(viewer, [image_data(volume)])
    shown = viewer.canvas.overlays["medseg_banner"]
    assert shown.visible == bool(said)
    assert said in banner(viewer)
    assert shown.text == banner(viewer)


def test_the_banner_says_which_layers_do_not_lie_over_each_other(viewer) -> None:
    straight, turned = marked(LARGE)[0], marked(oblique(LARGE, 5.0))[0]
    first, second = add_layers(
        viewer, [image_data(straight, name="CT"), image_data(turned, name="PET")]
    )
    viewer.layers.selection.active = first
    assert "PET is turned by 5.0 degrees against CT" in banner(viewer)
    shown = viewer.canvas.overlays["medseg_banner"]
    assert shown.visible
    assert shown.text == banner(viewer)
    second.visible = False
    assert banner(viewer) == ""
    assert not shown.visible


def test_a_sheared_grid_is_said_to_be_one(viewer) -> None:
    affine = LARGE.affine.copy()
    affine[:3, 0] += 0.1 * affine[:3, 1]
    grid = Geometry(LARGE.shape, affine)
    add_layers(viewer, [image_data(replace(marked(LARGE)[0], geometry=grid))])
    assert "sheared grid" in banner(viewer)


def test_a_viewer_without_a_study_gets_no_letters(viewer) -> None:
    attach(viewer)
    viewer.add_image(np.zeros((4, 5, 6)))
    assert overlay_texts(viewer) == ("", "", "", "")
    assert attach(viewer) is attach(viewer)


def test_a_study_that_is_opened_later_is_upright_too(viewer) -> None:
    attach(viewer)
    viewer.scene.camera.orientation2d = ("up", "left")
    add_layers(viewer, [image_data(marked()[0])])
    assert overlay_texts(viewer) == UPRIGHT["axial"]
    viewer.layers.clear()
    assert overlay_texts(viewer) == ("", "", "", "")


def test_an_unknown_plane_is_a_bad_call(viewer) -> None:
    with pytest.raises(ValueError, match="axial, coronal, sagittal; got 'oblique'"):
        attach(viewer).show("oblique")


@pytest.mark.parametrize("plane", PLANES)
@pytest.mark.parametrize("turn", [AXIAL, SAGITTAL, CORONAL])
def test_a_jump_shows_the_voxel_in_the_middle_of_the_canvas(viewer, turn, plane) -> None:
    grid = twisted(STRAIGHT).reoriented(*turn)
    volume, _ = marked(LARGE)
    values = np.arange(np.prod(grid.shape), dtype=np.int16).reshape(grid.shape)
    (layer,) = add_layers(viewer, [image_data(replace(volume, array=values, geometry=grid))])
    attach(viewer).show(plane)
    index = (2, 3, 1)
    zoom = viewer.scene.camera.zoom
    jump_to_index(viewer, layer, index)
    shown = np.rint(layer.world_to_data(viewer.dims.point)).astype(int)
    assert layer.data[tuple(shown)] == values[index]
    assert index_at(layer, viewer.dims.point) == index
    centre = [viewer.dims.point[axis] for axis in viewer.dims.displayed]
    assert viewer.scene.camera.center[1:] == pytest.approx(centre)
    assert viewer.scene.camera.zoom == zoom
    viewer.dims.point = (0.0, 0.0, 0.0)
    jump_to_lps(viewer, layer, grid.index_to_world(index))
    assert index_at(layer, viewer.dims.point) == index
    expected = required_facts(layer).placement.axes[PLANES.index(plane)]
    assert own_slice_axis(viewer, layer) == expected


@pytest.mark.parametrize(("share", "after"), [(0.05, 0.3), (0.7, 0.3), (0.15, 0.15), (0.55, 0.55)])
def test_a_jump_to_an_object_makes_it_a_third_of_the_canvas_where_its_size_does_not_do(
    viewer, share, after
) -> None:
    (layer,) = add_layers(viewer, [labels_data(output())])
    box = (slice(2, 5), slice(3, 7), slice(3, 8))  # 9, 3.6 and 3.5 mm
    side = min(viewer.canvas.size)
    viewer.scene.camera.zoom = share * side / 9.0
    jump_to_index(viewer, layer, (3, 5, 5), box=box)
    assert viewer.scene.camera.zoom * 9.0 == pytest.approx(after * side)


def test_outside_of_the_image_there_is_no_voxel(viewer) -> None:
    (layer,) = add_layers(viewer, [labels_data(output())])
    assert index_at(layer, (40.0, 5.0, -20.0)) == (0, 0, 0)
    assert index_at(layer, (38.0, 5.0, -20.0)) is None
    other = viewer.add_image(np.zeros(GRID.shape))
    with pytest.raises(ValueError, match="is not one of medseg's"):
        index_at(other, (0.0, 0.0, 0.0))


@pytest.mark.parametrize("turn", [AXIAL, SAGITTAL])
def test_numbers_stand_on_their_objects_in_the_slice_on_display(viewer, turn) -> None:
    volume, objects = marked(LARGE.reoriented(*turn))
    layer = add_layers(viewer, [image_data(volume), labels_data(objects)])[1]
    attach(viewer).show("coronal")
    placement = required_facts(layer).placement
    middle = placement.geometry.index_to_world((np.asarray(placement.geometry.shape) - 1) / 2)
    jump_to_lps(viewer, layer, middle)
    found = numbers_on_display(viewer, layer)
    assert {one.id for one in found} == {IDS["L"], IDS["S"]}  # the other arm leads away from it
    for one in found:
        assert layer.data[tuple(int(n) for n in one.place)] == one.id
    assert [one.id for one in numbers_on_display(viewer, layer, ids=[IDS["S"]])] == [IDS["S"]]
    attach(viewer).show("coronal", ndisplay=3)
    assert {one.id for one in numbers_on_display(viewer, layer)} == set(IDS.values())


def test_the_number_of_an_object_stands_beside_what_lies_in_it(viewer) -> None:
    outer, inner = cuboid(3, "1:6,1:9,1:10"), cuboid(7, "2:5,3:6,3:7")
    nested = replace(output(), items=[outer, inner])
    (layer,) = add_layers(viewer, [labels_data(nested)])
    jump_to_index(viewer, layer, (3, 4, 5))
    found = {
        one.id: layer.data[tuple(int(n) for n in one.place)]
        for one in numbers_on_display(viewer, layer)
    }
    assert found == {3: 3, 7: 7}


def test_an_object_that_others_hide_has_its_number_all_the_same(viewer) -> None:
    hidden, over = cuboid(3, "2:5,3:6,3:7", score=0.2), cuboid(7, "1:6,1:9,1:10")
    (layer,) = add_layers(viewer, [labels_data(replace(output(), items=[hidden, over]))])
    jump_to_index(viewer, layer, (3, 4, 5))
    assert {one.id for one in numbers_on_display(viewer, layer)} == {3, 7}
