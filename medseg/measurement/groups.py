"""The columns of each group from what is measured, and why some of them are empty."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from medseg.measurement.intensity import Intensities
from medseg.measurement.notes import Measured, Notes
from medseg.measurement.organs import OrganRelations
from medseg.measurement.partial_volume import partial_volumes
from medseg.measurement.relations import nearest_lesions
from medseg.measurement.shape import shapes
from medseg.measurement.size import (
    boxes,
    centroids_lps_mm,
    touches_border,
    volumes_ml,
    voxel_counts,
)
from medseg.measurement.suv import suv_peaks, total_lesion_glycolysis_g
from medseg.types import Instances, Volume

HALF = 0.5
"""Part of a lesion below which `organ` is said to hold less than half of it."""

_STATISTICS = ("mean", "std", "min", "max", "median", "p10", "p25", "p75", "p90")


def size_columns(instances: Instances) -> Measured:
    """Voxels, volumes, centroid and box."""
    notes = Notes(len(instances))
    partial = partial_volumes(instances)
    columns: dict[str, Any] = {
        "voxel_count": voxel_counts(instances),
        "volume_ml": volumes_ml(instances),
        "volume_partial_ml": partial.estimate_ml,
        "volume_low_ml": partial.low_ml,
        "volume_high_ml": partial.high_ml,
    }
    reasons = np.asarray(partial.reasons, dtype=object)
    for reason in sorted({*partial.reasons} - {""}):
        notes.where(reasons == reason, f"partial volume: {reason}")
    notes.where(
        partial.cut, "partial volume: probability ends before it fades, some may be missing"
    )
    for axis, centre in zip("xyz", centroids_lps_mm(instances).T, strict=True):
        columns[f"centroid_{axis}_mm"] = centre
    ends = boxes(instances)
    for n, axis in enumerate("zyx"):
        columns[f"bbox_{axis}_start"] = ends[:, 2 * n]
        columns[f"bbox_{axis}_stop"] = ends[:, 2 * n + 1]
    return columns, notes


def shape_columns(instances: Instances) -> Measured:
    """The fields of `Shapes`, each a column of its name."""
    found = shapes(instances)
    notes = Notes(len(instances))
    notes.where(np.isnan(found.axis_major_mm), "shape: one voxel has no axes")
    return {one.name: getattr(found, one.name) for one in fields(found)}, notes


def intensity_columns(
    instances: Instances, volume: Volume | None, found: Intensities | None
) -> Measured:
    """Statistics of the image's values; all empty where there is no image."""
    rows, notes = len(instances), Notes(len(instances))
    if volume is None or found is None:
        notes.for_all("intensity: no image was given")
        empty: dict[str, Any] = {f"intensity_{name}": np.full(rows, np.nan) for name in _STATISTICS}
        return empty | {"intensity_unit": [None] * rows}, notes
    columns: dict[str, Any] = {f"intensity_{name}": getattr(found, name) for name in _STATISTICS}
    nothing = np.isnan(found.mean)
    notes.where(nothing, "intensity: no voxel of the image is finite here")
    some = np.flatnonzero((found.left_out > 0) & ~nothing).tolist()
    notes.each(
        {
            row: f"intensity: leaves out {found.left_out[row]} of "
            f"{instances.items[row].voxel_count} voxels that are NaN or infinite"
            for row in some
        }
    )
    return columns | {"intensity_unit": [volume.unit] * rows}, notes


def suv_columns(instances: Instances, volume: Volume | None, found: Intensities | None) -> Measured:
    """SUVmax, mean, peaks and glycolysis; all empty where the image is not in SUVbw."""
    rows, notes = len(instances), Notes(len(instances))
    if volume is None or found is None or volume.unit != "SUVbw":
        notes.for_all(f"suv: {_why_no_suv(volume)}")
        names = ("max", "mean", "peak_local", "peak_global", "tlg_g")
        return {f"suv_{name}": np.full(rows, np.nan) for name in names}, notes
    peaks = suv_peaks(instances, volume)
    notes.where(np.isnan(found.mean), "suv: no voxel of the image is finite here")
    notes.where(peaks.cut, "suv: the image's border cuts the ball of a peak")
    finite = 1 - found.left_out / np.maximum(voxel_counts(instances), 1)
    notes.where((finite > 0) & (finite < 1), "suv: voxels that are NaN or infinite are left out")
    notes.where(peaks.left_out > 0, "suv: voxels around a peak are NaN or infinite")
    return {
        "suv_max": found.max,
        "suv_mean": found.mean,
        "suv_peak_local": peaks.local_peak,
        "suv_peak_global": peaks.global_peak,
        "suv_tlg_g": total_lesion_glycolysis_g(found.mean, volumes_ml(instances) * finite),
    }, notes


def _why_no_suv(volume: Volume | None) -> str:
    if volume is None:
        return "no image was given"
    if volume.unit == "unknown":
        return "the image's unit is unknown"
    return f"the image is in {volume.unit}, not SUVbw"


def relation_columns(
    instances: Instances, around: OrganRelations, parts: NDArray[np.int64]
) -> Measured:
    """Border, `parts` (N,), the nearest lesion, and the organ around or near."""
    notes = Notes(len(instances))
    lesion = np.asarray([item.kind == "lesion" for item in instances.items], dtype=np.bool_)
    near = nearest_lesions(instances)
    if np.count_nonzero(lesion) == 1:
        notes.where(lesion, "relations: there is no other lesion")
    notes.where(lesion & np.isnan(around.fraction_inside), "relations: no organs were given")
    outside = np.asarray([bool(name) for name in around.nearest_organ], dtype=np.bool_)
    notes.where(outside, "relations: outside every organ")
    little = (around.fraction_inside > 0) & (around.fraction_inside < HALF)
    notes.where(little, "relations: less than half of it lies in its organ")
    return {
        "touches_border": touches_border(instances),
        "component_count": parts,
        "nearest_lesion_id": pd.arrays.IntegerArray(near.id, near.id == 0),
        "nearest_lesion_mm": near.distance_mm,
        "organ": [name or None for name in around.organ],
        "organ_fraction": around.fraction_inside,
        "nearest_organ": [name or None for name in around.nearest_organ],
        "nearest_organ_mm": around.distance_mm,
    }, notes
