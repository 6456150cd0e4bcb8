"""What the Segment panel says and asks for, without Qt."""

from __future__ import annotations

import re
from dataclasses import fields, replace
from importlib import resources
from pathlib import Path

import numpy as np
import pytest
from medseg_napari.controller_keys import KEYS
from medseg_napari.run import JobEstimate, JobState
from medseg_napari.view.placement import Placement
from medseg_napari.widgets.preferences import (
    PAGES,
    Preferences,
    from_values,
    recolored,
    review_keys,
    usable_keys,
)
from medseg_napari.widgets.segment_plan import (
    ModelChoice,
    box_around,
    box_in_words,
    estimate_in_words,
    missing,
    model_choices,
    nothing_yet,
    pointed,
    state_in_words,
    suggested,
    to_point,
)
from session_cases import image, output
from view_cases import LARGE, SAGITTAL, STRAIGHT, TURNS

from medseg.errors import ModelError
from medseg.types import Geometry, Volume


def test_every_model_shows_its_task_its_figures_and_its_limits() -> None:
    choices = model_choices()
    assert {"hippocampus-mr", "phantom-lesions"} <= {one.name for one in choices}
    for one in choices:
        assert one.card.limits in one.page
        assert one.card.intended_use in one.page
        assert re.search(r"cases( of \d+ patients)? it never saw", one.page)
        assert ".png" not in one.page  # pictures of files that the panel cannot show
        assert all(known.name in one.summary for known in one.card.classes)


def test_a_folder_that_holds_no_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="model-invalid"):
        ModelChoice.of(tmp_path)


def test_the_model_for_the_images_modality_is_suggested() -> None:
    choices = [one for one in model_choices() if one.card.modality == "MR"]
    ct = replace(choices[0], card=choices[0].card.model_copy(update={"modality": "CT"}))
    assert suggested([*choices, ct], image()) == len(choices)
    assert suggested(choices, image()) == 0  # none is for CT


def grid(spacing_mm, shape, modality, **meta) -> Volume:
    nothing = np.broadcast_to(np.int16(0), shape)
    return Volume(nothing, Geometry.from_spacing(shape, spacing_mm), modality, meta=meta)


CHEST = (2.5, 0.7, 0.7), (100, 512, 512), "CT"


@pytest.mark.parametrize(
    ("seen", "name"),
    [
        (grid(*CHEST), "lung-nodule-ct"),  # its voxels, of no other model
        (grid((2.5, 4.0, 4.0), (120, 128, 128), "CT"), "headneck-organs-ct"),
        (grid(*CHEST, body_part="HEADNECK"), "headneck-organs-ct"),
        (grid((5.0, 4.0, 4.0), (60, 128, 128), "CT", body_part="Chest"), "lung-nodule-ct"),
        (grid((1.0, 1.0, 1.0), (180, 256, 256), "MR"), "hippocampus-mr"),
        (grid((1.0, 1.0, 1.0), (48, 64, 64), "MR", body_part="PHANTOM"), "phantom-lesions"),
        (grid((1.0, 1.0, 1.0), (180, 256, 256), "MR", body_part="BRAIN"), "hippocampus-mr"),
    ],
)
def test_the_model_whose_training_images_are_most_like_an_image_is_suggested(seen, name) -> None:
    choices = model_choices()
    assert choices[suggested(choices, seen)].name == name
    assert choices[::-1][suggested(choices[::-1], seen)].name == name


def test_a_turned_image_is_compared_along_the_patients_axes() -> None:
    choices = model_choices()
    turned = grid((2.5, 0.7, 0.7), (20, 60, 60), "CT").reoriented((2, 0, 1), (False, True, False))
    assert choices[suggested(choices, turned)].name == "lung-nodule-ct"


def test_what_a_model_that_wants_a_point_needs_is_said_unless_the_image_is_a_crop() -> None:
    nodule, phantom = (ModelChoice.of(name) for name in ("lung-nodule-ct", "phantom-lesions"))
    large = Geometry.from_spacing((30, 300, 300), (2.5, 0.7, 0.7))
    said = to_point(nodule.card, large)
    assert "the nodule that you point at" in said and "Add by click" in said and "100 mm" in said
    assert to_point(nodule.card, Geometry.from_spacing((40, 142, 142), (2.5, 0.7, 0.7))) == ""
    assert to_point(nodule.card, Geometry.from_spacing((41, 50, 50), (2.5, 0.7, 0.7))) != ""
    assert to_point(phantom.card, large) == ""
    assert nodule.summary == "CT, lung. Outlines what is pointed at: nodule."
    start = nothing_yet(nodule.card, large)
    assert (len(start), [one.name for one in start.classes]) == (0, ["nodule"])


def test_models_that_take_a_click_are_offered_for_their_modality() -> None:
    choices = model_choices()
    assert [one.name for one in pointed(choices, image())] == ["lung-nodule-ct"]
    mr = replace(image(), modality="MR", unit="arbitrary")
    assert [one.name for one in pointed(choices, mr)] == ["sarcoma-mr"]
    assert pointed(choices, replace(image(), modality="PT", unit="SUVbw")) == []
    assert pointed(choices, None) == []


def test_required_channels_and_another_modality_are_said_before_the_start() -> None:
    card = ModelChoice.of("phantom-lesions").card
    two = card.model_copy(
        update={
            "channels": (
                *card.channels,
                card.channels[0].model_copy(update={"name": "late"}),
                card.channels[0].model_copy(update={"name": "early", "required": False}),
            )
        }
    )
    mr = replace(image(), modality="MR", unit="arbitrary")
    assert missing(two, {"mr": mr}) == "Choose an image for late."
    assert missing(two, {"mr": mr, "late": mr}) == ""
    assert "for MR; the image is CT" in missing(card, {"mr": image()})


