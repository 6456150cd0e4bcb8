"""One 3D image: values, where they lie, and what they mean."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from types import MappingProxyType
from typing import Any, Literal, NamedTuple, Self, get_args

from numpy.typing import NDArray

from medseg.types.geometry import Axes, Box, Flips, Geometry, check_box, reoriented_array

Modality = Literal["CT", "MR", "PT", "unknown"]
Unit = Literal["HU", "SUVbw", "Bq/ml", "arbitrary", "unknown"]


class InputWarning(NamedTuple):
    """Something a reader of the result should know, which was no reason to refuse."""

    code: str
    detail: str


@dataclass(frozen=True, eq=False, repr=False)
class Volume:
    """One 3D image: values, where they lie, and what they mean.

    Shapes: array (z, y, x), any real type. What a file does not say is None or "unknown", never
    a guess. `acquisition_axis` is the array axis across which slices were acquired. `meta` holds
    JSON-able facts about the source (its hash, tags), never a patient's name.
    """

    array: NDArray[Any]
    geometry: Geometry
    modality: Modality = "unknown"
    unit: Unit = "unknown"
    slice_thickness_mm: float | None = None
    acquisition_axis: int | None = None
    meta: Mapping[str, Any] = field(default_factory=dict)
    warnings: tuple[InputWarning, ...] = ()

    def __post_init__(self) -> None:
        if self.array.shape != self.geometry.shape:
            msg = f"array {self.array.shape} and geometry {self.geometry.shape} differ in shape"
            raise ValueError(msg)
        if self.array.dtype.kind not in "iuf":
            msg = f"a volume holds real numbers; got {self.array.dtype}"
            raise ValueError(msg)
        if self.modality not in get_args(Modality) or self.unit not in get_args(Unit):
            msg = f"unknown modality {self.modality!r} or unit {self.unit!r}"
            raise ValueError(msg)
        if self.acquisition_axis not in (None, 0, 1, 2):
            msg = f"an array has the axes 0, 1, 2; acquisition_axis is {self.acquisition_axis}"
            raise ValueError(msg)
        object.__setattr__(self, "meta", MappingProxyType(dict(self.meta)))

    def __repr__(self) -> str:
        kind = f"modality={self.modality!r}, unit={self.unit!r}, dtype={self.array.dtype}"
        return f"Volume({self.geometry!r}, {kind})"

    def __reduce__(self) -> tuple[type[Self], tuple[Any, ...]]:
        state = {**vars(self), "meta": dict(self.meta)}  # a mapping proxy cannot be pickled
        return type(self), tuple(state[one.name] for one in fields(self))

    def reoriented(self, axes: Axes, flips: Flips) -> Volume:
        """The same voxels in another axis order and direction; world positions stay."""
        axis = self.acquisition_axis
        return replace(
            self,
            array=reoriented_array(self.array, axes, flips),
            geometry=self.geometry.reoriented(axes, flips),
            acquisition_axis=None if axis is None else axes.index(axis),
        )

    def crop(self, box: Box) -> Volume:
        """The part inside `box`, as a copy."""
        checked = check_box(box, self.geometry.shape)
        return replace(self, array=self.array[checked].copy(), geometry=self.geometry.crop(checked))
