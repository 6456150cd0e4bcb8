"""What `docs/measuring.md` states in tables is what is measured."""

from __future__ import annotations

import math
import re
from pathlib import Path

import numpy as np
import pytest
from scipy import integrate

from medseg.measurement import COLUMNS, measure
from medseg.types import Geometry, Instance, InstanceClass, Instances

PAGE = Path(__file__).resolve().parents[2] / "docs" / "measuring.md"
GRIDS = {
    "1 × 1 × 1": (1.0, 1.0, 1.0),
    "2.5 × 1 × 1": (2.5, 1.0, 1.0),
    "5 × 0.7 × 0.7": (5.0, 0.7, 0.7),
}
SEMI_AXES = np.array([1.0, 0.8, 0.6])
MEASURED = (
    "volume_ml",
    "volume_mesh_ml",
    "surface_area_mm2",
    "sphericity",
    "diameter_3d_mm",
    "axis_major_mm",
    "recist_long_mm",
    "recist_short_mm",
)


def stated() -> dict[tuple[str, int], list[tuple[float, float]]]:
    """Of the page's table of errors: (grid, voxels) to the range in percent of each measure."""
    rows = {}
    for line in PAGE.read_text(encoding="utf-8").splitlines():
        cells = [cell.strip() for cell in line.strip("| \n").split("|")]
        if line.startswith("| ") and cells[0] in GRIDS:
            ranges = [tuple(map(float, cell.split(" to "))) for cell in cells[2:]]
            rows[cells[0], int(cells[1])] = [(low, high) for low, high in ranges]
    return rows


def ellipsoid(
    semi_mm: np.ndarray, spacing_mm: tuple[float, ...], rng: np.random.Generator
) -> tuple[Instances, dict[str, float]]:
    """A solid ellipsoid, turned and shifted at random, and its measures in closed form."""
    turned, sign = np.linalg.qr(rng.normal(size=(3, 3)))
    turned = turned * np.sign(np.diag(sign))
    steps = np.asarray(spacing_mm)
    reach = np.ceil(semi_mm.max() / steps).astype(int) + 2
    axes = [np.arange(-n, n + 1) * mm for n, mm in zip(reach, steps, strict=True)]
    points = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1)
    points = points - rng.uniform(-0.5, 0.5, 3) * steps
    mask = (((points @ turned) / semi_mm) ** 2).sum(axis=-1) <= 1
    item = Instance.from_mask(mask, id=1, class_name="a", kind="lesion")
    assert item is not None
    classes = (InstanceClass("a", "lesion", 1),)
    grid = Geometry.from_spacing(mask.shape, spacing_mm)
    # The largest slice is that through the centre: an ellipse, cut out of the quadratic form.
    form = turned @ np.diag(semi_mm**-2.0) @ turned.T
    longest, shortest = 2 / np.sqrt(np.linalg.eigvalsh(form[1:, 1:]))
    volume_mm3, area_mm2 = 4 / 3 * math.pi * semi_mm.prod(), area(semi_mm)
    return Instances(grid, [item], classes), {
        "volume_ml": volume_mm3 / 1000,
        "volume_mesh_ml": volume_mm3 / 1000,
        "surface_area_mm2": area_mm2,
        "sphericity": (36 * math.pi * volume_mm3**2) ** (1 / 3) / area_mm2,
        "diameter_3d_mm": 2 * semi_mm[0],
        "axis_major_mm": 4 * semi_mm[0] / math.sqrt(5),  # the variance along an axis is a² / 5
        "recist_long_mm": longest,
        "recist_short_mm": shortest,
    }


def area(semi_mm: np.ndarray) -> float:
    """Surface of an ellipsoid by numerical integration over one octant."""
    a, b, c = semi_mm

    def element(theta: float, phi: float) -> float:
        s, t = math.sin(theta), math.cos(theta)
        x, y = b * c * s * math.cos(phi), a * c * s * math.sin(phi)
        return s * math.sqrt(x * x + y * y + (a * b * t) ** 2)

    return 8 * integrate.dblquad(element, 0, math.pi / 2, 0, math.pi / 2)[0]


def errors_percent(grid: str, voxels: int) -> np.ndarray:
    """(12, 8): of each of 12 turned ellipsoids how far off each measure is."""
    spacing_mm = GRIDS[grid]
    semi_mm = SEMI_AXES / SEMI_AXES.min() * voxels * max(spacing_mm)
    rng = np.random.default_rng(0)
    rows = []
    for _ in range(12):
        found, truth = ellipsoid(semi_mm, spacing_mm, rng)
        row = measure(found, groups=("size", "shape", "recist")).iloc[0]
        rows.append([100 * (row[name] / truth[name] - 1) for name in MEASURED])
    return np.array(rows)


def test_the_page_states_errors_for_every_grid_and_size() -> None:
    assert sorted(stated()) == sorted((grid, voxels) for grid in GRIDS for voxels in (2, 4, 8))
    assert all(len(ranges) == len(MEASURED) for ranges in stated().values())


@pytest.mark.parametrize("voxels", [2, 4, 8])
@pytest.mark.parametrize("grid", GRIDS)
def test_errors_lie_in_the_ranges_stated_and_fill_most_of_them(grid: str, voxels: int) -> None:
    errors = errors_percent(grid, voxels)
    for name, found, (low, high) in zip(MEASURED, errors.T, stated()[grid, voxels], strict=True):
        assert low <= found.min() and found.max() <= high, (name, found.min(), found.max())
        assert found.max() - found.min() >= 0.5 * (high - low) - 0.2, name


def test_the_dictionary_on_the_page_is_made_of_the_columns() -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert "<!-- table: columns -->" in text
    named = set(re.findall(r"`([a-z]+_[a-z0-9_]+)`", text))
    known = {column.name for column in COLUMNS}
    odd = {name for name in named if name.endswith(("_mm", "_ml", "_mm2", "_g"))} - known
    assert not odd - {"spacing_mm", "slice_thickness_mm"}
