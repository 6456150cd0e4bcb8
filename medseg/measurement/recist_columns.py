"""The columns of RECIST: diameters of lesions, and what the rules make of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from medseg.measurement.acquisition import Acquisition
from medseg.measurement.notes import Measured, Notes
from medseg.measurement.recist import recist_diameters
from medseg.measurement.recist_rules import (
    acquisition_plane,
    are_nodes,
    measurable,
    node_status,
    propose_targets,
    recist_values_mm,
    target_organs,
)
from medseg.types import Geometry, Instances


def recist_columns(
    instances: Instances,
    acquired: Acquisition,
    organs: Sequence[str] | None,
    parts: NDArray[np.int64],
) -> Measured:
    """Diameters of the lesions, measurable or not, targets; everything is empty for organs.

    `organs` names the organ of each instance ("" where it lies in none), for the rule of two an
    organ; None where nothing is known of organs. `parts` (N,) counts the connected parts of each:
    a lesion in several is not judged, since its diameters cross the gaps between them.
    """
    lesion = np.asarray([item.kind == "lesion" for item in instances.items], dtype=np.bool_)
    lesions = replace(instances, items=[item for item in instances.items if item.kind == "lesion"])
    plane = acquisition_plane(instances.geometry, acquired.axis)
    found = recist_diameters(lesions, plane.axis)
    columns: dict[str, Any] = {
        "recist_long_mm": _spread(found.long_mm, lesion),
        "recist_short_mm": _spread(found.short_mm, lesion),
        "recist_product_mm2": _spread(found.long_mm * found.short_mm, lesion),
        "recist_axis": ["zyx"[plane.axis] if one else None for one in lesion.tolist()],
        "recist_slice": _whole(found.slice_index, lesion),
    }
    for which, ends in (("long", found.long_ends_zyx), ("short", found.short_ends_zyx)):
        columns |= _end_columns(which, ends, lesion, instances.geometry)
    node = are_nodes(lesions)
    whole = parts[lesion] == 1
    judged = [
        one if in_one else None
        for one, in_one in zip(
            measurable(
                found.long_mm,
                found.short_mm,
                slice_thickness_mm=acquired.slice_thickness_mm,
                plane_known=plane.known,
                node=node,
            ),
            whole.tolist(),
            strict=True,
        )
    ]
    names = [item.class_name for item in lesions.items]
    of_lesions = None if organs is None else np.asarray(organs, dtype=object)[lesion].tolist()
    values = recist_values_mm(found.long_mm, found.short_mm, node=node)
    targets = propose_targets(values, judged, target_organs(names, of_lesions, node=node))
    columns["recist_measurable"] = _flags(judged, lesion)
    columns["recist_node_status"] = _texts(_statuses(found.short_mm, judged, node), lesion)
    columns["recist_target_proposed"] = _flags(_proposed(judged, targets), lesion)
    notes = _notes(lesion, acquired, plane_known=plane.known)
    in_parts = np.zeros(lesion.size, dtype=np.bool_)
    in_parts[lesion] = ~whole
    notes.where(in_parts, "recist: in several parts, the diameters cross gaps, not judged")
    return columns, notes


def _statuses(
    short_mm: NDArray[np.float64], judged: Sequence[bool | None], node: NDArray[np.bool_]
) -> list[str | None]:
    """The status of each node that was judged; one too small for thick slices is no target."""
    return [
        None
        if not is_node or one is None
        else "non-target"
        if said == "target" and not one
        else said
        for said, one, is_node in zip(node_status(short_mm), judged, node.tolist(), strict=True)
    ]


def _notes(lesion: NDArray[np.bool_], acquired: Acquisition, *, plane_known: bool) -> Notes:
    notes = Notes(lesion.size)
    notes.where(~lesion, "recist: an organ is no lesion")
    if not plane_known:
        notes.where(lesion, "recist: plane unknown, axial assumed, not judged")
    if acquired.slice_thickness_mm is None:
        notes.where(lesion, "recist: slice thickness unknown, not judged")
    return notes


def _end_columns(
    which: str, ends_zyx: NDArray[np.float64], lesion: NDArray[np.bool_], geometry: Geometry
) -> dict[str, NDArray[np.float64]]:
    """Both ends of a diameter (L, 2, 3), as index and in the world."""
    ends_xyz = geometry.index_to_world(ends_zyx)
    columns = {}
    for n, end in enumerate(("start", "stop")):
        for axis in range(3):
            columns[f"recist_{which}_{end}_{'zyx'[axis]}"] = _spread(ends_zyx[:, n, axis], lesion)
            columns[f"recist_{which}_{end}_{'xyz'[axis]}_mm"] = _spread(
                ends_xyz[:, n, axis], lesion
            )
    return columns


def _proposed(judged: Sequence[bool | None], targets: NDArray[np.int64]) -> list[bool | None]:
    """Whether each lesion is a target; None where it was not judged."""
    chosen = set(targets.tolist())
    return [None if one is None else n in chosen for n, one in enumerate(judged)]


def _spread(values: NDArray[np.float64], lesion: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Values of the lesions (L,) in the rows of all instances (N,); NaN elsewhere."""
    if len(values) == len(lesion):
        return values
    rows = np.full(lesion.size, np.nan)
    rows[lesion] = values
    return rows


def _whole(values: NDArray[np.int64], lesion: NDArray[np.bool_]) -> pd.arrays.IntegerArray:
    rows = np.zeros(lesion.size, dtype=np.int64)
    rows[lesion] = values
    return pd.arrays.IntegerArray(rows, ~lesion)


def _flags(values: Sequence[bool | None], lesion: NDArray[np.bool_]) -> pd.arrays.BooleanArray:
    rows, missing = np.zeros((2, lesion.size), dtype=np.bool_)
    rows[lesion] = [bool(one) for one in values]
    missing[lesion] = [one is None for one in values]
    return pd.arrays.BooleanArray(rows, missing | ~lesion)


def _texts(values: Sequence[str | None], lesion: NDArray[np.bool_]) -> list[str | None]:
    rows = iter(values)
    return [next(rows) if one else None for one in lesion.tolist()]
