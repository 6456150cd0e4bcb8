"""Layers of images and objects: types, order of drawing, colours, windows, updates."""

from __future__ import annotations

import copy
import gc
import weakref
from dataclasses import replace

import numpy as np
import pytest
from medseg_napari.view.adapter import move_shapes, refreshed_once
from medseg_napari.view.facts import LayerFacts, facts_of
from medseg_napari.view.layer_data import drawn, image_data, labels_data, recolor, redraw
from medseg_napari.view.opening import add_layers
from medseg_napari.view.placement import Placement
from medseg_napari.view.presets import CT_PRESETS, apply_preset
from session_cases import GRID, cuboid, image, output
from view_cases import SAGITTAL

from medseg.errors import InputRefused
from medseg.types import Instances, Volume


def objects(*items) -> Instances:
    return replace(output(), items=list(items))


def test_a_layer_of_objects_holds_ids_in_the_smallest_type() -> None:
    labels, keywords, kind = labels_data(output())
    assert (kind, labels.dtype) == ("labels", np.uint8)
    assert set(np.unique(labels)) == {0, 1, 3, 7, 12, 40}
    assert keywords["metadata"]["medseg"].instances is not None


@pytest.mark.parametrize(
    ("largest", "dtype"), [(255, np.uint8), (256, np.uint16), (65535, np.uint16)]
)
def test_ids_up_to_65535_are_shown_and_never_as_int32(largest, dtype) -> None:
    labels, _, _ = labels_data(objects(cuboid(largest, "1:3,1:3,1:4")))
    assert labels.dtype == dtype
    assert labels.max() == largest


def test_an_id_beyond_is_refused_and_not_wrapped() -> None:
    with pytest.raises(InputRefused, match=r"object 65536 has a number above 65535"):
        labels_data(objects(cuboid(65536, "1:3,1:3,1:4")))


def test_nothing_found_gives_an_empty_layer(viewer) -> None:
    (layer,) = add_layers(viewer, [labels_data(objects())])
    assert layer.data.shape == GRID.shape
    assert not layer.data.any()


def test_a_lesion_lies_above_an_organ_and_a_higher_score_above_a_lower_one() -> None:
    """12 (0.9) and 7 (0.5) share voxels; the organ 1 has score 1 and lies under all of them."""
    labels, _, _ = labels_data(output())
    assert labels[3, 5, 7] == 12
    assert labels[5, 7, 9] == 7
    assert labels[2, 2, 2] == 3
    assert labels[0, 0, 0] == 1


def test_of_equal_scores_the_smaller_lesion_is_seen_in_the_larger_one() -> None:
    outer, inner = cuboid(3, "1:6,1:9,1:9"), cuboid(7, "2:4,3:5,3:5")
    for items in ([outer, inner], [inner, outer]):
        labels, _, _ = labels_data(objects(*items))
        assert np.count_nonzero(labels == 7) == 2 * 2 * 2
    louder = replace(outer, score=0.6)
    assert not (labels_data(objects(inner, louder))[0] == 7).any()


def test_a_class_has_one_colour_and_what_is_hidden_is_clear(viewer) -> None:
    (layer,) = add_layers(viewer, [labels_data(output())])
    assert layer.get_color(1) == pytest.approx(np.array([120, 60, 40, 255]) / 255, abs=1e-6)
    assert layer.get_color(7) == pytest.approx(layer.get_color(40))
    assert layer.get_color(3) != pytest.approx(layer.get_color(7))
    recolor(layer, hidden=[7])
    assert layer.colormap.map(np.uint8(7))[3] == 0
    assert layer.colormap.map(np.uint8(40))[3] == 1
    recolor(layer)
    assert layer.colormap.map(np.uint8(7))[3] == 1


@pytest.mark.parametrize("turn", [((0, 1, 2), (False, False, False)), SAGITTAL])
def test_redrawing_a_box_gives_what_drawing_all_gives(viewer, turn) -> None:
    grid = GRID.reoriented(*turn)
    before = turned(output(), turn)
    (layer,) = add_layers(viewer, [labels_data(before)])
    item = before.items[0]
    after = replace(before, items=[one for one in before.items if one.id != item.id])
    layer.paint((4, 4, 4), 3)
    undo_depth = len(layer._undo_history)
    redraw(layer, after, tuple(slice(0, n) for n in grid.shape))
    layer.data[:] = labels_data(before)[0]
    redraw(layer, after, item.box)
    assert undo_depth == 1
    assert np.array_equal(layer.data, drawn(after, Placement.of(grid)))
    assert facts_of(layer).instances is after
    stood = layer.data.copy()
    layer.undo()  # a stroke of before would bring its old values back
    assert np.array_equal(layer.data, stood)


def turned(instances: Instances, turn) -> Instances:
    placement = Placement(instances.geometry, *turn)
    items = [
        replace(
            item,
            box=placement.shown_box(item.box),
            mask=placement.shown_mask(item.mask),
            probability=None,
        )
        for item in instances.items
    ]
    return replace(instances, geometry=instances.geometry.reoriented(*turn), items=items)


