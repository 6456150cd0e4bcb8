"""RTSTRUCT as instances on the grid of the series that it was drawn on."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from medseg.errors import InputRefused
from medseg.io.dicom_out.source import Source
from medseg.io.rtstruct.labels import Owner, owner_of
from medseg.io.rtstruct.place import Placed, place
from medseg.io.rtstruct.rasterise import fill
from medseg.io.rtstruct.structure import Roi, StructureSet, read_structure_set
from medseg.types import Geometry, InputWarning, Instance, InstanceClass, Instances, Kind

_DIFFERS = 0.1


def read_rtstruct(
    path: str | os.PathLike[str], source: Source, *, kind: Kind = "lesion"
) -> Instances:
    """The regions of interest of an RTSTRUCT file on the grid of the series they were drawn on.

    Each region is one instance; its id is its ROI number, its class its name, its kind what
    RTROIInterpretedType says, else `kind`. A file of medseg gives back classes, kinds and scores.
    Contours are taken to slices by position alone. A voxel belongs to a region if its centre
    lies inside an odd number of the slice's contours. A region without a voxel, or in another
    frame of reference, is left out with a warning.

    Raises InputRefused: `grid-mismatch` where the contours do not fit the slices,
    `mixed-frame-of-reference` where none is in the frame of the source,
    `frame-of-reference-missing`, `several-patients`, `sop-class-unsupported`,
    `geometry-invalid`, `file-corrupt`, `too-large`, `path-missing`, `path-unreadable`.
    """
    structure = read_structure_set(Path(path))
    _check_patient(structure, source)
    images = frozenset(one.sop_instance_uid for one in source.slices)
    frame = source.frame_of_reference_uid
    return place_structure_set(structure, source.geometry, frame=frame, images=images, kind=kind)


def place_structure_set(
    structure: StructureSet,
    geometry: Geometry,
    *,
    frame: str,
    images: frozenset[str] = frozenset(),
    kind: Kind = "lesion",
) -> Instances:
    """The regions of a parsed file on a grid in the frame of reference `frame`.

    `images` are the SOPInstanceUIDs of the grid's slices. Raises as `read_rtstruct` does.
    """
    rois, warnings = _in_frame(structure, frame)
    warnings += _notes(structure)
    items: list[Instance] = []
    classes: dict[str, InstanceClass] = {}
    facts: list[dict[str, Any]] = []
    for roi, number in zip(rois, _ids(rois), strict=True):
        placed = place(roi, geometry, images, structure.subject)
        warnings += placed.notes
        owner = owner_of(roi, kind)
        mine = classes.setdefault(owner.name, _class(owner, roi, classes))
        item = _instance(placed, geometry, number, mine, owner.score)
        if item is None:
            warnings.append(InputWarning("empty-roi", f"ROI {roi.number} {_why(roi, placed)}"))
        else:
            items.append(item)
            warnings += _volume_note(roi, placed, item, geometry)
        facts.append(_facts(roi, placed, item, geometry))
    if any(roi.contours for roi in rois) and not any(one["contours"] for one in facts):
        raise InputRefused(
            code="grid-mismatch",
            subject=structure.subject,
            detail="all its contours lie beyond the first or last slice of the image series",
            remedy="pass the series that the contours were drawn on",
        )
    provenance = {"format": "RTSTRUCT", "source": structure.subject, "rois": facts}
    return Instances(geometry, items, tuple(classes.values()), tuple(warnings), provenance)


def _check_patient(structure: StructureSet, source: Source) -> None:
    theirs = str(source.datasets[0].get("PatientID") or "").strip()
    if theirs and structure.patient_id and theirs != structure.patient_id:
        raise InputRefused(
            code="several-patients",
            subject=structure.subject,
            detail="its PatientID is not that of the image series",
            remedy="pass the structure set of the same patient",
        )


def _in_frame(structure: StructureSet, frame: str) -> tuple[list[Roi], list[InputWarning]]:
    """The regions in a frame of reference, and warnings about the others."""
    drawn = [roi for roi in structure.rois if roi.contours]
    unknown = [roi for roi in drawn if not roi.frame]
    if unknown:
        raise InputRefused(
            code="frame-of-reference-missing",
            subject=structure.subject,
            detail=f"nothing says in which frame of reference ROI {unknown[0].number} lies",
            remedy="export the structure set again",
        )
    other = [roi for roi in drawn if roi.frame != frame]
    if other and len(other) == len(drawn):
        raise InputRefused(
            code="mixed-frame-of-reference",
            subject=structure.subject,
            detail="its frame of reference is not that of the image series",
            remedy="pass the series that the contours were drawn on",
        )
    warnings = [
        InputWarning(
            "roi-in-another-frame",
            f"ROI {roi.number} was left out: it lies in another frame of reference",
        )
        for roi in other
    ]
    return [roi for roi in structure.rois if roi not in other], warnings


def _notes(structure: StructureSet) -> list[InputWarning]:
    if not structure.rois:
        return [InputWarning("empty-roi", "the structure set has no region of interest")]
    return [
        InputWarning("roi-name-hidden", f"the name of ROI {number} holds the patient's name or id")
        for number in structure.hidden_names
    ]


def _ids(rois: Sequence[Roi]) -> list[int]:
    """The ROI numbers, or 1 to n where one of them is no id."""
    numbers = [roi.number for roi in rois]
    return numbers if min(numbers, default=1) > 0 else list(range(1, len(numbers) + 1))


def _class(owner: Owner, roi: Roi, classes: Mapping[str, InstanceClass]) -> InstanceClass:
    used = {one.label for one in classes.values()}
    label = owner.label
    if label is None or label in used:
        label = next(n for n in range(1, len(used) + 2) if n not in used)
    return InstanceClass(owner.name, owner.kind, label, roi.color, owner.node)


def _instance(
    placed: Placed, geometry: Geometry, number: int, owner: InstanceClass, score: float
) -> Instance | None:
    box = placed.box(geometry)
    if box is None:
        return None
    z, y, x = box
    mask = fill(
        placed.rings,
        (z.stop - z.start, y.stop - y.start, x.stop - x.start),
        (z.start, y.start, x.start),
    )
    return Instance.from_mask(
        mask,
        id=number,
        class_name=owner.name,
        kind=owner.kind,
        score=score,
        offset=(z.start, y.start, x.start),
    )


def _why(roi: Roi, placed: Placed) -> str:
    if not roi.contours:
        return "has no closed contour and was left out"
    if not len(placed.rings.ends):
        return "has no contour with an area on a slice of the image and was left out"
    return "holds no centre of a voxel and was left out"


def _volume_note(
    roi: Roi, placed: Placed, item: Instance, geometry: Geometry
) -> list[InputWarning]:
    """Small regions on a coarse grid: the voxels are what is measured, so the gap is told."""
    voxels_ml = item.voxel_count * geometry.voxel_ml
    if abs(voxels_ml - placed.area_ml) <= _DIFFERS * placed.area_ml:
        return []
    detail = (
        f"ROI {roi.number}: its voxels hold {voxels_ml:.3f} mL, its contours "
        f"{placed.area_ml:.3f} mL (area times spacing)"
    )
    return [InputWarning("contours-volume", detail)]


def _facts(roi: Roi, placed: Placed, item: Instance | None, geometry: Geometry) -> dict[str, Any]:
    voxels = 0 if item is None else item.voxel_count
    return {
        "roi": roi.number,
        "contours": len(placed.rings.ends),
        "slices": len(np.unique(placed.rings.planes)),
        "area_times_spacing_ml": round(placed.area_ml, 6),
        "voxels_ml": round(voxels * geometry.voxel_ml, 6),
    }
