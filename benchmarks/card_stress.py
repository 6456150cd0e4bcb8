"""What a model loses when the same patients are imaged or stored otherwise: Dice, by change."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from card_trials import Record, Trial, folder_of, kept, raw_model
from numpy.typing import NDArray
from scipy.ndimage import affine_transform
from scipy.spatial.transform import Rotation

import medseg
from medseg.card import Card
from medseg.inference.domain import CODE
from medseg.training.datasets import LoadedCase, load_case
from medseg.training.recipe import Recipe
from medseg.transforms.pipeline import turn_to_spl
from medseg.types import Box, Geometry, Instances, Volume

Masks = dict[str, NDArray[np.bool_]]
Row = dict[str, Any]

CASES = 8
OBLIQUE_DEGREES = 15.0
NOISE, SHIFT, SCALE = 0.05, 0.2, 3.0
"""Of MR, in parts of the range from the 1st to the 99th percentile; the scale is a factor."""
NOISE_HU, SHIFT_HU = 30.0, 20.0
NOISE_SUV, SCALE_SUV = 0.1, 1.1
"""Of PET, in parts of each voxel's own value."""


@dataclass(frozen=True)
class Scan:
    """Volumes by channel, turned to S, P, L, and the true mask of each class on their grid."""

    volumes: Mapping[str, Volume]
    wanted: Masks

    @property
    def geometry(self) -> Geometry:
        """The grid of the first channel."""
        return next(iter(self.volumes.values())).geometry


@dataclass(frozen=True)
class Changed:
    """A scan after a change; `back` brings a found mask to the grid of `wanted`."""

    volumes: Mapping[str, Volume]
    wanted: Masks
    back: Callable[[NDArray[np.bool_]], NDArray[np.bool_]] = lambda mask: mask
    interpolation: float = 0.0


Change = Callable[[Scan, np.random.Generator], Changed]


def scan_of(loaded: LoadedCase) -> Scan:
    """A case turned to S, P, L; channels must lie on one grid."""
    axes, flips = turn_to_spl(loaded.truth.geometry)
    volumes = {name: one.reoriented(axes, flips) for name, one in loaded.volumes.items()}
    truth = masks_of(loaded.truth)
    turn = Volume(np.zeros(loaded.truth.geometry.shape, np.uint8), loaded.truth.geometry)
    wanted = {
        name: replace(turn, array=mask.astype(np.uint8)).reoriented(axes, flips).array > 0
        for name, mask in truth.items()
    }
    return Scan(volumes, wanted)


def masks_of(instances: Instances) -> Masks:
    """The voxels of each class, over all its objects."""
    found = {one.name: np.zeros(instances.geometry.shape, bool) for one in instances.classes}
    for item in instances.items:
        found[item.class_name][item.box] |= item.mask
    return found


def dice(one: NDArray[np.bool_], other: NDArray[np.bool_]) -> float:
    """Dice of two masks; 1 where both are empty."""
    both = np.count_nonzero(one) + np.count_nonzero(other)
    return 2 * np.count_nonzero(one & other) / both if both else 1.0


def changes(card: Card) -> Mapping[str, Change]:
    """The changes that are tried with a model, by what the tables call them."""
    return MappingProxyType(
        {
            "as it is": as_it_is,
            **_INTENSITIES[card.modality],
            "stored with other axes, mirrored": stored_otherwise,
            f"oblique by {OBLIQUE_DEGREES:g}° about two axes": oblique,
            "slices twice as thick": thick_slices,
            "cropped: half the margin": cropped,
        }
    )


def as_it_is(scan: Scan, _: np.random.Generator) -> Changed:
    """Nothing is changed."""
    return Changed(scan.volumes, scan.wanted)


def _of_values(
    change: Callable[[NDArray[np.float32], np.random.Generator], NDArray[np.floating[Any]]],
) -> Change:
    def changed(scan: Scan, rng: np.random.Generator) -> Changed:
        volumes = {
            name: replace(one, array=change(one.array.astype(np.float32), rng).astype(np.float32))
            for name, one in scan.volumes.items()
        }
        return Changed(volumes, scan.wanted)

    return changed


