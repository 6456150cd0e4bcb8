"""Numbers about instances, in physical units: `measure` is the one door."""

from medseg.measurement.acquisition import axis_of_plane
from medseg.measurement.arrays import measure_labels
from medseg.measurement.columns import (
    COLUMNS,
    GROUPS,
    Column,
    Group,
    chosen_groups,
    columns_of,
)
from medseg.measurement.components import split_components
from medseg.measurement.selection import parts_noted, without_small
from medseg.measurement.study import ClassTotal, Study, study, summarise
from medseg.measurement.table import measure

__all__ = [
    "COLUMNS",
    "GROUPS",
    "ClassTotal",
    "Column",
    "Group",
    "Study",
    "axis_of_plane",
    "chosen_groups",
    "columns_of",
    "measure",
    "measure_labels",
    "parts_noted",
    "split_components",
    "study",
    "summarise",
    "without_small",
]
