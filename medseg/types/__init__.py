"""Geometry, volumes and instances: NumPy values without files and without torch.

Arrays are indexed (z, y, x); the world is LPS millimetres, (x, y, z), as in DICOM.
"""

from medseg.types.apart import boxes_apart, item_boxes
from medseg.types.boxes import box_inside, box_outside, meeting, union_box
from medseg.types.geometry import (
    Axes,
    Box,
    Flips,
    Geometry,
    Shape,
    check_box,
    reoriented_array,
)
from medseg.types.instances import (
    Instance,
    InstanceClass,
    Instances,
    Kind,
    as_labels,
    label_boxes,
    tight_box,
)
from medseg.types.volume import InputWarning, Modality, Unit, Volume

__all__ = [
    "Axes",
    "Box",
    "Flips",
    "Geometry",
    "InputWarning",
    "Instance",
    "InstanceClass",
    "Instances",
    "Kind",
    "Modality",
    "Shape",
    "Unit",
    "Volume",
    "as_labels",
    "box_inside",
    "box_outside",
    "boxes_apart",
    "check_box",
    "item_boxes",
    "label_boxes",
    "meeting",
    "reoriented_array",
    "tight_box",
    "union_box",
]
