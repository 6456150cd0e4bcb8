"""Whether an image is like those a model was trained on, and if not, in what it differs."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from medseg.card import Card, Channel, ChannelLooks, Domain, Spread, Triple
from medseg.inference.appearance import FEATURES, HU_AIR, air_share, appearance
from medseg.transforms.pipeline import turn_to_spl
from medseg.types import InputWarning, Volume

CODE = "out-of-domain"

SPACING_SLACK = 1.25
"""A voxel may be this many times as long or short as any that was trained on."""

EXTENT_SLACK = 2.0
"""An image may be this many times as long or short as any that was trained on."""

LEAST_LIMIT = 3.5
"""No image counts as unlike the training's below this distance."""

LIMIT_SHARE, LIMIT_SLACK = 0.98, 1.1
"""The limit is this many times the distance below which this share of the training images lies."""

PRIOR_IMAGES = 8
"""As many images of usual differences (`Feature.usual`) stand beside those that were measured."""

MOST_LEFT_OUT = 200
"""Training images whose distance from all the others is measured, evenly over them."""

SOME_AIR = 0.02
"""An image with this share of values below `HU_AIR` holds Hounsfield units."""

_AXES = ("z", "y", "x")
_DIGITS = 5


def domain_warnings(volumes: Volume | Mapping[str, Volume], card: Card) -> tuple[InputWarning, ...]:
    """One warning for each way in which a case is unlike the card's training images.

    What is compared: voxel size, extent, and how each channel looks; without `domain` in the card
    only whether the values can be of the card's modality. Channels as `segment` takes them.
    """
    foreign = modality_warnings(volumes, card)
    if card.domain is None:
        return foreign
    turned = {
        name: one.reoriented(*turn_to_spl(one.geometry))
        for name, one in _by_name(volumes, card).items()
    }
    found = [*foreign]
    for channel in card.channels:
        looks = card.domain.channels.get(channel.name)
        if channel.name in turned and looks is not None and not foreign:
            found += _of_looks(turned[channel.name], channel, looks)
    return (*found, *_of_grid(turned[card.channels[0].name], card.domain))


def modality_warnings(
    volumes: Volume | Mapping[str, Volume], card: Card
) -> tuple[InputWarning, ...]:
    """A warning for each channel whose values cannot be of its modality, whatever the file says."""
    given = _by_name(volumes, card)
    found = []
    for channel in card.channels:
        if channel.name not in given:
            continue
        volume, subject = given[channel.name], f"channel {channel.name!r}"
        is_ct = channel.normalisation.kind == "ct_window"
        lowest, air = float(volume.array.min()), air_share(volume)
        if not is_ct and air >= SOME_AIR:
            said = f"{air:.0%} of its values are below {HU_AIR:g}, down to {lowest:g}, as in CT"
            found.append(f"modality: {subject} is no {card.modality} image: {said}")
        if is_ct and lowest >= 0:
            said = f"its lowest value is {lowest:g}, where air has -1000 and fat -100 HU"
            found.append(f"modality: {subject} is no CT image in Hounsfield units: {said}")
    return tuple(InputWarning(CODE, one) for one in found)


def measured_domain(
    cases: Iterable[Mapping[str, Volume]], channels: Sequence[Channel]
) -> Domain | None:
    """What cases, channels by name, have in common; None without a case.

    Raises ValueError for a case without the first channel.
    """
    spacings, extents = [], []
    looks: dict[str, list[dict[str, float]]] = {one.name: [] for one in channels}
    for volumes in cases:
        if channels[0].name not in volumes:
            msg = f"a case lacks the channel {channels[0].name!r}"
            raise ValueError(msg)
        turned = {n: one.reoriented(*turn_to_spl(one.geometry)) for n, one in volumes.items()}
        spacings.append(turned[channels[0].name].geometry.spacing_mm)
        extents.append(extent_mm(turned[channels[0].name]))
        for channel in channels:
            if channel.name in turned:
                looks[channel.name].append(appearance(turned[channel.name], channel))
    if not spacings:
        return None
    return Domain(
        cases=len(spacings),
        least_spacing_mm=_triple(np.min(spacings, axis=0)),
        largest_spacing_mm=_triple(np.max(spacings, axis=0)),
        least_extent_mm=_triple(np.min(extents, axis=0)),
        largest_extent_mm=_triple(np.max(extents, axis=0)),
        channels={one.name: _measured(looks[one.name], one) for one in channels if looks[one.name]},
    )


def extent_mm(volume: Volume) -> Triple:
    """The lengths of an image along its axes (z, y, x)."""
    z, y, x = (
        n * mm for n, mm in zip(volume.geometry.shape, volume.geometry.spacing_mm, strict=True)
    )
    return z, y, x


def unlikeness(numbers: Mapping[str, float], channel: Channel, looks: ChannelLooks) -> float:
    """How far an image is off: the mean of its two largest distances, in standard deviations.

    One odd number is common, two are not.
    """
    off = sorted(_distances(numbers, channel, looks.numbers).values())[-2:]
    return sum(off) / len(off) if off else 0.0


