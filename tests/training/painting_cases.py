"""A brain of three tissues in two channels, with one lesion of known contrast."""

from __future__ import annotations

import numpy as np
import torch

from medseg.training.profile import lesion_profile
from medseg.training.windows import GridCase, GridObject

SHAPE = (36, 40, 44)
LESION = (slice(16, 21), slice(18, 24), slice(8, 14))
LEVELS = {"fluid": (-2.0, -2.0), "white": (0.0, 1.0), "grey": (0.8, -0.5)}
CONTRAST = (2.0, -1.0)
BACKGROUND = -5.0


def regions() -> dict[str, np.ndarray]:
    """Boxes in each other: grey around white around fluid."""
    masks = {name: np.zeros(SHAPE, dtype=bool) for name in ("brain", "white", "fluid")}
    masks["brain"][4:32, 4:36, 2:42] = True
    masks["white"][8:28, 8:32, 5:39] = True
    masks["fluid"][14:22, 14:26, 18:26] = True
    masks["white"] &= ~masks["fluid"]
    masks["grey"] = masks["brain"] & ~masks["white"] & ~masks["fluid"]
    return masks


def brain(name: str = "a", seed: int = 0, *, lesion: bool = True) -> GridCase:
    """Grey values as `LEVELS` says, rough by 0.1, and the lesion on top."""
    rng, masks = np.random.default_rng(seed), regions()
    image = np.full((2, *SHAPE), BACKGROUND, dtype=np.float32)
    for tissue, levels in LEVELS.items():
        for values, level in zip(image, levels, strict=True):
            values[masks[tissue]] = level
    image[:, masks["brain"]] += rng.normal(0, 0.1, (2, masks["brain"].sum()))
    objects = ()
    if lesion:
        drawn = np.zeros(SHAPE, dtype=bool)
        drawn[LESION] = True
        image += (
            np.reshape(CONTRAST, (2, 1, 1, 1)) * lesion_profile(torch.from_numpy(drawn)).numpy()
        )
        objects = (GridObject(0, exclusive=False, box=LESION, mask=drawn[LESION]),)
    return GridCase(name, torch.from_numpy(image.astype(np.float32)), objects)
