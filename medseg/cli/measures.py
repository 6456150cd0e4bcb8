"""The table of measures as commands show it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from medseg.cli.console import rows_of, show_table

if TYPE_CHECKING:
    import pandas as pd

_COLUMNS = {
    "instance_id": "id",
    "class_name": "class",
    "score": "score",
    "volume_ml": "volume (ml)",
    "centroid_x_mm": "x (mm)",
    "centroid_y_mm": "y (mm)",
    "centroid_z_mm": "z (mm)",
    "intensity_mean": "mean",
    "intensity_std": "std",
    "touches_border": "at border",
    "notes": "notes",
}


def show_measures(title: str, table: pd.DataFrame) -> None:
    """Print the columns that fit a terminal; positions are LPS."""
    show_table(title, list(_COLUMNS.values()), rows_of(table, list(_COLUMNS)))
