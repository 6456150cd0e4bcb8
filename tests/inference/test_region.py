"""One object by a point, a box or a crop's middle: the right one, in its place, from its region."""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from modelling import card
from torch import Tensor, nn

import medseg
from medseg.errors import InputRefused
from medseg.heads.center_offset.network import CenterOffset
from medseg.inference.region import REACH_MM
from medseg.inference.results import volume_sha256
from medseg.models import Model, decoder_of
from medseg.transforms.pipeline import preprocess
from medseg.types import Geometry, Instances, Volume

SPOT = [{"name": "spot", "kind": "lesion", "label": 1}]
CT = [
    {
        "name": "ct",
        "normalisation": {
            "kind": "ct_window",
            "low_hu": -1000.0,
            "high_hu": 1000.0,
            "mean_hu": 0.0,
            "std_hu": 1.0,
        },
    }
]
HIDDEN_HU, SEEN_HU = -800.0, 200.0


class BrightIsSpot(nn.Module):
    """A network without weights: lesions are where the image is above 0. It keeps what it saw."""

    multiple = 2

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[Tensor] = []

    def coarse(self, image: Tensor) -> CenterOffset:
        """Logits that are steep around 0."""
        self.seen.append(image[0].clone())
        lesion = 20.0 * image[:, :1]
        return CenterOffset(None, lesion, None, None, lesion, image)

    def refine_found(self, image: Tensor, raw: CenterOffset) -> CenterOffset:
        """They are at full resolution already."""
        return raw


def bright_is_spot(**changes: Any) -> Model:
    """A model of bright spots in CT whose answer is known."""
    content: dict[str, Any] = {
        "modality": "CT",
        "channels": CT,
        "head": {"name": "components", "decoder": {"smallest_mm3": 0.0}},
        "pointed": {"largest_crop_mm": 30.0},
    }
    found = card(SPOT, **{**content, **changes})
    network: Any = BrightIsSpot()
    return Model(found, network, decoder_of(found))


def ct(shape: tuple[int, int, int], *blocks: tuple[slice, slice, slice], **grid: Any) -> Volume:
    """Dark voxels with bright blocks; 1 mm and the origin at 0 unless `grid` says otherwise."""
    array = np.full(shape, HIDDEN_HU, dtype=np.float32)
    array[0, 0, 0] = HIDDEN_HU - 1
    for block in blocks:
        array[block] = SEEN_HU
    spacing_mm, origin = grid.get("spacing_mm", (1.0, 1.0, 1.0)), grid.get("origin_mm", (0, 0, 0))
    return Volume(array, Geometry.from_spacing(shape, spacing_mm, origin), "CT", "HU")


def block(first: tuple[int, int, int], side: int) -> tuple[slice, slice, slice]:
    """A cube of voxels from index `first` (z, y, x) on."""
    z, y, x = (slice(start, start + side) for start in first)
    return z, y, x


def drawn(found: Instances) -> np.ndarray:
    """Where objects are, on the image's grid."""
    return np.asarray(found.to_labelmap() > 0)


ONE, OTHER = block((18, 20, 22), 4), block((18, 20, 32), 4)


def test_a_point_finds_its_object_alone_and_in_place_on_the_whole_grid() -> None:
    volume = ct((40, 44, 48), ONE, OTHER)
    found = medseg.segment(volume, bright_is_spot(), at=(23.0, 21.0, 19.0), device="cpu")
    wanted = np.zeros(volume.array.shape, dtype=bool)
    wanted[ONE] = True
    np.testing.assert_array_equal(drawn(found), wanted)
    assert found.geometry == volume.geometry and [one.id for one in found.items] == [1]
    assert found.items[0].score > 0.9 and not found.warnings


