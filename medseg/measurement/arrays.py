"""Measures of arrays, for who has neither files nor instances."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

import pandas as pd
from numpy.typing import NDArray

from medseg.measurement.column import Group
from medseg.measurement.table import measure
from medseg.types import Geometry, Instances, Unit, Volume


def measure_labels(
    labels: NDArray[Any],
    spacing_mm: Sequence[float],
    image: NDArray[Any] | None = None,
    *,
    groups: Collection[Group] | None = None,
    unit: Unit = "unknown",
) -> pd.DataFrame:
    """The table of `measure` for a label map (z, y, x), a value above 0 an object.

    `spacing_mm` is (z, y, x). `image` has the shape of `labels`, `unit` is that of its values.
    Positions are along a straight axial grid whose first voxel's centre is the origin.

    Raises ValueError where the labels are no whole numbers from 0 up, the spacing is not three
    lengths above 0, or the two arrays differ in shape.
    """
    if len(spacing_mm) != 3 or not all(0 < mm < float("inf") for mm in spacing_mm):
        msg = f"spacing_mm is three lengths (z, y, x) above 0; got {tuple(spacing_mm)}"
        raise ValueError(msg)
    if labels.ndim != 3 or (image is not None and image.shape != labels.shape):
        got = f"{labels.shape}" if image is None else f"{labels.shape} and {image.shape}"
        msg = f"labels (z, y, x) and an image of the same shape are wanted; got {got}"
        raise ValueError(msg)
    geometry = Geometry.from_spacing(labels.shape, spacing_mm)
    volume = None if image is None else Volume(image, geometry, unit=unit)
    return measure(Instances.from_labelmap(labels, geometry), volume, groups=groups)
