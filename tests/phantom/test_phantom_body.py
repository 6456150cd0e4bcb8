"""Bodies of CT and MR: organs and lesions whose volumes are closed forms, on any grid."""

from __future__ import annotations

import itertools
from collections import Counter

import numpy as np
import pytest
from scipy.ndimage import binary_erosion
from scipy.spatial.transform import Rotation

from medseg.phantom import Phantom, make_phantom
from medseg.types import Geometry, Instances

ORGANS = ["liver", "spleen", "kidney_left", "kidney_right", "vertebra"]


def oblique(shape=(140, 130, 100), spacing_mm=(4.0, 3.0, 3.5)) -> Geometry:
    """A grid whose axes are swapped, mirrored and turned by 25 degrees."""
    affine = Geometry.from_spacing(shape, spacing_mm).affine.copy()
    turn = Rotation.from_rotvec(np.deg2rad(25) * np.array([0.6, 0.0, 0.8])).as_matrix()
    affine[:3, :3] = turn @ affine[:3, [1, 2, 0]] * (-1, 1, 1)
    affine[:3, 3] = (100, -50, 30)
    return Geometry(shape, affine)


@pytest.fixture(scope="module")
def phantoms() -> list[Phantom]:
    return [make_phantom(seed) for seed in range(6)]


@pytest.fixture(scope="module")
def mr() -> Phantom:
    return make_phantom(0, modality="MR")


def full(phantom: Phantom, number: int) -> np.ndarray:
    item = phantom.truth.items[number]
    mask = np.zeros(phantom.truth.geometry.shape, bool)
    mask[item.box] = item.mask
    return mask


def lesions(phantom: Phantom) -> list[int]:
    return [n for n, item in enumerate(phantom.truth) if item.kind == "lesion"]


def test_there_is_one_of_each_organ_and_ten_to_thirteen_lesions(phantoms) -> None:
    for phantom in phantoms:
        kinds = Counter((item.kind, item.class_name) for item in phantom.truth)
        assert [kinds["organ", name] for name in ORGANS] == [1] * 5
        assert 10 <= len(lesions(phantom)) <= 13
        assert kinds["lesion", "tumor"] > 0
        assert kinds["lesion", "cyst"] > 0


def test_measured_volumes_and_centres_are_the_closed_forms(phantoms) -> None:
    for phantom in phantoms:
        for item, solid in zip(phantom.truth, phantom.shapes, strict=True):
            assert item.class_name == solid.class_name
            volume_ml = item.voxel_count * phantom.truth.geometry.voxel_ml
            rel = {"liver": 0.01, "tumor": 0.08, "cyst": 0.08}.get(item.class_name, 0.04)
            assert volume_ml == pytest.approx(solid.volume_ml, rel=rel)
            index = np.argwhere(item.mask).mean(axis=0) + [part.start for part in item.box]
            centre = phantom.truth.geometry.index_to_world(index)
            assert centre == pytest.approx(np.array(solid.centre_mm), abs=0.5)


@pytest.mark.parametrize(
    "geometry",
    [
        oblique(),
        Geometry.from_spacing((90, 80, 90), (2.5, 3.0, 4.0), (-1000.0, 500.0, 20.0)),
        Geometry.from_spacing((96, 96, 96), (1.0, 1.5, 1.5)),  # smaller than an adult
    ],
)
def test_on_any_grid_all_lie_inside_and_keep_their_closed_forms(geometry: Geometry) -> None:
    phantom = make_phantom(2, modality="MR", geometry=geometry)
    assert phantom.volume.geometry == geometry
    volumes_ml = [solid.volume_ml for solid in phantom.shapes]
    measured = [item.voxel_count * geometry.voxel_ml for item in phantom.truth]
    assert measured[0] == pytest.approx(volumes_ml[0], rel=0.01)
    assert measured[:5] == pytest.approx(volumes_ml[:5], rel=0.05)
    assert measured == pytest.approx(volumes_ml, rel=0.15)
    assert sum(measured[5:]) == pytest.approx(sum(volumes_ml[5:]), rel=0.02)
    for solid in phantom.shapes:
        ends = np.linalg.inv(geometry.affine[:3, :3])
        index = geometry.world_to_index(solid.centre_mm)
        assert (index - solid.extent(ends) >= 0).all()
        assert (index + solid.extent(ends) <= np.array(geometry.shape) - 1).all()


