"""Changes to objects that a reader asks for: each takes masks on a grid and gives new ones.

Lengths are millimetres between voxel centres and points are LPS millimetres, so all is right on
anisotropic, oblique and sheared grids alike. Work grows with the objects' boxes, never with the
image. Beyond the image nothing is known: an object at its border is taken to go on.

A changed mask has no probability any more, as nobody computed one for it; an object that stays as
it was is given back itself, with its own. Scores are kept.
"""

from medseg.editing.growing import RegionSettings, grow_region
from medseg.editing.identity import change_class, merge
from medseg.editing.labels import label_changes
from medseg.editing.separating import split_at_points, split_parts
from medseg.editing.shaping import (
    fill_holes,
    grow,
    keep_largest_part,
    remove_small_parts,
    smooth,
)
from medseg.editing.slices import interpolate_slices, slice_gaps
from medseg.editing.strokes import erase, paint, paint_new

__all__ = [
    "RegionSettings",
    "change_class",
    "erase",
    "fill_holes",
    "grow",
    "grow_region",
    "interpolate_slices",
    "keep_largest_part",
    "label_changes",
    "merge",
    "paint",
    "paint_new",
    "remove_small_parts",
    "slice_gaps",
    "smooth",
    "split_at_points",
    "split_parts",
]
