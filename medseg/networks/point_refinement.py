"""Masks sharpened at uncertain points, after PointRend (Kirillov et al. 2020)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from medseg.networks.point_sampling import (
    channels_last,
    sample_features,
    uncertain_points,
    window_generator,
)


class PointRefinement(nn.Module):
    """A small perceptron that corrects coarse logits at points.

    Shapes: features (..., features), logits (..., logits) coarse ones interpolated at the points,
    place (..., 3) in -1..1 within what the coarse mask covers -> logits (..., logits).

    It starts as hardly any correction, and sees the coarse logits in every layer.
    """

    def __init__(self, features: int, logits: int, width: int = 64) -> None:
        super().__init__()
        self.first = nn.Linear(features + logits + 3, width)
        self.second = nn.Linear(width + logits, width)
        self.last = nn.Linear(width + logits, logits)
        nn.init.normal_(self.last.weight, std=0.01)
        nn.init.zeros_(self.last.bias)

    def forward(self, features: Tensor, logits: Tensor, place: Tensor) -> Tensor:
        """Better logits, in float32 also where the layers run in less."""
        # Large logits say no more than that it is certain there.
        seen = logits.clamp(-8, 8)
        x = functional.relu(self.first(torch.cat([features, seen, place], dim=-1)))
        x = functional.relu(self.second(torch.cat([x, seen.to(x.dtype)], dim=-1)))
        correction: Tensor = self.last(torch.cat([x, seen.to(x.dtype)], dim=-1))
        return logits + correction.float()


def training_points(
    rows: int,
    uncertainty: Callable[[Tensor], Tensor],
    generator: torch.Generator,
    device: torch.device,
    *,
    count: int = 196,
    candidates: int = 600,
) -> Tensor:
    """Points to learn at, (rows, count, 3) in 0..1 of a box or window, most where it is uncertain.

    `uncertainty` takes points (rows, candidates, 3) and gives (rows, candidates). The generator is
    one of the CPU, so that chance is the same on every device.
    """
    points = torch.rand((rows, candidates, 3), generator=generator).to(device)
    with torch.no_grad():
        return uncertain_points(points, uncertainty(points), count)


def subdivided(
    logits: Tensor,
    shape: tuple[int, int, int],
    predict: Callable[[Tensor], Tensor],
    uncertainty: Callable[[Tensor], Tensor],
    *,
    limit: float = 2.0,
    most: int = 16384,
) -> Tensor:
    """Logits doubled again and again to `shape`, and predicted anew where they are uncertain.

    Shapes: logits (L, Z, Y, X) -> (L, *shape). Every step interpolates, at last to `shape`
    itself, and replaces the logits of the cells whose uncertainty is above -`limit`, at most
    `most` of them, the most uncertain first. `predict` takes points (P, 3) in 0..1 of the covered
    box and gives (P, L); `uncertainty` takes logits (L, P) and gives (P,), 0 at its largest.
    """
    while tuple(logits.shape[1:]) != tuple(shape):
        finer = [min(2 * n, end) for n, end in zip(logits.shape[1:], shape, strict=True)]
        doubled = functional.interpolate(
            logits[None], size=finer, mode="trilinear", align_corners=False
        )[0]
        flat = doubled.flatten(1).clone()
        unsure = uncertainty(flat)
        where = torch.nonzero(unsure > -limit)[:, 0]
        if len(where) > most:
            where = where[unsure[where].topk(most).indices]
        if len(where):
            flat[:, where] = predict(_middles(where, finer)).T.to(flat.dtype)
        logits = flat.view(len(flat), *finer)
    return logits


def _middles(index: Tensor, shape: list[int]) -> Tensor:
    """Middles (P, 3) in 0..1 of the cells with these flat indices."""
    depth, height, width = shape
    cells = torch.stack([index // (height * width), index // width % height, index % width], dim=1)
    return (cells + 0.5) / torch.tensor([depth, height, width], device=index.device)


class PointLogits(NamedTuple):
    """Logits at points of a window: places (B, P, 3) in 0..1 of it, logits (B, P, L)."""

    places: Tensor
    logits: Tensor


Uncertainty = Callable[[Tensor], Tensor]
"""Takes logits (L, ...) and gives (...): 0 where they are least certain, falling from there."""


class VolumeRefinement(nn.Module):
    """PointRend over a whole window of class logits.

    Everything takes image (B, C, Z, Y, X), features (B, F, ...) and coarse (B, L, ...) logits, each
    on a grid of its own over the same window.
    """

    points, candidates = 2048, 8192
    """Points of a window to learn at, and how many they are chosen from."""
    most = 65536
    """So many points at most are predicted in each doubling."""
    limit = 4.0
    """Points are predicted where the least certain of the logits lies within ± this."""

    def __init__(self, in_channels: int, features: int, logits: int, width: int = 64) -> None:
        super().__init__()
        self.refine = PointRefinement(in_channels + features, logits, width)

    def learned(
        self, image: Tensor, features: Tensor, coarse: Tensor, uncertainty: Uncertainty
    ) -> PointLogits:
        """Logits at points of which most are uncertain; each window's chance is its own."""
        places = []
        for n, one in enumerate(image):

            def unsure(points: Tensor, n: int = n) -> Tensor:
                return uncertainty(_at_places(coarse[n : n + 1].detach(), points).movedim(-1, 0))

            places.append(
                training_points(
                    1,
                    unsure,
                    window_generator(one),
                    image.device,
                    count=self.points,
                    candidates=self.candidates,
                )
            )
        place = torch.cat(places)
        return PointLogits(place, self._predicted((image, features, coarse), place))

    def everywhere(
        self, image: Tensor, features: Tensor, coarse: Tensor, uncertainty: Uncertainty
    ) -> Tensor:
        """Logits (B, L, Z, Y, X) at the image's resolution, predicted where they are uncertain."""
        image, features, coarse = (channels_last(one) for one in (image, features, coarse))
        z, y, x = image.shape[2:]
        fine = []
        for n in range(len(image)):
            seen = (image[n : n + 1], features[n : n + 1], coarse[n : n + 1])

            def predict(points: Tensor, seen: tuple[Tensor, Tensor, Tensor] = seen) -> Tensor:
                return self._predicted(seen, points[None])[0]

            fine.append(
                subdivided(
                    coarse[n],
                    (z, y, x),
                    predict,
                    uncertainty,
                    limit=self.limit,
                    most=self.most,
                )
            )
        return torch.stack(fine)

    def _predicted(self, seen: tuple[Tensor, Tensor, Tensor], place: Tensor) -> Tensor:
        """Logits (B, P, L) at places (B, P, 3) in 0..1 of the window."""
        image, features, coarse = seen
        cells = torch.tensor(coarse.shape[2:], device=place.device)
        # Where in its coarse cell a point lies; where in the window says nothing.
        within = 2 * ((place * cells) % 1) - 1
        fine = torch.cat([_at_places(image, place), _at_places(features, place)], dim=-1)
        logits: Tensor = self.refine(fine, _at_places(coarse, place), within)
        return logits


