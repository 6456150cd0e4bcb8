"""Data sets: which cases there are, which part of a training each is for, and reading one.

Nothing is paired by order: an image and a label belong together because their names say so.
"""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

from medseg.card import Card
from medseg.errors import InputRefused
from medseg.io import check_values, read, read_instances, require_same_grid
from medseg.measurement.components import split_components
from medseg.phantom import Phantom, nested_lesions, touching_lesions
from medseg.phantom.lobed import lobed_lesions
from medseg.phantom.toy import toy_cubes
from medseg.training.recipe import Recipe
from medseg.training.sections import DecathlonData, FolderData, Generator, PhantomData
from medseg.types import InputWarning, Instance, Instances, Modality, Shape, Volume

SUFFIXES = (".nii.gz", ".nii", ".seg.nrrd", ".nrrd", ".mha", ".mhd")
"""File names that are taken for images and label maps."""

GENERATORS: Mapping[Generator, Callable[..., Phantom]] = MappingProxyType(
    {
        "touching_lesions": touching_lesions,
        "nested_lesions": nested_lesions,
        "toy_cubes": toy_cubes,
        "lobed_lesions": lobed_lesions,
    }
)
"""What makes the phantoms that a recipe may name, from a seed and a `shape`."""

ID = "{id}"


@dataclass(frozen=True)
class Case:
    """Where one case lies: a file or DICOM folder for each channel, and a label map.

    A case without all its parts is listed too, so that a check can name it.
    """

    id: str
    images: Mapping[str, Path]
    label: Path | None


@dataclass(frozen=True)
class PhantomCase:
    """A case that is made, not read."""

    id: str
    seed: int
    generator: Generator
    shape: Shape


@dataclass(frozen=True)
class Split:
    """The cases for fitting weights, for watching them, and for the one test at the end."""

    training: tuple[Case | PhantomCase, ...]
    validation: tuple[Case | PhantomCase, ...]
    held_out: tuple[Case | PhantomCase, ...]


@dataclass(frozen=True, eq=False)
class LoadedCase:
    """One case in memory: a volume for each channel, and the true objects on the first's grid."""

    id: str
    volumes: Mapping[str, Volume]
    truth: Instances


def list_cases(recipe: Recipe, root: Path) -> list[Case]:
    """The cases of a recipe's files below `root`, by id, without those it excludes.

    Raises:
        InputRefused: `dataset-invalid` where the folders cannot be listed, `recipe-invalid` where
            the recipe names a case or a channel that the data set does not have.
        ValueError: the recipe's data is made from seeds; see `phantom_split`.
    """
    data, channels = recipe.data, [one.name for one in recipe.model.channels]
    if isinstance(data, PhantomData):
        msg = "phantoms have no files to list; use phantom_split"
        raise ValueError(msg)
    if isinstance(data, DecathlonData):
        cases = decathlon_cases(root / data.dataset_json, channels)
    else:
        folders = {name: root / part for name, part in data.image_folders(channels[0]).items()}
        cases = folder_cases(folders, root / data.labels)
    lists = {part: data.cases(part) for part in ("validation", "held_out", "exclude")}
    lists |= {f"folds.{n}": fold for n, fold in enumerate(data.folds, start=1)}
    for part, named in lists.items():
        _refuse_unknown(part, named, [case.id for case in cases])
    return [case for case in cases if case.id not in data.exclude]


def split_cases(data: FolderData | DecathlonData, cases: Iterable[Case]) -> Split:
    """The parts as the recipe names them; a case that it does not name is trained on.

    Cases that the recipe names and `cases` lacks, such as faulty ones left out, are in no part.

    Raises:
        InputRefused: `dataset-invalid` where nothing is left to train on.
    """
    by_id = {case.id: case for case in cases}
    validation = tuple(by_id[one] for one in data.validation if one in by_id)
    held_out = tuple(by_id[one] for one in data.held_out if one in by_id)
    named = {*data.validation, *data.held_out, *data.exclude}
    training = tuple(case for case in by_id.values() if case.id not in named)
    if not training:
        detail, remedy = "no case is left to train on", "name fewer cases in the recipe's lists"
        raise InputRefused("dataset-invalid", data.name, detail, remedy)
    return Split(training, validation, held_out)


def phantom_split(data: PhantomData) -> Split:
    """The phantoms of each part, by seed."""
    training, validation, held_out = (
        tuple(PhantomCase(f"seed-{seed}", seed, data.generator, data.shape) for seed in seeds)
        for seeds in data.seeds.values()
    )
    return Split(training, validation, held_out)


