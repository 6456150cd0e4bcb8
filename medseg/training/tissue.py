"""Cases into which lesions can be painted: their tissues, and what they were without lesions."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage
from scipy.cluster.vq import kmeans2
from torch import Tensor

from medseg.errors import InputRefused
from medseg.training.profile import lesion_profile
from medseg.training.windows import GridCase, GridObject
from medseg.types import Box, tight_box

TISSUES = 3
"""Clusters of grey values: about white matter, grey matter and fluid."""

MARGIN = 8
"""Voxels of background that are kept around the foreground."""

NEAR = 2
"""Voxels around a lesion that are neither healthy tissue for sure nor lesion."""

LEAST_VOXELS = 5
"""A lesion with fewer says little of its own contrast."""

SAMPLE = 20_000
"""Voxels from which the tissues' grey values are found."""

WIDTHS = (3.0, 10.0)
"""Sigmas, in voxels, of neighbourhoods that tissue is filled in from: the first that has any."""

Floats = NDArray[np.float32]
Mask = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Paintable:
    """A case, cut to its foreground, that knows its tissues and how it looks without lesions.

    Shapes: case.image and healed (C, Z, Y, X) normalised; tissue (TISSUES, Z, Y, X) shares, which
    sum to 1 in the foreground, where a lesion is taken for its host; lesions (Z, Y, X) bool;
    levels (TISSUES, C) mean grey values; contrasts (N, C) what each lesion adds to its host where
    it is at its fullest; top (C, 1, 1, 1) the highest grey values. `host` is the tissue in which
    the lesions lie; `first` (z, y, x) is where the cut begins.
    """

    case: GridCase
    healed: Tensor
    tissue: Tensor
    lesions: Tensor
    host: int
    levels: NDArray[np.float64]
    contrasts: NDArray[np.float64]
    top: Tensor
    first: tuple[int, int, int]


def paintable(case: GridCase, rng: np.random.Generator) -> Paintable:
    """What painting needs to know of a case.

    Tissues are clusters of the grey values of all channels (k-means on voxels away from lesions,
    each voxel shared out by its distances), the host of lesions the one that most of their
    surroundings belong to. Lesions are healed with the host's mean around them and its spread.

    Raises InputRefused ("dataset-invalid") for a case without a lesion.
    """
    image = case.image.numpy(force=True)
    box = _foreground_box(image[0])
    image = np.ascontiguousarray(image[:, *box])
    inside = image[0] > image[0].min()
    lesions = _drawn(case.objects, box)
    if not lesions.any():
        detail, remedy = "it shows no lesion to learn contrast from", "train on cases with lesions"
        raise InputRefused("dataset-invalid", case.id, detail, remedy)
    near = ndimage.binary_dilation(lesions, iterations=NEAR)
    centres, spreads = _clusters(image[:, inside & ~near], rng)
    tissue = _shares(image, centres, spreads) * inside
    ring = near & ~lesions & inside
    host = int(tissue[:, ring].sum(axis=1).argmax())
    tissue[:, lesions] = np.eye(TISSUES, dtype=np.float32)[host][:, None]
    healthy = (tissue[host] > 0.8) & ~near
    around = _filled(image, healthy)
    device = case.image.device
    cut = GridCase(case.id, torch.from_numpy(image).to(device), _moved(case.objects, box))
    return Paintable(
        case=cut,
        healed=torch.from_numpy(_healed(image, around, lesions, healthy, rng)).to(device),
        tissue=torch.from_numpy(tissue).to(device),
        lesions=torch.from_numpy(lesions).to(device),
        host=host,
        levels=centres,
        contrasts=_contrasts(image - around, cut.objects, lesions),
        top=cut.image.amax(dim=(1, 2, 3), keepdim=True),
        first=(box[0].start, box[1].start, box[2].start),
    )


def _foreground_box(channel: Floats) -> Box:
    """The tight box of what is above the channel's minimum, `MARGIN` wider."""
    tight = tight_box(channel > channel.min())
    z, y, x = (
        slice(max(part.start - MARGIN, 0), min(part.stop + MARGIN, length))
        for part, length in zip(tight or (slice(0, 1),) * 3, channel.shape, strict=True)
    )
    return z, y, x


