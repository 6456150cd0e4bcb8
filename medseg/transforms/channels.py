"""From what the user gives to the channels that a card asks for, all on the first one's grid."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from monai.data.meta_tensor import MetaTensor
from monai.transforms.spatial.array import SpatialResample
from monai.utils.type_conversion import convert_to_tensor

from medseg.card import Card, Channel
from medseg.errors import InputRefused
from medseg.io import check_values, same_place
from medseg.transforms.bridge import geometry_of, to_metatensor, with_geometry
from medseg.transforms.grids import GridMap
from medseg.transforms.resampling import resample_linear, smooth
from medseg.types import Geometry, InputWarning, Modality, Unit, Volume

LEAST_COVERAGE = 0.5
"""The share of the first channel's grid that every other channel must cover."""

_PROBES = 48
"""Positions along each axis at which coverage is measured."""


def assemble_channels(
    volumes: Volume | Mapping[str, Volume], card: Card
) -> tuple[dict[str, MetaTensor], tuple[InputWarning, ...]]:
    """The given channels by name, in the card's order, on the grid of the first; and warnings.

    A single volume is the first channel. A channel on the first's grid is not touched, another is
    resampled to it (linear, smoothed where it is finer); where it does not reach, it has its own
    minimum. Optional channels that were not given are absent, which a warning says.

    Raises InputRefused: "channel-missing", "channel-unknown", "modality-mismatch",
    "unit-mismatch", "not-finite", "constant-image", "mixed-frame-of-reference", "grid-mismatch".
    """
    given = _by_name(volumes, card)
    warnings: list[InputWarning] = []
    first_name = card.channels[0].name
    first = given[first_name]
    channels: dict[str, MetaTensor] = {}
    for channel in card.channels:
        volume = given.get(channel.name)
        if volume is None:
            detail = f"channel {channel.name!r} was not given: filled with zeros"
            warnings.append(InputWarning("channel-absent", detail))
            continue
        warnings += volume.warnings
        warnings += check_meaning(volume, channel, card)
        check_values(volume, f"channel {channel.name!r}")
        if volume is not first:
            _check_frame(first, volume, first_name, channel.name)
        placed, notes = _on_first_grid(volume, first.geometry, channel.name, first_name)
        warnings += notes
        channels[channel.name] = placed
    return channels, tuple(dict.fromkeys(warnings))


def expected(channel: Channel, card: Card) -> tuple[Modality, Unit | None]:
    """Modality and unit that a channel must have; no unit where any will do."""
    kind = channel.normalisation.kind
    if kind == "ct_window":
        return "CT", "HU"
    if kind == "suv":
        return "PT", "SUVbw"
    return card.modality, None


def check_meaning(volume: Volume, channel: Channel, card: Card) -> list[InputWarning]:
    """Warnings for what is assumed of a volume that does not say its modality or unit.

    Raises InputRefused: "modality-mismatch" or "unit-mismatch".
    """
    modality, unit = expected(channel, card)
    subject = f"channel {channel.name!r}"
    if volume.modality not in (modality, "unknown"):
        raise InputRefused(
            "modality-mismatch",
            subject,
            f"the image is {volume.modality}, model {card.name!r} is for {modality}",
            "choose a model for this modality, or say the modality if the file is wrong",
        )
    if unit is not None and volume.unit not in (unit, "unknown"):
        raise InputRefused(
            "unit-mismatch",
            subject,
            f"the image is in {volume.unit}, model {card.name!r} needs {unit}",
            f"convert the image to {unit}",
        )
    notes = []
    if volume.modality == "unknown":
        detail = f"{subject} does not say its modality: taken as {modality}"
        notes.append(InputWarning("modality-assumed", detail))
    if unit is not None and volume.unit == "unknown":
        low, high = volume.array.min(), volume.array.max()
        detail = (
            f"{subject} does not say its unit: taken as {unit} (values {low:g} to {high:g}) by the "
            f"model alone; what else asks for the unit needs --unit {unit}"
        )
        notes.append(InputWarning("unit-assumed", detail))
    return notes