def load_case(case: Case | PhantomCase, recipe: Recipe) -> LoadedCase:
    """Read a case, its truth in the classes of the recipe.

    Of a label map of classes, an organ is one object and each 26-connected component of a lesion
    class is one. Channels keep their own grids.

    Raises:
        InputRefused: what reading raises; `channel-missing`; `grid-mismatch` where label map and
            first channel differ; `dataset-invalid` for no label map or a value without a class.
    """
    if isinstance(case, PhantomCase):
        return _make_phantom(case, recipe.model)
    card = recipe.model
    volumes = {
        one.name: _read_channel(case, one.name, card.modality)
        for one in card.channels
        if one.required or one.name in case.images
    }
    first = volumes[card.channels[0].name]
    values = "class" if isinstance(recipe.data, PhantomData) else recipe.data.label_values
    truth = _read_truth(case, card, values)
    require_same_grid(truth.geometry, first.geometry, case.id)
    return LoadedCase(case.id, volumes, replace(truth, geometry=first.geometry))


def folder_cases(images: Mapping[str, Path], labels: Path) -> list[Case]:
    """Cases of image folders (one a channel) and a label folder, paired by name, sorted by id.

    A folder inside an image folder is a DICOM series named by it. A path whose last part holds
    `{id}` is a pattern of file names.
    """
    found = {channel: _by_id(path, series=True) for channel, path in images.items()}
    labelled = _by_id(labels, series=False)
    ids = sorted({*labelled, *(case for files in found.values() for case in files)})
    if not ids:
        detail, remedy = "holds no image and no label map", f"bring files of {', '.join(SUFFIXES)}"
        raise InputRefused("dataset-invalid", labels.parent.name, detail, remedy)
    return [
        Case(
            one,
            {channel: files[one] for channel, files in found.items() if one in files},
            labelled.get(one),
        )
        for one in ids
    ]


def decathlon_cases(path: Path, channels: Sequence[str]) -> list[Case]:
    """The cases that a `dataset.json` of the Medical Segmentation Decathlon lists for training.

    Its cases have one channel, the first of `channels`.

    Raises:
        InputRefused: `dataset-invalid` where the list is faulty, or where its files hold several
            channels, which no reader takes apart.
    """
    listed = read_dataset_json(path)
    modalities = listed.get("modality")
    if isinstance(modalities, Mapping) and len(modalities) > 1:
        detail = f"its files hold {len(modalities)} channels each"
        remedy = 'write each channel to a folder of its own, and use data.kind "folders"'
        raise InputRefused("dataset-invalid", path.name, detail, remedy)
    if len(channels) > 1:
        detail = f"{path.name} has one channel, the recipe {', '.join(channels)}"
        raise InputRefused("recipe-invalid", "model.channels", detail, "name one channel")
    cases: dict[str, Case] = {}
    for entry in listed["training"]:
        if not isinstance(entry, Mapping) or not isinstance(entry.get("image"), str):
            detail = f"an entry of training names no image: {str(entry)[:60]}"
            raise _no_dataset_json(path.name, detail)
        image = path.parent / entry["image"]
        label = path.parent / entry["label"] if isinstance(entry.get("label"), str) else None
        case = stem(image.name) or image.name
        if case in cases:
            raise _no_dataset_json(path.name, f"case {case} stands in it twice")
        cases[case] = Case(case, {channels[0]: image}, label)
    return sorted(cases.values(), key=lambda one: one.id)


def read_dataset_json(path: Path) -> dict[str, Any]:
    """The content of a `dataset.json`, checked for the list of training cases.

    Raises InputRefused: `path-missing`, or `dataset-invalid` with what is wrong.
    """
    try:
        listed = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        detail, remedy = "there is no such file", "give the folder that holds it as data root"
        raise InputRefused("path-missing", path.name, detail, remedy) from error
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise _no_dataset_json(path.name, f"cannot be read: {error}") from error
    if not isinstance(listed, dict) or not isinstance(listed.get("training"), list):
        raise _no_dataset_json(path.name, "has no list named training")
    if not listed["training"]:
        raise _no_dataset_json(path.name, "lists no case for training")
    return listed


def files_by_id(path: Path) -> dict[str, Path]:
    """The label maps of a folder, or of a pattern that holds `{id}`, sorted, by case.

    Raises InputRefused: `path-missing`, or `dataset-invalid` where two files are one case by name.
    """
    return _by_id(path, series=False)


def stem(name: str) -> str | None:
    """A file's name without the suffix of an image; None where it has none, or is hidden."""
    if name.startswith("."):
        return None
    known = [suffix for suffix in SUFFIXES if name.lower().endswith(suffix)]
    return name[: -len(known[0])] if known and len(name) > len(known[0]) else None


def label_value(item: Instance, names: Mapping[int, str]) -> int:
    """The value of the class that an object read from a file is of, 0 for no class of `names`.

    A label map says it by value. A .seg.nrrd says it by name, since there values number segments.
    """
    if item.class_name in (f"class_{item.id}", "object") or not names:
        return item.id if not names or item.id in names else 0
    return next((value for value, name in names.items() if name == item.class_name), 0)


