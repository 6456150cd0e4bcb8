"""The shipped model on real heads: both hippocampi, of usual size, on their sides."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

import medseg
from medseg.inference.localise import find_head, shipped_template
from medseg.types import Geometry, Instances, Volume

pytestmark = pytest.mark.slow

CLASSES = [
    f"hippocampus_{part}_{side}" for side in ("left", "right") for part in ("anterior", "posterior")
]
MRICRON = Path("/usr/share/mricron/templates")


@pytest.fixture(scope="module")
def brain(shared_data: Path) -> Volume:
    """A T1 brain in MNI space, of a patient with multiple sclerosis."""
    return medseg.read(shared_data / "ms_lesion_mr/images/ms_26_t1.nii.gz", modality="MR")


@pytest.fixture(scope="module")
def found(brain: Volume) -> Instances:
    return medseg.segment(brain, medseg.load_model("hippocampus-mr"), device="cpu")


def turned(volume: Volume) -> tuple[Volume, np.ndarray]:
    """The head elsewhere in the world, without touching a voxel; and how it got there."""
    matrix = np.eye(4)
    matrix[:3, :3] = Rotation.from_euler("xyz", (20, 10, -15), degrees=True).as_matrix()
    matrix[:3, 3] = [30.0, -20.0, 400.0]
    affine = matrix @ volume.geometry.affine
    return Volume(volume.array, Geometry(volume.geometry.shape, affine), "MR"), matrix


def volumes_ml(instances: Instances) -> dict[str, float]:
    return dict(instances.provenance["localiser"]["volume_ml"])


def test_a_brain_has_four_parts_each_on_its_side_of_a_usual_size(brain, found) -> None:
    assert [item.class_name for item in found.items] == CLASSES
    table = medseg.measure(found, brain).set_index("class_name")
    assert table.volume_ml.between(1.0, 2.4).all()
    for side, sign in (("left", 1), ("right", -1)):
        for part in ("anterior", "posterior"):
            x_mm = table.centroid_x_mm[f"hippocampus_{part}_{side}"]  # LPS of MNI space
            assert 15 < sign * x_mm < 35
        front, back = (
            table.centroid_y_mm[f"hippocampus_{part}_{side}"] for part in ("anterior", "posterior")
        )
        assert front < back - 10
        total = sum(table.volume_ml[name] for name in CLASSES if name.endswith(side))
        assert volumes_ml(found)[side] == pytest.approx(total, abs=1e-5)
    assert not {one.code for one in found.warnings} & {"side-doubtful", "sides-differ"}


def test_a_brain_that_is_turned_has_the_same_volumes_and_pose(brain, found) -> None:
    volume, matrix = turned(brain)
    again = medseg.segment(volume, medseg.load_model("hippocampus-mr"), device="cpu")
    assert volumes_ml(again) == pytest.approx(volumes_ml(found), rel=0.03)
    poses = [
        np.array(one.provenance["localiser"]["template_to_image_lps_mm"]) for one in (found, again)
    ]
    points = np.array([[23.0, 23.0, -2.0, 1.0], [-23.0, 23.0, -2.0, 1.0], [0.0, -60.0, 0.0, 1.0]])
    away = points @ (matrix @ poses[0]).T - points @ poses[1].T
    assert np.linalg.norm(away, axis=1).max() < 1.5


@pytest.mark.parametrize(
    "name", ["ms_lesion_mr/images/ms_26_flair.nii.gz", "sarcoma_mr/images/sts_006.nii.gz"]
)
def test_another_contrast_and_another_body_part_are_no_head(shared_data, name) -> None:
    volume = medseg.read(shared_data / name)
    assert find_head(volume, shipped_template("head-t1")).likeness < 0.35


def test_a_head_with_its_skull_agrees_with_the_atlas_drawn_on_it() -> None:
    there = (MRICRON / "ch2.nii.gz").is_file() and (MRICRON / "aal.nii.gz").is_file()
    if not there:  # not even in continuous integration: it is no dependency of the tests
        pytest.skip("ch2 and its AAL atlas come with Debian's package mricron-data")
    head = medseg.read(MRICRON / "ch2.nii.gz", modality="MR")
    atlas = medseg.read(MRICRON / "aal.nii.gz", modality="MR")
    assert atlas.geometry.same_grid(head.geometry)
    found = medseg.segment(head, medseg.load_model("hippocampus-mr"), device="cpu")
    for side, value in (("left", 37), ("right", 38)):
        mask = np.zeros(head.geometry.shape, dtype=bool)
        for item in found.items:
            mask[item.box] |= item.mask & item.class_name.endswith(side)
        truth = atlas.array == value
        assert (mask & truth).sum() > 0.7 * mask.sum()
        centres = [
            head.geometry.index_to_world(np.argwhere(one).mean(axis=0)) for one in (mask, truth)
        ]
        assert np.linalg.norm(centres[0] - centres[1]) < 6.0
