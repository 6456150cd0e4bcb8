"""Both sides in a head: in place, on the side they lie on, however the head is turned or stored."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from brain_cases import (
    BRIGHT,
    LEFT_MM,
    RIGHT_MM,
    both_sides,
    grid,
    head,
    model,
)
from scipy.spatial.transform import Rotation

import medseg
from medseg.card import ScoreMap
from medseg.errors import InputRefused
from medseg.inference.aim import aimed
from medseg.inference.domain import measured_domain
from medseg.inference.localise import Pose
from medseg.inference.region import only_meant
from medseg.inference.sides import PASSES, beyond_a_crop
from medseg.models import Model
from medseg.types import Geometry, Instances, Volume


def moved(degrees: tuple[float, float, float], shift_mm: tuple[float, float, float]) -> np.ndarray:
    matrix = np.eye(4)
    matrix[:3, :3] = Rotation.from_euler("xyz", degrees, degrees=True).as_matrix()
    matrix[:3, 3] = shift_mm
    return matrix


def left_of(volume: Volume, matrix: np.ndarray) -> np.ndarray:
    """Which voxels lie to the left of the head's middle plane."""
    index = np.stack(np.meshgrid(*map(np.arange, volume.geometry.shape), indexing="ij"), axis=-1)
    inverse = np.linalg.inv(matrix)
    return (volume.geometry.index_to_world(index) @ inverse[:3, :3].T + inverse[:3, 3])[..., 0] > 0


def check_sides(found: Instances, volume: Volume, matrix: np.ndarray, tolerance: float) -> None:
    table = medseg.measure(found, volume).set_index("class_name")
    assert list(table.index) == ["bright_left", "bright_right"]
    bright = volume.array > BRIGHT
    left = left_of(volume, matrix)
    for name, centre, on_side in (
        ("bright_left", LEFT_MM, left),
        ("bright_right", RIGHT_MM, ~left),
    ):
        row = table.loc[name]
        voxels = np.count_nonzero(bright & on_side)
        assert row.voxel_count == pytest.approx(voxels, rel=tolerance)
        wanted = matrix[:3, :3] @ centre + matrix[:3, 3]
        centroid = row[["centroid_x_mm", "centroid_y_mm", "centroid_z_mm"]].to_numpy(dtype=float)
        np.testing.assert_allclose(centroid, wanted, atol=0.7)


def codes(found: Instances) -> set[str]:
    return {one.code for one in found.warnings}


@pytest.mark.parametrize(
    ("spacing_mm", "degrees", "shift_mm"),
    [
        ((1.5, 1.5, 1.5), (0, 0, 0), (0, 0, 0)),
        ((1.5, 1.0, 1.5), (20, 10, -15), (300, -200, 900)),
        ((1.0, 3.0, 1.0), (-25, 0, 10), (0, 0, 0)),
    ],
)
def test_both_sides_are_found_in_place_in_a_head_that_is_turned(
    spacing_mm, degrees, shift_mm
) -> None:
    matrix = moved(degrees, shift_mm)
    straight = grid(spacing_mm, 130.0)
    affine = straight.affine.copy()
    affine[:3, 3] += shift_mm
    volume = head(Geometry(straight.shape, affine), matrix=matrix)
    found = both_sides(volume)
    assert found.geometry == volume.geometry
    check_sides(found, volume, matrix, tolerance=0.2)
    assert codes(found) <= {"sides-differ"}


def test_how_the_voxels_are_stored_does_not_matter() -> None:
    volume = head(grid())
    straight = both_sides(volume)
    stored = both_sides(volume.reoriented((2, 0, 1), (True, False, True)))
    back = Volume(stored.to_labelmap(), stored.geometry).reoriented((1, 2, 0), (False, True, True))
    assert back.geometry.same_grid(volume.geometry)
    drawn = straight.to_labelmap()
    share = np.mean((back.array == drawn)[drawn > 0])
    assert share > 0.97


def test_a_mirrored_head_has_its_sides_exchanged() -> None:
    volume = head(grid())
    mirrored = Volume(volume.array[..., ::-1].copy(), volume.geometry, "MR", "arbitrary")
    sizes = [one.voxel_count for one in both_sides(volume).items]
    exchanged = [one.voxel_count for one in both_sides(mirrored).items]
    assert exchanged == pytest.approx(sizes[::-1], rel=0.12)
    assert sizes[0] > 1.2 * sizes[1]


def test_the_same_head_gives_the_same_result_and_says_how_it_was_laid() -> None:
    first, second = (both_sides(head(grid())) for _ in range(2))
    np.testing.assert_array_equal(first.to_labelmap(), second.to_labelmap())
    assert first.provenance == second.provenance
    said = first.provenance["localiser"]
    assert said["template"] == "head-t1" and 0.5 < said["likeness"] <= 1
    assert set(said["volume_ml"]) == {"left", "right"}
    np.testing.assert_allclose(said["template_to_image_lps_mm"], np.eye(4), atol=1.0)
    assert first.provenance["input_sha256"].keys() == {"mr"}