def coverage(first: Geometry, other: Geometry) -> float:
    """The share of the first grid's voxels whose centres lie inside the other grid's voxels."""
    probes = [np.linspace(0, n - 1, min(n, _PROBES)) for n in first.shape]
    index = np.stack(np.meshgrid(*probes, indexing="ij"), axis=-1).reshape(-1, 3)
    seen = other.world_to_index(first.index_to_world(index))
    slack = 0.5 + 1e-6
    inside = (seen >= -slack) & (seen <= np.asarray(other.shape) - 1 + slack)
    return float(inside.all(axis=-1).mean())


def _by_name(volumes: Volume | Mapping[str, Volume], card: Card) -> dict[str, Volume]:
    names = [channel.name for channel in card.channels]
    given = {names[0]: volumes} if isinstance(volumes, Volume) else dict(volumes)
    unknown = [name for name in given if name not in names]
    if unknown:
        raise InputRefused(
            "channel-unknown",
            f"channel {unknown[0]!r}",
            f"model {card.name!r} has {', '.join(map(repr, names))}",
            "name the channels as the model does",
        )
    required = [channel.name for channel in card.channels if channel.required]
    missing = [name for name in required if name not in given]
    if missing:
        raise InputRefused(
            "channel-missing",
            f"channel {missing[0]!r}",
            f"model {card.name!r} requires {', '.join(map(repr, required))}",
            "give one image for each required channel",
        )
    return given


def _check_frame(first: Volume, other: Volume, first_name: str, name: str) -> None:
    frames = [one.meta.get("frame_of_reference") for one in (first, other)]
    if all(frames) and frames[0] != frames[1]:
        raise InputRefused(
            "mixed-frame-of-reference",
            f"channel {name!r}",
            f"it has another frame of reference than channel {first_name!r}",
            "register the images, or choose series of one frame of reference",
        )


def _on_first_grid(
    volume: Volume, target: Geometry, name: str, first_name: str
) -> tuple[MetaTensor, list[InputWarning]]:
    if same_place(volume.geometry, target):
        image = to_metatensor(volume)
        return with_geometry(image.as_tensor(), image, target), []
    share = coverage(target, volume.geometry)
    if share < LEAST_COVERAGE:
        raise InputRefused(
            "grid-mismatch",
            f"channel {name!r}",
            f"it covers {share:.0%} of channel {first_name!r}",
            f"give images of one region that cover at least {LEAST_COVERAGE:.0%} of the first",
        )
    detail = f"channel {name!r} was resampled to the grid of {first_name!r} (linear)"
    notes = [InputWarning("channel-resampled", detail)]
    if share < 0.995:
        detail = f"channel {name!r} covers {share:.0%} of {first_name!r}: the rest has its minimum"
        notes.append(InputWarning("channel-partial", detail))
    return resample_to(volume, target), notes


def resample_to(volume: Volume, target: Geometry) -> MetaTensor:
    """A volume on any other grid, (1, Z, Y, X) float32; outside its field of view: its minimum.

    Linear; along axes that the target samples more coarsely it is smoothed first. Between
    parallel grids axis by axis, else by MONAI's `SpatialResample`.
    """
    image = to_metatensor(volume)
    lowest = float(volume.array.min())
    try:
        grid = GridMap.between(target, volume.geometry)
    except ValueError:
        values = _resample_oblique(image, lowest, target)
    else:
        values = resample_linear(image.as_tensor(), grid, target.shape)
        for axis in range(3):
            seen = grid.coordinates(axis, 0, target.shape[axis])
            outside = (seen < -0.5 - 1e-6) | (seen > volume.geometry.shape[axis] - 0.5 + 1e-6)
            values.index_fill_(axis + 1, torch.from_numpy(np.flatnonzero(outside)), lowest)
    return with_geometry(values.to(torch.float32), image, target)


def _resample_oblique(image: MetaTensor, lowest: float, target: Geometry) -> torch.Tensor:
    """Values above the minimum are sampled with zeros around them, so outside is the minimum."""
    matrix = np.linalg.inv(geometry_of(image).affine) @ target.affine
    steps = np.linalg.norm(matrix[:3, :3], axis=1)
    above = smooth(image.as_tensor().to(torch.float64) - lowest, steps.tolist())
    wanted = with_geometry(image.as_tensor(), image, target).affine
    moved = SpatialResample(mode="bilinear", padding_mode="zeros", align_corners=False)(
        MetaTensor(above, affine=image.affine), dst_affine=wanted, spatial_size=target.shape
    )
    values: torch.Tensor = convert_to_tensor(moved, track_meta=False)
    return values + lowest