def _by_id(path: Path, *, series: bool) -> dict[str, Path]:
    folder, pattern = (path.parent, path.name) if ID in path.name else (path, None)
    if not folder.is_dir():
        detail, remedy = "there is no such folder", "give the folder that holds it as data root"
        raise InputRefused("path-missing", folder.name, detail, remedy)
    found: dict[str, Path] = {}
    for entry in sorted(folder.iterdir()):
        case = _id_of(entry, pattern, series=series)
        if case is None:
            continue
        if case in found:
            detail = f"{found[case].name} and {entry.name} in {folder.name} are one case by name"
            raise InputRefused("dataset-invalid", case, detail, "keep one of the two")
        found[case] = entry
    return found


def _id_of(entry: Path, pattern: str | None, *, series: bool) -> str | None:
    if pattern is not None:
        before, _, after = pattern.partition(ID)
        match = re.fullmatch(f"{re.escape(before)}(.+){re.escape(after)}", entry.name)
        return match.group(1) if match and not entry.name.startswith(".") else None
    if entry.is_dir():
        return entry.name if series and not entry.name.startswith(".") else None
    return stem(entry.name)


def _refuse_unknown(part: str, named: Sequence[str], known: Collection[str]) -> None:
    lost = [one for one in named if one not in known]
    if lost:
        near = difflib.get_close_matches(lost[0], list(known), n=1)
        hint = f"; did you mean {near[0]}?" if near else ""
        more = f" (and {len(lost) - 1} more)" if len(lost) > 1 else ""
        detail = f"the data set has no case {lost[0]!r}{hint}{more}"
        remedy = "mend the list in the recipe, or bring the files"
        raise InputRefused("recipe-invalid", f"data.{part}", detail, remedy)


def _read_channel(case: Case, channel: str, modality: Modality) -> Volume:
    if channel not in case.images:
        detail = f"there is no image of the channel {channel!r}"
        raise InputRefused(
            "channel-missing", case.id, detail, "bring the file, or exclude the case"
        )
    volume = read(case.images[channel], modality=modality)
    check_values(volume, case.id)
    return _with_unit(volume, f"{case.id}, channel {channel!r}")


def _with_unit(volume: Volume, subject: str) -> Volume:
    """MR is in arbitrary units always and CT taken to be in HU, which a warning says.

    PET may be in Bq/ml or SUV, so its unit stays unknown: preprocessing says what it assumes.
    """
    if volume.unit != "unknown" or volume.modality not in ("CT", "MR"):
        return volume
    if volume.modality == "MR":
        return replace(volume, unit="arbitrary")
    low, high = volume.array.min(), volume.array.max()
    detail = f"{subject} does not say its unit: taken as HU (values {low:g} to {high:g})"
    note = InputWarning("unit-assumed", detail)
    return replace(volume, unit="HU", warnings=(*volume.warnings, note))


def _read_truth(case: Case, card: Card, values: Literal["class", "instance"]) -> Instances:
    if case.label is None:
        detail, remedy = "there is no label map", "bring the file, or exclude the case"
        raise InputRefused("dataset-invalid", case.id, detail, remedy)
    found = read_instances(case.label, values=values)
    classes = card.instance_classes
    if values == "instance":
        (one,) = classes
        items = [replace(item, class_name=one.name, kind=one.kind) for item in found.items]
        return replace(found, items=items, classes=classes)
    by_label = {one.label: one for one in classes}
    names = {one.label: one.name for one in classes}
    items = []
    for item in found.items:
        value = label_value(item, names)
        if value not in by_label:
            detail = f"{item.class_name} is no class; there are {names}"
            remedy = "mend the label map, add the class, or exclude the case"
            raise InputRefused("dataset-invalid", case.id, detail, remedy)
        items.append(replace(item, class_name=names[value], kind=by_label[value].kind))
    return split_components(replace(found, items=items, classes=classes), connectivity=26)


def _make_phantom(case: PhantomCase, card: Card) -> LoadedCase:
    made = GENERATORS[case.generator](case.seed, shape=case.shape)
    kinds = {(one.name, one.kind, one.label) for one in made.truth.classes}
    if kinds != {(one.name, one.kind, one.label) for one in card.classes}:
        wanted = ", ".join(f"{one.label} {one.name} ({one.kind})" for one in made.truth.classes)
        detail = f"{case.generator} makes {wanted}"
        raise InputRefused("recipe-invalid", "model.classes", detail, "name those classes")
    return LoadedCase(case.id, {card.channels[0].name: made.volume}, made.truth)


def _no_dataset_json(name: str, detail: str) -> InputRefused:
    remedy = "write it as the Decathlon does"
    return InputRefused("dataset-invalid", name, detail, remedy)
