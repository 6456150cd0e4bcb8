"""What only a window shows: sides on the canvas, pictures, dialogs, opening and saving."""

from __future__ import annotations

import numpy as np
import pytest
from medseg_napari.view.adapter import open_viewer, unwrapped
from medseg_napari.view.facts import facts_of
from medseg_napari.view.layer_data import image_data, labels_data, recolor
from medseg_napari.view.opening import add_layers
from medseg_napari.view.picture import screenshot
from medseg_napari.view.study_view import attach
from session_cases import output
from view_cases import COLORS, IDS, LARGE, SAGITTAL, marked, oblique
from view_dicom import ct_series

from medseg.io import read_instances

SIDES = {  # where an arm lies from the middle of the canvas: axis of the picture, and its sign
    ("axial", "L"): (1, 1), ("axial", "P"): (0, 1),
    ("coronal", "L"): (1, 1), ("coronal", "S"): (0, -1),
    ("sagittal", "P"): (1, 1), ("sagittal", "S"): (0, -1),
}  # fmt: skip
GREY = (128, 128, 128, 255)


def colored(picture: np.ndarray, name: str) -> np.ndarray:
    """The pixels (N, 2) that have the colour of an arm, from the middle of the picture."""
    wanted = np.asarray(COLORS[name]) > 0
    bright, rest = picture[..., :3][..., wanted], picture[..., :3][..., ~wanted]
    found = np.argwhere((bright.min(axis=-1) > 80) & (rest.max(axis=-1) < 60))
    return found - np.asarray(picture.shape[:2]) / 2


def opened(window, grid=None):
    """The phantom with marked sides in a window; the arms are drawn in full colour."""
    volume, objects = marked(grid)
    image, labels = add_layers(window, [image_data(volume), labels_data(objects)])
    image.visible, labels.opacity = False, 1.0
    return labels


