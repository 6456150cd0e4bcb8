"""What every reader refuses in the same words, and what is checked of values and grids."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medseg.errors import InputRefused
from medseg.types import Geometry, Shape, Volume


def unreadable(name: str, error: OSError) -> InputRefused:
    """The refusal of a path that the operating system does not open."""
    reason = error.strerror or type(error).__name__
    return InputRefused(
        code="path-unreadable",
        subject=name,
        detail=f"cannot be opened ({reason})",
        remedy="check the permissions",
    )


def must_exist(path: Path) -> None:
    """Refuse a path where nothing is (`path-missing`) or a broken link (`path-unreadable`)."""
    name = path.name or str(path)
    try:
        if path.exists():
            return
        link = path.is_symlink()
    except OSError as error:
        raise unreadable(name, error) from error
    if link:
        raise InputRefused(
            code="path-unreadable",
            subject=name,
            detail="is a link to something missing",
            remedy="mend the link",
        )
    raise InputRefused(
        code="path-missing",
        subject=name,
        detail="there is no such file or folder",
        remedy="check the path",
    )


def corrupt(subject: str, detail: str) -> InputRefused:
    """The refusal of a damaged file."""
    return InputRefused(
        code="file-corrupt", subject=subject, detail=detail, remedy="fetch the file again"
    )


def spatial_shape(lengths: Sequence[int], name: str) -> Shape:
    """(z, y, x) of lengths in file order (x first), without trailing axes of length 1."""
    kept = list(lengths)
    while len(kept) > 3 and kept[-1] == 1:
        kept.pop()
    if len(kept) != 3 or min(kept) < 1:
        size = " x ".join(str(length) for length in lengths) or "nothing"
        remedy = (
            "split it into 3D images" if len(kept) > 3 else "give the 3D image it was taken from"
        )
        raise InputRefused(
            code="not-3d",
            subject=name,
            detail=f"has {len(lengths)} dimensions ({size}), three are wanted",
            remedy=remedy,
        )
    x, y, z = kept
    return z, y, x


def color(name: str) -> InputRefused:
    """The refusal of an image with red, green and blue."""
    return InputRefused(
        code="color-image",
        subject=name,
        detail="its voxels are colours, not one number",
        remedy="give the grey image",
    )


def not_real(name: str, what: str) -> InputRefused:
    """The refusal of an image without one real number a voxel."""
    return InputRefused(
        code="not-real",
        subject=name,
        detail=f"its voxels are {what}",
        remedy="give one real number a voxel",
    )


def checked_geometry(shape: Shape, affine: NDArray[np.float64], name: str, remedy: str) -> Geometry:
    """The geometry, or the refusal of an affine that places voxels nowhere."""
    if not np.isfinite(affine).all():
        raise InputRefused(
            code="geometry-invalid",
            subject=name,
            detail="position or axes are not finite numbers",
            remedy=remedy,
        )
    try:
        return Geometry(shape, affine)
    except ValueError as error:
        raise InputRefused(
            code="affine-singular", subject=name, detail=str(error), remedy=remedy
        ) from error


def check_values(volume: Volume, subject: str) -> None:
    """Refuse a volume whose values cannot be segmented.

    Raises InputRefused: `not-3d` for a single slice, `not-finite` for NaN or infinity,
    `constant-image` for one value only.
    """
    if min(volume.geometry.shape) < 2:
        raise InputRefused(
            code="not-3d",
            subject=subject,
            detail=f"its shape (z, y, x) is {volume.geometry.shape}: one slice is no volume",
            remedy="give an image of several slices",
        )
    require_finite(volume.array, subject)
    if volume.array.min() == volume.array.max():
        raise InputRefused(
            code="constant-image",
            subject=subject,
            detail=f"every voxel has the value {volume.array.flat[0]:g}",
            remedy="leave this image out, or export it again if it should show something",
        )


def require_finite(array: NDArray[Any], subject: str) -> None:
    """Refuse NaN and infinity (`not-finite`), and say how many voxels hold them."""
    if array.dtype.kind != "f":
        return
    with np.errstate(invalid="ignore"):
        ends = np.asarray([array.min(), array.max()])  # NaN, once there, is both
    if np.isfinite(ends).all():
        return
    count = array.size - np.count_nonzero(np.isfinite(array))
    raise InputRefused(
        code="not-finite",
        subject=subject,
        detail=f"{count} of {array.size} voxels are NaN or infinite",
        remedy="replace them, for example by the background's value",
    )


def same_place(found: Geometry, wanted: Geometry) -> bool:
    """Whether two grids are one, but for the rounding of positions in files.

    The shape is the same, and no corner lies further off than a hundredth of the smallest voxel
    edge of `wanted`, or than 1e-3 mm where that is more.
    """
    return found.same_grid(wanted, atol_mm=max(1e-3, 0.01 * min(wanted.spacing_mm)))


def require_same_grid(
    found: Geometry, wanted: Geometry, subject: str, *, other: str = "image"
) -> None:
    """Refuse a `subject` that `same_place` does not find on the grid of the `other`; says why.

    Raises InputRefused: `grid-mismatch`.
    """
    if same_place(found, wanted):
        return
    raise InputRefused(
        code="grid-mismatch",
        subject=subject,
        detail=f"its grid is not that of the {other}: {_difference(found, wanted)}",
        remedy="give two that belong together, or resample one to the grid of the other",
    )


def orientation_code(geometry: Geometry) -> str:
    """Three letters for where growing z, y and x lead most nearly, for example SPL."""
    axes, flips = geometry.closest_axes()
    letters = ["", "", ""]
    for new, (old, flip) in enumerate(zip(axes, flips, strict=True)):
        letters[old] = "IAR"[new] if flip else "SPL"[new]
    return "".join(letters)


def _difference(found: Geometry, wanted: Geometry) -> str:
    parts = []
    if found.shape != wanted.shape:
        parts.append(f"shape {found.shape} against {wanted.shape}")
    if not np.allclose(found.spacing_mm, wanted.spacing_mm, rtol=1e-4):
        mine, theirs = (_triple(one.spacing_mm) for one in (found, wanted))
        parts.append(f"spacing {mine} against {theirs} mm")
    cosines = np.clip(np.sum(found.direction * wanted.direction, axis=0), -1, 1)
    angle = float(np.degrees(np.arccos(cosines)).max())
    if angle > 0.05:
        parts.append(f"axes turned by up to {angle:.1f} degrees")
    offset = float(np.linalg.norm(np.subtract(found.origin_mm, wanted.origin_mm)))
    if offset > 1e-3:
        parts.append(f"origin {offset:.3g} mm off")
    return ", ".join(parts) or "positions differ by rounding that adds up over the grid"


def _triple(values: Sequence[float]) -> str:
    return "(" + ", ".join(f"{value:.4g}" for value in values) + ")"
