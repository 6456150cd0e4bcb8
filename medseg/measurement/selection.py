"""What is said of the objects before they are measured: left out, in parts, or of assumed kind."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from medseg.measurement.relations import component_counts
from medseg.measurement.size import volumes_ml
from medseg.types import InputWarning, Instances

SMALL_LEFT_OUT = "small-left-out"
MASK_IN_PARTS = "mask-in-parts"
KIND_ASSUMED = "kind-assumed"
_MOST_NAMES = 5

VOLUME_ROUNDING = 1e-6
"""A volume below a limit by less than this share is on it: files round spacings."""


def large_enough(volumes_ml: NDArray[np.float64], least_ml: float) -> NDArray[np.bool_]:
    """Whether each volume is at least `least_ml`, (N,)."""
    return volumes_ml >= least_ml * (1 - VOLUME_ROUNDING)


def without_small(instances: Instances, *, min_volume_ml: float) -> Instances:
    """The instances of at least a volume by voxel count; ids stay.

    How many were left out stands in `warnings` under the code `small-left-out`.

    Raises ValueError where `min_volume_ml` is not above 0.
    """
    if not min_volume_ml > 0:
        msg = f"min_volume_ml is above 0; got {min_volume_ml}"
        raise ValueError(msg)
    large = large_enough(volumes_ml(instances), min_volume_ml)
    if large.all():
        return instances
    kept = [item for item, keep in zip(instances.items, large, strict=True) if keep]
    left_out = len(instances) - len(kept)
    were = "was" if left_out == 1 else "were"
    detail = (
        f"{left_out} of {several(len(instances), 'object')} {were} left out, smaller than the "
        f"minimum volume of {min_volume_ml:g} mL"
    )
    return _warned(replace(instances, items=kept), SMALL_LEFT_OUT, detail)


def parts_noted(instances: Instances, *, parts: NDArray[np.int64] | None = None) -> Instances:
    """The same, with a warning (`mask-in-parts`) where lesions have several parts (26).

    `parts` (N,) are those of `component_counts`, for who has them already.
    """
    lesions = instances.filter(lambda item: item.kind == "lesion")
    if parts is None:
        counts = component_counts(lesions)
    else:
        counts = parts[[item.kind == "lesion" for item in instances.items]]
    split = int(np.count_nonzero(counts > 1))
    if not split:
        return instances
    count = "has {} and counts as one object" if split == 1 else "have {} and count as one each"
    detail = (
        f"{split} of {several(len(lesions), 'lesion')} "
        f"{count.format('several connected parts')}; split them by component if the parts are "
        "lesions"
    )
    return _warned(instances, MASK_IN_PARTS, detail)


def kinds_noted(instances: Instances, assumed: Collection[str]) -> Instances:
    """The same, with a warning (`kind-assumed`) where lesions are of a class in `assumed`.

    Those are the names of classes of which nobody said whether they are organs or lesions.
    """
    found = [item for item in instances if item.kind == "lesion" and item.class_name in assumed]
    if not found:
        return instances
    names = [repr(name) for name in dict.fromkeys(item.class_name for item in found)]
    more = f" and {len(names) - _MOST_NAMES} more" if len(names) > _MOST_NAMES else ""
    are = (
        "1 object counts as a lesion, for RECIST too; say the kind if it is an organ"
        if len(found) == 1
        else f"{len(found)} objects count as lesions, for RECIST too; say the kind if some are "
        "organs"
    )
    detail = f"nothing says the kind of {', '.join(names[:_MOST_NAMES])}{more}: {are}"
    return _warned(instances, KIND_ASSUMED, detail)


def several(count: int, what: str) -> str:
    """The count and its thing, which is plural unless there is one."""
    return f"{count} {what}{'' if count == 1 else 's'}"


def _warned(instances: Instances, code: str, detail: str) -> Instances:
    return replace(instances, warnings=(*instances.warnings, InputWarning(code, detail)))
