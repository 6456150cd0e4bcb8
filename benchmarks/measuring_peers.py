"""What measuring is compared with: SimpleITK here, PyRadiomics in another interpreter."""

from __future__ import annotations

from typing import Any

import numpy as np
import SimpleITK
from numpy.typing import NDArray

Labels = NDArray[np.integer[Any]]

SITK_VALUES = (
    "GetNumberOfPixels",
    "GetPhysicalSize",
    "GetCentroid",
    "GetBoundingBox",
    "GetPerimeter",
    "GetRoundness",
    "GetFeretDiameter",
    "GetPrincipalMoments",
    "GetPrincipalAxes",
    "GetElongation",
    "GetFlatness",
    "GetEquivalentEllipsoidDiameter",
    "GetEquivalentSphericalRadius",
    "GetNumberOfPixelsOnBorder",
)


def sitk_image(labels: Labels, spacing_mm: tuple[float, float, float]) -> SimpleITK.Image:
    """The label map with its spacing (z, y, x) in millimetres."""
    image = SimpleITK.GetImageFromArray(labels)
    image.SetSpacing(spacing_mm[::-1])
    return image


def sitk_shapes(image: SimpleITK.Image, threads: int) -> list[tuple[Any, ...]]:
    """Every value of LabelShapeStatistics with perimeter and Feret diameter, one row a label."""
    SimpleITK.ProcessObject.SetGlobalDefaultNumberOfThreads(threads)
    found = SimpleITK.LabelShapeStatisticsImageFilter()
    found.ComputeFeretDiameterOn()
    found.ComputePerimeterOn()
    found.Execute(image)
    readers = [getattr(found, name) for name in SITK_VALUES]
    return [tuple(read(label) for read in readers) for label in found.GetLabels()]


PYRADIOMICS = '''
"""Shape features of every object of a label map, on crops that are ready: seconds, and values."""
import json, logging, sys, time
import numpy as np
import SimpleITK as sitk
from radiomics.shape import RadiomicsShape
import radiomics

logging.disable(logging.CRITICAL)
sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(1)
spacing_zyx = [float(mm) for mm in sys.argv[2:5]]
labels = np.load(sys.argv[1], mmap_mode="r")
at = np.flatnonzero(labels)
values = np.asarray(labels).ravel()[at]
order = np.argsort(values, kind="stable")
numbers, first = np.unique(values[order], return_index=True)
crops = []
for voxels in np.split(at[order], first[1:]):
    z, y, x = np.unravel_index(voxels, labels.shape)
    corner = [int(axis.min()) - 1 for axis in (z, y, x)]
    lengths = [int(axis.max()) + 2 - start for axis, start in zip((z, y, x), corner)]
    mask = np.zeros(lengths, dtype=np.uint8)
    mask[z - corner[0], y - corner[1], x - corner[2]] = 1
    image = sitk.GetImageFromArray(mask)
    image.SetSpacing(spacing_zyx[::-1])
    crops.append(image)
del at, values, order

def shapes():
    rows = []
    for image in crops:
        features = RadiomicsShape(image, image, label=1)
        features.enableAllFeatures()
        rows.append({name: float(value) for name, value in features.execute().items()})
    return rows

for line in sys.stdin:
    asked = json.loads(line)
    began, busy = time.perf_counter(), time.process_time()
    rows = shapes()
    answer = {
        "seconds": time.perf_counter() - began,
        "busy": time.process_time() - busy,
        "version": radiomics.__version__.lstrip("v"),
        "objects": len(rows),
    }
    if asked == "values":
        answer["rows"] = rows
    print("ANSWER " + json.dumps(answer), flush=True)
'''
"""A program for `timing.Peer`: arguments FILE.npy and spacing z y x, questions null or "values"."""
