"""What is known of how slices were acquired: from the image, and from who says what it does not."""

from __future__ import annotations

from typing import Literal, NamedTuple, cast, get_args

from medseg.errors import InputRefused
from medseg.types import Geometry, Volume

PlaneName = Literal["axial", "coronal", "sagittal"]

_SAME_MM = 1e-3


class Acquisition(NamedTuple):
    """Thickness of the slices and the array axis across which they lie; None: unknown."""

    slice_thickness_mm: float | None
    axis: int | None


def axis_of_plane(geometry: Geometry, plane: PlaneName) -> int:
    """The array axis across which slices of that plane lie, or the nearest one to it.

    Raises ValueError for another word than axial, coronal or sagittal.
    """
    if plane not in get_args(PlaneName):
        msg = f"a plane is one of {', '.join(get_args(PlaneName))}; got {plane!r}"
        raise ValueError(msg)
    return geometry.closest_axes()[0][get_args(PlaneName).index(plane)]


def plane_of_axis(geometry: Geometry, axis: int) -> PlaneName:
    """The plane to which slices across an array axis lie nearest."""
    place = geometry.closest_axes()[0].index(axis)
    return cast("PlaneName", get_args(PlaneName)[place])


def acquisition_of(
    volume: Volume | None, slice_thickness_mm: float | None, axis: int | None
) -> Acquisition:
    """What the image knows, and what was said where it knows nothing.

    Raises InputRefused (`acquisition-mismatch`) where the image knows otherwise, ValueError for a
    thickness that is not above 0 or an axis that is not 0, 1 or 2.
    """
    if slice_thickness_mm is not None and not 0 < slice_thickness_mm < float("inf"):
        msg = f"a slice thickness is above 0; got {slice_thickness_mm}"
        raise ValueError(msg)
    if axis not in (None, 0, 1, 2):
        msg = f"an array has the axes 0, 1, 2; got {axis}"
        raise ValueError(msg)
    if volume is None:
        return Acquisition(slice_thickness_mm, axis)
    known_mm, known_axis = volume.slice_thickness_mm, volume.acquisition_axis
    if known_mm is not None and slice_thickness_mm is not None:
        _refuse_other(
            f"{known_mm:g} mm thick",
            f"{slice_thickness_mm:g}",
            same=abs(known_mm - slice_thickness_mm) <= _SAME_MM,
        )
    if known_axis is not None and axis is not None:
        planes = [plane_of_axis(volume.geometry, one) for one in (known_axis, axis)]
        _refuse_other(planes[0], planes[1], same=known_axis == axis)
    return Acquisition(
        known_mm if known_mm is not None else slice_thickness_mm,
        known_axis if known_axis is not None else axis,
    )


def _refuse_other(known: str, said: str, *, same: bool) -> None:
    if not same:
        raise InputRefused(
            code="acquisition-mismatch",
            subject="image",
            detail=f"its slices are {known}, not {said}",
            remedy="leave out what was said of them",
        )