@pytest.mark.parametrize("degrees", [0.0, 20.0])
def test_left_is_left_on_the_canvas_in_three_planes_and_in_3d(window, degrees) -> None:
    labels = opened(window, oblique(LARGE, degrees).reoriented(*SAGITTAL))
    for ndisplay in (2, 3):
        for (plane, name), (axis, sign) in SIDES.items():
            attach(window).show(plane, ndisplay=ndisplay)
            recolor(labels, hidden=[number for arm, number in IDS.items() if arm != name])
            arm = np.argwhere(labels.data == IDS[name])
            if ndisplay == 2:  # an oblique image's arm leaves the slice: look at its middle
                window.dims.point = labels.data_to_world(arm[len(arm) // 2])
            pixels = colored(screenshot(window), name)
            assert len(pixels) > 100, (plane, name, ndisplay)
            assert sign * pixels.mean(axis=0)[axis] > 20, (plane, name, ndisplay)


def test_a_picture_has_numbers_and_a_scale_bar_and_leaves_no_trace(window, tmp_path) -> None:
    labels = opened(window)
    attach(window).show("coronal")
    window.dims.point = labels.data_to_world((np.asarray(labels.data.shape) - 1) / 2)
    window.canvas.overlays.scale_bar.visible = False
    names, active = [layer.name for layer in window.layers], window.layers.selection.active
    plain = screenshot(window)
    path = tmp_path / "picture.png"
    numbered = screenshot(window, path, numbers_of=labels)
    assert [layer.name for layer in window.layers] == names
    assert window.layers.selection.active is active
    assert not window.canvas.overlays.scale_bar.visible
    assert path.read_bytes().startswith(b"\x89PNG")
    rows, columns = plain.shape[0] // 8, plain.shape[1] // 4
    assert plain[-rows:, -columns:, :3].max() > 200  # the scale bar, below on the right
    changed = np.argwhere((plain != numbered).any(axis=-1)) - np.asarray(plain.shape[:2]) / 2
    assert len(changed) > 10
    arms = {name: colored(plain, name) for name in ("L", "S")}
    low = np.min([arm.min(axis=0) for arm in arms.values()], axis=0) - 15
    high = np.max([arm.max(axis=0) for arm in arms.values()], axis=0) + 15
    assert (changed >= low).all()
    assert (changed <= high).all()


def test_letters_are_drawn_at_the_edges(window) -> None:
    opened(window)
    lit = screenshot(window)[..., :3].min(axis=-1) > 150
    for name in ("left", "right", "top", "bottom"):
        window.canvas.overlays[f"medseg_{name}"].visible = False
    dark = screenshot(window)[..., :3].min(axis=-1) > 150
    places = np.argwhere(lit & ~dark) / lit.shape
    for axis, end in ((0, 0), (0, 1), (1, 0), (1, 1)):
        near = places[np.abs(places[:, axis] - end) < 0.1]
        assert len(near) > 10, (axis, end)
        assert np.abs(near[:, 1 - axis] - 0.5).max() < 0.1


def test_a_refusal_is_shown_with_its_code(window, tmp_path) -> None:
    from napari.utils.notifications import notification_manager

    path = tmp_path / "broken.nrrd"
    path.write_text("nothing that is read")
    notification_manager.records.clear()
    assert window.open(path, plugin="medseg") == []
    shown = [str(one.message) for one in notification_manager.records]
    assert any("broken.nrrd" in text and "[format-unknown]" in text for text in shown), shown


def test_a_sample_opens_upright_and_is_saved_as_its_objects(window, tmp_path) -> None:
    image, nodule = window.open_sample("medseg", "lung_nodule")
    assert open_viewer() is window
    assert window.canvas.overlays["medseg_left"].text == "R"
    assert image.contrast_limits_range == [-1350, 3071]
    nodule.save(str(tmp_path / "nodule.seg.nrrd"))
    assert len(read_instances(tmp_path / "nodule.seg.nrrd")) == 1
    drawn = window.add_labels(
        np.zeros(image.data.shape, np.uint8), scale=image.scale, translate=image.translate,
        units=image.units,
    )  # fmt: skip
    drawn.data[1, 2, 3] = 1
    drawn.save(str(tmp_path / "drawn.nii.gz"))
    again = read_instances(tmp_path / "drawn.nii.gz")
    placement = facts_of(image).placement
    assert again.geometry.same_grid(placement.geometry, atol_mm=1e-3)
    assert np.array_equal(again.to_labelmap(), placement.to_own(drawn.data))


def test_the_chooser_lists_sizes_pictures_and_refusals(window, qtbot, tmp_path) -> None:
    from medseg_napari.view.choices import list_choices
    from medseg_napari.view.chooser import ChooserDialog
    from qtpy.QtWidgets import QDialogButtonBox

    ct_series(tmp_path / "a", 1, SeriesDescription="portal venous")
    cut = ct_series(tmp_path / "b", 2)
    sorted(cut.iterdir())[2].unlink()
    dialog = ChooserDialog(list_choices(tmp_path))
    qtbot.addWidget(dialog)
    dialog.show()
    texts = [dialog.list.item(row).text() for row in range(dialog.list.count())]
    sound = next(row for row, text in enumerate(texts) if "portal venous" in text)
    assert "13 × 11 × 6 voxels" in texts[sound]
    assert "[missing-slices]" in texts[1 - sound]
    qtbot.waitUntil(lambda: not dialog.list.item(sound).icon().isNull(), timeout=10_000)
    button = dialog.buttons.button(QDialogButtonBox.StandardButton.Open)
    assert not button.isEnabled()
    dialog.list.selectAll()
    assert button.isEnabled()
    assert [one.refusal for one in dialog.chosen] == [None]
    button.click()
    assert dialog.result() == 1


def test_the_chooser_answers_while_a_thumbnail_is_read(
    needs_window, qtbot, tmp_path, monkeypatch
) -> None:
    from threading import Event

    from medseg_napari.view.choices import Choice, list_choices
    from medseg_napari.view.chooser import ChooserDialog

    go_on, read = Event(), Choice.read
    monkeypatch.setattr(Choice, "read", lambda self: (go_on.wait(60), read(self))[1])
    for number in (1, 2):
        ct_series(tmp_path / str(number), number)
    dialog = ChooserDialog(list_choices(tmp_path))  # it would stand here for a minute
    qtbot.addWidget(dialog)
    dialog.show()
    dialog.list.selectAll()
    assert len(dialog.chosen) == 2
    assert dialog.list.item(0).icon().isNull()
    go_on.set()
    for row in (0, 1):
        qtbot.waitUntil(lambda row=row: not dialog.list.item(row).icon().isNull(), timeout=10_000)


def test_the_menus_turn_the_view(window) -> None:
    from medseg_napari.view import commands
    from napari.utils._proxies import PublicOnlyProxy

    add_layers(window, [labels_data(output())])
    for plane in ("sagittal", "axial", "coronal"):
        getattr(commands, plane)(PublicOnlyProxy(window))
        assert attach(window).plane == plane
    assert unwrapped(PublicOnlyProxy(window)) is window
    assert IDS["L"] in {item.id for item in output()}
