"""Both sides of a paired organ in a whole head, by a model of crops of one side."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from medseg.card import Card, Localiser, Side
from medseg.errors import InputRefused
from medseg.inference import domain
from medseg.inference.localise import Pose, Template, find_head, shipped_template
from medseg.inference.oblique import around, crop_grid, cropped, on_grid
from medseg.inference.results import volume_sha256
from medseg.io import check_values
from medseg.transforms.channels import check_meaning, coverage
from medseg.types import Geometry, InputWarning, Instance, Instances, Volume

PASSES = 3
"""Each side is segmented so often, every time around the middle of what was found before."""

LEAST_LIKENESS, SURE_LIKENESS = 0.35, 0.45
"""Below the first no head is recognised; below the second that is said."""

SETTLED_MM = 2.0
MOST_ASYMMETRY, MOST_OUTSIDE = 0.3, 0.05

SegmentCrop = Callable[[Mapping[str, Volume]], Instances]
"""Segments channels by name that show one crop."""

IN_PARTS = "object-in-parts"


@dataclass(frozen=True, eq=False)
class FoundSide:
    """One side's objects on its crop's grid, none where the last pass found nothing near enough.

    `centre_mm` is the middle of the box around what was found, LPS (x, y, z), `off_mm` its way from
    where the template has it, `moved_mm` its way in the last pass; `outside` is the share of the
    crop that lies beyond the image.
    """

    result: Instances
    centre_mm: NDArray[np.float64]
    off_mm: float
    moved_mm: float
    outside: float


def beyond_a_crop(volumes: Volume | Mapping[str, Volume], card: Card) -> bool:
    """Whether the first channel is larger than a crop, so that a card's localiser has to search."""
    first = volumes if isinstance(volumes, Volume) else volumes.get(card.channels[0].name)
    return first is not None and searched(first.geometry, card)


def searched(geometry: Geometry, card: Card) -> bool:
    """Whether an image on this grid is searched for both sides."""
    if card.localiser is None:
        return False
    longest = max(n * mm for n, mm in zip(geometry.shape, geometry.spacing_mm, strict=True))
    return longest > card.localiser.least_extent_mm


def segment_sides(
    volumes: Volume | Mapping[str, Volume],
    card: Card,
    segment_crop: SegmentCrop,
    progress: Callable[[int, int], None] | None = None,
    *,
    template: Template | None = None,
) -> Instances:
    """Both sides of a head, on its own grid, as the card's `side_classes`.

    `progress(done, total)` counts the search for the head and the passes. `template` stands in for
    the card's own.

    Raises InputRefused: `head-not-found`, and as `segment_crop` does.
    """
    given = {card.channels[0].name: volumes} if isinstance(volumes, Volume) else dict(volumes)
    head, localiser = given[card.channels[0].name], _localiser(card)
    for channel in card.channels:
        if channel.name in given:
            check_meaning(given[channel.name], channel, card)
            check_values(given[channel.name], f"channel {channel.name!r}")
    ticks = _Ticks(progress, 1 + PASSES * len(localiser.sites_mm))
    pose = find_head(head, template or shipped_template(localiser.template))
    ticks.next()
    if pose.likeness < LEAST_LIKENESS:
        raise _not_found(card, head.geometry, localiser, pose.likeness)
    found = {
        side: find_side(given, card, pose, site_mm, segment_crop, ticks)
        for side, site_mm in localiser.sites_mm.items()
    }
    items = [
        replace(item, class_name=f"{item.class_name}_{side}")
        for side, one in found.items()
        for item in on_grid(one.result, head.geometry)
    ]
    volume_ml = {side: head.geometry.voxel_ml * _voxels(items, side) for side in found}
    said = {
        "template": localiser.template,
        "likeness": round(pose.likeness, 4),
        "template_to_image_lps_mm": np.round(pose.matrix, 6).tolist(),
        "volume_ml": {side: round(ml, 6) for side, ml in volume_ml.items()},
    }
    warnings = [*_of_crops(found), *_doubts(card, pose, found, volume_ml)]
    provenance = {
        **_provenance(found),
        "input_sha256": {name: volume_sha256(one) for name, one in given.items()},
        "localiser": said,
    }
    return Instances(
        head.geometry,
        [replace(item, id=n) for n, item in enumerate(items, start=1)],
        tuple(one.as_instance_class() for one in card.side_classes),
        tuple(warnings),
        provenance,
    )


def find_side(
    volumes: Mapping[str, Volume],
    card: Card,
    pose: Pose,
    site_mm: Sequence[float],
    segment_crop: SegmentCrop,
    ticks: _Ticks | None = None,
) -> FoundSide:
    """One side, segmented in crops that lie as the training's do.

    The first crop is around `site_mm` of the template's world, LPS (x, y, z); each later one is
    around the box of what the one before showed, but not farther from the site than the card's
    `reach_mm`: what lies there is another organ, or the other side, and counts as nothing.
    """
    localiser, name = _localiser(card), card.channels[0].name
    turn = Rotation.from_euler("x", localiser.pitch_degrees, degrees=True).as_matrix()
    expected_mm = pose.moved(site_mm)
    off_mm = moved_mm = np.zeros(3)
    for _ in range(PASSES):
        centre_mm = expected_mm + off_mm * min(1.0, localiser.reach_mm / max(_length(off_mm), 1e-9))
        grid = crop_grid(centre_mm, pose.rotation @ turn, card)
        crops = {channel: cropped(one, grid) for channel, one in volumes.items()}
        result = _none_found(grid, card)
        if np.ptp(crops[name].array) > 0:
            result = segment_crop(crops)
        if ticks is not None:
            ticks.next()
        if result.items:
            off_mm = _middle_mm(result) - expected_mm
            moved_mm = expected_mm + off_mm - centre_mm
    if _length(off_mm) > localiser.reach_mm:
        result = replace(result, items=[])
    kept = [one for one in result.warnings if one.code not in (IN_PARTS, domain.CODE)]
    usual_mm, middle_mm = _usual_mm(card), expected_mm + off_mm
    near = {channel: around(one, middle_mm, usual_mm) for channel, one in volumes.items()}
    result = replace(result, warnings=(*kept, *domain.domain_warnings(near, card)))
    outside = 1.0 - coverage(grid, volumes[name].geometry)
    return FoundSide(result, middle_mm, _length(off_mm), _length(moved_mm), outside)


