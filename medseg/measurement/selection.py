"""What is said of the objects before they are measured: left out, or in parts."""

from __future__ import annotations

from dataclasses import replace

from medseg.measurement.relations import component_counts
from medseg.measurement.size import volumes_ml
from medseg.types import InputWarning, Instances

SMALL_LEFT_OUT = "small-left-out"
MASK_IN_PARTS = "mask-in-parts"
_ROUNDING = 1e-9


def without_small(instances: Instances, *, min_volume_ml: float) -> Instances:
    """The instances of at least a volume by voxel count; ids stay.

    How many were left out stands in `warnings` under the code `small-left-out`.

    Raises ValueError where `min_volume_ml` is not above 0.
    """
    if not min_volume_ml > 0:
        msg = f"min_volume_ml is above 0; got {min_volume_ml}"
        raise ValueError(msg)
    large = volumes_ml(instances) >= min_volume_ml * (1 - _ROUNDING)
    if large.all():
        return instances
    kept = [item for item, keep in zip(instances.items, large, strict=True) if keep]
    left_out = len(instances) - len(kept)
    detail = f"{left_out} of {len(instances)} objects are smaller than {min_volume_ml:g} ml"
    said = InputWarning(SMALL_LEFT_OUT, f"{detail} and were left out")
    return replace(instances, items=kept, warnings=(*instances.warnings, said))


def parts_noted(instances: Instances) -> Instances:
    """The same, with a warning (`mask-in-parts`) where lesions have several parts (26)."""
    lesions = instances.filter(lambda item: item.kind == "lesion")
    several = int((component_counts(lesions) > 1).sum())
    if not several:
        return instances
    detail = (
        f"{several} of {len(lesions)} lesions have several connected parts and are measured as one "
        "each; split them by component if the parts are lesions"
    )
    return replace(instances, warnings=(*instances.warnings, InputWarning(MASK_IN_PARTS, detail)))