@pytest.mark.parametrize("axes", list(itertools.permutations(range(3))))
@pytest.mark.parametrize("flips", [(False, True, False), (True, False, True)])
def test_a_turned_image_gives_the_same_object(axes, flips) -> None:
    volume = ct((30, 44, 40), ONE, OTHER, spacing_mm=(1.5, 1.0, 0.8), origin_mm=(-9.0, 4.0, 70.0))
    at = volume.geometry.index_to_world((19, 21, 33))
    straight = medseg.segment(volume, bright_is_spot(), at=at, device="cpu")
    turned = medseg.segment(volume.reoriented(axes, flips), bright_is_spot(), at=at, device="cpu")
    wanted = medseg.types.reoriented_array(drawn(straight), axes, flips)
    assert wanted.any()
    np.testing.assert_array_equal(drawn(turned), wanted)


def test_an_oblique_image_gives_an_object_of_the_true_size_in_its_place() -> None:
    a, b = np.deg2rad([25.0, 15.0])
    turn = np.array([[np.cos(a), -np.sin(a), 0], [np.sin(a), np.cos(a), 0], [0, 0, 1.0]])
    turn = turn @ np.array([[1.0, 0, 0], [0, np.cos(b), -np.sin(b)], [0, np.sin(b), np.cos(b)]])
    affine = Geometry.from_spacing((20, 50, 50), (2.0, 0.9, 0.9), (5.0, -3.0, 8.0)).affine.copy()
    affine[:3, :3] = turn @ affine[:3, :3]
    geometry = Geometry((20, 50, 50), affine)
    index = np.stack(np.meshgrid(*map(np.arange, geometry.shape), indexing="ij"), axis=-1)
    middle = geometry.index_to_world((10, 26, 24))
    away = np.linalg.norm(geometry.index_to_world(index) - middle, axis=-1)
    volume = Volume((1000 * np.tanh(6.0 - away)).astype(np.float32), geometry, "CT", "HU")
    found = medseg.segment(volume, bright_is_spot(), at=middle, device="cpu")
    table = medseg.measure(found, volume)
    assert table.volume_ml[0] == pytest.approx(4 / 3 * np.pi * 6**3 / 1000, rel=0.06)
    centroid = table[["centroid_x_mm", "centroid_y_mm", "centroid_z_mm"]].to_numpy()[0]
    np.testing.assert_allclose(centroid, middle, atol=0.2)


def test_beside_an_object_the_nearest_within_reach_is_meant_and_none_beyond() -> None:
    volume = ct((40, 44, 60), ONE, OTHER)
    near = medseg.segment(volume, bright_is_spot(), at=(38.0, 21.0, 19.0), device="cpu")
    assert drawn(near)[OTHER].all() and len(near.items) == 1
    far = medseg.segment(volume, bright_is_spot(), at=(41.0, 21.0, 19.0), device="cpu")
    assert not far.items and far.geometry == volume.geometry
    (warning,) = far.warnings
    assert warning.code == "nothing-at-point"
    assert warning.detail == "no spot was found within 5 mm of the point (41.0, 21.0, 19.0)"
    assert REACH_MM == 5.0


def test_a_region_with_one_value_holds_nothing_and_says_so() -> None:
    volume = ct((60, 44, 48), ONE)
    found = medseg.segment(volume, bright_is_spot(), at=(23.0, 21.0, 50.0), device="cpu")
    assert not found.items and [one.code for one in found.warnings] == ["nothing-at-point"]
    assert found.provenance["model"]["name"] == "small"


def test_a_constant_image_is_refused_also_with_a_point() -> None:
    volume = ct((20, 20, 20), block((0, 0, 0), 20))
    with pytest.raises(InputRefused) as refused:
        medseg.segment(volume, bright_is_spot(), at=(9.0, 9.0, 9.0), device="cpu")
    assert refused.value.code == "constant-image"


@pytest.mark.parametrize("at", [(-0.6, 20.0, 20.0), (20.0, 43.6, 20.0), (20.0, 20.0, 400.0)])
def test_a_point_outside_the_image_is_refused_in_one_line(at) -> None:
    with pytest.raises(
        InputRefused, match="reaches over x -0.5 to 47.5, y -0.5 to 43.5"
    ) as refused:
        medseg.segment(ct((40, 44, 48), ONE), bright_is_spot(), at=at, device="cpu")
    assert refused.value.code == "point-outside-image"
    assert "\n" not in str(refused.value)


