"""Segmenting: the answer lies where the object lies, however the image is turned or sampled."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest
from modelling import bright_is_organ

import medseg
from medseg.errors import InputRefused, MedsegError
from medseg.inference.engines import choose_device
from medseg.inference.segmentation import fragment_warnings
from medseg.types import Geometry, Instance, Volume

RADIUS_MM = 9.0
CENTRE_MM = np.array([3.0, -5.0, 40.0])
TURNS = [
    (axes, flips)
    for axes in itertools.permutations(range(3))
    for flips in itertools.product((False, True), repeat=3)
]


def ball(geometry: Geometry) -> Volume:
    """A bright ball around `CENTRE_MM` on any grid, with a soft edge half a millimetre wide."""
    index = np.stack(np.meshgrid(*map(np.arange, geometry.shape), indexing="ij"), axis=-1)
    distance = np.linalg.norm(geometry.index_to_world(index) - CENTRE_MM, axis=-1)
    array = 100.0 / (1.0 + np.exp((distance - RADIUS_MM) / 0.25))
    return Volume(array.astype(np.float32), geometry, modality="MR", unit="arbitrary")


def grid(spacing_mm: tuple[float, float, float], turn: np.ndarray | None = None) -> Geometry:
    """A grid of about 44 mm around the ball, turned about its middle."""
    shape = [round(44 / mm) for mm in spacing_mm]
    straight = Geometry.from_spacing(shape, spacing_mm).affine.copy()
    if turn is not None:
        straight[:3, :3] = turn @ straight[:3, :3]
    middle = straight[:3, :3] @ ((np.array(shape) - 1) / 2)
    straight[:3, 3] = CENTRE_MM - middle
    return Geometry(shape, straight)


def check_found(volume: Volume, *, tolerance: float) -> medseg.Instances:
    model = bright_is_organ(spacing_mm=(2.0, 2.0, 2.0), window_shape=(16, 16, 16))
    found = medseg.segment(volume, model, device="cpu")
    table = medseg.measure(found, volume)
    assert found.geometry == volume.geometry and len(found) == 1
    exact_ml = 4 / 3 * np.pi * RADIUS_MM**3 / 1000
    assert table.volume_ml[0] == pytest.approx(exact_ml, rel=tolerance)
    centroid = table[["centroid_x_mm", "centroid_y_mm", "centroid_z_mm"]].to_numpy()[0]
    np.testing.assert_allclose(centroid, CENTRE_MM, atol=0.3)
    return found


@pytest.mark.parametrize("turn", TURNS)
def test_a_ball_is_found_in_place_in_each_of_the_48_orientations(turn) -> None:
    axes, flips = turn
    volume = ball(grid((1.5, 1.0, 2.0))).reoriented(axes, flips)
    found = check_found(volume, tolerance=0.12)
    straight = check_found(ball(grid((1.5, 1.0, 2.0))), tolerance=0.12)
    turned = straight.to_labelmap() > 0
    wanted = medseg.types.reoriented_array(turned, axes, flips)
    np.testing.assert_array_equal(found.to_labelmap() > 0, wanted)


@pytest.mark.parametrize("spacing_mm", [(1.0, 1.0, 1.0), (4.0, 0.9, 0.9), (0.8, 3.0, 1.0)])
def test_a_ball_is_found_in_place_on_an_oblique_grid(spacing_mm) -> None:
    a, b = np.deg2rad([17.0, 11.0])
    turn_z = np.array([[np.cos(a), -np.sin(a), 0], [np.sin(a), np.cos(a), 0], [0, 0, 1.0]])
    turn_x = np.array([[1.0, 0, 0], [0, np.cos(b), -np.sin(b)], [0, np.sin(b), np.cos(b)]])
    check_found(ball(grid(spacing_mm, turn_z @ turn_x)), tolerance=0.15)


def test_every_window_is_counted_and_a_caller_can_cancel() -> None:
    seen: list[tuple[int, int]] = []
    volume = ball(grid((1.0, 1.0, 1.0)))
    model = bright_is_organ(window_shape=(16, 16, 16))
    medseg.segment(volume, model, device="cpu", progress=lambda d, n: seen.append((d, n)))
    assert [done for done, _ in seen] == list(range(1, seen[0][1] + 1))

    def cancel(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        medseg.segment(volume, model, device="cpu", progress=cancel)


def test_the_same_input_gives_the_same_result_and_says_what_it_came_from() -> None:
    volume = ball(grid((1.0, 1.0, 1.0)))
    first, second = (medseg.segment(volume, bright_is_organ(), device="cpu") for _ in range(2))
    np.testing.assert_array_equal(first.to_labelmap(), second.to_labelmap())
    assert first.provenance == second.provenance
    assert set(first.provenance) >= {"versions", "model", "input_sha256", "device", "defaults"}
    assert first.items[0].score == second.items[0].score


def test_an_image_without_anything_bright_gives_no_instance_but_a_constant_one_is_refused() -> None:
    noise = np.random.default_rng(0).normal(size=(20, 20, 20)).astype(np.float32)
    geometry = Geometry.identity(noise.shape)
    dark = Volume(np.where(noise > 3, 0, noise).astype(np.float32), geometry, "MR", "arbitrary")
    assert isinstance(medseg.segment(dark, bright_is_organ(), device="cpu"), medseg.Instances)
    constant = Volume(np.ones_like(noise), geometry, "MR", "arbitrary")
    with pytest.raises(InputRefused, match="constant-image"):
        medseg.segment(constant, bright_is_organ(), device="cpu")


def test_a_ct_is_refused_by_a_model_for_mr() -> None:
    volume = ball(grid((1.0, 1.0, 1.0)))
    ct = Volume(volume.array, volume.geometry, "CT", "HU")
    with pytest.raises(InputRefused, match="modality-mismatch"):
        medseg.segment(ct, bright_is_organ(), device="cpu")


def test_a_missing_device_is_one_line_and_an_unknown_one_a_bad_call() -> None:
    import torch

    if not torch.cuda.is_available():
        with pytest.raises(MedsegError, match="device-missing"):
            choose_device("cuda")
    with pytest.raises(ValueError, match="auto, cpu or cuda"):
        choose_device("tpu")


def test_an_object_in_pieces_is_said_and_a_whole_one_is_not() -> None:
    mask = np.zeros((4, 4, 20), dtype=bool)
    mask[:, :, :8] = True
    whole = Instance.from_mask(mask, id=1, class_name="a", kind="organ")
    mask[0, 0, -1] = True
    nearly = Instance.from_mask(mask, id=2, class_name="a", kind="organ")
    mask[:, :, 10:] = True
    pieces = Instance.from_mask(mask, id=3, class_name="a", kind="organ")
    found = fragment_warnings([one for one in (whole, nearly, pieces) if one is not None])
    assert [one.code for one in found] == ["object-in-parts"]
    assert "object 3 (a) lies in 2 parts" in found[0].detail


def test_a_bad_call_says_what_is_wanted() -> None:
    with pytest.raises(TypeError, match=r"see medseg\.load_model; got str"):
        medseg.segment(ball(grid((1.0, 1.0, 1.0))), "hippocampus-mr")
    with pytest.raises(TypeError, match=r"see medseg\.read"):
        medseg.segment("study.nii.gz", bright_is_organ())


@pytest.mark.parametrize("at", [None, CENTRE_MM.tolist()])
def test_a_cards_caveat_comes_with_every_result(at: list[float] | None) -> None:
    model = bright_is_organ(spacing_mm=(2.0, 2.0, 2.0), window_shape=(16, 16, 16))
    told = model.card.model_copy(update={"caveat": "a first outline"})
    for card, expected in ((model.card, []), (told, ["a first outline"])):
        found = medseg.segment(ball(grid((2.0,) * 3)), replace(model, card=card), at=at)
        caveats = [one.detail for one in found.warnings if one.code == "model-caveat"]
        assert caveats == expected
