"""Running a window: mirrored views, turned back, say the same of the same object."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from medseg.heads.center_offset.network import CenterOffset
from medseg.heads.contract import MapSpec
from medseg.inference.engines import TorchEngine, window_runner

SPECS = (
    MapSpec("lesion", 1, 1, "sigmoid"),
    MapSpec("offset_mm", 3, 2, "none", vectors=True),
)


class PointsToTheBrightest(nn.Module):
    """Its offsets lead from every cell to the brightest voxel: mirrored images mirror them."""

    def coarse(self, image: Tensor) -> CenterOffset:
        brightest = np.unravel_index(int(image.argmax()), image.shape)[2:]
        cells = np.stack(np.meshgrid(*[np.arange(n // 2) for n in image.shape[2:]], indexing="ij"))
        towards = np.reshape(brightest, (3, 1, 1, 1)) - (2 * cells + 0.5)
        offset = torch.as_tensor(towards[None], dtype=torch.float32)
        return CenterOffset(None, image, None, offset, image, image)

    def refine_found(self, image: Tensor, raw: CenterOffset) -> CenterOffset:
        return raw


def engine(*mirror_axes: int) -> TorchEngine:
    network: Any = PointsToTheBrightest()
    return TorchEngine(network, SPECS, torch.device("cpu"), mirror_axes)


def test_mirrored_views_agree_with_the_plain_one() -> None:
    window = torch.randn(1, 8, 10, 12, generator=torch.Generator().manual_seed(0))
    plain, mirrored = engine().maps(window), engine(0, 1, 2).maps(window)
    for name in plain:
        np.testing.assert_allclose(mirrored[name], plain[name], atol=1e-5)


def test_beyond_the_image_a_window_repeats_its_last_voxels() -> None:
    image = torch.arange(4.0 * 3 * 2).view(1, 4, 3, 2)
    seen = window_runner(image, (4, 4, 4), lambda part: {"a": part.numpy()})((2, 0, 0))["a"]
    assert seen.shape == (1, 4, 4, 4)
    np.testing.assert_array_equal(seen[0, 2:], np.stack([seen[0, 1]] * 2))
    np.testing.assert_array_equal(seen[0, :2, :3, :2], image[0, 2:].numpy())
    np.testing.assert_array_equal(seen[..., 3], seen[..., 1])
