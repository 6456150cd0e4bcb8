"""What the compiled loops cost a process that has just started, and where nothing can be written.

    python benchmarks/measuring_startup.py

Each line is a process of its own that measures a small label map with an image (all groups) and
evaluates it against another, twice: the first call less the second is what compiling or loading
machine code costs; imports come before and are counted apart. Seconds are the processor's, which
a busy machine does not change; the last columns show them by the clock. `cold` starts with an empty
NUMBA_CACHE_DIR, `warm` follows with the same folder. `read-only` uses a copy of the package in
which nothing can be written, as in site-packages of another user: numba then keeps its code in the
user's cache, and where that can't be written either it compiles in each process. Linux; as root
the processes give up the right to write everywhere.
"""

from __future__ import annotations

import argparse
import ctypes
import os
import shutil
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from timing import REPOSITORY, in_fresh_process, machine, verdict

WARM_SECONDS = 1.0
COLD_SECONDS = 20.0
PR_CAPBSET_DROP, CAP_DAC_OVERRIDE = 24, 1  # linux/prctl.h, linux/capability.h

ONCE = """
import json, sys, measuring_startup
print(json.dumps(measuring_startup.calls(sys.argv[1])))
"""


class Watch:
    """Processor's seconds and those by the clock, taken together."""

    def __init__(self) -> None:
        self.seconds: dict[str, tuple[float, float]] = {}
        self._began = self._now()

    @staticmethod
    def _now() -> tuple[float, float]:
        return time.process_time(), time.perf_counter()

    def lap(self, name: str) -> None:
        """Keep the time since the last lap under a name."""
        busy, clock = self._now()
        self.seconds[name] = busy - self._began[0], clock - self._began[1]
        self._began = self._now()


def calls(dtype: str) -> dict[str, Any]:
    """Seconds of imports, and of the first and second call of measuring and of evaluating."""
    watch = Watch()
    import numba
    import numpy as np
    import pandas as pd
    import scipy.ndimage
    import scipy.spatial

    import medseg
    import medseg.evaluation
    import medseg.measurement

    watch.lap("imports")
    del numba, pd, scipy
    labels = np.zeros((24, 24, 24), dtype=dtype)
    labels[3:9, 4:12, 5:11] = 1
    labels[14:20, 13:17, 12:21] = 2
    geometry = medseg.Geometry.from_spacing(labels.shape, (2.0, 1.0, 1.0))
    rng = np.random.default_rng(0)
    image = rng.normal(size=labels.shape).astype(np.float32)
    volume = medseg.Volume(image, geometry, modality="PT", unit="SUVbw")
    for run in ("first", "second"):
        watch.lap("")
        found = medseg.Instances.from_labelmap(labels, geometry)
        medseg.measure(found, volume)
        watch.lap(f"measure, {run}")
        shifted = medseg.Instances.from_labelmap(np.roll(labels, 1, axis=2), geometry)
        medseg.evaluate(shifted, found)
        watch.lap(f"evaluate, {run}")
    return {**watch.seconds, "package": str(Path(medseg.__file__).parent)}


def cost(seconds: Mapping[str, Any], what: str) -> tuple[float, float]:
    """First call less the second: processor's seconds and those by the clock."""
    first, second = seconds[f"{what}, first"], seconds[f"{what}, second"]
    return first[0] - second[0], first[1] - second[1]


def bound_by_permissions() -> None:
    """Give up root's right to write where permissions forbid it, for the program that follows."""
    if os.geteuid() == 0:
        ctypes.CDLL(None).prctl(PR_CAPBSET_DROP, CAP_DAC_OVERRIDE, 0, 0, 0)


def read_only_copy(folder: Path) -> Path:
    """The package without machine code in a folder in which nothing can be written."""
    unwanted = shutil.ignore_patterns("__pycache__", "*.nbi", "*.nbc")
    shutil.copytree(REPOSITORY / "medseg", folder / "medseg", ignore=unwanted)
    for path in (folder, *folder.rglob("*")):
        path.chmod(0o555 if path.is_dir() else 0o444)
    return folder


def writable_again(folder: Path) -> None:
    """So that the folder can be taken away."""
    for path in (folder, *folder.rglob("*")):
        if path.is_dir():
            path.chmod(0o755)


def once(dtype: str, env: Mapping[str, str | None], package: Path | None = None) -> dict[str, Any]:
    """One process; with `package` the copy there is the one that runs, bound by permissions."""
    if package is None:
        return in_fresh_process(ONCE, dtype, env=env)
    paths = os.pathsep.join([str(package), str(Path(__file__).parent)])
    changed = {**env, "PYTHONPATH": paths, "PYTHONDONTWRITEBYTECODE": "1"}
    # `python -c` looks into the working folder first, which may be the checkout
    options = {"cwd": package, "preexec_fn": bound_by_permissions}
    found = in_fresh_process(ONCE, dtype, env=changed, **options)
    if Path(found["package"]).parent != package:
        msg = f"{found['package']} ran instead of the copy in {package}"
        raise RuntimeError(msg)
    return found


def row(name: str, seconds: Mapping[str, Any], bar: float) -> None:
    """One line of the table; the bar is for measuring and evaluating together."""
    columns = (seconds["imports"], cost(seconds, "measure"), cost(seconds, "evaluate"))
    shown = "".join(f"{value[kind]:>10.2f}" for kind in (0, 1) for value in columns)
    met = verdict(columns[1][0] + columns[2][0], bar, at_least=False)
    print(f"{name:<42}{shown}  {met}")


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--dtype", default="uint16", help="type of the labels")
    dtype = parser.parse_args().dtype
    print(machine("medseg", "numpy", "numba"))
    columns = "".join(f"{name:>10}" for name in ("imports", "measure", "evaluate"))
    print(f"{'':<42}{'processor':>30}{'clock':>30}")
    print(f"{'seconds beyond the second call':<42}{columns}{columns}")
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        cache = {"NUMBA_CACHE_DIR": str(folder / "cache")}
        row("cold: empty cache", once(dtype, cache), COLD_SECONDS)
        row("warm: the process after it", once(dtype, cache), WARM_SECONDS)
        (folder / "home").mkdir()
        package = read_only_copy(folder / "package")
        try:
            home: dict[str, str | None] = {"NUMBA_CACHE_DIR": None, "XDG_CACHE_HOME": None}
            home["HOME"] = str(folder / "home")
            row("read-only package: first process", once(dtype, home, package), COLD_SECONDS)
            row("read-only package: second process", once(dtype, home, package), WARM_SECONDS)
            home["HOME"] = str(package)
            row("nothing can be written: each process", once(dtype, home, package), COLD_SECONDS)
        finally:
            writable_again(package)


if __name__ == "__main__":
    main()
