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
    "volume_ml": "ml",
    "centroid_x_mm": "x mm",
    "centroid_y_mm": "y mm",
    "centroid_z_mm": "z mm",
    "intensity_mean": "mean",
    "touches_border": "border",
}


def show_measures(title: str, table: pd.DataFrame) -> None:
    """Print the columns that fit a terminal of 80; positions are LPS, notes stand in the files."""
    show_table(title, list(_COLUMNS.values()), rows_of(table, list(_COLUMNS)))