def test_an_id_that_the_layers_type_cannot_hold_is_no_silent_other_id(viewer) -> None:
    (layer,) = add_layers(viewer, [labels_data(output())])
    new = cuboid(300, "1:3,1:3,1:4")
    with pytest.raises(ValueError, match="an id above 255 does not fit"):
        redraw(layer, objects(new), new.box)
    assert facts_of(layer).instances.items[0].id == 12


def test_ct_opens_in_soft_tissue_and_every_preset_lies_on_its_slider(viewer) -> None:
    (layer,) = add_layers(viewer, [image_data(image())])
    assert layer.contrast_limits == [-160, 240]
    assert layer.contrast_limits_range == [-1350, 3071]
    for preset in CT_PRESETS:
        apply_preset(layer, preset)
        assert layer.contrast_limits == [preset.low, preset.high]
        assert layer.contrast_limits_range == [-1350, 3071]


def test_pet_in_suv_has_its_colours_and_window(viewer) -> None:
    pet = replace(image(), array=np.abs(image().array), modality="PT", unit="SUVbw")
    (layer,) = add_layers(viewer, [image_data(pet)])
    assert layer.colormap.name == "inferno"
    assert layer.contrast_limits == [0, 10]
    assert layer.blending == "additive"


def test_values_without_a_unit_get_no_window_in_hu(viewer) -> None:
    values = np.linspace(0, 1000, np.prod(GRID.shape)).reshape(GRID.shape)
    plain = Volume(values, GRID, "CT", "unknown")
    (layer,) = add_layers(viewer, [image_data(plain)])
    low, high = layer.contrast_limits
    assert (low, high) == pytest.approx((10, 995), abs=3)  # percentiles 1 and 99.5
    assert layer.contrast_limits_range == pytest.approx([0, 1000])
    assert layer.colormap.name == "gray"


def test_every_layer_is_in_millimetres(viewer) -> None:
    layers = add_layers(viewer, [image_data(image()), labels_data(output())])
    for layer in layers:
        assert [str(unit) for unit in layer.units] == ["millimeter"] * 3
        assert layer.axis_labels == ("z", "y", "x")
        assert tuple(layer.scale) == pytest.approx((3.0, 0.9, 0.7))
        assert tuple(layer.translate) == pytest.approx((40.0, 5.0, -20.0))
    assert [str(unit) for unit in viewer.dims.units] == ["millimeter"] * 3


def test_the_image_is_not_copied_and_stays_true_in_its_facts() -> None:
    volume = image().reoriented(*SAGITTAL)
    data, keywords, _ = image_data(volume)
    facts = keywords["metadata"]["medseg"]
    assert np.shares_memory(data, volume.array)
    assert facts.volume is volume
    assert facts.placement.geometry == volume.geometry
    assert isinstance(copy.deepcopy(keywords)["metadata"]["medseg"], LayerFacts)


def test_a_layer_that_is_removed_and_a_viewer_that_is_closed_are_freed(viewer) -> None:
    from napari.components import ViewerModel

    def opened() -> tuple[weakref.ref, weakref.ref]:
        other = ViewerModel()
        layers = add_layers(other, [image_data(image()), labels_data(output())])
        return weakref.ref(other), weakref.ref(layers[0])

    found = [*opened(), weakref.ref(add_layers(viewer, [image_data(image())])[0])]
    viewer.layers.clear()
    viewer.add_image(np.zeros((2, 3, 4)))  # napari itself holds what was selected last
    gc.collect()
    assert [one() for one in found] == [None, None, None]


@pytest.mark.parametrize("place", [None, 2.0])
def test_layers_that_change_are_sliced_once_with_a_jump_or_without(viewer, place) -> None:
    layer = viewer.add_labels(np.zeros((4, 6, 6), dtype=np.uint8))
    viewer.dims.set_point(0, 1.0)
    sliced = []
    layer.events.set_data.connect(sliced.append)
    with refreshed_once([layer]):
        layer.data[1, 1, 1], layer.data[2, 1, 1] = 1, 2
        layer.refresh()
        if place is not None:
            viewer.dims.set_point(0, place)
    assert len(sliced) == 1
    assert layer.get_value((viewer.dims.point[0], 1, 1)) == (1 if place is None else 2)


def test_shapes_are_moved_without_being_made_anew(viewer) -> None:
    layer = viewer.add_shapes(ndim=3)
    layer.add_lines([np.array([[1, 0, 0], [1, 4, 4]]), np.array([[1, 2, 0], [1, 2, 3]])])
    told = []
    layer.events.data.connect(told.append)
    wanted = [np.array([[2, 0, 1], [2, 4, 5]]), np.array([[2, 3, 0], [2, 3, 3]])]
    move_shapes(layer, wanted)
    assert all(np.array_equal(one, other) for one, other in zip(layer.data, wanted, strict=True))
    assert told == []
