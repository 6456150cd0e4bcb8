"""Measures of arrays, for who has neither files nor instances."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

import pandas as pd
from numpy.typing import NDArray

from medseg.measurement.column import Group
from medseg.measurement.table import measure
from medseg.types import Geometry, Instances, Unit, Volume


def measure_labels(  # noqa: PLR0913 - what an image and a file of organs would say too
    labels: NDArray[Any],
    spacing_mm: Sequence[float],
    image: NDArray[Any] | None = None,
    *,
    groups: Collection[Group] | None = None,
    unit: Unit = "unknown",
    organs: NDArray[Any] | None = None,
    slice_thickness_mm: float | None = None,
    acquisition_axis: int | None = None,
) -> pd.DataFrame:
    """The table of `measure` for a label map (z, y, x), a value above 0 a lesion.

    `spacing_mm` is (z, y, x). `image` and `organs` have the shape of `labels`: `unit` is that of
    the image's values, a value n above 0 of `organs` is the organ "class_n". Slices are of
    `slice_thickness_mm`, which the spacing does not say, and lie across the array's
    `acquisition_axis`; without both RECIST does not judge. Positions are along a straight axial
    grid whose first voxel's centre is the origin.

    Raises ValueError where labels or organs are no whole numbers from 0 up, the spacing is not
    three lengths above 0, the thickness is not above 0, the axis is not 0, 1 or 2, or arrays differ
    in shape.
    """
    if len(spacing_mm) != 3 or not all(0 < mm < float("inf") for mm in spacing_mm):
        msg = f"spacing_mm is three lengths (z, y, x) above 0; got {tuple(spacing_mm)}"
        raise ValueError(msg)
    if labels.ndim != 3:
        msg = f"labels (z, y, x) are wanted; got {labels.shape}"
        raise ValueError(msg)
    for name, other in (("image", image), ("organs", organs)):
        if other is not None and other.shape != labels.shape:
            msg = f"{name}: the shape of the labels is wanted, {labels.shape}; got {other.shape}"
            raise ValueError(msg)
    geometry = Geometry.from_spacing(labels.shape, spacing_mm)
    return measure(
        Instances.from_labelmap(labels, geometry),
        None if image is None else Volume(image, geometry, unit=unit),
        groups=groups,
        organs=None if organs is None else Instances.from_labelmap(organs, geometry, None, "class"),
        slice_thickness_mm=slice_thickness_mm,
        acquisition_axis=acquisition_axis,
    )