class _Ticks:
    """Tells a caller how many of all steps are done."""

    def __init__(self, progress: Callable[[int, int], None] | None, total: int) -> None:
        self.progress, self.total, self.done = progress, total, 0

    def next(self) -> None:
        """One more."""
        self.done += 1
        if self.progress is not None:
            self.progress(self.done, self.total)


def _localiser(card: Card) -> Localiser:
    if card.localiser is None:
        msg = f"model {card.name!r} has no localiser"
        raise ValueError(msg)
    return card.localiser


def _length(way_mm: NDArray[np.float64]) -> float:
    return float(np.linalg.norm(way_mm))


def _usual_mm(card: Card) -> NDArray[np.float64]:
    """Extents (z, y, x) of the training's crops, or of a window where the card does not say."""
    if card.domain is None:
        return np.array(card.window_shape) * card.spacing_mm
    return (np.array(card.domain.least_extent_mm) + card.domain.largest_extent_mm) / 2


def _none_found(grid: Geometry, card: Card) -> Instances:
    return Instances(grid, [], card.instance_classes)


def _middle_mm(found: Instances) -> NDArray[np.float64]:
    """The middle of the box around all objects, LPS (x, y, z)."""
    low = np.min([[part.start for part in item.box] for item in found.items], axis=0)
    high = np.max([[part.stop - 1 for part in item.box] for item in found.items], axis=0)
    return found.geometry.index_to_world((low + high) / 2)


def _not_found(card: Card, grid: Geometry, localiser: Localiser, likeness: float) -> InputRefused:
    size = " × ".join(f"{n * mm:.0f}" for n, mm in zip(grid.shape, grid.spacing_mm, strict=True))
    return InputRefused(
        "head-not-found",
        f"model {card.name!r}",
        f"the image of {size} mm is no crop, and no T1-weighted head is recognised in it "
        f"(likeness {likeness:.2f}, {LEAST_LIKENESS:.2f} wanted)",
        f"give a T1-weighted MR of the head, or a crop of at most {localiser.least_extent_mm:g} mm",
    )


def _voxels(items: Sequence[Instance], side: Side) -> int:
    return sum(item.voxel_count for item in items if item.class_name.endswith(f"_{side}"))


def _provenance(found: Mapping[Side, FoundSide]) -> dict[str, Any]:
    """What was recorded of the crops, by the names of both sides; a crop of one value has none."""
    recorded = [one.result.provenance for one in found.values() if one.result.provenance]
    said = dict(recorded[0]) if recorded else {}
    meaning = said.get("score_is_probability_of", {})
    of_sides = {f"{name}_{side}": true for side in found for name, true in meaning.items()}
    return {**said, "score_is_probability_of": of_sides}


def _of_crops(found: Mapping[Side, FoundSide]) -> list[InputWarning]:
    """What was said of each crop; the side stands before what was said of one alone."""
    said = {side: one.result.warnings for side, one in found.items()}
    common = [one for one in said["left"] if one in said["right"]]
    own = [
        InputWarning(one.code, f"{side} side: {one.detail}")
        for side, warnings in said.items()
        for one in warnings
        if one not in common
    ]
    return list(dict.fromkeys([*common, *own]))


def _doubts(
    card: Card,
    pose: Pose,
    found: Mapping[Side, FoundSide],
    volume_ml: Mapping[Side, float],
) -> list[InputWarning]:
    """What speaks against a result, in words."""
    localiser = _localiser(card)
    doubts = []
    if pose.likeness < SURE_LIKENESS:
        detail = (
            f"the head is like the template by {pose.likeness:.2f}, {SURE_LIKENESS:.2f} and more "
            "are usual: look at the picture"
        )
        doubts.append(InputWarning("head-uncertain", detail))
    for side, one in found.items():
        doubts += _doubts_of_side(side, one, localiser, volume_ml[side])
    left, right = volume_ml["left"], volume_ml["right"]
    if min(left, right) > 0 and abs(left - right) > MOST_ASYMMETRY * (left + right) / 2:
        detail = f"left {left:.2f} ml, right {right:.2f} ml: look at the picture"
        doubts.append(InputWarning("sides-differ", detail))
    return doubts


def _doubts_of_side(
    side: Side, one: FoundSide, localiser: Localiser, volume_ml: float
) -> list[InputWarning]:
    low, high = localiser.volume_ml
    doubts = []
    if not low <= volume_ml <= high:
        doubts.append(f"it has {volume_ml:.2f} ml; {low:g} to {high:g} ml are usual")
    if one.off_mm > localiser.reach_mm:
        doubts.append(f"what was found {one.off_mm:.0f} mm from where it should lie is left out")
    elif one.moved_mm > SETTLED_MM:
        doubts.append(f"its crop still moved by {one.moved_mm:.1f} mm in the last pass")
    if one.outside > MOST_OUTSIDE:
        doubts.append(f"{one.outside:.0%} of its crop lie beyond the image")
    if not doubts:
        return []
    return [InputWarning("side-doubtful", f"{side} side: {'; '.join(doubts)}: look at the picture")]
