"""The table of measures, one row an instance, and the totals of a study."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypedDict

import pandas as pd

from medseg.measurement.columns import COLUMNS
from medseg.measurement.intensity import intensities
from medseg.measurement.size import (
    boxes,
    centroids_lps_mm,
    touches_border,
    union_voxels,
    volumes_ml,
    voxel_counts,
)
from medseg.types import Instance, Instances, Kind, Volume


class ClassTotal(TypedDict):
    """Objects of one class in a study; a voxel that two of them share counts once."""

    kind: Kind
    count: int
    volume_ml: float


def measure(instances: Instances, volume: Volume | None = None) -> pd.DataFrame:
    """One row an instance in the order of `items`; `COLUMNS` says what each column holds.

    Measures are taken on the image's own grid. Without `volume` the intensity columns are NaN
    and `notes` says so. No instance gives a table without rows, of the same columns and types.

    Raises InputRefused (`grid-mismatch`) where `volume` lies on another grid.
    """
    values: dict[str, Any] = {
        "instance_id": [item.id for item in instances],
        "class_name": [item.class_name for item in instances],
        "kind": [item.kind for item in instances],
        "score": [item.score for item in instances],
        "voxel_count": voxel_counts(instances),
        "volume_ml": volumes_ml(instances),
        "touches_border": touches_border(instances),
    }
    for axis, centre in zip("xyz", centroids_lps_mm(instances).T, strict=True):
        values[f"centroid_{axis}_mm"] = centre
    ends = boxes(instances)
    for n, axis in enumerate("zyx"):
        values[f"bbox_{axis}_start"], values[f"bbox_{axis}_stop"] = (
            ends[:, 2 * n],
            ends[:, 2 * n + 1],
        )
    of_intensity, notes = _intensity_columns(instances, volume)
    values |= of_intensity
    common = _warning_notes(instances, volume)
    values["notes"] = ["; ".join(filter(None, [note, common])) for note in notes]
    return pd.DataFrame(
        {column.name: pd.Series(values[column.name], dtype=column.dtype) for column in COLUMNS}
    )


def _intensity_columns(
    instances: Instances, volume: Volume | None
) -> tuple[Mapping[str, Any], list[str]]:
    if volume is None:
        empty = [float("nan")] * len(instances)
        names = ("mean", "std", "min", "max")
        note = "intensity is empty: no image was given"
        return {f"intensity_{name}": empty for name in names}, [note] * len(instances)
    found = intensities(instances, volume)
    values = {
        "intensity_mean": found.mean,
        "intensity_std": found.std,
        "intensity_min": found.min,
        "intensity_max": found.max,
    }
    notes = [
        _left_out_note(int(left_out), item.voxel_count)
        for left_out, item in zip(found.left_out, instances.items, strict=True)
    ]
    return values, notes


def _left_out_note(left_out: int, voxels: int) -> str:
    if left_out == 0:
        return ""
    if left_out == voxels:
        return "intensity is empty: no voxel of the image is finite here"
    return f"intensity leaves out {left_out} of {voxels} voxels that are NaN or infinite"


def _warning_notes(instances: Instances, volume: Volume | None) -> str:
    given = (*instances.warnings, *(volume.warnings if volume is not None else ()))
    return "; ".join(f"warning: {code}" for code in dict.fromkeys(one.code for one in given))


def summarise(instances: Instances) -> dict[str, ClassTotal]:
    """Number and total volume of the objects of each class, JSON-able, in the order of `classes`.

    Every class is there, those without an object with 0. The volume is that of the union, so
    objects that overlap are not counted twice.
    """
    members: dict[str, list[Instance]] = {one.name: [] for one in instances.classes}
    for item in instances.items:
        members[item.class_name].append(item)
    return {
        one.name: {
            "kind": one.kind,
            "count": len(members[one.name]),
            "volume_ml": union_voxels(members[one.name]) * instances.geometry.voxel_ml,
        }
        for one in instances.classes
    }