def interpolated(logits: Tensor, shape: Sequence[int]) -> Tensor:
    """Logits (B, L, ...) at `shape`, trilinear: what points begin from."""
    return functional.interpolate(
        logits.float(), size=list(shape), mode="trilinear", align_corners=False
    )


def _at_places(values: Tensor, place: Tensor) -> Tensor:
    """Values (B, P, C) of a grid (B, C, Z, Y, X) over a window at places (B, P, 3) in 0..1."""
    cells = torch.tensor(values.shape[2:], device=place.device)
    return sample_features(
        values, torch.arange(len(values), device=place.device), place * cells - 0.5
    )


def mask_uncertainty(logits: Tensor) -> Tensor:
    """Uncertainty of a mask's logits, of any shape: 0 at its border, falling into both sides."""
    return -logits.abs()


def class_uncertainty(organ: Tensor | None, lesion: Tensor | None) -> Tensor:
    """Uncertainty (...) of class logits: that of the least certain of the classes.

    Shapes: organ (classes, ...) of which one is right, lesion (classes, ...) each right or wrong.
    """
    parts = []
    if organ is not None:
        first, second = organ.topk(2, dim=0).values
        parts.append(second - first)
    if lesion is not None:
        parts.append(mask_uncertainty(lesion).amax(dim=0))
    return torch.stack(parts).amax(dim=0)
