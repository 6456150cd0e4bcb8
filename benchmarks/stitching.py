"""Five thousand objects of overlapping windows, stitched: seconds, and whether all come out whole.

    python benchmarks/stitching.py

A head that reads the truth looks at windows of 32³ over 88³ voxels with 512 touching lesions. Bar:
at most 10 s for the stitching of 5,000 window instances, no split, no merge.
"""

from __future__ import annotations

import sys
import time
from itertools import product

import numpy as np

from medseg.heads.window_objects import window_instance
from medseg.inference.stitching import placed, stitch
from medseg.inference.windows import plan_windows
from medseg.phantom import packed_lesions

SHAPE, PITCH, WINDOW = (88, 88, 88), 11, (32, 32, 32)
MOST_S, LEAST_INSTANCES = 10.0, 5000


def main() -> int:
    """Stitch, compare with the truth, print; 0 where the bar is met."""
    labels = packed_lesions(SHAPE, PITCH)
    plan = plan_windows(SHAPE, WINDOW, overlap=0.5, multiple=4)
    found = []
    for start in product(*plan.starts):
        z, y, x = (slice(first, first + size) for first, size in zip(start, WINDOW, strict=True))
        crop = labels[z, y, x]
        for label in np.unique(crop[crop > 0]):
            item = window_instance(0, 0.9, (0, 0, 0), (crop == label).astype(np.float32))
            found += placed([item] if item else [], start, WINDOW)
    stitch(found[:50], plan, SHAPE)  # compiled kernels are read from disk
    began, worked = time.perf_counter(), time.process_time()
    objects = stitch(found, plan, SHAPE)
    seconds, busy = time.perf_counter() - began, time.process_time() - worked
    whole = sum(
        bool((labels[one.box][one.probability > 0.5] == label).all())
        and np.count_nonzero(one.probability > 0.5) == np.count_nonzero(labels == label)
        for one in objects
        for label in [labels[one.box][one.probability > 0.5][0]]
    )
    print(f"{len(found)} objects in {plan.count} windows: {seconds:.1f} s ({busy:.1f} s of work)")
    print(f"{len(objects)} of {labels.max()} lesions, {whole} of them exactly")
    met = seconds <= MOST_S and len(found) >= LEAST_INSTANCES and whole == labels.max()
    print("bar met" if met else "BAR NOT MET", f"({MOST_S:g} s, no split, no merge)")
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
