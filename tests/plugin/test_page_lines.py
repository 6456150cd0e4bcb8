"""Diameters on the pictures of a page: where they lie in the patient, in whatever plane."""

from __future__ import annotations

from io import BytesIO

import numpy as np
import pytest
from matplotlib.image import imread
from medseg_napari.page import object_picture
from medseg_napari.session import Line, Lines

from medseg.io.preview_page import EDGE, GAP, HEAD, SIDE
from medseg.types import Geometry, Instance, InstanceClass, Instances, Volume

SIZE = 40  # voxels and mm of each side, so that every view is the whole slice
GRID = Geometry.from_spacing((SIZE,) * 3, (1.0, 1.0, 1.0), (-7.0, 11.0, 3.0))
AXIAL, CORONAL, SAGITTAL = 0, 1, 2
TURNS = {
    AXIAL: ((0, 1, 2), (False, False, False)),
    CORONAL: ((1, 0, 2), (False, True, False)),
    SAGITTAL: ((2, 0, 1), (True, True, False)),
}
PIXELS = 96 / 72  # of a point
FAR = Line.of((-7.0, 11.0, 3.0), (-7.0, 40.0, 42.0))


def study(plane: int) -> tuple[Volume, Instances]:
    """A dark image with one lesion, its slices acquired in a plane."""
    box = (slice(10, 30), slice(8, 28), slice(12, 32))
    lesion = Instance(5, "tumour", "lesion", 1.0, box, np.ones((20, 20, 20), dtype=bool))
    values = np.zeros(GRID.shape, dtype=np.float32)
    values[0, 0, 0] = 1.0
    axes, flips = TURNS[plane]
    volume = Volume(values, GRID, "MR", "arbitrary", 1.0, plane).reoriented(axes, flips)
    whole = Instances(GRID, [lesion], (InstanceClass("tumour", "lesion", 1, (255, 0, 255)),))
    labels = whole.to_labelmap().transpose(axes)
    labels = labels[tuple(slice(None, None, -1 if flip else 1) for flip in flips)]
    turned = Instances.from_labelmap(labels, volume.geometry, whole.classes, "instance")
    return volume, turned


def painted(picture: np.ndarray, panel: int, *, blue: bool = False) -> np.ndarray:
    """The places (N, 2) of a line's pixels in a panel, (right, down) as shares of its side."""
    red, green, other = (picture[..., n] for n in range(3))
    if blue:
        found = (other > 0.8) & (red < 0.5) & (green > 0.6)
    else:
        found = (red > 0.8) & (green > 0.6) & (other < 0.45)
    places = np.argwhere(found)[:, ::-1] + 0.5
    left = (EDGE + GAP + panel * (SIDE + 2 * GAP)) * PIXELS
    shares = (places - [left, HEAD * PIXELS]) / (SIDE * PIXELS)
    inside = ((shares >= 0) & (shares <= 1)).all(axis=1)
    return shares[inside]


def at(*zyx: float) -> list[float]:
    """The world of a voxel of the straight grid."""
    return GRID.index_to_world(zyx).tolist()


LINES = {  # of each plane: the ends in voxels, and (right, down) of both on the screen
    AXIAL: (((20, 10, 14), (20, 22, 30)), ((14.5, 10.5), (30.5, 22.5))),
    CORONAL: (((12, 20, 14), (26, 20, 30)), ((14.5, 27.5), (30.5, 13.5))),
    SAGITTAL: (((12, 10, 20), (26, 25, 20)), ((10.5, 27.5), (25.5, 13.5))),
}


@pytest.mark.parametrize("plane", LINES)
def test_a_diameter_is_drawn_from_end_to_end_in_its_own_slice(plane: int) -> None:
    ends, screen = LINES[plane]
    volume, instances = study(plane)
    lines = Lines(Line.of(at(*ends[0]), at(*ends[1])), FAR, "mask", "mask")
    content = object_picture(volume, instances, instances.items[0].id, lines)
    picture = imread(BytesIO(content))[..., :3]
    found = painted(picture, 0)
    assert len(found) > 30
    low, high = found.min(axis=0) * SIZE, found.max(axis=0) * SIZE
    assert low == pytest.approx(np.min(screen, axis=0), abs=0.5)
    assert high == pytest.approx(np.max(screen, axis=0), abs=0.5)
    across = np.asarray(screen[1]) - screen[0]
    ahead = np.sign(np.corrcoef(found.T)[0, 1])
    assert ahead == np.sign(across[0] * across[1])
    assert not len(painted(picture, 0, blue=True)), "the short one lies elsewhere"


def test_the_slice_is_that_of_the_long_diameter_and_without_lines_nothing_is_drawn() -> None:
    volume, instances = study(AXIAL)
    number = instances.items[0].id
    for z in (12, 28):
        long = Line.of(at(z, 10, 14), at(z, 10, 30))
        short = Line.of(at(z, 10, 20), at(z, 20, 20))
        content = object_picture(volume, instances, number, Lines(long, short, "mask", "mask"))
        picture = imread(BytesIO(content))[..., :3]
        assert len(painted(picture, 0)) > 30
        assert len(painted(picture, 0, blue=True)) > 20
    bare = imread(BytesIO(object_picture(volume, instances, number)))[..., :3]
    assert not len(painted(bare, 0))


def test_a_line_outside_the_image_leaves_the_largest_slice() -> None:
    volume, instances = study(AXIAL)
    number = instances.items[0].id
    away = Line.of(at(400, 10, 14), at(400, 10, 30))
    content = object_picture(volume, instances, number, Lines(away, away, "reader", "reader"))
    assert content == object_picture(volume, instances, number)