def test_the_solids_stand_straight_whatever_the_grid(phantoms) -> None:
    turned = make_phantom(0, geometry=oblique())
    middle = oblique().index_to_world((np.array(oblique().shape) - 1) / 2)
    straight_middle = phantoms[0].truth.geometry.index_to_world(
        (np.array(phantoms[0].truth.geometry.shape) - 1) / 2
    )
    sizes = [
        (np.array(one.semi_axes_mm) / other.semi_axes_mm)
        for one, other in zip(turned.shapes, phantoms[0].shapes, strict=True)
    ]
    assert np.allclose(sizes, sizes[0][0])
    for one, other in zip(turned.shapes, phantoms[0].shapes, strict=True):
        assert one.rotation == other.rotation
        offset = np.subtract(other.centre_mm, straight_middle) * sizes[0][0]
        assert np.subtract(one.centre_mm, middle) == pytest.approx(offset)


def test_the_liver_is_right_the_spleen_left_and_the_vertebra_behind(phantoms) -> None:
    for phantom in phantoms:
        place = {solid.class_name: solid.centre_mm for solid in phantom.shapes[:5]}
        middle = phantom.truth.geometry.index_to_world(
            (np.array(phantom.truth.geometry.shape) - 1) / 2
        )
        assert place["liver"][0] < middle[0] < place["spleen"][0]
        assert place["kidney_right"][0] < middle[0] < place["kidney_left"][0]
        assert place["vertebra"][1] > middle[1]


def test_organs_share_no_voxel_and_come_back_from_a_label_map(phantoms) -> None:
    for phantom in phantoms:
        organs = phantom.truth.filter(lambda item: item.kind == "organ")
        assert organs.overlap_voxels() == 0
        labels = organs.to_labelmap()
        again = Instances.from_labelmap(labels, organs.geometry, organs.classes[:5], values="class")
        assert [item.class_name for item in again] == ORGANS
        assert all(
            np.array_equal(one.mask, other.mask) for one, other in zip(organs, again, strict=True)
        )


def test_some_lesions_lie_inside_organs_and_some_outside_all(phantoms) -> None:
    for phantom in phantoms:
        organs = [full(phantom, n) for n in range(5)]
        covered = np.any(organs, axis=0)
        masks = [full(phantom, n) for n in lesions(phantom)]
        inside = [any((mask & ~organ).sum() == 0 for organ in organs) for mask in masks]
        outside = [not (mask & covered).any() for mask in masks]
        assert sum(inside) == len(masks) - 1
        assert sum(outside) == 1


def test_lesions_nest_overlap_touch_and_stand_alone(phantoms) -> None:
    for phantom in phantoms:
        nested, overlapping, touching = set(), set(), set()
        for i, j in itertools.combinations(lesions(phantom), 2):
            one, other = phantom.shapes[i], phantom.shapes[j]
            apart_mm = np.linalg.norm(np.subtract(one.centre_mm, other.centre_mm))
            shared = (full(phantom, i) & full(phantom, j)).sum()
            if shared and shared == phantom.truth.items[j].voxel_count:
                nested |= {i, j}
            elif shared:
                overlapping |= {i, j}
            elif apart_mm < max(one.semi_axes_mm) + max(other.semi_axes_mm):
                touching |= {i, j}
                way = np.subtract(other.centre_mm, one.centre_mm)
                meet = one.reach_mm(way) + other.reach_mm(way)  # in units of their distance
                assert meet == pytest.approx(1, abs=1e-9)
        assert (len(nested), len(overlapping), len(touching)) == (2, 2, 2)
        assert len(lesions(phantom)) - 6 >= 4


