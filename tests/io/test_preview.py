"""The picture: orientation, scale, outlines and words are where a radiologist expects them."""

from __future__ import annotations

from pathlib import Path

import nrrd
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.image import imread
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from medseg.errors import OutputError
from medseg.io import write
from medseg.io.preview import preview_figure, volume_text, write_preview
from medseg.io.preview_views import (
    central_slice,
    direction_letters,
    largest_slice,
    scene,
    view,
    window,
)
from medseg.types import Axes, Flips, Geometry, Instance, InstanceClass, Instances, Volume

ORDERS: list[Axes] = [(0, 1, 2), (0, 2, 1), (1, 0, 2), (1, 2, 0), (2, 0, 1), (2, 1, 0)]
CLASSES = (InstanceClass("tumour", "lesion", 1), InstanceClass("liver", "organ", 2))
SHAPE = (6, 10, 14)
SPACING = (4.0, 2.0, 1.0)


def instances_of(geometry: Geometry, *masks: NDArray[np.bool_], name: str = "tumour") -> Instances:
    kinds = {one.name: one.kind for one in CLASSES}
    items = [
        Instance.from_mask(mask, id=n, class_name=name, kind=kinds[name])
        for n, mask in enumerate(masks, start=1)
    ]
    return Instances(geometry, [item for item in items if item is not None], CLASSES)


def marked() -> tuple[Volume, Instances]:
    """A straight axial image: 1 at the patient's right, 2 left, 3 front, 4 back, 5 feet, 6 head."""
    array = np.zeros(SHAPE, dtype=np.float32)
    array[:, :, 0], array[:, :, -1] = 1, 2
    array[:, 0, 1:-1], array[:, -1, 1:-1] = 3, 4
    array[0, 1:-1, 1:-1], array[-1, 1:-1, 1:-1] = 5, 6
    geometry = Geometry.from_spacing(SHAPE, SPACING, (7.0, -3.0, 11.0))
    mask = np.zeros(SHAPE, dtype=bool)
    mask[1:3, 3:5, 5:9] = True
    return Volume(array, geometry, "MR", "arbitrary"), instances_of(geometry, mask)


def turned(volume: Volume, found: Instances, axes: Axes, flips: Flips) -> tuple[Volume, Instances]:
    other = volume.reoriented(axes, flips)
    labels = found.to_labelmap()
    turned_labels = np.flip(np.transpose(labels, axes), [n for n, flip in enumerate(flips) if flip])
    masks = [turned_labels == item.id for item in found]
    return other, instances_of(other.geometry, *masks)


def words(figure: Figure) -> list[str]:
    return [text.get_text() for text in figure.texts]


