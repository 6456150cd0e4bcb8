"""What a study comes to: burden of each class and in each organ, and targets to propose."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import groupby
from typing import NotRequired, TypedDict

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from medseg.errors import InputRefused
from medseg.measurement.recist_rules import (
    MOST_TARGETS,
    MOST_TARGETS_AN_ORGAN,
    propose_targets,
    recist_values_mm,
    sum_of_diameters_mm,
    target_organs,
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
    """Target lesions: a proposal, largest first, or those that a reader chose, in his order.

    The sum is that of longest diameters, of nodes that of short axes. Both are None where nothing
    was judged, the sum also where no lesion is a target. `notes` is there where a reader chose, and
    says in what the choice differs from RECIST's rules.
    """

    ids: list[int] | None
    sum_of_diameters_mm: float | None
    notes: NotRequired[list[str]]


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


def study(
    instances: Instances, table: pd.DataFrame, *, targets: Sequence[int] | None = None
) -> Study:
    """Burden in each organ, and the targets, from the `table` of `instances`.

    A lesion counts wholly in the organ with the largest part of it. `organs` is empty where the
    table does not say organs, sorted by organ and class else, with what lies outside them last.
    `targets` are the ids of lesions that a reader chose; None takes the proposal. Chosen ones stay,
    also against the rules, which `notes` then says.

    Raises InputRefused (`table-invalid`) where a chosen id is no lesion of the table, ValueError
    for an id given twice and for a table without the group recist.
    """
    chosen = _proposed(instances, table) if targets is None else _chosen(instances, table, targets)
    return {"organs": _in_organs(instances, table), "targets": chosen}


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


def _proposed(instances: Instances, table: pd.DataFrame) -> Targets:
    if "recist_target_proposed" not in table.columns:
        return {"ids": None, "sum_of_diameters_mm": None}
    judged = table.loc[table["kind"] == "lesion", "recist_target_proposed"]
    if len(judged) and judged.isna().all():
        return {"ids": None, "sum_of_diameters_mm": None}
    rows = table[table["recist_target_proposed"].fillna(value=False).astype(bool)]
    values = _values_mm(instances, rows)
    apart = [str(n) for n in range(len(rows))]  # they were chosen by organ; here only the order
    order = propose_targets(values, [True] * len(rows), apart)
    return {
        "ids": [int(number) for number in rows["instance_id"].to_numpy()[order]],
        "sum_of_diameters_mm": sum_of_diameters_mm(values, order) if len(rows) else None,
    }


def _chosen(instances: Instances, table: pd.DataFrame, targets: Sequence[int]) -> Targets:
    if "recist_measurable" not in table.columns:
        msg = "targets are chosen from a table with the group recist; this one was measured without"
        raise ValueError(msg)
    double = [number for number, n in Counter(targets).items() if n > 1]
    if double:
        msg = f"a target is named once; got {double[0]} several times"
        raise ValueError(msg)
    by_id = table.set_index("instance_id", drop=False)
    for number in targets:
        if number not in by_id.index:
            detail = f"no object has the number {number}"
        elif by_id.at[number, "kind"] != "lesion":
            detail = f"object {number} is an organ, and RECIST is of lesions"
        else:
            continue
        raise InputRefused(
            code="table-invalid",
            subject="targets",
            detail=detail,
            remedy="choose lesions by the numbers in the table",
        )
    rows = by_id.loc[list(targets)]
    values = _values_mm(instances, rows)
    return {
        "ids": [int(number) for number in targets],
        "sum_of_diameters_mm": sum_of_diameters_mm(values, range(len(rows))) if len(rows) else None,
        "notes": [*_not_measurable(rows), *_too_many(instances, rows)],
    }


def _values_mm(instances: Instances, rows: pd.DataFrame) -> NDArray[np.float64]:
    """What counts of the lesion in each row; its class says whether it is a node."""
    return recist_values_mm(
        rows["recist_long_mm"], rows["recist_short_mm"], node=_nodes(instances, rows)
    )


def _nodes(instances: Instances, rows: pd.DataFrame) -> list[bool]:
    nodes = {one.name for one in instances.classes if one.node}
    return [name in nodes for name in rows["class_name"]]


def _not_measurable(rows: pd.DataFrame) -> list[str]:
    said = zip(rows["instance_id"].tolist(), rows["recist_measurable"].tolist(), strict=True)
    return [
        f"target {number} was not judged, the table's notes say why"
        if pd.isna(measurable)
        else f"target {number} is not measurable by RECIST"
        for number, measurable in said
        if pd.isna(measurable) or not measurable
    ]


def _too_many(instances: Instances, rows: pd.DataFrame) -> list[str]:
    """How many targets there are beyond five, and beyond two in an organ."""
    found = []
    if len(rows) > MOST_TARGETS:
        found.append(f"{len(rows)} targets were chosen, RECIST takes at most {MOST_TARGETS}")
    if "organ" not in rows.columns:
        if len(rows) > MOST_TARGETS_AN_ORGAN:
            found.append("organs were not measured, so how many targets lie in one is not known")
        return found
    organs = [None if pd.isna(organ) else str(organ) for organ in rows["organ"]]
    names = rows["class_name"].tolist()
    for organ, n in Counter(target_organs(names, organs, node=_nodes(instances, rows))).items():
        if n > MOST_TARGETS_AN_ORGAN:
            most = f"RECIST takes at most {MOST_TARGETS_AN_ORGAN}"
            found.append(f"{n} targets count in one organ ({organ}), {most}")
    return found
