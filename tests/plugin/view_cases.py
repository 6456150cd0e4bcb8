"""Grids of every orientation, and a phantom whose sides are marked."""

from __future__ import annotations

import itertools

import numpy as np
from scipy.spatial.transform import Rotation

from medseg.phantom import orientation_marker
from medseg.phantom.markers import ARM_VALUES
from medseg.types import Geometry, InstanceClass, Instances, Volume

LARGE = Geometry.from_spacing((24, 24, 32), (5.0, 4.0, 4.0), (-60.0, -40.0, -50.0))
STRAIGHT = Geometry.from_spacing((4, 5, 6), (3.0, 0.9, 0.7), (-20.0, 5.0, 40.0))
TURNS = [
    (axes, flips)
    for axes in itertools.permutations((0, 1, 2))
    for flips in itertools.product((False, True), repeat=3)
]
SAGITTAL = ((2, 0, 1), (False, True, False))  # slices along L, rows along I, columns along P
CORONAL = ((1, 0, 2), (False, True, False))
COLORS = {"L": (255, 0, 0), "P": (0, 255, 0), "S": (0, 0, 255)}
IDS = {"L": 3, "P": 7, "S": 40}


def oblique(grid: Geometry, degrees: float) -> Geometry:
    """The grid turned about the axis that leads to the back."""
    angle = np.radians(degrees)
    turn = np.eye(4)
    turn[:3, :3] = [
        [np.cos(angle), 0, np.sin(angle)],
        [0, 1, 0],
        [-np.sin(angle), 0, np.cos(angle)],
    ]
    return Geometry(grid.shape, turn @ grid.affine)


def twisted(grid: Geometry) -> Geometry:
    """The grid turned by 25 degrees about an axis that is none of its own."""
    turn = np.eye(4)
    axis = np.array([1.0, 2.0, 3.0]) / np.sqrt(14)
    turn[:3, :3] = Rotation.from_rotvec(np.radians(25) * axis).as_matrix()
    return Geometry(grid.shape, turn @ grid.affine)


def marked(grid: Geometry | None = None) -> tuple[Volume, Instances]:
    """Arms to the left, the back and the head, and each as an object: 3 L, 7 P, 40 S."""
    volume = orientation_marker(grid or LARGE)
    labels = np.zeros(volume.array.shape, dtype=np.uint8)
    for name, value in ARM_VALUES.items():
        labels[volume.array == value] = IDS[name]
    classes = [InstanceClass(name, "lesion", IDS[name], COLORS[name]) for name in ARM_VALUES]
    return volume, Instances.from_labelmap(labels, volume.geometry, classes, "class")
