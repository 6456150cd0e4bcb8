"""What a study comes to: burden of each class and in each organ, and targets to propose."""

from __future__ import annotations

from itertools import groupby
from typing import TypedDict

import pandas as pd

from medseg.measurement.recist_rules import (
    propose_targets,
    recist_values_mm,
    sum_of_diameters_mm,
)
from medseg.measurement.size import union_voxels
from medseg.types import Instance, Instances, Kind


class ClassTotal(TypedDict):
    """Objects of one class in a study; a voxel that two of them share counts once."""

    kind: Kind
    count: int
    volume_ml: float


class OrganTotal(TypedDict):
    """Lesions of one class in one organ (None: outside every organ), as in `ClassTotal`."""

    organ: str | None
    class_name: str
    count: int
    volume_ml: float


class Targets(TypedDict):
    """A proposal of target lesions, largest first; a reader may overrule it.

    The sum is that of longest diameters, of nodes that of short axes. Both are None where nothing
    was judged, the sum also where no lesion is proposed.
    """

    ids: list[int] | None
    sum_of_diameters_mm: float | None


class Study(TypedDict):
    """What is said of a study beside its classes, JSON-able."""

    organs: list[OrganTotal]
    targets: Targets


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


def study(instances: Instances, table: pd.DataFrame) -> Study:
    """Burden in each organ, and the proposed targets, from the `table` of `instances`.

    A lesion counts wholly in the organ that holds most of it. `organs` is empty where the table
    does not say organs, sorted by organ and class else, with what lies outside them last.
    """
    return {"organs": _in_organs(instances, table), "targets": _targets(table)}


def _in_organs(instances: Instances, table: pd.DataFrame) -> list[OrganTotal]:
    if "organ" not in table.columns:
        return []
    placed = table["organ_fraction"].notna()
    by_id = {item.id: item for item in instances.items}
    found = [
        ("" if pd.isna(organ) else str(organ), str(name), by_id[int(number)])
        for organ, name, number in table.loc[
            placed, ["organ", "class_name", "instance_id"]
        ].itertuples(index=False, name=None)
    ]
    found.sort(key=lambda one: (one[0] == "", one[0], one[1]))
    totals: list[OrganTotal] = []
    for (organ, name), group in groupby(found, key=lambda one: one[:2]):
        items = [item for _, _, item in group]
        totals.append(
            {
                "organ": organ or None,
                "class_name": name,
                "count": len(items),
                "volume_ml": union_voxels(items) * instances.geometry.voxel_ml,
            }
        )
    return totals


def _targets(table: pd.DataFrame) -> Targets:
    if "recist_target_proposed" not in table.columns:
        return {"ids": None, "sum_of_diameters_mm": None}
    judged = table.loc[table["kind"] == "lesion", "recist_target_proposed"]
    if len(judged) and judged.isna().all():
        return {"ids": None, "sum_of_diameters_mm": None}
    rows = table[table["recist_target_proposed"].fillna(value=False).astype(bool)]
    values = recist_values_mm(
        rows["recist_long_mm"], rows["recist_short_mm"], node=rows["recist_node_status"].notna()
    )
    apart = [str(n) for n in range(len(rows))]  # they were chosen by organ; here only the order
    order = propose_targets(values, [True] * len(rows), apart)
    return {
        "ids": [int(number) for number in rows["instance_id"].to_numpy()[order]],
        "sum_of_diameters_mm": sum_of_diameters_mm(values, order) if len(rows) else None,
    }