def _range(values: NDArray[np.float32]) -> float:
    low, high = np.percentile(values, [1, 99])
    return float(high - low)


_INTENSITIES: Mapping[str, Mapping[str, Change]] = MappingProxyType(
    {
        "MR": {
            f"intensities times {SCALE:g}": _of_values(lambda v, _: SCALE * v),
            f"intensities plus {SHIFT:.0%} of their range": _of_values(
                lambda v, _: v + SHIFT * _range(v)
            ),
            f"noise of {NOISE:.0%} of the range": _of_values(
                lambda v, rng: v + rng.normal(0, NOISE * _range(v), v.shape)
            ),
        },
        "CT": {
            f"{SHIFT_HU:+g} HU": _of_values(lambda v, _: v + SHIFT_HU),
            f"{-SHIFT_HU:+g} HU": _of_values(lambda v, _: v - SHIFT_HU),
            f"noise of {NOISE_HU:g} HU": _of_values(
                lambda v, rng: v + rng.normal(0, NOISE_HU, v.shape)
            ),
        },
        "PT": {
            f"SUV times {SCALE_SUV:g}": _of_values(lambda v, _: SCALE_SUV * v),
            f"SUV over {SCALE_SUV:g}": _of_values(lambda v, _: v / SCALE_SUV),
            f"noise of {NOISE_SUV:.0%} of each value": _of_values(
                lambda v, rng: v * np.maximum(0, 1 + rng.normal(0, NOISE_SUV, v.shape))
            ),
        },
    }
)


def stored_otherwise(scan: Scan, _: np.random.Generator) -> Changed:
    """The same image in another order and direction of axes: a sagittal series, say."""
    axes, flips = (2, 0, 1), (True, False, True)
    volumes = {name: one.reoriented(axes, flips) for name, one in scan.volumes.items()}
    there = Volume(np.zeros(scan.geometry.shape, np.uint8), scan.geometry)
    wanted = {
        name: replace(there, array=mask.astype(np.uint8)).reoriented(axes, flips).array > 0
        for name, mask in scan.wanted.items()
    }
    return Changed(volumes, wanted)


def oblique(scan: Scan, _: np.random.Generator) -> Changed:
    """Slices tilted about the patient's x and z axes, through the middle of the image."""
    turn = Rotation.from_euler("xz", [OBLIQUE_DEGREES, OBLIQUE_DEGREES], degrees=True).as_matrix()
    grid = scan.geometry
    middle = grid.index_to_world((np.asarray(grid.shape) - 1) / 2)
    affine = grid.affine.copy()
    affine[:3, :3] = turn @ grid.affine[:3, :3]
    affine[:3, 3] = middle + turn @ (grid.affine[:3, 3] - middle)
    tilted = Geometry(grid.shape, affine)
    volumes = {
        name: replace(
            one, array=resampled(one.array.astype(np.float32), grid, tilted), geometry=tilted
        )
        for name, one in scan.volumes.items()
    }
    wanted = {name: _moved(mask, grid, tilted) for name, mask in scan.wanted.items()}
    again = [dice(_moved(wanted[name], tilted, grid), mask) for name, mask in scan.wanted.items()]
    return Changed(volumes, wanted, interpolation=1 - statistics.fmean(again))


def resampled(values: NDArray[np.float32], source: Geometry, target: Geometry) -> NDArray[Any]:
    """`values` (z, y, x) on another grid, linear; beyond the border: its value."""
    there = np.linalg.inv(source.affine) @ target.affine
    return affine_transform(
        values, there[:3, :3], there[:3, 3], target.shape, order=1, mode="nearest"
    )


def _moved(mask: NDArray[np.bool_], source: Geometry, target: Geometry) -> NDArray[np.bool_]:
    return np.asarray(resampled(mask.astype(np.float32), source, target) >= 0.5)


