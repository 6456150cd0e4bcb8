"""Balls, ellipsoids, boxes and tubes on slanted grids: how far measures are from closed forms.

    python benchmarks/measuring_closed_forms.py [--orientations 12]

Each body is drawn on grids of three voxel sizes turned in 12 ways (the first not at all), its
centre anywhere within a voxel: a voxel is in where its centre is. What is printed is the largest
error over all orientations, beside the bound: volumes and principal axes are within half of the
longest voxel edge as a part of the body's least extent, diameters within one voxel diagonal. The
RECIST pair is held against the section through the centre (balls and ellipsoids), in diagonals of a
voxel's face in that plane. Surface areas are printed without a bound: a mesh through voxel centres
has steps, and is too large by its nature.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scenes import rotations

import medseg
from medseg.types import Geometry, Instances

Array = NDArray[np.float64]

SPACINGS_MM = ((1.0, 1.0, 1.0), (3.0, 1.0, 1.0), (5.0, 0.7, 0.7))
GROUPS = ("size", "shape", "recist")


RELATIVE = ("volume", "mesh_volume", "axes")
IN_DIAGONALS = ("diameter", "recist")
HALF_A_VOXEL = 0.5
DIAGONALS = 1.0


@dataclass(frozen=True)
class Body:
    """A solid around the origin and its closed forms in mm; `reach_mm` is the farthest point's.

    `least_mm` is its least extent. `inside` takes world points (..., 3); `axes_mm` are 4 times the
    root of the variances, largest first. `quadric` (3,) are the semi-axes of a ball or ellipsoid,
    None for others.
    """

    name: str
    inside: Callable[[Array], NDArray[np.bool_]]
    reach_mm: float
    least_mm: float
    volume_mm3: float
    area_mm2: float
    diameter_mm: float
    axes_mm: tuple[float, float, float]
    quadric: tuple[float, float, float] | None = None


def ellipsoid(name: str, a: float, b: float, c: float) -> Body:
    """Semi-axes a >= b >= c along x, y, z; the area is exact for a ball, else within 1.1 %."""
    semi_axes = np.array([a, b, c])
    p = 1.6075  # Thomsen's formula
    area = 4 * np.pi * (((a * b) ** p + (a * c) ** p + (b * c) ** p) / 3) ** (1 / p)
    return Body(
        name,
        lambda points: ((points / semi_axes) ** 2).sum(axis=-1) <= 1,
        a,
        2 * c,
        4 / 3 * np.pi * a * b * c,
        area,
        2 * a,
        (4 * a / np.sqrt(5), 4 * b / np.sqrt(5), 4 * c / np.sqrt(5)),
        (a, b, c),
    )


def box(name: str, a: float, b: float, c: float) -> Body:
    """Edges a >= b >= c along x, y, z."""
    half = np.array([a, b, c]) / 2
    diagonal = float(np.sqrt(a * a + b * b + c * c))
    return Body(
        name,
        lambda points: (np.abs(points) <= half).all(axis=-1),
        diagonal / 2,
        c,
        a * b * c,
        2 * (a * b + a * c + b * c),
        diagonal,
        (4 * a / np.sqrt(12), 4 * b / np.sqrt(12), 4 * c / np.sqrt(12)),
    )


def tube(name: str, radius: float, length: float) -> Body:
    """A cylinder with flat ends along x, longer than wide."""

    def inside(points: Array) -> NDArray[np.bool_]:
        round_it = points[..., 1] ** 2 + points[..., 2] ** 2 <= radius**2
        return round_it & (np.abs(points[..., 0]) <= length / 2)

    diagonal = float(np.hypot(length, 2 * radius))
    return Body(
        name,
        inside,
        diagonal / 2,
        2 * radius,
        np.pi * radius**2 * length,
        2 * np.pi * radius * (radius + length),
        diagonal,
        (4 * length / np.sqrt(12), 2 * radius, 2 * radius),
    )


BODIES = (
    ellipsoid("ball, radius 10", 10, 10, 10),
    ellipsoid("ball, radius 20", 20, 20, 20),
    ellipsoid("ellipsoid 20, 14, 10", 20, 14, 10),
    box("box 40, 30, 20", 40, 30, 20),
    tube("tube, radius 10, length 50", 10, 50),
)


def grid(body: Body, spacing_mm: tuple[float, float, float], turn: Array, shift: Array) -> Geometry:
    """A grid turned by `turn` around the body, which lies `shift` (in voxels) off its middle."""
    shape = [int(np.ceil(2 * body.reach_mm / mm)) + 5 for mm in spacing_mm]
    affine = np.eye(4)
    affine[:3, :3] = turn @ np.diag(spacing_mm)[::-1]  # columns z, y, x
    affine[:3, 3] = -affine[:3, :3] @ ((np.array(shape) - 1) / 2 + shift)
    return Geometry(shape, affine)


def drawn(body: Body, geometry: Geometry) -> Instances:
    """The body as one instance: voxels whose centres lie in it."""
    index = np.stack(np.meshgrid(*map(np.arange, geometry.shape), indexing="ij"), axis=-1)
    points = geometry.index_to_world(index.reshape(-1, 3)).reshape(index.shape)
    return Instances.from_labelmap(body.inside(points).astype(np.uint8), geometry)


def section_mm(body: Body, geometry: Geometry) -> tuple[float, float] | None:
    """Long and short axis of the ellipse in which the slice through the centre cuts the body."""
    if body.quadric is None:
        return None
    plane, _ = np.linalg.qr(geometry.affine[:3, 1:3])  # y and x of the array, in the world
    inverse = np.diag(1 / np.array(body.quadric) ** 2)
    least, most = np.linalg.eigvalsh(plane.T @ inverse @ plane)
    return 2 / np.sqrt(least), 2 / np.sqrt(most)


def errors(body: Body, geometry: Geometry) -> dict[str, float]:
    """Signed errors of one drawing: parts of the closed form, diameters in diagonals."""
    row = medseg.measure(drawn(body, geometry), groups=GROUPS, acquisition_axis=0).iloc[0]
    diagonal = float(np.linalg.norm(geometry.spacing_mm))
    axes = [row[f"axis_{name}_mm"] for name in ("major", "minor", "least")]
    found = {
        "volume": row["volume_ml"] * 1000 / body.volume_mm3 - 1,
        "mesh_volume": row["volume_mesh_ml"] * 1000 / body.volume_mm3 - 1,
        "area": row["surface_area_mm2"] / body.area_mm2 - 1,
        "axes": max((a / b - 1 for a, b in zip(axes, body.axes_mm, strict=True)), key=abs),
        "diameter": (row["diameter_3d_mm"] - body.diameter_mm) / diagonal,
    }
    section = section_mm(body, geometry)
    if section is not None:
        in_plane = float(np.linalg.norm(geometry.spacing_mm[1:]))
        pair = (row["recist_long_mm"], row["recist_short_mm"])
        off = [(a - b) / in_plane for a, b in zip(pair, section, strict=True)]
        found["recist"] = max(off, key=abs)
    return found


def worst(
    body: Body, spacing_mm: tuple[float, float, float], turns: Array, rng: np.random.Generator
) -> dict[str, float]:
    """The error of largest size of each measure over all orientations, with its sign."""
    all_of_it: dict[str, list[float]] = {}
    for turn in turns:
        geometry = grid(body, spacing_mm, turn, rng.uniform(-0.5, 0.5, size=3))
        for name, value in errors(body, geometry).items():
            all_of_it.setdefault(name, []).append(value)
    return {name: max(values, key=abs) for name, values in all_of_it.items()}


def bound_of(name: str, body: Body, spacing_mm: tuple[float, float, float]) -> float:
    """Largest error allowed for one measure, in the unit of `errors`."""
    if name in IN_DIAGONALS:
        return DIAGONALS
    return HALF_A_VOXEL * max(spacing_mm) / body.least_mm


def outside(
    found: Mapping[str, float], body: Body, spacing_mm: tuple[float, float, float]
) -> Iterator[str]:
    """Names of the measures that are farther off than their bound."""
    for name in (*RELATIVE, *IN_DIAGONALS):
        if name in found and not abs(found[name]) <= bound_of(name, body, spacing_mm):
            yield name


def main() -> None:
    """Print the table; exit status 1 where a measure is outside its bound."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--orientations", type=int, default=12)
    count = parser.parse_args().orientations
    rng = np.random.default_rng(0)
    turns = np.concatenate([np.eye(3)[None], rotations(count - 1, rng)])
    names = (*RELATIVE, "bound", *IN_DIAGONALS, "area")
    print(
        f"largest error over {count} orientations: volumes, axes and area in %, diameters in voxel"
    )
    print(f"diagonals (RECIST: in the plane), of which {DIAGONALS:g} is the bound\n")
    print(f"{'':<30}", *[f"{name:>12}" for name in names])
    failed = False
    for spacing_mm in SPACINGS_MM:
        print(f"voxels {'x'.join(f'{mm:g}' for mm in spacing_mm)} mm")
        for body in BODIES:
            found = worst(body, spacing_mm, turns, rng)
            wrong = list(outside(found, body, spacing_mm))
            failed |= bool(wrong)
            note = f"  outside: {', '.join(wrong)}" if wrong else ""
            shown = {**found, "bound": bound_of("volume", body, spacing_mm)}
            print(f"  {body.name:<28}", *_cells(shown, names), note)
    if failed:
        raise SystemExit(1)


def _cells(values: Mapping[str, float], names: tuple[str, ...]) -> Iterator[str]:
    for name in names:
        sign = "" if name == "bound" else "+"
        if name not in values:
            yield f"{'-':>12}"
        elif name in IN_DIAGONALS:
            yield f"{values[name]:>{sign}12.2f}"
        else:
            yield f"{100 * values[name]:>{sign}11.2f}%"


if __name__ == "__main__":
    main()
