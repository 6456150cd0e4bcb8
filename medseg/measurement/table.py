"""The table of measures, one row an instance."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from medseg.io import require_same_grid
from medseg.measurement.acquisition import acquisition_of
from medseg.measurement.column import DType
from medseg.measurement.columns import Group, chosen_groups, columns_of
from medseg.measurement.groups import (
    intensity_columns,
    relation_columns,
    shape_columns,
    size_columns,
    suv_columns,
)
from medseg.measurement.intensity import Intensities, intensities
from medseg.measurement.notes import Measured, Notes
from medseg.measurement.organs import OrganRelations, as_organs, organ_relations, organs_of
from medseg.measurement.recist_columns import recist_columns
from medseg.measurement.relations import component_counts
from medseg.measurement.selection import SMALL_LEFT_OUT
from medseg.types import Instances, Volume


def measure(
    instances: Instances,
    volume: Volume | None = None,
    *,
    groups: Collection[Group] | None = None,
    organs: Instances | None = None,
    slice_thickness_mm: float | None = None,
    acquisition_axis: int | None = None,
    parts: NDArray[np.int64] | None = None,
) -> pd.DataFrame:
    """One row an instance in the order of `items`; `COLUMNS` says what each column holds.

    Measures are taken on the image's own grid. `groups` are some of "size", "shape", "recist",
    "intensity", "suv" and "relations" (None: all), and only these are measured. `organs` say where
    lesions lie: all of them, whatever their kind; by default those of kind organ among `instances`.
    `slice_thickness_mm` and `acquisition_axis` say of the slices what `volume` does not; `parts`
    (N,) are those of `component_counts`, for who has them already. What cannot be measured is
    empty, and `notes` says why. No instance gives a table without rows, of the same columns and
    types.

    Raises InputRefused (`grid-mismatch`) where `volume` or `organs` lie on another grid and
    (`acquisition-mismatch`) where `volume` says otherwise; ValueError for an unknown group and for
    another number of parts.
    """
    chosen = chosen_groups(groups)
    if volume is not None:
        require_same_grid(volume.geometry, instances.geometry, "image", other="objects")
    acquired = acquisition_of(volume, slice_thickness_mm, acquisition_axis)
    around = _around(instances, organs, chosen)
    values = _values(instances, volume, chosen)
    counts = _part_counts(instances, parts, chosen)
    makers: Mapping[Group, Callable[[], Measured]] = {
        "size": lambda: size_columns(instances),
        "shape": lambda: shape_columns(instances),
        "recist": lambda: recist_columns(instances, acquired, around.organ, counts),
        "intensity": lambda: intensity_columns(instances, volume, values),
        "suv": lambda: suv_columns(instances, volume, values),
        "relations": lambda: relation_columns(instances, around, counts),
    }
    columns: dict[str, Any] = {
        "instance_id": np.asarray([item.id for item in instances.items], dtype=np.int64),
        "class_name": [item.class_name for item in instances.items],
        "kind": [item.kind for item in instances.items],
        "score": np.asarray([item.score for item in instances.items], dtype=np.float64),
    }
    notes = Notes(len(instances))
    for group in chosen:
        found, said = makers[group]()
        columns |= found
        notes.extend(said)
    notes.for_all(_warnings(instances, volume))
    columns["notes"] = notes.texts()
    return pd.DataFrame(
        {one.name: _typed(columns[one.name], one.dtype) for one in columns_of(chosen)}
    )


def _typed(values: Any, dtype: DType) -> Any:
    """Text as pandas' own array; everything else has its type already, or is a list of none."""
    return pd.array(values, dtype="str") if dtype == "str" else values


def _around(
    instances: Instances, organs: Instances | None, chosen: Collection[Group]
) -> OrganRelations:
    """Where the instances lie, if a group asks for it; else as where no organ is given."""
    given = organs_of(instances) if organs is None else as_organs(organs)
    needed = "relations" in chosen or "recist" in chosen  # at most two targets an organ
    return organ_relations(instances, given if needed else given.filter(lambda _: False))


def _part_counts(
    instances: Instances, given: NDArray[np.int64] | None, chosen: Collection[Group]
) -> NDArray[np.int64]:
    """Connected parts of each instance, counted once for all groups; 1 where no group asks."""
    if given is not None:
        if given.shape != (len(instances),):
            msg = f"parts are one number an object, {len(instances)}; got {given.shape}"
            raise ValueError(msg)
        return given
    if "relations" in chosen:
        return component_counts(instances)
    counts = np.ones(len(instances), dtype=np.int64)
    if "recist" in chosen:  # organs have no diameters
        lesions = instances.filter(lambda item: item.kind == "lesion")
        counts[[item.kind == "lesion" for item in instances.items]] = component_counts(lesions)
    return counts


def _values(
    instances: Instances, volume: Volume | None, chosen: Collection[Group]
) -> Intensities | None:
    """The image's values inside the instances, if a group asks for them and there is an image."""
    if volume is None:
        return None
    needed = "intensity" in chosen or ("suv" in chosen and volume.unit == "SUVbw")
    return intensities(instances, volume) if needed else None


def _warnings(instances: Instances, volume: Volume | None) -> str:
    """The codes of warnings, each once; of objects left out, which no row shows, the words too."""
    given = (*instances.warnings, *(volume.warnings if volume is not None else ()))
    texts = (
        f"warning: {code}, {detail}" if code == SMALL_LEFT_OUT else f"warning: {code}"
        for code, detail in given
    )
    return "; ".join(dict.fromkeys(texts))