def test_ct_is_int16_in_hu_with_the_values_of_its_tissues(phantoms) -> None:
    volume = phantoms[0].volume
    assert (volume.modality, volume.unit, volume.array.dtype) == ("CT", "HU", np.int16)
    assert (volume.slice_thickness_mm, volume.acquisition_axis) == (3.0, 0)
    assert np.median(volume.array[:, :3]) == pytest.approx(-1000, abs=2)
    found = np.any([full(phantoms[0], n) for n in lesions(phantoms[0])], axis=0)
    for number, hu in enumerate((110, 120, 170, 170, 230)):
        inside = binary_erosion(full(phantoms[0], number) & ~found)  # not what blur mixes
        assert np.median(volume.array[inside]) == pytest.approx(hu, abs=2)
    air = volume.array[:, :3].astype(float)
    assert air.std() == pytest.approx(12, abs=0.5)


def test_mr_is_arbitrary_never_negative_and_uneven(mr: Phantom) -> None:
    volume = mr.volume
    assert (volume.modality, volume.unit) == ("MR", "arbitrary")
    assert volume.array.min() >= 0
    air = volume.array[:, :3].astype(float)
    assert air.mean() == pytest.approx(20 * (np.pi / 2) ** 0.5, rel=0.03)  # Rayleigh's mean
    fat = volume.array[:, 40:56, 9:12]  # the right flank
    slices = np.median(fat, axis=(1, 2))
    assert np.median(slices) > 600
    assert slices.max() / slices.min() > 1.1


@pytest.mark.parametrize("name", ["tumor", "cyst"])
@pytest.mark.parametrize("modality", ["CT", "MR"])
def test_tumors_are_brighter_than_what_surrounds_them_and_cysts_darker(modality, name) -> None:
    phantom = make_phantom(0, modality=modality)
    image = phantom.volume.array.astype(float)
    liver = full(phantom, 0)
    found = np.any([full(phantom, n) for n in lesions(phantom)], axis=0)
    background = np.median(image[liver & ~found])
    compared = 0
    for number in lesions(phantom):
        mask = full(phantom, number)
        others = [full(phantom, n) for n in lesions(phantom) if n != number]
        alone = mask & ~np.any(others, axis=0)
        in_liver = not (mask & ~liver).any()
        if phantom.shapes[number].class_name == name and in_liver and alone.sum() > 50:
            compared += 1
            difference = np.median(image[alone]) - background
            assert difference > 0 if name == "tumor" else difference < 0
    assert compared or name == "cyst"


def test_the_same_seed_gives_the_same_bytes(mr: Phantom) -> None:
    twin = make_phantom(0, modality="MR")
    assert twin.volume.array.tobytes() == mr.volume.array.tobytes()
    assert twin.shapes == mr.shapes
    assert make_phantom(1, modality="MR").volume.array.tobytes() != mr.volume.array.tobytes()


def test_either_modality_shows_the_same_truth(phantoms, mr: Phantom) -> None:
    assert mr.shapes == phantoms[0].shapes
    assert [one.voxel_count for one in mr.truth] == [one.voxel_count for one in phantoms[0].truth]


def test_a_grid_too_coarse_for_its_lesions_is_refused() -> None:
    with pytest.raises(ValueError, match="is too coarse or too small for Superellipsoid"):
        make_phantom(0, shape=(8, 8, 8), spacing_mm=(40.0, 40.0, 40.0))


def test_a_modality_that_it_cannot_draw_is_refused() -> None:
    with pytest.raises(ValueError, match="modality is 'CT' or 'MR'; got 'PT'"):
        make_phantom(0, modality="PT")  # type: ignore[arg-type]