def _moved(objects: tuple[GridObject, ...], box: Box) -> tuple[GridObject, ...]:
    """The objects as the part `box` shows them, without those that lie outside."""
    first = np.array([part.start for part in box])
    lengths = np.array([part.stop for part in box]) - first
    moved = []
    for one in objects:
        low = np.array([part.start for part in one.box]) - first
        high = np.array([part.stop for part in one.box]) - first
        if (low >= 0).all() and (high <= lengths).all():
            z, y, x = (slice(int(a), int(b)) for a, b in zip(low, high, strict=True))
            moved.append(replace(one, box=(z, y, x)))
    return tuple(moved)


def _drawn(objects: tuple[GridObject, ...], box: Box) -> Mask:
    drawn = np.zeros([part.stop - part.start for part in box], dtype=bool)
    for one in _moved(objects, box):
        drawn[one.box] |= one.mask
    return drawn


def _clusters(
    values: Floats, rng: np.random.Generator
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Means and standard deviations (TISSUES, C) of clusters of grey values (C, N)."""
    chosen = values[:, rng.integers(values.shape[1], size=SAMPLE)].T.astype(np.float64)
    centres, owner = kmeans2(chosen, TISSUES, minit="++", seed=rng)
    order = np.argsort(centres[:, 0])
    spreads = np.array([chosen[owner == n].std(axis=0) for n in range(TISSUES)])
    return centres[order], np.maximum(spreads[order], 1e-3)


def _shares(
    image: Floats, centres: NDArray[np.float64], spreads: NDArray[np.float64]
) -> NDArray[np.float32]:
    """How much of each voxel (C, Z, Y, X) is of each tissue, (TISSUES, Z, Y, X), summing to 1."""
    likely = np.stack(
        [
            -0.5 * np.square((image - centre.reshape(-1, 1, 1, 1)) / spread.max()).sum(axis=0)
            for centre, spread in zip(centres, spreads, strict=True)
        ]
    )
    likely -= likely.max(axis=0)
    np.exp(likely, out=likely)
    for one in likely:
        ndimage.uniform_filter(one, 3, output=one)
    return np.asarray(likely / likely.sum(axis=0), dtype=np.float32)


def _filled(image: Floats, known: Mask) -> Floats:
    """Each voxel's mean of the `known` ones around it, (C, Z, Y, X)."""
    filled = np.broadcast_to(image[:, known].mean(axis=1)[:, None, None, None], image.shape).copy()
    for width in sorted(WIDTHS, reverse=True):
        weight = ndimage.gaussian_filter(known.astype(np.float32), width)
        enough = weight > 0.02
        for values, out in zip(image, filled, strict=True):
            mean = ndimage.gaussian_filter(np.where(known, values, np.float32(0)), width)
            out[enough] = mean[enough] / weight[enough]
    return filled


def _healed(
    image: Floats, around: Floats, lesions: Mask, healthy: Mask, rng: np.random.Generator
) -> Floats:
    """The image with each lesion replaced by the tissue around it, as rough as that is."""
    soft = ndimage.binary_dilation(lesions, structure=np.ones((3, 3, 3))).astype(np.float32)
    soft = np.maximum(ndimage.uniform_filter(soft, 3), soft * 0.9)
    healed = np.empty_like(image)
    for n, (values, mean) in enumerate(zip(image, around, strict=True)):
        rough = ndimage.gaussian_filter(rng.standard_normal(values.shape, dtype=np.float32), 0.7)
        fine = values - ndimage.uniform_filter(values, 5)
        rough *= float(fine[healthy].std() / max(rough.std(), 1e-6))
        healed[n] = values + soft * (mean + rough - values)
    return healed


def _contrasts(
    above: Floats, objects: tuple[GridObject, ...], lesions: Mask
) -> NDArray[np.float64]:
    """What each lesion adds to its host at its fullest, (N, C): the least squares fit of a profile.

    Of those of which it can be told: of `LEAST_VOXELS` or more, where there are any, and in the
    first channel at least half as far from their host as the median one.
    """
    profile = lesion_profile(torch.from_numpy(lesions)).numpy()
    rows, sizes = [], []
    for one in objects:
        expected = profile[one.box][one.mask]
        seen = above[:, *one.box][:, one.mask]
        rows.append(seen @ expected / np.square(expected).sum())
        sizes.append(len(expected))
    found, large = np.array(rows, dtype=np.float64), np.array(sizes) >= LEAST_VOXELS
    told = found[large] if large.any() else found
    usual = np.median(told[:, 0])
    return np.asarray(told[told[:, 0] * np.sign(usual) >= abs(usual) / 2])
