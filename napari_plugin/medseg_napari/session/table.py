"""Measures of every object, kept true through edits: only what changed is measured again.

Each group of columns is measured by `medseg.measure` on the rows that need it, and only when one
of its columns is read. What depends on other objects follows so:

- `organ`, `organ_fraction`, `nearest_organ`, `nearest_organ_mm`: lesions are measured again where
  they changed, where an organ did in their box or no further off than the nearest organ is, and all
  of them where the number of lesions became or was one.
- `nearest_lesion_id`, `nearest_lesion_mm`: found anew among all lesions, when read after a change.
- `recist_target_proposed`: proposed anew from the measures in the table, when read after a change.
- `notes`: those of all groups of the table.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pandas as pd

from medseg.measurement import GROUPS, Group, chosen_groups, columns_of, measure
from medseg.measurement.organs import organs_of
from medseg.measurement.recist_rules import (
    are_nodes,
    propose_targets,
    recist_values_mm,
    target_organs,
)
from medseg.measurement.relations import nearest_lesions
from medseg.types import Instance, Instances, Volume
from medseg_napari.session.nearby import Touched, near_changes, organ_changes

TARGET = "recist_target_proposed"
NEAREST = ("nearest_lesion_id", "nearest_lesion_mm")

_IDENTITY = ("instance_id", "class_name", "kind", "score")
_ID, _NOTES = "instance_id", "notes"
_AT_ONCE = 256
"""So many rows of relations are measured together: most of the cost lies in the organs."""


@dataclass(frozen=True)
class MeasureOptions:
    """What to measure, and what is said of the slices where the image does not say it.

    `groups` None: size, shape, recist, intensity and relations, and suv for an image in SUVbw.
    `organs` are as in `measure`: by default those among the instances.
    """

    groups: tuple[Group, ...] | None = None
    organs: Instances | None = None
    slice_thickness_mm: float | None = None
    acquisition_axis: int | None = None

    def groups_for(self, volume: Volume | None) -> tuple[Group, ...]:
        """The groups, in their own order."""
        if self.groups is not None:
            return chosen_groups(self.groups)
        in_suv = volume is not None and volume.unit == "SUVbw"
        return tuple(group for group in GROUPS if group != "suv" or in_suv)


@dataclass
class _Block:
    """The columns of one group by id, in any order, and the ids that are not measured."""

    names: list[str]
    rows: pd.DataFrame
    missing: set[int] = field(default_factory=set)


class MeasureTable:
    """The table of `measure` over instances that change; equal to measuring all of them anew."""

    def __init__(
        self, instances: Instances, volume: Volume | None, options: MeasureOptions | None = None
    ) -> None:
        self.options = options or MeasureOptions()
        self.groups = self.options.groups_for(volume)
        self._volume = volume
        self._instances = instances
        self._by_id = {item.id: item for item in instances.items}
        self._lesions = sum(item.kind == "lesion" for item in instances.items)
        self._study_wide: dict[str, Any] = {}
        self._said_of_all: str | None = None
        hidden = ("relations",) if "recist" in self.groups else ()  # targets count by organ
        self._blocks = {
            group: self._empty(group) for group in chosen_groups({*self.groups, *hidden})
        }
        self._group_of = {
            name: group for group in self.groups for name in self._blocks[group].names
        }

    @property
    def column_names(self) -> tuple[str, ...]:
        """The columns in the order of the data dictionary."""
        return tuple(one.name for one in columns_of(self.groups))

    def update(self, instances: Instances, touched: Touched) -> None:
        """Take over the instances after a step, and which of them it touched."""
        was = self._lesions
        for before, after in touched.values():
            self._lesions += _is_lesion(after) - _is_lesion(before)
        self._instances = instances
        self._study_wide.clear()
        for number, (_, after) in touched.items():
            if after is None:
                self._by_id.pop(number, None)
            else:
                self._by_id[number] = after
        gone = [number for number, (_, after) in touched.items() if after is None]
        for block in self._blocks.values():
            block.missing.update(touched)
            block.missing.difference_update(gone)
        if "relations" not in self._blocks:
            return
        block = self._blocks["relations"]
        if (was == 1) != (self._lesions == 1):
            block.missing.update(item.id for item in instances.items if item.kind == "lesion")
        elif self.options.organs is None:
            changed = organ_changes(touched)
            lesions = self._measured_lesions(block) if changed else []
            block.missing.update(near_changes(lesions, block.rows, changed, instances.geometry))

    def _measured_lesions(self, block: _Block) -> list[Instance]:
        """The lesions whose relations are known, in the order of the block's rows."""
        known = (self._by_id.get(number) for number in block.rows.index.tolist())
        return [
            item
            for item in known
            if item is not None and item.kind == "lesion" and item.id not in block.missing
        ]

    def column(self, name: str) -> Any:
        """One column, (N,) in the order of the instances: NumPy's, or pandas' where it is text.

        `Int64` and `boolean` columns are pandas' as well. What is not measured yet is measured.

        Raises ValueError for a name that is no column of this table.
        """
        if name in _IDENTITY:
            return _identity(name, self._instances)
        if name == _NOTES:
            return self._notes()
        if name not in self._group_of:
            msg = f"no column is named {name!r} here; there are {', '.join(self.column_names)}"
            raise ValueError(msg)
        if name == TARGET:
            return self._targets()
        if name in NEAREST:
            return self._nearest()[name]
        return self._rows(self._group_of[name])[name].values

    def frame(self, names: Collection[str] | None = None) -> pd.DataFrame:
        """Some columns (None: all) in the order of the data dictionary, one row an instance."""
        known = self.column_names
        chosen = known if names is None else [name for name in known if name in names]
        for unknown in set(names or ()).difference(known):
            self.column(unknown)
        return pd.DataFrame({name: self.column(name) for name in chosen})

    def unmeasured(self, names: Collection[str] | None = None) -> int:
        """Rows that reading these columns (None: all) would measure, counted once a group."""
        return sum(len(self._blocks[group].missing) for group in self._groups_of(names))

    def measure_some(self, most: int, names: Collection[str] | None = None) -> int:
        """Measure at most so many rows of these columns' groups; how many are left.

        For who shows a large table before all of it is measured: a part between two events. Of
        relations it may be 256 rows where it is any: a few take as long.
        """
        for group in self._groups_of(names):
            part = max(_AT_ONCE, most) if group == "relations" and most > 0 else most
            ids = sorted(self._blocks[group].missing)[: max(0, part)]
            most -= len(ids)
            if ids:
                self._measure(group, ids)
        return self.unmeasured(names)

    def _groups_of(self, names: Collection[str] | None) -> list[Group]:
        if names is None or _NOTES in names:
            return list(self._blocks)
        wanted = {self._group_of[name] for name in names if name in self._group_of}
        if TARGET in names:
            wanted.add("relations")
        return [group for group in self._blocks if group in wanted]

    def _empty(self, group: Group) -> _Block:
        names = [one.name for one in columns_of([group]) if one.group == group]
        nothing = self._measured_as(group, [])
        return _Block([*names], nothing, set(self._by_id))

    def _rows(self, group: Group) -> pd.DataFrame:
        """The group's rows, all measured, in the order of the instances."""
        block = self._blocks[group]
        if block.missing:
            self._measure(group, sorted(block.missing))
        ids = [item.id for item in self._instances.items]
        if not np.array_equal(block.rows.index, ids):
            block.rows = block.rows.loc[ids]
        return block.rows

    def _measure(self, group: Group, ids: Collection[int]) -> None:
        block, fresh = self._blocks[group], set(ids)
        items = [self._by_id[number] for number in ids]
        found = self._measured_as(group, items)
        if group == "relations" and len(items) == len(self._by_id):
            self._keep_nearest(found)
        holds = [
            number not in fresh and number in self._by_id for number in block.rows.index.tolist()
        ]
        parts = [part for part in (block.rows[holds], found) if len(part)]
        block.rows = pd.concat(parts) if parts else found
        block.missing.difference_update(fresh)

    def _measured_as(self, group: Group, items: list[Instance]) -> pd.DataFrame:
        """Rows of a group by id, as they are among all instances, with the group's own notes."""
        options, beside = self.options, list[Instance]()
        organs: Instances | None = self._instances.filter(lambda _: False)
        if group == "relations":
            organs = organs_of(self._instances) if options.organs is None else options.organs
            beside = self._another_lesion(items)
        found = measure(
            replace(self._instances, items=[*items, *beside]),
            self._volume,
            groups=[group],
            organs=organs,
            slice_thickness_mm=options.slice_thickness_mm,
            acquisition_axis=options.acquisition_axis,
        ).iloc[: len(items)]
        if items:
            found = found.assign(notes=self._without_general(found[_NOTES].tolist()))
        return found.set_index(_ID).drop(columns=["class_name", "kind", "score"])

    def _another_lesion(self, items: list[Instance]) -> list[Instance]:
        """One more lesion, where one alone would be told that there is no other."""
        mine = [item.id for item in items if item.kind == "lesion"]
        if len(mine) != 1:
            return []
        others = (
            item for item in self._instances.items if item.kind == "lesion" and item.id != mine[0]
        )
        return [other for other in [next(others, None)] if other is not None]

    def _general(self) -> str:
        """What the notes of every row end with: the warnings of instances and image."""
        if self._said_of_all is None:
            one = replace(self._instances, items=self._instances.items[:1])
            table = measure(one, self._volume, groups=[])
            self._said_of_all = str(table[_NOTES].iloc[0]) if len(table) else None
        return self._said_of_all or ""

    def _without_general(self, notes: list[str]) -> pd.api.extensions.ExtensionArray:
        general = self._general()
        if general:
            notes = [note.removesuffix(general).removesuffix("; ") for note in notes]
        return pd.array(notes, dtype="str")

    def _notes(self) -> pd.api.extensions.ExtensionArray:
        parts = [self._rows(group)[_NOTES].tolist() for group in self.groups]
        parts.append([self._general()] * len(self._instances))
        texts = ["; ".join(filter(None, row)) for row in zip(*parts, strict=True)]
        return pd.array(texts, dtype="str")

    def _targets(self) -> pd.arrays.BooleanArray:
        if TARGET not in self._study_wide:
            recist, names = self._rows("recist"), [item.class_name for item in self._instances]
            around = self._rows("relations")["organ"]
            organs = [None if pd.isna(one) else str(one) for one in around]
            judged = [None if pd.isna(one) else bool(one) for one in recist["recist_measurable"]]
            node = are_nodes(self._instances)
            values = recist_values_mm(
                recist["recist_long_mm"].to_numpy(), recist["recist_short_mm"].to_numpy(), node=node
            )
            targets = propose_targets(values, judged, target_organs(names, organs, node=node))
            chosen = np.zeros(len(judged), dtype=np.bool_)
            chosen[targets] = True
            unknown = np.asarray([one is None for one in judged], dtype=np.bool_)
            self._study_wide[TARGET] = pd.arrays.BooleanArray(chosen, unknown)
        found: pd.arrays.BooleanArray = self._study_wide[TARGET]
        return found

    def _nearest(self) -> Mapping[str, Any]:
        if not self._study_wide.keys() >= set(NEAREST):
            near = nearest_lesions(self._instances)
            number = pd.arrays.IntegerArray(near.id, near.id == 0)
            self._study_wide |= dict(zip(NEAREST, (number, near.distance_mm), strict=True))
        return self._study_wide

    def _keep_nearest(self, found: pd.DataFrame) -> None:
        """All were measured together, so their nearest lesions are known."""
        ordered = found.loc[[item.id for item in self._instances.items]]
        self._study_wide |= {name: ordered[name].values for name in NEAREST}


def _is_lesion(item: Instance | None) -> bool:
    return item is not None and item.kind == "lesion"


def _identity(name: str, instances: Instances) -> Any:
    items = instances.items
    if name == _ID:
        return np.asarray([item.id for item in items], dtype=np.int64)
    if name == "score":
        return np.asarray([item.score for item in items], dtype=np.float64)
    return pd.array([str(getattr(item, name)) for item in items], dtype="str")