def test_a_point_in_a_head_means_the_side_that_it_lies_in() -> None:
    volume, card = head(grid()), model().card
    found = both_sides(volume)
    item = found.items[1]
    inside = np.argwhere(item.mask)[item.voxel_count // 2] + [part.start for part in item.box]
    point = volume.geometry.index_to_world(inside).tolist()
    one = only_meant(found, aimed(volume, card, at=point, box=None), card)
    assert [(each.class_name, each.voxel_count) for each in one.items] == [
        (item.class_name, item.voxel_count)
    ]
    corner = volume.geometry.index_to_world((0, 0, 0)).tolist()
    none = only_meant(found, aimed(volume, card, at=corner, box=None), card)
    assert not none.items and "nothing-at-point" in codes(none)


def test_an_image_without_a_head_is_refused_in_one_line() -> None:
    noise = np.random.default_rng(0).normal(size=(50, 50, 50)).astype(np.float32)
    volume = Volume(noise, grid(extent_mm=100.0), "MR", "arbitrary")
    with pytest.raises(InputRefused, match=r"100 × 100 × 100 mm is no crop.*head-not-found"):
        both_sides(volume)


def test_a_side_that_is_missing_and_sides_that_differ_are_spoken_of() -> None:
    volume = head(grid())
    half = volume.crop((slice(0, 55), slice(0, 55), slice(24, 55)))
    cut = both_sides(half)
    assert [one.class_name for one in cut.items] == ["bright_left"]
    (doubt,) = [one.detail for one in cut.warnings if one.code == "side-doubtful"]
    assert doubt.startswith("right side: it has 0.00 ml; 0.4 to 3 ml are usual")
    assert "of its crop lie beyond the image" in doubt
    narrow = both_sides(volume, model(volume_ml=[0.01, 0.02]))
    assert codes(narrow) == {"side-doubtful", "sides-differ"} and len(narrow) == 2
    far = both_sides(volume, model(left_mm=[16.0, 4.0, 6.0], reach_mm=8.0))
    assert not far.items
    assert sum("from where it should lie is left out" in one.detail for one in far.warnings) == 2


def test_a_side_whose_crops_have_one_value_leaves_what_was_recorded_of_the_other(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("medseg.inference.sides.find_head", lambda *_: Pose.identity())
    volume = head(grid())
    index = np.stack(np.meshgrid(*map(np.arange, volume.geometry.shape), indexing="ij"), axis=-1)
    away_mm = np.abs(volume.geometry.index_to_world(index) - LEFT_MM).max(axis=-1)
    masked = np.where(away_mm < 14.0, 0.0, volume.array).astype(np.float32)
    known = ScoreMap(
        class_name="bright",
        criterion="dice 0.7",
        objects=9,
        scores=(0.0, 1.0),
        probabilities=(0.0, 1.0),
    )
    changes = {"window_shape": (8, 8, 8), "calibration": (known,)}
    made = model(volume_ml=[0.1, 3.0])
    made = replace(made, card=made.card.model_copy(update=changes))
    found = both_sides(Volume(masked, volume.geometry, "MR", "arbitrary"), made)
    assert [one.class_name for one in found.items] == ["bright_right"]
    assert found.provenance["model"]["name"] == made.card.name
    assert found.provenance["score_is_probability_of"] == {
        "bright_left": "dice 0.7",
        "bright_right": "dice 0.7",
    }


def test_thick_slices_are_spoken_of_though_the_crops_are_of_the_models_spacing() -> None:
    volume = head(grid())
    domain = measured_domain([{"mr": volume}], model().card.channels)
    card = model().card.model_copy(update={"domain": domain})
    made = Model(card, model().network, model().decoder)
    said = [one.detail for one in both_sides(head(grid((6.0, 2.0, 2.0))), made).warnings]
    assert "spacing: voxels are 6 mm long in z (in training 2 to 2)" in said


def test_every_pass_is_counted_and_a_caller_can_cancel() -> None:
    seen: list[tuple[int, int]] = []
    both_sides(head(grid()), progress=lambda done, total: seen.append((done, total)))
    total = 1 + 2 * PASSES
    assert seen == [(n, total) for n in range(1, total + 1)]

    def cancel(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        both_sides(head(grid()), progress=cancel)


def test_a_ct_is_refused_before_anything_is_searched() -> None:
    volume = head(grid())
    ct = Volume(volume.array, volume.geometry, "CT", "HU")
    with pytest.raises(InputRefused, match="modality-mismatch"):
        both_sides(ct)


@pytest.mark.parametrize(("extent_mm", "searched"), [(78.0, False), (82.0, True)])
def test_only_what_is_larger_than_a_crop_is_searched(extent_mm, searched) -> None:
    geometry = grid(extent_mm=extent_mm)
    volume = Volume(np.zeros(geometry.shape, np.float32), geometry, "MR")
    assert beyond_a_crop(volume, model().card) is searched
    assert beyond_a_crop({"mr": volume}, model().card) is searched
    assert not beyond_a_crop(volume, model().card.model_copy(update={"localiser": None}))


def test_an_estimate_counts_the_windows_of_the_crops() -> None:
    small, large = grid(extent_mm=60.0), grid(extent_mm=110.0)
    made = model()
    found = medseg.estimate(head(large), made, device="cpu")
    assert found.windows == 2 * PASSES and found.seconds > 1
    crop = medseg.estimate(head(small), made, device="cpu")
    assert crop.windows > 2 * PASSES  # the whole of a crop, window by window
