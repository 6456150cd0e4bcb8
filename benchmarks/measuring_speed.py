r"""The shape table of a label map: medseg beside SimpleITK and PyRadiomics.

    python benchmarks/measuring_speed.py [--size 512] [--objects 300] [--rounds 5] [--processor]
        [--pyradiomics /path/to/its/bin/python]

One label volume of ellipsoids with the volumes of balls of radius 2 to 24 voxels. medseg goes from
the label array to the finished DataFrame (groups size, shape and recist: the RECIST pair is in it).
SimpleITK's LabelShapeStatistics computes perimeter and Feret diameter, and each of its values is
read for each label; its image is ready before. PyRadiomics computes its shape features on crops
that are ready before. All have been called once before, and then run in turn; one thread each,
SimpleITK with two as well. A second volume holds ten times as many objects in as many voxels.
Memory is taken in a fresh process: what measuring adds, the table included, to a loaded label map.
On a busy machine `--processor` counts the processor's seconds.

PyRadiomics 3.0.1 does not install with a current NumPy or setuptools. In an environment of its own,
with a C compiler at hand:

    python3.11 -m venv peers/pyradiomics
    peers/pyradiomics/bin/pip install "numpy<2" "setuptools<70" versioneer wheel SimpleITK \
        PyWavelets pykwalify six docopt
    peers/pyradiomics/bin/pip install --no-build-isolation pyradiomics==3.0.1
"""

from __future__ import annotations

import statistics
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from measuring_peers import PYRADIOMICS, sitk_image, sitk_shapes
from scenes import Labels, as_many_voxels, ellipsoids, painted
from timing import (
    Clock,
    Peer,
    Samples,
    extra_memory_mb,
    in_fresh_process,
    interleaved,
    machine,
    peer_in,
    print_ratios,
    ratios,
    speed_arguments,
    untimed,
    verdict,
)

import medseg
from medseg.types import Geometry, Instances

GROUPS = ("size", "shape", "recist")
SPACING_MM = (1.0, 1.0, 1.0)
TIMES_SIMPLEITK = 25
TIMES_PYRADIOMICS = 50
MORE_OBJECTS = 10
MORE_TIME = 3
MORE_MEMORY = 2

MEMORY = """
import json, sys, measuring_speed
print(json.dumps(measuring_speed.memory(sys.argv[1])))
"""


def table(labels: Labels, spacing_mm: tuple[float, float, float] = SPACING_MM) -> pd.DataFrame:
    """From the label array (z, y, x) to the table of size, shape and RECIST diameters."""
    geometry = Geometry.from_spacing(labels.shape, spacing_mm)
    return medseg.measure(Instances.from_labelmap(labels, geometry), groups=GROUPS)


def memory(path: str) -> dict[str, float]:
    """Megabytes of the label map in a file, and what measuring it takes beyond; fresh process."""
    labels = np.load(path)
    small = np.zeros((8, 8, 8), dtype=labels.dtype)
    small[2:5, 2:6, 2:7] = 1
    table(small)  # what is loaded on first use is not the measuring's
    return {"labels": labels.nbytes / 1e6, "extra": extra_memory_mb(lambda: table(labels))}


def volumes(size: int, objects: int) -> tuple[Labels, Labels]:
    """Label volumes of `objects` ellipsoids and of ten times as many in as many voxels."""
    few = ellipsoids(objects, size)
    many = as_many_voxels(few, MORE_OBJECTS * objects, size)
    cube = (size, size, size)
    return painted(few, cube), painted(many, cube)


def timed(
    few: Labels, many: Labels, peer: Peer | None, rounds: int, clock: Clock
) -> dict[str, Samples]:
    """Seconds of all in turn; the peer is asked once before, as the others are."""
    images = [sitk_image(labels, SPACING_MM) for labels in (few, many)]
    runs: dict[str, Callable[[], Any]] = {
        "medseg": untimed(lambda: table(few)),
        "SimpleITK": untimed(lambda: sitk_shapes(images[0], threads=1)),
        "SimpleITK, 2 threads": untimed(lambda: sitk_shapes(images[0], threads=2)),
        "medseg, many": untimed(lambda: table(many)),
        "SimpleITK, many": untimed(lambda: sitk_shapes(images[1], threads=1)),
    }
    if peer is not None:
        runs["PyRadiomics"] = lambda: float(peer.ask()[clock.answer])
    interleaved(runs, 1)
    return interleaved(runs, rounds, clock)


def rows_of(objects: int) -> tuple[tuple[str, str, str], ...]:
    """Title and run of each row of the table, and medseg's run on the same volume."""
    return (
        (f"medseg, {objects} objects", "medseg", "medseg"),
        ("SimpleITK, 1 thread", "SimpleITK", "medseg"),
        ("SimpleITK, 2 threads", "SimpleITK, 2 threads", "medseg"),
        ("PyRadiomics shape, ready crops", "PyRadiomics", "medseg"),
        (f"medseg, {MORE_OBJECTS * objects} objects", "medseg, many", "medseg, many"),
        ("SimpleITK, 1 thread", "SimpleITK, many", "medseg, many"),
    )


def print_verdicts(seconds: dict[str, Samples], used: dict[str, float]) -> None:
    """The bars, each beside what was measured (medians of the ratios in a round)."""

    def median(of: str, over: str) -> float:
        return statistics.median(ratios(seconds[of], seconds[over]))

    print()
    times = median("SimpleITK", "medseg")
    print(f"SimpleITK over medseg: {times:.1f}", verdict(times, TIMES_SIMPLEITK, at_least=True))
    if "PyRadiomics" in seconds:
        times = median("PyRadiomics", "medseg")
        bar = verdict(times, TIMES_PYRADIOMICS, at_least=True)
        print(f"PyRadiomics over medseg: {times:.1f}", bar)
    times = median("medseg, many", "medseg")
    print(f"many over few objects: {times:.2f}", verdict(times, MORE_TIME, at_least=False))
    times = used["extra"] / used["labels"]
    print(
        f"extra memory: {used['extra']:.0f} MB on a label map of {used['labels']:.0f} MB,",
        f"{times:.2f}",
        verdict(times, MORE_MEMORY, at_least=False),
    )


def main() -> None:
    """Print the tables."""
    about = __doc__.partition("\n")[0]
    arguments = speed_arguments(about, objects=300, rounds=5, peer="PyRadiomics")
    few, many = volumes(arguments.size, arguments.objects)
    voxels = [int(np.count_nonzero(labels)) for labels in (few, many)]
    print(machine("medseg", "numpy", "numba", "pandas", "SimpleITK"))
    print(f"{few.dtype} {few.shape}, {voxels[0]} and {voxels[1]} voxels in objects")
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "labels.npy"
        np.save(file, few)
        used = in_fresh_process(MEMORY, str(file))
        spacing = [str(mm) for mm in SPACING_MM]
        with peer_in(arguments.peer, PYRADIOMICS, str(file), *spacing) as peer:
            seconds = timed(few, many, peer, arguments.rounds, arguments.clock)
    print_ratios(seconds, rows_of(arguments.objects), arguments.clock)
    print_verdicts(seconds, used)


if __name__ == "__main__":
    main()
