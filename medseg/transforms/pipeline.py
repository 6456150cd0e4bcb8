"""From volumes to the tensor that a model sees, built from its card; and the grids of both ends."""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from typing import cast

import numpy as np
import torch
from monai.config.type_definitions import KeysCollection
from monai.data.meta_tensor import MetaTensor
from monai.transforms.compose import Compose
from monai.transforms.spatial.dictionary import Orientationd
from monai.transforms.transform import MapTransform
from monai.transforms.utility.dictionary import ConcatItemsd, DeleteItemsd
from nibabel.orientations import axcodes2ornt, io_orientation, ornt_transform

from medseg.card import Card, Channel, CTWindow, SUVScale
from medseg.errors import InputRefused
from medseg.transforms.bridge import RAS_FROM_LPS, geometry_of, with_meta
from medseg.transforms.channels import assemble_channels
from medseg.transforms.intensity import CTWindowd, ForegroundZScored, SUVScaled
from medseg.transforms.resampling import spacing_grid
from medseg.transforms.spatial import AntialiasedSpacingd
from medseg.types import Axes, Flips, Geometry, InputWarning, Volume

IMAGE = "image"
"""The key under which `preprocessing` leaves its result."""

ORIENTATION = "SPL"
"""Array axes z, y, x lead to superior, posterior, left: MONAI's code for an axial LPS array."""

RAS_LABELS = (("L", "R"), ("P", "A"), ("I", "S"))
"""What the ends of RAS axes are called; said outright, for MONAI's default is changing."""

MOST_VOXELS = 1 << 31
"""A model's grid with more voxels than this (8 GiB a channel) is refused."""

_ASSUMED = ("modality-assumed", "unit-assumed", "channel-absent", "channel-resampled")


@dataclass(frozen=True, eq=False)
class Prepared:
    """A case as a model sees it, and the way back.

    Shapes: `image` (C, Z, Y, X) float32 on `geometry`, the model's grid. `image_geometry` is the
    first volume's own grid; `turned_geometry` is the same turned to S, P, L by `axes` and `flips`
    (as `Geometry.reoriented` takes them), parallel to `geometry`. `defaults` says in words what was
    assumed or filled in; it is part of `warnings` too.
    """

    image: torch.Tensor
    geometry: Geometry
    image_geometry: Geometry
    turned_geometry: Geometry
    axes: Axes
    flips: Flips
    warnings: tuple[InputWarning, ...]
    defaults: tuple[str, ...]


class FillMissingd(MapTransform):
    """Give keys that are absent a tensor of zeros, float32, on the grid of the key `like`."""

    def __init__(self, keys: KeysCollection, *, like: str) -> None:
        super().__init__(keys, allow_missing_keys=True)
        self.like = like

    def __call__(self, data: Mapping[Hashable, MetaTensor]) -> dict[Hashable, MetaTensor]:
        """The data with every key there."""
        model = data[self.like]
        zeros = {
            key: with_meta(torch.zeros(model.shape, device=model.device), model)
            for key in self.keys
            if key not in data
        }
        return {**data, **zeros}


def preprocessing(card: Card) -> Compose:
    """A card's pipeline over a dictionary of channels, (1, Z, Y, X) each, on one grid.

    It leaves `image`, (C, Z, Y, X) float32 with the channels in the card's order, and removes the
    channels; other keys pass. Steps: orientation, intensity, spacing, zeros for optional channels
    that are absent, concatenation. Intensities are scaled before resampling, so that the
    statistics are those of the image and not of a grid, and clipped metal does not smear. Nothing
    is padded: windows are.
    """
    names = [channel.name for channel in card.channels]
    spent = [name for name in names if name != IMAGE]
    return Compose(
        [
            orientation_step(card),
            *(_normalisation(channel) for channel in card.channels),
            spacing_step(card),
            FillMissingd(names, like=names[0]),
            ConcatItemsd(names, name=IMAGE),
            *([DeleteItemsd(spent)] if spent else []),
        ]
    )


