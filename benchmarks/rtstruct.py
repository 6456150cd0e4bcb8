"""Contours as voxels: volumes of real structure sets, and the time of reading and writing many.

    python benchmarks/rtstruct.py [--data ../shared/data/dicom] [--regions 200] [--slices 200]
        [--size 512]

The first table compares the voxels of each structure set with the area inside its contours times
the distance of the slices, which needs no voxels; at most 2 % apart is met. It then writes the
voxels as contours and reads them back, which must give the same voxels. The second table is of
hollow balls on a made series: seconds of the processor, after one call for compiling.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from datetime import datetime
from pathlib import Path

import numpy as np

from medseg.io.dicom_out.codes import codes_for
from medseg.io.dicom_out.identity import algorithm_of
from medseg.io.dicom_out.source import Source, read_source
from medseg.io.rtstruct import read_rtstruct, rtstruct_dataset
from medseg.phantom.dicom import write_dicom_series
from medseg.types import Geometry, Instance, InstanceClass, Instances, Volume

MOST_APART = 0.02
SERIES = ("sarcoma_mr_t1_rtstruct", "sarcoma_pet_rtstruct")
MOMENT = datetime(2000, 1, 1)


def written(instances: Instances, source: Source, path: Path) -> Path:
    """The structure set of instances as a file."""
    ds = rtstruct_dataset(
        instances,
        source,
        codes=codes_for(instances.classes)[0],
        algorithm=algorithm_of(instances),
        moment=MOMENT,
    )
    ds.save_as(path, enforce_file_format=True)
    return path


def same(one: Instances, other: Instances) -> bool:
    """Whether all masks are equal."""
    return len(one) == len(other) and all(
        a.box == b.box and np.array_equal(a.mask, b.mask) for a, b in zip(one, other, strict=True)
    )


def volumes(data: Path, folder: Path) -> None:
    """Voxels beside area times spacing, for each real structure set."""
    print(f"{'series':26}{'voxels':>8}{'mL':>9}{'area x mm':>11}{'apart':>8}  {'':4} back")
    for name in SERIES:
        source = read_source(data / name)
        found = read_rtstruct(data / name / "RS.dcm", source)
        back = read_rtstruct(written(found, source, folder / f"{name}.dcm"), source)
        for item, facts in zip(found, found.provenance["rois"], strict=True):
            ours, wanted = facts["voxels_ml"], facts["area_times_spacing_ml"]
            apart = ours / wanted - 1
            met = "met" if abs(apart) <= MOST_APART else "missed"
            same_voxels = "same voxels" if same(found, back) else "other voxels"
            row = f"{name:26}{item.voxel_count:8}{ours:9.3f}{wanted:11.3f}{apart:+8.2%}"
            print(f"{row}  {met:4} {same_voxels}")


def hollow_balls(regions: int, geometry: Geometry) -> Instances:
    """Balls of 8 to 19 voxels' radius with a hollow of half of it, anywhere on the grid."""
    rng = np.random.default_rng(0)
    z, y, x = np.mgrid[-20:21, -20:21, -20:21]
    distance = np.sqrt(z**2 + y**2 + x**2)
    items = []
    for number in range(1, regions + 1):
        radius = rng.integers(8, 20)
        mask = (distance <= radius) & (distance > radius / 2)
        corner = [int(rng.integers(0, n - 41)) for n in geometry.shape]
        item = Instance.from_mask(
            mask,
            id=number,
            class_name="lesion",
            kind="lesion",
            offset=(corner[0], corner[1], corner[2]),
        )
        if item is not None:
            items.append(item)
    return Instances(geometry, items, (InstanceClass("lesion", "lesion", 1),))


def speed(regions: int, shape: tuple[int, int, int], folder: Path) -> None:
    """Seconds of the processor for writing and reading `regions` in a series of `shape`."""
    grid = Geometry.from_spacing(shape, (1.5, 0.7, 0.7))
    write_dicom_series(Volume(np.zeros(shape, np.int16), grid, "CT", "HU"), folder / "series")
    source = read_source(folder / "series")
    balls = hollow_balls(regions, source.geometry)
    few = Instances(balls.geometry, balls.items[:1], balls.classes)
    read_rtstruct(written(few, source, folder / "few.dcm"), source)  # compiles
    start = time.process_time()
    path = written(balls, source, folder / "many.dcm")
    between = time.process_time()
    back = read_rtstruct(path, source)
    end = time.process_time()
    contours = sum(one["contours"] for one in back.provenance["rois"])
    print(
        f"\n{regions} regions, {contours} contours, {path.stat().st_size / 1e6:.1f} MB, in {shape}"
    )
    print(f"write {between - start:.2f} s, read {end - between:.2f} s of the processor")
    print("read back: same voxels" if same(balls, back) else "read back: OTHER VOXELS")


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=Path("../shared/data/dicom"))
    parser.add_argument("--regions", type=int, default=200)
    parser.add_argument("--slices", type=int, default=200)
    parser.add_argument("--size", type=int, default=512)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        volumes(asked.data, Path(folder))
        speed(asked.regions, (asked.slices, asked.size, asked.size), Path(folder))


if __name__ == "__main__":
    main()
