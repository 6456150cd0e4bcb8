"""What a run will take, said before it: windows, seconds and memory, against real runs."""

from __future__ import annotations

import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from modelling import LESIONS, ORGANS, bright_is_organ, card
from torch import Tensor, nn

import medseg
from medseg.errors import InputRefused
from medseg.inference.estimate import Estimate, _LiveBytes, pace_of
from medseg.models import Model, build, decoder_of
from medseg.types import Geometry, Volume


def study(shape: tuple[int, int, int], spacing_mm: tuple[float, float, float]) -> Volume:
    """A bright block on a grid whose axes are in another order than the model's."""
    array = np.random.default_rng(0).integers(1, 10, shape, dtype=np.int16)
    array[tuple(slice(n // 3, n // 2) for n in shape)] = 100
    straight = Geometry.from_spacing(shape, spacing_mm)
    return Volume(array, straight, "MR", "arbitrary").reoriented((2, 0, 1), (True, False, True))


def small(
    classes: list[dict[str, Any]], head: str, network: dict[str, Any], backbone: dict[str, Any]
) -> Model:
    """A model with fresh weights."""
    found = card(
        classes,
        head={"name": head, "network": network},
        backbone={"name": "residual_pyramid", "arguments": backbone},
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return Model(found, build(found).eval(), decoder_of(found))


def dense_model() -> Model:
    arguments = {"channels": [16, 32], "blocks": [2, 2]}
    return small(ORGANS, "center_offset", {"width": 16, "refinement_width": 16}, arguments)


def instance_model() -> Model:
    arguments = {"channels": [8, 16, 16], "blocks": [1, 1, 1]}
    return small(LESIONS, "detr", {"queries": 12, "width": 24, "attention_heads": 2}, arguments)


@pytest.mark.parametrize("shape", [(9, 20, 21), (40, 17, 33), (16, 16, 16)])
@pytest.mark.parametrize("spacing_mm", [(1.0, 1.0, 1.0), (2.5, 0.7, 1.3)])
def test_the_windows_are_those_that_segment_runs(shape, spacing_mm) -> None:
    volume, model = study(shape, spacing_mm), bright_is_organ(spacing_mm=(1.5, 1.0, 1.2))
    found = medseg.estimate(volume, model, device="cpu")
    assert (
        found.windows == medseg.segment(volume, model, device="cpu").provenance["windows"]["count"]
    )
    assert isinstance(found, Estimate)
    assert found.device == "cpu" and found.device_bytes == 0
    assert found.seconds > 0 and found.memory_bytes > 0


def test_channels_by_name_give_the_first_ones_grid_and_a_missing_one_is_refused() -> None:
    volume, model = study((20, 30, 40), (1.0, 1.0, 1.0)), bright_is_organ()
    alone = medseg.estimate(volume, model, device="cpu")
    named = medseg.estimate({"mr": volume}, model, device="cpu")
    assert named == alone
    with pytest.raises(InputRefused, match="channel 'mr'.*channel-missing"):
        medseg.estimate({"ct": volume}, model)


def test_a_pointed_object_takes_the_window_around_it_however_large_the_image_is() -> None:
    window = {"low_hu": -1000.0, "high_hu": 1000.0, "mean_hu": 0.0, "std_hu": 1.0}
    channels = [{"name": "ct", "normalisation": {"kind": "ct_window", **window}}]
    pointed = bright_is_organ(
        modality="CT", channels=channels, pointed={"largest_crop_mm": 40.0}, body_part="chest"
    )
    images = [replace(study((n,) * 3, (1.0,) * 3), modality="CT", unit="HU") for n in (60, 120)]
    points = [one.geometry.index_to_world((30, 30, 30)).tolist() for one in images]
    first, found = (
        medseg.estimate(one, pointed, at=at, device="cpu")
        for one, at in zip(images, points, strict=True)
    )
    assert (found.windows, found.memory_bytes) == (1, first.memory_bytes)
    whole = medseg.estimate(
        images[1], bright_is_organ(modality="CT", channels=channels), device="cpu"
    )
    assert whole.windows > 1 and whole.memory_bytes > found.memory_bytes
    with pytest.raises(InputRefused, match="point-missing"):
        medseg.estimate(images[1], pointed, device="cpu")
    with pytest.raises(InputRefused, match="point-outside-image"):
        medseg.estimate(images[1], pointed, at=(900.0, 0.0, 0.0), device="cpu")


def test_an_image_too_large_for_the_model_is_refused_without_being_touched() -> None:
    array = np.broadcast_to(np.int16(0), (4000, 4000, 4000))
    volume = Volume(array, Geometry.identity(array.shape), "MR")
    with pytest.raises(InputRefused, match="too-large"):
        medseg.estimate(volume, bright_is_organ())


class Counting(nn.Module):
    """Counts how often the network inside is run."""

    multiple = 2

    def __init__(self, inside: nn.Module) -> None:
        super().__init__()
        self.inside, self.runs = inside, 0

    def coarse(self, image: Tensor) -> object:
        self.runs += 1
        return self.inside.coarse(image)

    def refine_found(self, image: Tensor, raw: object) -> object:
        return self.inside.refine_found(image, raw)


def test_a_window_is_measured_once_a_model_and_shape() -> None:
    plain = bright_is_organ()
    model = Model(plain.card, Counting(plain.network), plain.decoder)
    first = medseg.estimate(study((40, 40, 40), (1.0, 1.0, 1.0)), model, device="cpu")
    runs = model.network.runs
    larger = medseg.estimate(study((40, 40, 80), (1.0, 1.0, 1.0)), model, device="cpu")
    assert model.network.runs == runs <= 2
    assert larger.windows > first.windows
    pace = pace_of(model, (16, 16, 16), torch.device("cpu"))
    assert larger.seconds - first.seconds == pytest.approx(
        (larger.windows - first.windows) * pace.seconds + 4e-7 * 40**3
    )
    medseg.estimate(study((8, 8, 8), (1.0, 1.0, 1.0)), model, device="cpu")  # a smaller window
    assert model.network.runs > runs


def test_the_bytes_of_tensors_are_those_alive_at_once() -> None:
    with _LiveBytes() as live:
        first = torch.zeros(1000)
        second = first + 1
        view = second[10:]
        del first, second
        third = torch.zeros(500)
        view.add_(1)
    assert live.peak == 8000
    assert live.now == 4000 + 2000
    del view, third
    assert live.now == 0


@pytest.mark.parametrize("made", [dense_model, instance_model])
def test_every_kind_of_head_is_measured(made) -> None:
    model = made()
    found = medseg.estimate(study((30, 30, 30), (1.0, 1.0, 1.0)), model, device="cpu")
    features = 4 * 8 * 8**3  # the finest level of a window of 16, eight channels at stride 2
    assert found.memory_bytes > 3 * features
    assert found.seconds > 0


@pytest.mark.slow
def test_the_seconds_of_a_small_model_are_within_a_factor_of_three() -> None:
    volume, model = study((24, 32, 40), (1.0, 1.0, 1.0)), dense_model()
    medseg.segment(volume, model, device="cpu")  # what only the first run costs
    took = []
    for _ in range(3):
        start = time.perf_counter()
        medseg.segment(volume, model, device="cpu")
        took.append(time.perf_counter() - start)
    said = medseg.estimate(volume, model, device="cpu").seconds
    assert min(took) / 3 < said < 3 * min(took)


PEAK = """
import sys
from pathlib import Path
import medseg

def kilobytes(name):
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(name))

volume = medseg.read(medseg.samples.path("hippocampus_crop_study1"))
model = medseg.load_model("hippocampus-mr")
medseg.segment(volume, model, device="cpu")  # what only the first run loads
Path("/proc/self/clear_refs").write_text("5")  # the peak begins here
before = kilobytes("VmRSS")
medseg.segment(volume, model, device="cpu")
peak = kilobytes("VmHWM") - before
print(1024 * peak, medseg.estimate(volume, model, device="cpu").memory_bytes)
"""


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="peaks are Linux's to tell")
def test_the_memory_for_the_sample_is_within_one_and_a_half_of_its_measured_peak() -> None:
    ran = subprocess.run(
        [sys.executable, "-c", PEAK], capture_output=True, text=True, check=True,
        env={"MALLOC_TRIM_THRESHOLD_": "65536", "OMP_NUM_THREADS": "1", "PATH": "/usr/bin"},
    )  # fmt: skip
    measured, said = map(int, ran.stdout.split())
    assert measured / 1.5 < said < 1.5 * measured