def orientation_step(card: Card) -> MapTransform:
    """Turns those of the card's channels that are there to S, P, L."""
    names = [channel.name for channel in card.channels]
    return Orientationd(names, axcodes=ORIENTATION, labels=RAS_LABELS, allow_missing_keys=True)


def spacing_step(card: Card) -> MapTransform:
    """Resamples those of the card's channels that are there to its spacing."""
    names = [channel.name for channel in card.channels]
    return AntialiasedSpacingd(names, spacing_mm=card.spacing_mm, allow_missing_keys=True)


def turn_to_spl(image: Geometry) -> tuple[Axes, Flips]:
    """What `reoriented` needs to do as the pipeline does to an image's array.

    `Geometry.closest_axes` may choose otherwise on grids that lie obliquely in all three planes.
    """
    present = io_orientation(RAS_FROM_LPS @ image.affine)
    wanted = axcodes2ornt(ORIENTATION, labels=RAS_LABELS)
    turn = ornt_transform(present, wanted)
    axes = tuple(int(axis) for axis in np.argsort(turn[:, 0]))
    flips = tuple(bool(turn[axis, 1] < 0) for axis in axes)
    return cast("Axes", axes), cast("Flips", flips)


def model_grid(image: Geometry, card: Card) -> Geometry:
    """The grid on which the pipeline puts an image: turned to S, P, L, at the card's spacing.

    Raises InputRefused ("too-large") beyond `MOST_VOXELS`.
    """
    grid = spacing_grid(image.reoriented(*turn_to_spl(image)), card.spacing_mm)
    if math.prod(grid.shape) > MOST_VOXELS:
        raise InputRefused(
            "too-large",
            f"model {card.name!r}",
            f"at its spacing the image has {grid.shape} voxels",
            "crop the image to the region of interest",
        )
    return grid


def preprocess(volumes: Volume | Mapping[str, Volume], card: Card) -> Prepared:
    """Check, align and scale a case for a model: the one call before inference.

    Raises InputRefused as `assemble_channels`, `model_grid` and `ForegroundZScored` say.
    """
    channels, warnings = assemble_channels(volumes, card)
    first = geometry_of(channels[card.channels[0].name])
    model_grid(first, card)
    image = preprocessing(card)(channels)[IMAGE]
    axes, flips = turn_to_spl(first)
    if not first.is_orthogonal:
        warnings = (*warnings, _shear_warning(first))
    return Prepared(
        image=image.as_tensor().contiguous(),
        geometry=geometry_of(image),
        image_geometry=first,
        turned_geometry=first.reoriented(axes, flips),
        axes=axes,
        flips=flips,
        warnings=warnings,
        defaults=tuple(one.detail for one in warnings if one.code in _ASSUMED),
    )


def _normalisation(channel: Channel) -> MapTransform:
    rule = channel.normalisation
    if isinstance(rule, CTWindow):
        return CTWindowd(
            channel.name,
            low_hu=rule.low_hu,
            high_hu=rule.high_hu,
            mean_hu=rule.mean_hu,
            std_hu=rule.std_hu,
            allow_missing_keys=True,
        )
    if isinstance(rule, SUVScale):
        return SUVScaled(channel.name, high_suv=rule.high_suv, allow_missing_keys=True)
    return ForegroundZScored(
        channel.name,
        low_percentile=rule.low_percentile,
        high_percentile=rule.high_percentile,
        allow_missing_keys=True,
    )


def _shear_warning(image: Geometry) -> InputWarning:
    cosines = np.abs(image.direction.T @ image.direction - np.eye(3))
    degrees = math.degrees(math.asin(min(1.0, float(cosines.max()))))
    return InputWarning(
        "sheared-grid",
        f"the voxels' axes miss the right angle by {degrees:.2g} degrees; models learn square ones",
    )