def test_the_middle_of_a_crop_is_meant_where_nothing_is_said() -> None:
    volume = ct((22, 24, 26), block((9, 10, 11), 4), block((3, 3, 3), 5))
    found = medseg.segment(volume, bright_is_spot(), device="cpu")
    assert drawn(found).sum() == 64 and found.provenance["region"]["meant"] == "middle"


def test_a_whole_image_needs_a_point_and_without_one_is_refused() -> None:
    with pytest.raises(InputRefused, match="31 mm long, a crop at most 30") as refused:
        medseg.segment(ct((20, 31, 20), ONE), bright_is_spot(), device="cpu")
    assert refused.value.code == "point-missing"


def test_a_model_of_all_objects_takes_a_point_too_and_without_one_finds_all() -> None:
    volume, model = ct((40, 44, 48), ONE, OTHER), bright_is_spot(pointed=None)
    assert len(medseg.segment(volume, model, device="cpu").items) == 2
    assert len(medseg.segment(volume, model, at=(23, 21, 19), device="cpu").items) == 1


@pytest.mark.parametrize("box", [(30, 19, 16, 37, 25, 23), (37, 25, 16, 30, 19, 23)])
def test_the_object_with_most_voxels_in_a_box_is_meant(box) -> None:
    volume = ct((40, 44, 60), ONE, OTHER, block((22, 24, 36), 6))
    found = medseg.segment(volume, bright_is_spot(), box=box, device="cpu")
    assert len(found.items) == 1 and drawn(found)[OTHER].all()
    assert found.provenance["region"]["box"] == [30.0, 19.0, 16.0, 37.0, 25.0, 23.0]


def test_an_empty_box_holds_nothing_however_near_an_object_is() -> None:
    volume = ct((40, 44, 60), ONE)
    found = medseg.segment(volume, bright_is_spot(), box=(27, 20, 18, 31, 24, 22), device="cpu")
    assert not found.items
    assert "no spot was found in the box around (29.0, 22.0, 20.0)" in found.warnings[0].detail


def test_an_object_longer_than_the_window_is_found_whole_in_a_larger_one() -> None:
    model = bright_is_spot()
    volume = ct((40, 44, 48), block((8, 10, 12), 20))
    found = medseg.segment(volume, model, at=(22.0, 20.0, 18.0), device="cpu")
    assert drawn(found).sum() == 20**3 and not found.warnings
    assert [tuple(one.shape[1:]) for one in model.network.seen] == [(16,) * 3, (24,) * 3]


class BlindInLargeWindows(BrightIsSpot):
    """The same network, which finds nothing in windows longer than the first."""

    def coarse(self, image: Tensor) -> CenterOffset:
        """Logits of the image, or of nothing."""
        return super().coarse(image if image.shape[2] == 16 else torch.full_like(image, -1.0))


def test_an_object_that_a_larger_window_does_not_show_stays_and_is_said_to_be_cut() -> None:
    network: Any = BlindInLargeWindows()
    model = replace(bright_is_spot(), network=network)
    volume = ct((40, 44, 48), block((8, 10, 12), 20))
    found = medseg.segment(volume, model, at=(22.0, 20.0, 18.0), device="cpu")
    assert [tuple(one.shape[1:]) for one in network.seen] == [(16,) * 3, (24,) * 3]
    assert drawn(found).sum() == 16**3
    assert [one.code for one in found.warnings] == ["object-cut"]


def test_an_object_beyond_the_largest_region_is_said_to_be_cut() -> None:
    volume = ct((60, 60, 60), block((5, 5, 5), 50))
    volume.array[::2] += 1
    found = medseg.segment(volume, bright_is_spot(), at=(30.0, 30.0, 30.0), device="cpu")
    assert [one.code for one in found.warnings] == ["object-cut"]
    assert drawn(found).sum() == 32**3


def test_values_that_no_ct_has_are_said_of_the_whole_image_alone() -> None:
    volume = ct((60, 60, 60), block((5, 5, 5), 50))
    mr_like = Volume(volume.array + 1000, volume.geometry, "CT", "HU")
    found = medseg.segment(mr_like, bright_is_spot(), at=(30.0, 30.0, 30.0), device="cpu")
    (said,) = [one.detail for one in found.warnings if one.code == "out-of-domain"]
    assert said.startswith("modality: channel 'ct' is no CT image") and "value is 199" in said


