"""Finds what is wrong with a data set before anything is trained on it, one case in memory."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import numpy as np

from medseg.errors import InputRefused
from medseg.io import check_values, read, read_instances, require_same_grid
from medseg.measurement.parts import labelled_parts
from medseg.training.datasets import (
    Case,
    decathlon_cases,
    folder_cases,
    label_value,
    list_cases,
    read_dataset_json,
)
from medseg.training.faults import (
    LARGEST_SHARE_OF_FIELD,
    CaseFacts,
    DataReport,
    Expected,
    Fault,
    ObjectFacts,
    fault,
    faults_of_the_set,
    refusal,
    sided_pairs,
)
from medseg.training.recipe import Recipe
from medseg.training.sections import DecathlonData, FolderData, PhantomData
from medseg.types import Geometry, Instance, Instances, Volume

Progress = Callable[[int, int], None]

__all__ = ["DataReport", "Fault", "check_cases", "check_folder", "refuse_faulty"]


def check_folder(
    folder: Path, *, recipe: Recipe | None = None, progress: Progress | None = None
) -> DataReport:
    """Check a data set that lies in `folder`: `images/` and `labels/`, or a `dataset.json`.

    A recipe tells where in the folder its data lies and which classes there are; without one,
    a case is compared with what the others have.

    Raises:
        InputRefused: the folder holds no data set; single files that cannot be read are faults.
    """
    if not folder.is_dir():
        detail, remedy = "there is no such folder", "give the folder of a data set"
        raise InputRefused("path-missing", folder.name, detail, remedy)
    if recipe is not None and not isinstance(recipe.data, PhantomData):
        cases, expected = _listed(recipe, recipe.data, folder), expected_by(recipe)
    elif (folder / "dataset.json").is_file():
        cases, expected = _decathlon(folder / "dataset.json")
    elif (folder / "images").is_dir() and (folder / "labels").is_dir():
        cases = folder_cases({"image": folder / "images"}, folder / "labels")
        expected = Expected(channels=("image",))
    else:
        detail = "holds neither images/ and labels/ nor a dataset.json"
        remedy = "lay the data set out so, or give a recipe that says where it lies"
        raise InputRefused("dataset-invalid", folder.name, detail, remedy)
    return check_cases(folder.name, cases, expected, progress=progress)


def check_cases(
    name: str, cases: Sequence[Case], expected: Expected, *, progress: Progress | None = None
) -> DataReport:
    """Check cases one after the other, then beside each other; errors come first in the report."""
    faults: list[Fault] = []
    facts: list[CaseFacts] = []
    for done, case in enumerate(cases, start=1):
        found, seen = _check_case(case, expected)
        faults += found
        facts.append(seen)
        if progress is not None:
            progress(done, len(cases))
    faults += faults_of_the_set(facts, expected)
    faults.sort(key=lambda one: (one.severity, one.case, one.code))
    return DataReport(name, tuple(cases), tuple(faults), tuple(facts))


def expected_by(recipe: Recipe) -> Expected:
    """What a recipe says of its data: classes, kinds, sizes, modality and required channels."""
    card, data = recipe.model, recipe.data
    possible = {} if isinstance(data, PhantomData) else data.possible_ml
    return Expected(
        names={one.label: one.name for one in card.classes},
        organs=frozenset(one.label for one in card.classes if one.kind == "organ"),
        values="class" if isinstance(data, PhantomData) else data.label_values,
        modality=card.modality,
        channels=tuple(one.name for one in card.channels if one.required),
        possible_ml={one.label: possible[one.name] for one in card.classes if one.name in possible},
    )


def refuse_faulty(report: DataReport, *, leave_out: bool) -> list[Case]:
    """The cases to train with: all where none has an error, else those without, if told so.

    Raises:
        InputRefused: `dataset-invalid` where cases have errors and are not to be left out, or
            where none is without.
    """
    faulty = report.faulty
    sound = [case for case in report.cases if case.id not in faulty]
    if faulty and (not leave_out or not sound):
        first = next(one for one in report.faults if one.severity == "error")
        detail = (
            f"{len(faulty)} of {len(report.cases)} cases are faulty, "
            f"first {first.case}: {first.detail} ({first.code})"
        )
        remedy = "list all with medseg check-data; then mend, exclude or leave out those cases"
        raise InputRefused("dataset-invalid", report.name, detail, remedy)
    return sound


def _listed(recipe: Recipe, data: FolderData | DecathlonData, folder: Path) -> list[Case]:
    """The cases of a recipe; all of a folder that holds none of those that the recipe names."""
    lists = ("validation", "held_out", "exclude", "folds")
    anywhere = data.model_copy(update=dict.fromkeys(lists, ()))
    cases = list_cases(recipe.model_copy(update={"data": anywhere}), folder)
    named = {case for part in lists[:3] for case in data.cases(part)}
    named |= {case for fold in data.folds for case in fold}
    return list_cases(recipe, folder) if named & {one.id for one in cases} else cases


def _decathlon(path: Path) -> tuple[list[Case], Expected]:
    listed = read_dataset_json(path)
    labels, modalities = listed.get("labels"), listed.get("modality")
    names: dict[int, str] = {}
    if isinstance(labels, dict):
        names = {int(value): str(name) for value, name in labels.items() if value.isdigit()}
    names.pop(0, None)
    channels = [str(one) for one in modalities.values()] if isinstance(modalities, dict) else []
    channels = channels or ["image"]
    return decathlon_cases(path, channels), Expected(names=names, channels=tuple(channels))


def _check_case(case: Case, expected: Expected) -> tuple[list[Fault], CaseFacts]:
    faults: list[Fault] = []
    seen, grid = _check_images(case, expected, faults)
    if case.label is None:
        return [*faults, fault(case.id, "label-missing", "an image without label map")], seen
    try:
        truth = read_instances(case.label, values=expected.values)
    except InputRefused as refused:
        return [*faults, refusal(case.id, refused)], seen
    try:
        if grid is not None:
            require_same_grid(truth.geometry, grid, case.id)
    except InputRefused as refused:
        faults.append(refusal(case.id, refused))
    grid = grid or truth.geometry
    return [*faults, *_label_faults(case, truth, expected)], replace(
        seen,
        shape=grid.shape,
        spacing_mm=_spacing_spl(grid),
        objects=_object_facts(truth, expected),
    )


def _check_images(
    case: Case, expected: Expected, faults: list[Fault]
) -> tuple[CaseFacts, Geometry | None]:
    """The facts and the grid of the first channel; what is wrong is added to `faults`."""
    seen, grid = CaseFacts(case.id), None
    for n, channel in enumerate(dict.fromkeys((*expected.channels, *case.images))):
        path = case.images.get(channel)
        if path is None:
            several = len(expected.channels) > 1
            detail = f"no image of channel {channel}" if several else "a label map without image"
            faults.append(fault(case.id, "image-missing", detail))
            continue
        try:
            volume = read(path)
            check_values(volume, path.name)
        except InputRefused as refused:
            faults.append(refusal(case.id, refused))
            continue
        if n == 0:
            seen, grid = _image_facts(case, volume), volume.geometry
        elif grid is not None:
            faults += _channel_faults(case, channel, volume.geometry, grid)
    return seen, grid


def _channel_faults(case: Case, channel: str, mine: Geometry, first: Geometry) -> list[Fault]:
    try:
        require_same_grid(mine, first, case.id)
    except InputRefused:
        detail = f"channel {channel} lies on another grid than the first"
        return [fault(case.id, "channel-grid", detail)]
    return []


def _image_facts(case: Case, volume: Volume) -> CaseFacts:
    # Equal values in another type are the same image, so all are hashed as float32.
    values = np.ascontiguousarray(volume.array, dtype=np.float32)
    digest = hashlib.sha256(repr(values.shape).encode())
    digest.update(cast("Any", values).data)
    return CaseFacts(
        case.id,
        volume.geometry.shape,
        _spacing_spl(volume.geometry),
        digest.hexdigest(),
        float(values.min()),
        float(values.max()),
    )


def _label_faults(case: Case, truth: Instances, expected: Expected) -> list[Fault]:
    if not truth.items:
        # Someone without a lesion is a case like others; someone without an organ is not.
        no_organ = expected.organs is not None and not expected.organs
        detail = "its label map holds no object"
        return [fault(case.id, "label-empty", detail, "warning" if no_organ else None)]
    faults: list[Fault] = []
    if expected.names and expected.values == "class":
        lost = [one for one in truth.items if label_value(one, expected.names) == 0]
        if lost:
            more = f" (and {len(lost) - 1} more)" if len(lost) > 1 else ""
            detail = f"no class has label {lost[0].id}{more}; there are {dict(expected.names)}"
            faults.append(fault(case.id, "class-unknown", detail))
    voxels = int(np.prod(truth.geometry.shape))
    for item in truth.items:
        share = item.voxel_count / voxels
        if share > LARGEST_SHARE_OF_FIELD:
            detail = f"{expected.title(item.id)} fills {100 * share:.0f} % of the image"
            faults.append(fault(case.id, "size-impossible", detail))
    return faults


def _object_facts(truth: Instances, expected: Expected) -> dict[int, ObjectFacts]:
    """What was seen of each label value, or of each object where values number objects."""
    objects: dict[int, ObjectFacts] = {}
    names = expected.names if expected.values == "class" else {}
    sided = {value for pair in sided_pairs(names) for value in pair}
    for item in truth.items:
        value = label_value(item, names) or item.id
        voxels = item.voxel_count
        facts = ObjectFacts(voxels, voxels * truth.geometry.voxel_ml, 1, voxels)
        if expected.is_organ(value):
            pieces, _ = labelled_parts(item.mask)
            sizes = np.bincount(pieces.ravel())[1:]
            facts = facts._replace(components=sizes.size, largest=int(sizes.max()))
        if value in sided:
            facts = facts._replace(left_mm=_middle_lps_mm(item, truth.geometry)[0])
        objects[value] = objects[value].joined(facts) if value in objects else facts
    return objects


def _middle_lps_mm(item: Instance, grid: Geometry) -> tuple[float, float, float]:
    inside = [
        axis.mean() + part.start for axis, part in zip(np.nonzero(item.mask), item.box, strict=True)
    ]
    x, y, z = grid.index_to_world(inside)
    return float(x), float(y), float(z)


def _spacing_spl(grid: Geometry) -> tuple[float, float, float]:
    axes, flips = grid.closest_axes()
    return grid.reoriented(axes, flips).spacing_mm
