"""Files to values and back: volumes and instances."""

from medseg.io.checks import check_values, require_same_grid, same_place
from medseg.io.images import read, read_volumes
from medseg.io.instances import read_instances, write

__all__ = [
    "check_values",
    "read",
    "read_instances",
    "read_volumes",
    "require_same_grid",
    "same_place",
    "write",
]