@given(
    axes=st.sampled_from(ORDERS),
    flips=st.tuples(st.booleans(), st.booleans(), st.booleans()),
)
@settings(deadline=None, max_examples=48)
def test_every_storage_order_shows_the_patient_the_same_way(axes: Axes, flips: Flips) -> None:
    of = scene(*turned(*marked(), axes, flips))
    item = of.items[0]
    axial, coronal, sagittal = (view(of, n, central_slice(item, n), item) for n in range(3))
    assert [one.plane for one in (axial, coronal, sagittal)] == ["axial", "coronal", "sagittal"]
    assert axial.letters == ("R", "L", "A", "P")
    assert coronal.letters == ("R", "L", "S", "I")
    assert sagittal.letters == ("A", "P", "S", "I")
    for shown, left, right, top, bottom in (
        (axial, 1, 2, 3, 4),
        (coronal, 1, 2, 6, 5),
        (sagittal, 3, 4, 6, 5),
    ):
        rows, columns = (length // 2 for length in shown.image.shape)
        assert shown.image[rows, 0] == left
        assert shown.image[rows, -1] == right
        assert shown.image[0, columns] == top
        assert shown.image[-1, columns] == bottom
    assert axial.spacing_mm == pytest.approx((2.0, 1.0))
    assert coronal.spacing_mm == pytest.approx((4.0, 1.0))
    assert sagittal.spacing_mm == pytest.approx((4.0, 2.0))


@given(
    axes=st.sampled_from(ORDERS),
    flips=st.tuples(st.booleans(), st.booleans(), st.booleans()),
)
@settings(deadline=None, max_examples=48)
def test_outlines_enclose_the_voxels_of_the_object_on_the_screen(axes: Axes, flips: Flips) -> None:
    of = scene(*turned(*marked(), axes, flips))
    item = of.items[0]
    # Columns 5..9 of 1 mm and rows 3..5 of 2 mm; upright planes count 4 mm slices from the head.
    for axis, right, down in ((0, (5, 9), (6, 10)), (1, (5, 9), (12, 20)), (2, (6, 10), (12, 20))):
        shown = view(of, axis, central_slice(item, axis), item)
        points = shown.outlines[0].segments_mm.reshape(-1, 2)
        assert (points[:, 0].min(), points[:, 0].max()) == pytest.approx(right)
        assert (points[:, 1].min(), points[:, 1].max()) == pytest.approx(down)
        assert len(shown.outlines[0].segments_mm) == 4


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_slice_number_is_that_of_the_file(axis: int) -> None:
    volume, found = marked()
    other, moved = turned(volume, found, (2, 0, 1), (True, False, True))
    of = scene(other, moved)
    shown = view(of, axis, central_slice(of.items[0], axis), of.items[0])
    name, number = shown.position.split(" index ")
    plane = np.take(other.array, int(number), axis="zyx".index(name))
    assert sorted(plane.ravel()) == sorted(shown.image.ravel())
    inside = np.take(moved.to_labelmap(), int(number), axis="zyx".index(name))
    assert inside.any()


@pytest.mark.parametrize(
    ("vector", "letters"),
    [
        ((1, 0, 0), "L"),
        ((-1, 0, 0.3), "R"),
        ((0, 1, 0), "P"),
        ((0, 0, -2), "I"),
        ((0.5, 0, 0.8), "SL"),
        ((-0.6, -0.8, 0), "AR"),
        ((1, 1, 1), "LPS"),
    ],
)
def test_letters_name_where_a_direction_leads(
    vector: tuple[float, float, float], letters: str
) -> None:
    assert direction_letters(np.array(vector, dtype=np.float64)) == letters


def test_slices_are_the_largest_and_the_most_central_one_that_the_object_crosses() -> None:
    mask = np.zeros((9, 5, 5), dtype=bool)
    mask[1, 1:4, 1:4] = mask[7, :, :] = True  # two parts; between them is nothing
    item = instances_of(Geometry.identity(mask.shape), mask).items[0]
    assert largest_slice(item, 0) == 7
    assert central_slice(item, 0) == 7  # the centroid, 5.4, lies in the gap
    assert largest_slice(item, 1) == central_slice(item, 1) == 2


def test_up_to_four_objects_are_shown_in_three_planes_and_more_in_one() -> None:
    volume, _ = marked()
    masks = np.zeros((5, *SHAPE), dtype=bool)
    for n in range(5):
        masks[n, 2, 2, 2 * n : 2 * n + 1] = True
    four = preview_figure(volume, instances_of(volume.geometry, *masks[:4]))
    five = preview_figure(volume, instances_of(volume.geometry, *masks))
    assert len(four.axes) == 12
    assert len(five.axes) == 5
    assert sum("axial" in text for text in words(five)) == 5


@pytest.mark.parametrize(
    ("acquisition", "plane"), [(None, "axial"), (0, "axial"), (1, "coronal"), (2, "sagittal")]
)
def test_first_picture_is_in_the_plane_of_acquisition(acquisition: int | None, plane: str) -> None:
    volume, found = marked()
    taken = Volume(volume.array, volume.geometry, "MR", "arbitrary", acquisition_axis=acquisition)
    headings = [text for text in words(preview_figure(taken, found)) if " index " in text]
    assert headings[0].startswith(plane)
    assert len({text.split(",")[0] for text in headings}) == 3


def test_words_name_object_class_volume_and_what_is_not_shown() -> None:
    volume, _ = marked()
    masks = np.zeros((6, *SHAPE), dtype=bool)
    for n in range(6):
        masks[n, 1, 1, : n + 1] = True
    found = instances_of(volume.geometry, *masks)
    texts = words(preview_figure(volume, found, max_objects=2, title="Liver MR"))
    assert texts[0] == "Liver MR"
    assert "#6 tumour  0.048 mL" in texts  # six voxels of 4 x 2 x 1 mm
    assert "#5 tumour  0.040 mL" in texts
    assert "The 2 largest of 6 objects; 4 are not shown." in texts
    assert words(preview_figure(volume, found))[0] == "6 lesions"


def test_without_an_object_the_middle_slices_say_so() -> None:
    volume, _ = marked()
    figure = preview_figure(volume, instances_of(volume.geometry))
    assert "no object found" in words(figure)
    assert len(figure.axes) == 3
    assert not any(axes.collections for axes in figure.axes)


def test_scale_bar_has_its_length_on_the_page() -> None:
    volume, found = marked()
    figure = preview_figure(volume, found)
    axes, bar = figure.axes[0], figure.artists[0]
    assert isinstance(bar, Line2D)
    assert "5 mm" in words(figure)
    along = np.asarray(bar.get_xdata(), dtype=np.float64) * figure.get_figwidth()
    across_mm = abs(axes.get_xlim()[1] - axes.get_xlim()[0])
    side = axes.get_position().width * figure.get_figwidth()
    assert (along[1] - along[0]) / side * across_mm == pytest.approx(5.0)
    height = axes.get_position().height * figure.get_figheight()
    down_mm = abs(axes.get_ylim()[1] - axes.get_ylim()[0])
    assert across_mm / side == pytest.approx(down_mm / height)  # a square millimetre is square


def test_no_text_touches_another_or_leaves_the_page_or_covers_a_picture() -> None:
    volume, _ = marked()
    masks = np.zeros((7, *SHAPE), dtype=bool)
    for n in range(7):
        masks[n, 1, 1, : n + 1] = True
    long = "a name of a class that is much longer than the room beside a number and a volume"
    classes = (InstanceClass(long, "lesion", 1), InstanceClass("Läsion $x^2$ \u75c5", "lesion", 2))
    items = [
        Instance.from_mask(mask, id=90_000 + n, class_name=classes[n % 2].name, kind="lesion")
        for n, mask in enumerate(masks)
    ]
    found = Instances(volume.geometry, [item for item in items if item is not None], classes)
    for most in (3, 7):
        figure = preview_figure(volume, found, max_objects=most, title=long * 5)
        figure.canvas.draw()
        boxes = [text.get_window_extent() for text in figure.texts if text.get_text()]
        pages = [axes.get_window_extent() for axes in figure.axes]
        width, height = figure.canvas.get_width_height()
        for n, box in enumerate(boxes):
            assert box.x0 >= 0 and box.y0 >= 0 and box.x1 <= width and box.y1 <= height
            assert not any(box.overlaps(other) for other in boxes[n + 1 :])
            assert not any(box.overlaps(page) for page in pages)


def test_every_instance_in_the_slice_is_outlined_in_the_color_of_its_class() -> None:
    volume, _ = marked()
    first, second = np.zeros((2, *SHAPE), dtype=bool)
    first[2, 3:6, 3:6], second[2, 4:8, 5:9] = True, True
    classes = (InstanceClass("a", "lesion", 1, (255, 0, 255)), InstanceClass("b", "organ", 2))
    items = [
        Instance.from_mask(first, id=1, class_name="a", kind="lesion"),
        Instance.from_mask(second, id=2, class_name="b", kind="organ"),
    ]
    found = Instances(volume.geometry, [item for item in items if item is not None], classes)
    figure = preview_figure(volume, found)
    lines = [one for one in figure.axes[0].collections if isinstance(one, LineCollection)]
    colors = {tuple(np.round(one.get_color()[0][:3], 2)) for one in lines}
    assert len(colors) == 3  # two classes and the dark rim
    assert all(color == (0, 0, 0) or max(color) > 0.9 for color in colors)


def test_picture_and_slicer_agree_and_objects_of_a_class_share_a_color(tmp_path: Path) -> None:
    volume, _ = marked()
    masks = np.zeros((3, *SHAPE), dtype=bool)
    masks[0, 2, 2:4, 2:4] = masks[1, 2, 2:4, 6:8] = masks[2, 2, 6:8, 2:4] = True
    lesions = instances_of(volume.geometry, *masks[:2])
    organ = Instance.from_mask(masks[2], id=3, class_name="liver", kind="organ")
    assert organ is not None
    found = Instances(volume.geometry, [*lesions.items, organ], CLASSES)
    write(found, tmp_path / "a.seg.nrrd")
    header = nrrd.read_header(str(tmp_path / "a.seg.nrrd"))
    in_slicer = [
        tuple(round(float(word), 3) for word in header[f"Segment{n}_Color"].split())
        for n in range(3)
    ]
    assert in_slicer[0] == in_slicer[1] != in_slicer[2]
    lines = [
        one
        for one in preview_figure(volume, found).axes[0].collections
        if isinstance(one, LineCollection)
    ]
    drawn = {tuple(np.round(one.get_color()[0][:3], 3).tolist()) for one in lines}
    assert drawn == {(0.0, 0.0, 0.0), *in_slicer}


def test_ct_is_shown_as_soft_tissue_and_a_lesion_in_lung_as_lung() -> None:
    array = np.full((20, 40, 40), 40, dtype=np.int16)
    array[:, :, 20:] = -850
    geometry = Geometry.from_spacing(array.shape, (2.0, 1.0, 1.0))
    liver, nodule = np.zeros((2, *array.shape), dtype=bool)
    liver[8:12, 15:25, 3:8], nodule[9:11, 18:22, 33:36] = True, True
    of = scene(Volume(array, geometry, "CT", "HU"), instances_of(geometry, liver, nodule))
    assert window(of, of.items[0]) == (-160.0, 240.0)
    low, high = window(of, of.items[1])
    assert low < -900
    assert high > 100


@pytest.mark.parametrize("value", [np.nan, 0.0, 7.0])
def test_images_without_contrast_or_numbers_are_drawn(value: float) -> None:
    volume, found = marked()
    flat = Volume(np.full(SHAPE, value, dtype=np.float32), volume.geometry)
    assert len(preview_figure(flat, found).axes) == 3


def test_background_does_not_darken_an_image() -> None:
    array = np.zeros((20, 20, 20), dtype=np.float32)
    array[9:11, 9:11, 9:11] = np.arange(100, 108).reshape(2, 2, 2)
    of = scene(
        Volume(array, Geometry.identity(array.shape)), Instances(Geometry.identity(array.shape), [])
    )
    low, high = window(of, None)
    assert 100 <= low < high <= 107


@pytest.mark.parametrize("angle", [0.0, 0.4])
def test_written_picture_has_its_size_and_the_same_bytes_each_time(
    tmp_path: Path, angle: float
) -> None:
    volume, found = marked()
    turn = np.eye(4)
    turn[:2, :2] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    geometry = Geometry(SHAPE, turn @ volume.geometry.affine)
    oblique = Volume(volume.array, geometry, acquisition_axis=2)
    objects = Instances(geometry, found.items, CLASSES)
    for name in ("one.png", "two.png"):
        write_preview(oblique, objects, tmp_path / name)
    one, two = ((tmp_path / name).read_bytes() for name in ("one.png", "two.png"))
    assert one == two
    assert b"matplotlib" not in one.lower()
    height, width, _ = imread(tmp_path / "one.png").shape
    assert width == 1150  # 690 points at 120 dots an inch
    assert height == preview_figure(oblique, objects).bbox.height
    assert sorted(path.name for path in tmp_path.iterdir()) == ["one.png", "two.png"]


def test_another_grid_and_no_room_for_objects_are_bad_calls() -> None:
    volume, found = marked()
    with pytest.raises(ValueError, match="lie on different grids"):
        preview_figure(volume, instances_of(Geometry.identity(SHAPE)))
    with pytest.raises(ValueError, match="max_objects is at least 1; got 0"):
        preview_figure(volume, found, max_objects=0)


def test_a_folder_that_is_not_there_is_an_output_error(tmp_path: Path) -> None:
    with pytest.raises(OutputError):
        write_preview(*marked(), tmp_path / "absent" / "preview.png")


@pytest.mark.parametrize(
    ("volume_ml", "text"),
    [
        (0.0004, "< 0.001 mL"),
        (0.0124, "0.012 mL"),
        (1.234, "1.23 mL"),
        (56.78, "56.8 mL"),
        (1512.4, "1512 mL"),
    ],
)
def test_volumes_have_the_digits_that_count(volume_ml: float, text: str) -> None:
    assert volume_text(volume_ml) == text
