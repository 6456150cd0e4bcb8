"""A label map with more objects than 16 bits can number, measured in one go: time and memory.

    python benchmarks/measuring_large.py [--shape 1024 512 512] [--objects 100000]

Every object is an ellipsoid of 1 to 4 voxels' radius. Each line is a process of its own: one group
of columns (or several), from the label array to the DataFrame, after a small map has been measured,
so that nothing is compiled or loaded on the way. Memory is the highest resident size over that with
the label map (and, where it is needed, the image) loaded. Linux.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd
from scenes import many
from timing import extra_memory_mb, in_fresh_process, machine

import medseg
from medseg.measurement import COLUMNS
from medseg.types import Geometry, Instances, Volume

SPACING_MM = (1.0, 0.8, 0.8)

ONCE = """
import json, sys, measuring_large
print(json.dumps(measuring_large.once(*sys.argv[1:])))
"""


def groups() -> tuple[str, ...]:
    """Groups of columns that can be chosen, in their order."""
    return tuple(dict.fromkeys(column.group for column in COLUMNS if column.group != "always"))


def table(labels: np.ndarray, image: np.ndarray | None, chosen: tuple[str, ...]) -> pd.DataFrame:
    """From the label array (z, y, x) to the table of some groups; none: to the instances alone."""
    geometry = Geometry.from_spacing(labels.shape, SPACING_MM)
    found = Instances.from_labelmap(labels, geometry)
    if not chosen:
        return pd.DataFrame(index=range(len(found)))
    volume = None
    if image is not None:
        volume = Volume(image, geometry, modality="PT", unit="SUVbw", acquisition_axis=0)
    return medseg.measure(found, volume, groups=chosen)


def once(path: str, wanted: str) -> dict[str, float]:
    """Rows and columns, seconds and megabytes of one run on the label map in a file."""
    labels = np.load(path)
    chosen = tuple(filter(None, wanted.split(",")))
    needs_image = bool({"intensity", "suv"} & set(chosen))
    image = np.zeros(labels.shape, dtype=np.float32) if needs_image else None
    if image is not None:
        image[...] = np.arange(labels.shape[2], dtype=np.float32)  # written, so that it is resident
    part = tuple(slice(0, 40) for _ in range(3))
    table(labels[part].copy(), None if image is None else image[part].copy(), chosen)
    found = dict.fromkeys(("rows", "columns", "processor", "clock"), 0.0)

    def run() -> None:
        began, busy = time.perf_counter(), time.process_time()
        found["rows"], found["columns"] = table(labels, image, chosen).shape
        found["processor"], found["clock"] = time.process_time() - busy, time.perf_counter() - began

    extra = extra_memory_mb(run)
    return {**found, "extra": extra}


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--shape", type=int, nargs=3, default=(1024, 512, 512))
    parser.add_argument("--objects", type=int, default=100_000)
    arguments = parser.parse_args()
    z, y, x = arguments.shape
    labels = many(arguments.objects, (z, y, x))
    print(machine("medseg", "numpy", "numba", "pandas"))
    share = np.count_nonzero(labels) / labels.size
    print(f"{labels.dtype} {labels.shape}, {labels.nbytes / 1e6:.0f} MB, {share:.1%} in objects,")
    print(f"largest label {labels.max()}\n")
    columns = ("rows", "columns", "processor s", "clock s", "extra MB", "a label map")
    print(f"{'groups':<24}", *[f"{name:>11}" for name in columns])
    size_mb = labels.nbytes / 1e6
    known = groups()
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "labels.npy"
        np.save(file, labels)
        del labels
        for chosen in ((), *((name,) for name in known), ("size", "shape", "recist"), known):
            name = "all" if chosen == known else " + ".join(chosen) or "(instances alone)"
            found = in_fresh_process(ONCE, str(file), ",".join(chosen))
            seconds = f"{found['processor']:>11.1f} {found['clock']:>11.1f}"
            extra = f"{found['extra']:>11.0f} {found['extra'] / size_mb:>11.2f}"
            print(f"{name:<24} {found['rows']:>11.0f} {found['columns']:>11.0f} {seconds} {extra}")


if __name__ == "__main__":
    main()
