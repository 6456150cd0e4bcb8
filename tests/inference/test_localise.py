"""Finding a head: its pose, how sure that is, and the template that ships."""

from __future__ import annotations

import numpy as np
import pytest
from brain_cases import grid, head, template
from scipy.spatial.transform import Rotation

from medseg.inference.localise import Aligned, Pose, Template, find_head, likeness, shipped_template
from medseg.models.packages import card_of, template_path
from medseg.types import Geometry, Volume

POINTS = np.array([[20.0, 10.0, -5.0], [-20.0, 10.0, -5.0], [0.0, -30.0, 10.0], [0.0, 20.0, 20.0]])


def similarity(degrees: tuple[float, float, float], scale: float) -> np.ndarray:
    matrix = np.eye(4)
    turn = Rotation.from_euler("xyz", degrees, degrees=True).as_matrix()
    matrix[:3, :3] = scale * turn
    matrix[:3, 3] = [12.0, -9.0, 7.0]
    return matrix


@pytest.mark.parametrize(
    ("degrees", "scale"), [((0, 0, 0), 1.0), ((-35, 0, 0), 0.9), ((25, 15, -20), 1.15)]
)
def test_a_head_is_found_wherever_it_lies_to_three_millimetres(degrees, scale) -> None:
    matrix = similarity(degrees, scale)
    found = find_head(head(grid(extent_mm=150.0), matrix=matrix), template())
    for point in POINTS:
        wanted = matrix[:3, :3] @ point + matrix[:3, 3]
        assert np.linalg.norm(found.moved(point) - wanted) < 3.0
    assert found.likeness > 0.8
    turn = Rotation.from_matrix(found.rotation @ matrix[:3, :3].T / scale)
    assert np.degrees(turn.magnitude()) < 6.0


def test_a_field_of_view_that_cuts_the_head_is_no_hindrance() -> None:
    whole = head(grid(extent_mm=110.0))
    part = whole.crop((slice(8, 45), slice(0, 55), slice(0, 38)))
    found = find_head(part, template())
    for point in POINTS:
        assert np.linalg.norm(found.moved(point) - point) < 2.5


@pytest.mark.parametrize("axis", range(3))
@pytest.mark.parametrize("turned", [False, True])
def test_a_slab_that_is_thinner_than_a_step_of_the_search_is_no_head(axis, turned) -> None:
    shape, spacing_mm = [60, 60, 60], [2.0, 2.0, 2.0]
    shape[axis], spacing_mm[axis] = 2, 0.4
    affine = Geometry.from_spacing(shape, spacing_mm).affine.copy()
    if turned:
        affine[:3, :3] = similarity((0, 45, 45), 1.0)[:3, :3] @ affine[:3, :3]
    array = np.random.default_rng(0).normal(100, 20, shape).astype(np.float32)
    slab = Volume(array, Geometry(tuple(shape), affine), "MR", "arbitrary")
    assert find_head(slab, template()).likeness == -1.0


def test_the_contrast_decides_and_not_the_outline() -> None:
    volume = head(grid())
    inverted = Volume(np.where(volume.array > 20, 160 - volume.array, 0), volume.geometry, "MR")
    assert find_head(volume, template()).likeness > 0.8
    assert find_head(inverted, template()).likeness < 0.3


def test_likeness_is_minus_one_where_too_little_is_seen_or_nothing_varies() -> None:
    model, away = template(), np.eye(4)
    away[0, 3] = 90.0
    seen = Aligned.of(head(grid()))
    assert likeness(seen, model, model.mask, away) == -1.0
    flat = Volume(np.ones((55, 55, 55), np.float32), grid(), "MR")
    assert likeness(Aligned.of(flat), model, model.mask, np.eye(4)) == -1.0
    assert likeness(seen, model, model.mask, np.eye(4)) > 0.8


def test_an_oblique_grid_is_straightened_and_its_field_of_view_kept() -> None:
    turn = Rotation.from_euler("z", 45, degrees=True).as_matrix()
    affine = np.eye(4)
    affine[:3, :3] = turn[:, ::-1] * 2.0
    array = np.random.default_rng(0).uniform(1, 2, size=(10, 20, 20)).astype(np.float32)
    found = Aligned.of(Volume(array, Geometry(array.shape, affine), "MR"))
    np.testing.assert_allclose(found.geometry.direction, np.eye(3)[:, ::-1], atol=1e-12)
    volume_ml = found.inside.sum() * found.geometry.voxel_ml
    assert volume_ml == pytest.approx(array.size * 8 / 1000, rel=0.05)
    assert found.values.max() <= 2.0


def test_a_pose_moves_points_and_knows_its_rotation() -> None:
    matrix = similarity((10, 20, 30), 1.2)
    pose = Pose(matrix)
    np.testing.assert_allclose(pose.rotation, matrix[:3, :3] / 1.2, atol=1e-12)
    np.testing.assert_allclose(pose.moved((0, 0, 0)), [12, -9, 7])
    np.testing.assert_allclose(Pose.identity().moved((1, 2, 3)), [1, 2, 3])


def test_a_template_of_another_spacing_is_a_bad_call() -> None:
    with pytest.raises(ValueError, match="voxels of 2 mm"):
        Template.of(Volume(np.ones((9, 9, 9), np.float32), Geometry.identity((9, 9, 9))))


def test_the_shipped_template_is_symmetric_small_and_names_its_licence() -> None:
    found = shipped_template("head-t1")
    np.testing.assert_array_equal(found.values, found.values[..., ::-1])
    ends = found.geometry.index_to_world([[0, 0, 0], np.array(found.geometry.shape) - 1])
    assert ends[:, 0].sum() == pytest.approx(0.0)
    path = template_path("head-t1")
    assert path.stat().st_size < 300_000
    licence = (path.parent / "LICENSE.md").read_text(encoding="utf-8")
    assert "CC-BY-4.0" in licence and "Lesjak" in licence


def test_the_shipped_sites_lie_in_the_templates_brain_on_their_sides() -> None:
    localiser = card_of("hippocampus-mr").localiser
    assert localiser is not None
    found = shipped_template(localiser.template)
    for side, site_mm in localiser.sites_mm.items():
        assert (site_mm[0] > 0) == (side == "left")  # LPS: x leads to the left
        index = np.rint(found.geometry.world_to_index(site_mm)).astype(int)
        assert found.brain[tuple(index)]
