"""Heads that find whole objects: window by window, stitched, and back on the image's own grid."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from modelling import card
from torch import Tensor, nn

import medseg
from medseg.heads.center_offset import CenterOffsetDecoder
from medseg.heads.center_offset.network import CenterOffset
from medseg.heads.contract import InstanceDecoder, WindowInstance
from medseg.heads.window_objects import window_instance
from medseg.measurement.parts import labelled_parts
from medseg.models import Model
from medseg.types import Geometry, Volume

BALLS_MM = np.array([[-14.0, -12.0, 10.0], [12.0, -10.0, 16.0], [-4.0, 14.0, 34.0], [13, 13, 20]])
RADIUS_MM = 6.0
ORGAN_VALUE, BALL_VALUE = 1.0, 2.0
CLASSES = [
    {"name": "slab", "kind": "organ", "label": 1},
    {"name": "ball", "kind": "lesion", "label": 2},
]


class Seen(NamedTuple):
    """A window's image, and the dense part that shows the organ."""

    dense: CenterOffset
    image: Tensor


class ByBrightness(nn.Module):
    """A network without weights: an organ where the image is bright, balls where it is brighter."""

    multiple = 2

    def coarse(self, image: Tensor) -> Seen:
        """The dense part is exact, so that the organ's way can be checked."""
        organ = 20 * (image - ORGAN_VALUE / 2)
        logits = torch.cat([torch.zeros_like(organ), organ], dim=1)
        return Seen(CenterOffset(logits, None, None, None, logits, image), image)

    def refine_found(self, image: Tensor, raw: Seen) -> Seen:
        """It is at full resolution already."""
        return raw


@dataclass(frozen=True)
class Blobs:
    """Whatever hangs together is one ball; its probability rises with brightness."""

    organs: Any
    score_threshold: float = 0.3
    smallest_mm3: float = 30.0
    score: float = 0.8
    double_iou: float = 0.5

    @property
    def settings(self) -> dict[str, Any]:
        """Nothing to say."""
        return {}

    def decode(self, raw: Seen) -> list[list[WindowInstance]]:
        """The connected components of every window."""
        return [self._window(np.asarray(one[0])) for one in raw.image]

    def _window(self, image: np.ndarray) -> list[WindowInstance]:
        bright = np.clip(image - ORGAN_VALUE, 0, 1)
        labels, count = labelled_parts(bright > 0.02)
        found = (
            window_instance(1, self.score, (0, 0, 0), np.where(labels == n, bright, 0))
            for n in range(1, count + 1)
        )
        return [one for one in found if one is not None]


def model(**changes: Any) -> Model:
    made = card(CLASSES, window_shape=(24, 24, 24), **changes)
    organs = CenterOffsetDecoder(made.classes[:1])
    network: Any = ByBrightness()
    decoder: Any = Blobs(organs)
    return Model(made, network, decoder)


def scene(spacing_mm: tuple[float, float, float], *, with_organ: bool = True) -> Volume:
    """Soft balls in front of a slab, on a grid of 48 x 44 x 44 mm."""
    shape = [round(mm / step) for mm, step in zip((48, 44, 44), spacing_mm, strict=True)]
    straight = Geometry.from_spacing(shape, spacing_mm).affine.copy()
    straight[:2, 3] -= 22.0
    geometry = Geometry(shape, straight)
    index = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), axis=-1)
    place = geometry.index_to_world(index)
    array = np.zeros(shape)
    if with_organ:
        array += ORGAN_VALUE / (1 + np.exp(-(place[..., 2] - 4.0) / 0.25))
    for centre in BALLS_MM:
        distance = np.linalg.norm(place - centre, axis=-1)
        array += (BALL_VALUE - ORGAN_VALUE) / (1 + np.exp((distance - RADIUS_MM) / 0.4))
    return Volume(array.astype(np.float32), geometry, modality="MR", unit="arbitrary")


