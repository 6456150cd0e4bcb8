"""What a label map loses on its way to a model's grid and back.

    python benchmarks/label_round_trip.py

Balls of several radii are drawn on a 1 mm grid, put on grids of other spacings as training puts
labels, and brought back. Dice with itself, the mean over balls whose centres lie anywhere between
voxels. What is lost here no model on that grid can win back.
"""

from __future__ import annotations

import numpy as np

from medseg.transforms.labels import round_trip_dice
from medseg.types import Geometry

RADII_MM = (3.0, 5.0, 10.0, 15.0)
SPACINGS_MM = ((1.0, 1.0, 1.0), (0.8, 0.8, 0.8), (1.5, 1.5, 1.5), (2.0, 2.0, 2.0), (3.0, 1.0, 1.0))
BALLS = 8


def ball(radius_mm: float, centre: np.ndarray, length: int) -> np.ndarray:
    """A ball on a cube of 1 mm voxels."""
    index = np.stack(np.meshgrid(*[np.arange(length)] * 3, indexing="ij"), axis=-1)
    return (np.linalg.norm(index - centre, axis=-1) <= radius_mm).astype(np.uint8)


def coarser(source: Geometry, spacing_mm: tuple[float, float, float]) -> Geometry:
    """A grid of another spacing over the same field."""
    shape = [
        max(round(n * old / new), 1)
        for n, old, new in zip(source.shape, source.spacing_mm, spacing_mm, strict=True)
    ]
    return Geometry.from_spacing(shape, spacing_mm)


def main() -> None:
    """Print the table."""
    rng = np.random.default_rng(0)
    print("Dice after a round trip through a grid of spacing z, y, x in mm; balls on 1 mm voxels")
    print("radius (mm) ", *[f"{'×'.join(f'{mm:g}' for mm in s):>13}" for s in SPACINGS_MM])
    for radius_mm in RADII_MM:
        length = int(2 * radius_mm) + 12
        source = Geometry.identity((length, length, length))
        labels = [
            ball(radius_mm, length / 2 + rng.uniform(-0.5, 0.5, 3), length) for _ in range(BALLS)
        ]
        cells = []
        for spacing_mm in SPACINGS_MM:
            target = coarser(source, spacing_mm)
            values = [round_trip_dice(one, source, target)[1] for one in labels]
            cells.append(f"{np.mean(values):13.4f}")
        print(f"{radius_mm:11g} ", *cells)


if __name__ == "__main__":
    main()