def thick_slices(scan: Scan, _: np.random.Generator) -> Changed:
    """Pairs of neighbouring slices averaged; what is found is compared on the thin slices."""
    pairs = scan.geometry.shape[0] // 2
    if pairs < 2:
        return Changed(scan.volumes, scan.wanted)
    affine = scan.geometry.affine.copy()
    affine[:3, 3] += affine[:3, 0] / 2
    affine[:3, 0] *= 2
    grid = Geometry((pairs, *scan.geometry.shape[1:]), affine)

    def halved(values: NDArray[Any]) -> NDArray[np.float32]:
        pair = values[: 2 * pairs].astype(np.float32).reshape(pairs, 2, *values.shape[1:])
        return np.asarray(pair.mean(axis=1), dtype=np.float32)

    volumes = {
        name: replace(one, array=halved(one.array), geometry=grid)
        for name, one in scan.volumes.items()
    }
    wanted = {name: mask[: 2 * pairs] for name, mask in scan.wanted.items()}
    again = [dice((halved(mask) >= 0.5).repeat(2, axis=0), mask) for mask in wanted.values()]
    return Changed(
        volumes, wanted, lambda mask: mask.repeat(2, axis=0), 1 - statistics.fmean(again)
    )


def cropped(scan: Scan, _: np.random.Generator) -> Changed:
    """Half of what lies between the border and the true objects is cut off, on every side."""
    anything = np.any(list(scan.wanted.values()), axis=0)
    box = []
    for axis in range(3):
        others = tuple(n for n in range(3) if n != axis)
        at = np.flatnonzero(anything.any(axis=others))
        length = anything.shape[axis]
        first, last = (int(at[0]), int(at[-1]) + 1) if at.size else (0, length)
        box.append(slice(first // 2, last + (length - last + 1) // 2))
    part: Box = (box[0], box[1], box[2])
    volumes = {name: one.crop(part) for name, one in scan.volumes.items()}
    return Changed(volumes, {name: mask[part] for name, mask in scan.wanted.items()})


def stress_records(todo: Sequence[Trial], recipe: Recipe, results: Path) -> list[Record]:
    """For up to `CASES` trials, evenly over them, the Dice of every class after each change."""
    count = min(CASES, len(todo))
    chosen = [todo[n * len(todo) // count] for n in range(count)]
    found = []
    for trial in chosen:

        def made(trial: Trial = trial) -> Record:
            print(f"  changes of {trial.case.id}", flush=True)
            scan = scan_of(load_case(trial.case, recipe))
            return {
                "case": trial.case.id,
                "changes": {
                    name: _tried(change, scan, trial)
                    for name, change in changes(recipe.model).items()
                },
            }

        place = folder_of(results, trial.package) / "changes" / f"{trial.case.id}.json"
        found.append(kept(place, made))
    return found


def _tried(change: Change, scan: Scan, trial: Trial) -> Record:
    changed = change(scan, np.random.default_rng(0))
    result = medseg.segment(changed.volumes, raw_model(trial.package), device="cpu")
    found = masks_of(result)
    return {
        "dice": {
            name: dice(changed.back(found[name]), mask)
            for name, mask in changed.wanted.items()
            if mask.any()
        },
        "interpolation": changed.interpolation,
        "out_of_domain": sorted(
            {one.detail.split(":")[0] for one in result.warnings if one.code == CODE}
        ),
    }


def stress_rows(records: Sequence[Record]) -> list[Row]:
    """A row a change: mean Dice, what was lost, and in how many cases a warning was given."""
    rows = []
    for name in records[0]["changes"]:
        tried = [one["changes"][name] for one in records]
        plain = [one["changes"]["as it is"] for one in records]
        flagged = sum(bool(one["out_of_domain"]) for one in tried)
        pairs = [
            (after["dice"][key], before["dice"][key])
            for after, before in zip(tried, plain, strict=True)
            for key in after["dice"]
            if key in before["dice"]
        ]
        rows.append(
            {
                "change": name,
                "mean Dice": statistics.fmean(after for after, _ in pairs),
                "Dice lost": statistics.fmean(before - after for after, before in pairs),
                "of a mask there and back": statistics.fmean(one["interpolation"] for one in tried),
                "called out of domain": f"{flagged} of {len(tried)}",
            }
        )
    return rows