@pytest.mark.parametrize("turn", TURNS)
def test_a_rectangle_gives_the_same_part_of_the_patient_on_any_grid(turn: tuple) -> None:
    """Drawn in an axial slice around a known box, in napari's world."""
    grid = STRAIGHT.reoriented(*turn)
    placement = Placement.of(grid)
    wanted = (slice(1, 3), slice(1, 4), slice(2, 5))  # of the upright grid
    corner = np.asarray(placement.translate_mm)
    step = np.asarray(placement.scale_mm)
    points = [corner + step * [1, y, x] for y in (0.8, 3.3) for x in (1.7, 4.2)]
    box = box_around(placement, points, 0, 0.0)
    assert box is not None
    assert placement.shown_box(box) == (slice(0, 4), *wanted[1:])
    shallow = box_around(placement, points, 0, 3.0)
    assert shallow is not None
    assert placement.shown_box(shallow) == (slice(0, 3), *wanted[1:])


def test_a_rectangle_outside_the_image_or_between_voxels_is_no_box() -> None:
    placement = Placement.of(LARGE)
    corner, step = np.asarray(placement.translate_mm), np.asarray(placement.scale_mm)
    beyond = [corner - 10 * step, corner - 5 * step]
    between = [corner + step * [3, 2.2, 2.2], corner + step * [3, 2.8, 2.8]]
    assert box_around(placement, beyond, 0, 0.0) is None
    assert box_around(placement, between, 0, 0.0) is None
    partly = box_around(placement, [corner - step, corner + 2 * step], 0, 0.0)
    assert partly == (slice(0, 24), slice(0, 3), slice(0, 3))


def test_the_depth_is_counted_in_millimetres_of_the_sliced_axis() -> None:
    grid = Geometry.from_spacing((20, 10, 10), (5.0, 1.0, 1.0)).reoriented(*SAGITTAL)
    placement = Placement.of(grid)
    corner, step = np.asarray(placement.translate_mm), np.asarray(placement.scale_mm)
    points = [corner + step * [10, 2, 2], corner + step * [10, 6, 6]]
    box = box_around(placement, points, 0, 12.0)
    assert box is not None
    assert placement.shown_box(box) == (slice(8, 13), slice(2, 7), slice(2, 7))
    assert box_in_words(box, grid.spacing_mm).count("25") == 1


def test_an_estimate_is_said_in_time_and_memory() -> None:
    said = estimate_in_words(JobEstimate(27, 95.0, 57_000_000, 0, "cpu"))
    assert said == "About 2 min on cpu, 57 MB of memory (27 windows)."
    card = estimate_in_words(JobEstimate(1, 1.0, 57_000_000, 2_000_000_000, "cuda"))
    assert card.startswith("Under 5 s on cuda") and "2.0 GB of the graphics card" in card


@pytest.mark.parametrize(
    ("state", "words"),
    [
        (JobState("loading"), "Loading the model …"),
        (JobState("segmenting", 3, 27, 95.0), "Segmenting: 3 of 27, 2 min left"),
        (JobState("segmenting", 0, 27), "Segmenting: 0 of 27"),
        (JobState("segmenting", 27, 27, 0.0), "Putting the objects together …"),
        (JobState("cancelled", 3, 27), "Cancelled; nothing was written"),
    ],
)
def test_a_state_is_said_with_what_is_left(state: JobState, words: str) -> None:
    assert state_in_words(state) == words


def test_preferences_that_cannot_be_keep_their_defaults() -> None:
    said = {"device": "tpu", "min_volume_ml": -1, "connectivity": "18", "colors": "bright"}
    found = from_values({**said, "reader": " AB ", "nonsense": 1})
    assert found == Preferences("AB", "auto", 0.0, 18, "bright")
    assert from_values({"connectivity": "7"}) == Preferences()


def test_colors_are_changed_for_classes_and_nothing_else() -> None:
    before = output()
    safe = recolored(before, "colour-blind safe")
    colors = [one.color for one in safe.classes]
    assert len(set(colors)) == len(colors) and None not in colors
    assert safe.items is before.items
    assert recolored(before, "of the model") is before


def test_a_key_is_bound_once_and_what_is_no_key_is_said(viewer) -> None:
    wishes = Preferences(accept="A", reject="a", unsure="Foo", next_case="", go_to_lesion="Ctrl+Z")
    keys, lines = usable_keys(wishes)
    assert keys == {
        "previous_case": "Shift-K",
        "next_lesion": "N",
        "previous_lesion": "Shift-N",
        "accept": "A",
    }
    assert [line.partition(": ")[2] for line in lines] == [
        "a is taken by accept, so reject has no key",
        "'Foo' is no single key, so unsure has none",
        "Ctrl+Z is taken by undo, redo and Escape, so go to lesion has no key",
    ]
    assert review_keys(wishes) == {"next": "N", "previous": "Shift-N", "accept": "A"}
    assert review_keys(Preferences()) == KEYS
    assert usable_keys(Preferences())[1] == []


def test_the_page_in_preferences_has_every_default(viewer) -> None:
    import yaml  # comes with napari

    text = resources.files("medseg_napari").joinpath("napari.yaml").read_text(encoding="utf-8")
    pages = yaml.safe_load(text)["contributions"]["configurations"]
    offered = {
        name: one["default"] for page in pages.values() for name, one in page["properties"].items()
    }
    assert set(pages) == set(PAGES)
    assert from_values(offered) == Preferences()
    assert set(offered) == {one.name for one in fields(Preferences)}