@pytest.fixture(autouse=True)
def _raw_intensities(monkeypatch: pytest.MonkeyPatch) -> None:
    """The network looks at values as they are."""
    from medseg.transforms.intensity import ForegroundZScored

    monkeypatch.setattr(ForegroundZScored, "__call__", lambda _, data: dict(data))


def test_the_oracle_is_a_decoder_of_instances() -> None:
    assert isinstance(Blobs(None), InstanceDecoder)


@pytest.mark.parametrize("spacing_mm", [(1.0, 1.0, 1.0), (2.0, 0.8, 0.8), (0.6, 1.4, 1.0)])
def test_balls_come_out_whole_and_in_place_on_any_grid(spacing_mm: Any) -> None:
    volume = scene(spacing_mm)
    found = medseg.segment(volume, model(), device="cpu")
    table = medseg.measure(found, volume)
    balls = table[table["kind"] == "lesion"]
    assert list(table["class_name"]) == ["slab"] + ["ball"] * 4
    assert list(table["instance_id"]) == [1, 2, 3, 4, 5]
    exact_ml = 4 / 3 * np.pi * RADIUS_MM**3 / 1000
    np.testing.assert_allclose(balls["volume_ml"], exact_ml, rtol=0.06)
    centres = balls[["centroid_x_mm", "centroid_y_mm", "centroid_z_mm"]].to_numpy()
    nearest = np.linalg.norm(centres[:, None] - BALLS_MM, axis=-1).min(axis=0)
    assert nearest.max() < 0.3


def test_the_partial_volume_of_stitched_balls_is_there() -> None:
    volume = scene((1.0, 1.0, 1.0))
    table = medseg.measure(medseg.segment(volume, model(), device="cpu"), volume)
    balls = table[table["kind"] == "lesion"]
    exact_ml = 4 / 3 * np.pi * RADIUS_MM**3 / 1000
    np.testing.assert_allclose(balls["volume_partial_ml"], exact_ml, rtol=0.08)


def test_a_turned_image_gives_the_same_objects() -> None:
    volume = scene((1.0, 1.0, 1.0))
    straight = medseg.segment(volume, model(), device="cpu")
    turned = volume.reoriented((2, 0, 1), (True, False, True))
    found = medseg.segment(turned, model(), device="cpu")
    sizes = [sorted(one.voxel_count for one in items) for items in (straight, found)]
    assert sizes[0] == sizes[1]


def test_weak_and_small_objects_are_left_out() -> None:
    volume = scene((1.0, 1.0, 1.0), with_organ=False)
    weak = model()
    for decoder in (Blobs(None, score=0.2), Blobs(None, smallest_mm3=5000.0)):
        assert len(medseg.segment(volume, Model(weak.card, weak.network, decoder))) == 0


@dataclass(frozen=True)
class FewQueries(Blobs):
    """A decoder that says how many of its queries found an object."""

    share: float = 0.0

    def fired(self, raw: Seen) -> list[float]:
        """The same share for every window."""
        return [self.share] * len(raw.image)


@pytest.mark.parametrize(("share", "warned"), [(0.89, False), (0.9, True)])
def test_a_head_whose_queries_run_out_is_said(share: float, warned: bool) -> None:
    full = model()
    decoder: Any = FewQueries(None, share=share)
    volume = scene((1.0, 1.0, 1.0), with_organ=False)
    found = medseg.segment(volume, Model(full.card, full.network, decoder))
    assert ("instance-limit" in {one.code for one in found.warnings}) == warned


def test_progress_counts_windows_and_may_cancel() -> None:
    seen = []

    def stop(done: int, total: int) -> None:
        seen.append((done, total))
        if done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        medseg.segment(scene((1.0, 1.0, 1.0)), model(), device="cpu", progress=stop)
    assert [done for done, _ in seen] == [1, 2, 3] and seen[0][1] > 3
