"""Numbers about instances, in physical units: `measure` is the one door."""

from medseg.measurement.columns import COLUMNS, Column
from medseg.measurement.components import split_components
from medseg.measurement.table import ClassTotal, measure, summarise

__all__ = ["COLUMNS", "ClassTotal", "Column", "measure", "split_components", "summarise"]