def test_an_object_that_the_image_itself_cuts_is_not_looked_for_beyond() -> None:
    model = bright_is_spot()
    volume = ct((40, 44, 48), block((0, 20, 20), 6))
    found = medseg.segment(volume, model, at=(22.0, 22.0, 2.0), device="cpu")
    assert drawn(found).sum() == 6**3 and not found.warnings and len(model.network.seen) == 1


def test_the_window_has_the_point_in_its_middle_and_repeats_the_border() -> None:
    ramp = np.broadcast_to(np.arange(48.0, dtype=np.float32), (40, 44, 48)).copy()
    volume = Volume(ramp, Geometry.identity(ramp.shape), "CT", "HU")
    model = bright_is_spot()
    medseg.segment(volume, model, at=(3.0, 21.0, 19.0), device="cpu")
    row = model.network.seen[0][0, 8, 8]
    np.testing.assert_allclose(row, np.clip(np.arange(16) - 4.0, 0, None), atol=1e-4)


def test_nothing_but_the_region_is_looked_at() -> None:
    volume = ct((80, 44, 48), ONE)
    volume.array[60:] = np.nan
    found = medseg.segment(volume, bright_is_spot(), at=(23.0, 21.0, 19.0), device="cpu")
    assert drawn(found).sum() == 64


def test_intensities_that_are_scaled_by_the_whole_image_stay_so() -> None:
    rng = np.random.default_rng(0)
    volume = Volume(
        rng.normal(100, 10, (40, 44, 48)).astype(np.float32),
        Geometry.identity((40, 44, 48)),
        "MR",
        "arbitrary",
    )
    volume.array[30:] += 500
    model = bright_is_spot(
        modality="MR", channels=[{"name": "mr", "normalisation": {"kind": "z_score"}}]
    )
    medseg.segment(volume, model, at=(20.0, 20.0, 10.0), device="cpu")
    whole = preprocess(volume, model.card).image
    assert torch.equal(model.network.seen[0], whole[:, 3:19, 13:29, 13:29])


def test_a_channel_on_another_grid_comes_from_the_same_place() -> None:
    volume = ct((40, 44, 48), ONE)
    other = ct((20, 22, 24), block((9, 10, 11), 2), spacing_mm=(2.0, 2.0, 2.0))
    channels = [*CT, {**CT[0], "name": "ct2"}]
    model = bright_is_spot(channels=channels)
    given = {"ct": volume, "ct2": other}
    medseg.segment(given, model, at=(23.0, 21.0, 19.0), device="cpu")
    whole = preprocess(given, model.card).image
    assert torch.allclose(model.network.seen[0], whole[:, 12:28, 14:30, 16:32], atol=1e-3)


def test_the_provenance_says_what_was_meant_and_hashes_the_whole_image() -> None:
    volume = ct((40, 44, 48), ONE)
    found = medseg.segment(volume, bright_is_spot(), at=(23.0, 21.25, 19.0), device="cpu")
    assert found.provenance["region"] == {
        "at": [23.0, 21.25, 19.0],
        "meant": "point",
        "reach_mm": 5.0,
    }
    assert found.provenance["windows"] == {"shape_zyx": [16, 16, 16], "count": 1}
    assert found.provenance["input_sha256"] == {"ct": volume_sha256(volume)}


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ({"at": (1, 2)}, "at is 3 finite numbers"),
        ({"at": (1, 2, float("nan"))}, "at is 3 finite numbers"),
        ({"box": (1, 2, 3, 4, 5)}, "box is 6 finite numbers"),
        ({"at": (1, 2, 3), "box": (1, 2, 3, 4, 5, 6)}, "at or box, not both"),
    ],
)
def test_a_faulty_call_is_told_apart_from_a_faulty_image(said, words) -> None:
    with pytest.raises(ValueError, match=words):
        medseg.segment(ct((20, 22, 24)), bright_is_spot(), device="cpu", **said)
