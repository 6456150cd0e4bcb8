"""Numbers about instances, in physical units: `measure` is the one door."""

from medseg.measurement.acquisition import acquisition_of, axis_of_plane
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
from medseg.measurement.recist import mask_diameters
from medseg.measurement.recist_rules import sum_of_diameters_mm
from medseg.measurement.relations import component_counts
from medseg.measurement.selection import kinds_noted, parts_noted, without_small
from medseg.measurement.shape import mask_shape
from medseg.measurement.study import ClassTotal, Study, study, summarise
from medseg.measurement.suv import peaks
from medseg.measurement.table import measure

__all__ = [
    "COLUMNS",
    "GROUPS",
    "ClassTotal",
    "Column",
    "Group",
    "Study",
    "acquisition_of",
    "axis_of_plane",
    "chosen_groups",
    "columns_of",
    "component_counts",
    "kinds_noted",
    "mask_diameters",
    "mask_shape",
    "measure",
    "measure_labels",
    "parts_noted",
    "peaks",
    "split_components",
    "study",
    "sum_of_diameters_mm",
    "summarise",
    "without_small",
]
