"""Corrected cases as a data set that `medseg train` reads and `medseg check-data` passes.

`images/<case>.nii.gz`, `labels/<case>.seg.nrrd` (each object with its own mask and class, so that
touching and overlapping lesions stay apart) and a `dataset.json` as the Decathlon's.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from medseg.errors import InputRefused, OutputError
from medseg.io import require_same_grid, write
from medseg.io.atomic import staged, writable_folder
from medseg.types import InstanceClass, Instances, Volume
from medseg_napari.session.agreement import Reading
from medseg_napari.session.cases import CaseList, Status
from medseg_napari.session.store import find_session

IMAGES, LABELS, LISTING = "images", "labels", "dataset.json"
_UNNAMED, _NAMED = "object", "lesion"
"""A label map without names calls its objects so; in a data set that would stand for the id."""

FINISHED: tuple[Status, ...] = ("done",)

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Exported:
    """The cases of a data set, why others are left out, and what a recipe has to know of it.

    `objects` counts them by class; `unsure` are those among them that the reader was unsure of.
    """

    cases: tuple[str, ...]
    left_out: Mapping[str, str]
    classes: tuple[InstanceClass, ...]
    objects: Mapping[str, int]
    unsure: int


def export_cases(
    cases: CaseList,
    target: Path,
    *,
    statuses: Collection[Status] = FINISHED,
    reader: str | None = None,
    keep_empty: bool = False,
    progress: Progress | None = None,
) -> Exported:
    """Write a reader's corrected cases (None: the list's own reader) into a new folder.

    Rejected objects are left out. A case without an object is left out as well, since without a
    recipe `medseg check-data` takes it for a mistake, unless `keep_empty`. All files appear
    together, or none does.

    Raises InputRefused (`dataset-invalid` where no case is left, and what reading raises),
    OutputError (`not-empty` where the folder holds a data set already, and what writing raises).
    """
    chosen, left_out = _chosen(cases, statuses, reader, keep_empty=keep_empty)
    if not chosen:
        why = "; ".join(f"{case}: {reason}" for case, reason in list(left_out.items())[:3])
        detail, remedy = f"no case is left to export ({why})", "finish some cases first"
        raise InputRefused("dataset-invalid", target.name, detail, remedy)
    names = _class_names([reading.kept for reading in chosen.values()])
    writable_folder(target)
    _refuse_full(target)
    modalities = []
    with staged(target, (IMAGES, LABELS, LISTING)) as stage:
        for folder in (IMAGES, LABELS):
            (stage / folder).mkdir()
        for done, (case, reading) in enumerate(chosen.items(), start=1):
            source = find_session(cases.folder(case, reader))
            volume = cases.read_volume(case, source.saved.source if source else None)
            _write_case(stage, case, volume, _renamed(reading.kept, names))
            modalities.append(volume.modality)
            if progress is not None:
                progress(done, len(chosen))
        listing = _listing(cases, [*chosen], names, modalities)
        text = json.dumps(listing, indent=2) + "\n"
        (stage / LISTING).write_text(text, encoding="utf-8")
    return _report(chosen, left_out, names)


def _chosen(
    cases: CaseList, statuses: Collection[Status], reader: str | None, *, keep_empty: bool
) -> tuple[dict[str, Reading], dict[str, str]]:
    chosen: dict[str, Reading] = {}
    left_out: dict[str, str] = {}
    for case in cases.cases:
        status, folder = cases.status(case.id, reader), cases.folder(case.id, reader)
        if status not in statuses:
            left_out[case.id] = status
        elif find_session(folder) is None:
            left_out[case.id] = "no session"
        else:
            reading = Reading.of(folder)
            if len(reading.kept) or keep_empty:
                chosen[case.id] = reading
            else:
                left_out[case.id] = "no object"
    return chosen, left_out


def _class_names(found: Sequence[Instances]) -> dict[str, InstanceClass]:
    """The classes of all cases by the names that they have in the sessions, with labels of 1..n.

    Raises InputRefused where a class is an organ in one case and a lesion in another.
    """
    names: dict[str, InstanceClass] = {}
    for one in (one for instances in found for one in instances.classes):
        known = names.get(one.name)
        if known is not None and known.kind != one.kind:
            detail = "is an organ in one case and a lesion in another"
            raise InputRefused("dataset-invalid", one.name, detail, "name the two apart")
        if known is None:
            title = one.name
            while title == _UNNAMED or (title != one.name and title in names):
                title = _NAMED if title == _UNNAMED else f"{title}_{_UNNAMED}"
            names[one.name] = replace(one, name=title, label=len(names) + 1)
    return names


def _renamed(instances: Instances, names: Mapping[str, InstanceClass]) -> Instances:
    return replace(
        instances,
        items=[replace(item, class_name=names[item.class_name].name) for item in instances],
        classes=tuple(names.values()),
    )


def _write_case(stage: Path, case: str, volume: Volume, objects: Instances) -> None:
    require_same_grid(objects.geometry, volume.geometry, f"the objects of {case}")
    write(volume, stage / IMAGES / f"{case}.nii.gz")
    write(objects, stage / LABELS / f"{case}.seg.nrrd")


def _listing(
    cases: CaseList,
    chosen: Sequence[str],
    names: Mapping[str, InstanceClass],
    modalities: Sequence[str],
) -> dict[str, Any]:
    kinds = set(modalities)
    return {
        "name": cases.out.name,
        "description": "corrected with medseg",
        "modality": {"0": kinds.pop() if len(kinds) == 1 else "unknown"},
        "labels": {"0": "background"} | {str(one.label): one.name for one in names.values()},
        "kinds": {one.name: one.kind for one in names.values()},
        "numTraining": len(chosen),
        "training": [
            {"image": f"./{IMAGES}/{case}.nii.gz", "label": f"./{LABELS}/{case}.seg.nrrd"}
            for case in chosen
        ],
        "numTest": 0,
        "test": [],
    }


def _refuse_full(target: Path) -> None:
    there = [name for name in (IMAGES, LABELS, LISTING) if (target / name).exists()]
    if there:
        raise OutputError(
            code="not-empty",
            subject=target.name,
            detail=f"holds {', '.join(there)} already",
            remedy="choose a new folder",
        )


def _report(
    chosen: Mapping[str, Reading],
    left_out: Mapping[str, str],
    names: Mapping[str, InstanceClass],
) -> Exported:
    objects = dict.fromkeys((one.name for one in names.values()), 0)
    unsure = 0
    for reading in chosen.values():
        for item in reading.kept:
            objects[names[item.class_name].name] += 1
            unsure += reading.decisions.get(item.id) == "unsure"
    return Exported(tuple(chosen), dict(left_out), tuple(names.values()), objects, unsure)