def _by_name(volumes: Volume | Mapping[str, Volume], card: Card) -> Mapping[str, Volume]:
    return {card.channels[0].name: volumes} if isinstance(volumes, Volume) else volumes


def _of_looks(volume: Volume, channel: Channel, looks: ChannelLooks) -> list[InputWarning]:
    numbers = appearance(volume, channel)
    if unlikeness(numbers, channel, looks) <= looks.limit:
        return []
    off = _distances(numbers, channel, looks.numbers)
    features = FEATURES[channel.normalisation.kind]
    worst = sorted(off, key=lambda name: -off[name])[:2]
    words = [
        f"{features[name].words} is {numbers[name]:.3g} "
        f"(in training {looks.numbers[name].low:.3g} to {looks.numbers[name].high:.3g})"
        for name in worst
    ]
    subject = f"intensities: channel {channel.name!r} looks unlike the training's images"
    return [InputWarning(CODE, f"{subject}: {'; '.join(words)}")]


def _of_grid(volume: Volume, domain: Domain) -> list[InputWarning]:
    found = []
    for what, values, least, largest, slack in (
        (
            "spacing: voxels are",
            volume.geometry.spacing_mm,
            domain.least_spacing_mm,
            domain.largest_spacing_mm,
            SPACING_SLACK,
        ),
        (
            "extent: the image is",
            extent_mm(volume),
            domain.least_extent_mm,
            domain.largest_extent_mm,
            EXTENT_SLACK,
        ),
    ):
        off = [
            f"{value:.3g} mm long in {axis} (in training {low:.3g} to {high:.3g})"
            for axis, value, low, high in zip(_AXES, values, least, largest, strict=True)
            if not low / slack <= value <= high * slack
        ]
        if off:
            found.append(InputWarning(CODE, f"{what} {', '.join(off)}"))
    return found


def _distances(
    numbers: Mapping[str, float], channel: Channel, spreads: Mapping[str, Spread]
) -> dict[str, float]:
    features = FEATURES[channel.normalisation.kind]
    return {
        name: abs(features[name].scaled(numbers[name]) - spread.middle) / spread.scale
        for name, spread in spreads.items()
        if name in numbers and name in features
    }


def _measured(images: Sequence[Mapping[str, float]], channel: Channel) -> ChannelLooks:
    features = FEATURES[channel.normalisation.kind]
    names = [name for name in features if any(name in one for one in images)]
    raw = np.array([[one.get(name, np.nan) for name in names] for one in images])
    scaled = np.array(
        [[features[name].scaled(one.get(name, np.nan)) for name in names] for one in images]
    )
    usual = np.array([features[name].usual for name in names])
    middle, scale = _middle_and_scale(scaled, usual)
    return ChannelLooks(
        limit=_rounded(_limit(scaled, usual)),
        numbers={
            name: Spread(
                middle=_rounded(middle[n]),
                scale=_rounded(scale[n]),
                low=_rounded(np.nanmin(raw[:, n])),
                high=_rounded(np.nanmax(raw[:, n])),
            )
            for n, name in enumerate(names)
        },
    )


def _middle_and_scale(
    values: NDArray[np.float64], usual: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Median and predictive standard deviation of columns; values (images, numbers), NaN unknown.

    The variance is that of a normal sample under an inverse-gamma prior around `usual`, so that
    three images do not pass for all the variety there is (Gelman et al., Bayesian Data Analysis,
    section 3.3).
    """
    known = np.isfinite(values)
    count = np.maximum(known.sum(axis=0), 1)
    middle = np.nanmedian(values, axis=0)
    squares = np.where(known, values - np.nansum(values, axis=0) / count, 0.0) ** 2
    variance = (PRIOR_IMAGES * usual**2 + squares.sum(axis=0)) / (PRIOR_IMAGES + count - 1)
    return middle, np.sqrt(variance * (1 + 1 / count))


def _limit(values: NDArray[np.float64], usual: NDArray[np.float64]) -> float:
    """The distance up to which images count as like the training's: each left out in turn."""
    count = len(values)
    if count < 3:
        return LEAST_LIMIT
    chosen = np.unique(np.linspace(0, count - 1, min(count, MOST_LEFT_OUT)).round().astype(int))
    distances = []
    for n in chosen:
        others = np.delete(values, n, axis=0)
        known = np.isfinite(others).any(axis=0) & np.isfinite(values[n])
        middle, scale = _middle_and_scale(others[:, known], usual[known])
        off = np.abs(values[n, known] - middle) / scale
        distances.append(float(np.sort(off)[-2:].mean()))
    return max(LEAST_LIMIT, LIMIT_SLACK * float(np.quantile(distances, LIMIT_SHARE)))


def _triple(values: NDArray[np.float64]) -> Triple:
    z, y, x = (_rounded(value) for value in values)
    return z, y, x


def _rounded(value: float) -> float:
    """Five digits that count: the same card on every machine."""
    if value == 0 or not math.isfinite(value):
        return float(value)
    return round(float(value), _DIGITS - 1 - math.floor(math.log10(abs(value))))
