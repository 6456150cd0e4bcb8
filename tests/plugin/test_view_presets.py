"""Windows by name from the menu: which image they are for, and where there is none."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from medseg_napari.view import commands
from medseg_napari.view.layer_data import image_data
from medseg_napari.view.opening import add_layers
from medseg_napari.view.presets import show_window
from session_cases import image

CT = {
    "soft_tissue": [-160, 240],
    "liver": [-45, 105],
    "lung": [-1350, 150],
    "bone": [-500, 1300],
    "brain": [0, 80],
}
PET = {"suv_5": [0, 5], "suv_10": [0, 10], "suv_20": [0, 20]}


def opened(viewer):
    """CT below, PET above."""
    pet = replace(image(), array=np.abs(image().array), modality="PT", unit="SUVbw")
    return add_layers(viewer, [image_data(image(), name="CT"), image_data(pet, name="PET")])


def test_each_command_sets_the_window_of_its_own_kind_of_image(viewer) -> None:
    ct, pet = opened(viewer)
    for name, limits in CT.items():
        getattr(commands, name)(viewer)
        assert (ct.contrast_limits, pet.contrast_limits) == (limits, [0, 10]), name
    for name, limits in PET.items():
        getattr(commands, name)(viewer)
        assert (ct.contrast_limits, pet.contrast_limits) == ([0, 80], limits), name


def test_the_selected_image_comes_before_the_uppermost(viewer) -> None:
    first, second = add_layers(
        viewer, [image_data(image(), name="before"), image_data(image(), name="after")]
    )
    viewer.layers.selection.active = first
    assert show_window(viewer, "Lung")
    viewer.layers.selection.active = None
    assert show_window(viewer, "Bone")
    assert (first.contrast_limits, second.contrast_limits) == ([-1350, 150], [-500, 1300])
    viewer.layers.selection.active = first
    commands.as_opened(viewer)
    assert first.contrast_limits == [-160, 240]


def test_an_image_without_hounsfield_units_is_drawn_in_no_window_of_ct(viewer) -> None:
    (mr,) = add_layers(viewer, [image_data(replace(image(), modality="MR", unit="unknown"))])
    before = list(mr.contrast_limits)
    assert not show_window(viewer, "Lung")
    assert mr.contrast_limits == before
    mr.contrast_limits = (1, 2)
    assert show_window(viewer, None)
    assert mr.contrast_limits == pytest.approx(before)


def test_the_menu_has_every_window(skip_unless) -> None:
    from importlib.util import find_spec

    skip_unless(find_spec("npe2") is not None, "npe2 is not installed")
    from npe2 import PluginManifest

    found = PluginManifest.from_distribution("medseg").contributions
    offered = {entry.command for entry in found.menus["medseg_window"]}
    assert offered == {f"medseg.{name}" for name in (*CT, *PET, "as_opened")}
    entries = found.menus["napari/layers/visualize"]
    assert "medseg_window" in [getattr(entry, "submenu", None) for entry in entries]
