"""What `medseg measure` reads: the objects, what it assumes of them, organs and an image."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from medseg.cli.errors import about
from medseg.cli.options import ValuesName

if TYPE_CHECKING:
    from medseg.io.dicom_out import Source
    from medseg.types import Geometry, Instances, Kind, Volume


class Reading(NamedTuple):
    """What was said of LABELS; `parts` is what connects parts that become rows, None for none.

    What is smaller than `min_volume_ml` is left out, of parts each by itself.
    """

    values: ValuesName
    names: Path | None
    kind: Kind | None
    parts: Literal[6, 18, 26] | None
    min_volume_ml: float | None


class Drawn(NamedTuple):
    """The objects of a file, and the names of classes that are assumed to be of lesions.

    `named` is whether the file tells classes apart, so that some of them may be organs.
    """

    found: Instances
    assumed: frozenset[str]
    named: bool


def read_objects(labels: Path, reading: Reading, source: Source | Geometry | None = None) -> Drawn:
    """The objects of LABELS; a class of unsaid kind is one of organs, or of lesions to be split.

    `source` is what a SEG or RTSTRUCT was drawn on.
    """
    from medseg.io import read_instances
    from medseg.io.instances import holds_segments
    from medseg.io.names import read_names
    from medseg.measurement import split_components, without_small

    values, names, kind, parts, min_volume_ml = reading
    kind = kind or ("organ" if values == "class" and parts is None else "lesion")
    classes = None if names is None else read_names(names, kind=kind)
    found = read_instances(labels, values=values, kind=kind, classes=classes, source=source)
    segments = names is None and holds_segments(labels)
    assumed: frozenset[str] = frozenset()
    if reading.kind is None and kind == "lesion":
        assumed = _assumed(labels, found, names, source if segments else None, segments=segments)
    if parts is not None:
        found = split_components(found, connectivity=parts)
    if min_volume_ml is not None:
        found = without_small(found, min_volume_ml=min_volume_ml)
    return Drawn(found, assumed, values == "class" or segments)


def _assumed(
    labels: Path,
    found: Instances,
    names: Path | None,
    source: Source | Geometry | None,
    *,
    segments: bool,
) -> frozenset[str]:
    """The classes that would be of organs, if that were assumed."""
    from medseg.io import read_instances
    from medseg.io.names import read_names

    if names is not None:
        others = read_names(names, kind="organ")
    elif not segments:
        return frozenset(one.name for one in found.classes)
    elif _says_kinds(labels):
        return frozenset()
    else:
        others = read_instances(labels, kind="organ", source=source).classes
    organs = {one.name for one in others if one.kind == "organ"}
    return frozenset(one.name for one in found.classes if one.kind == "lesion") & organs


def _says_kinds(segmentation: Path) -> bool:
    """Whether every segment of a file says its kind, as those that medseg writes do."""
    from medseg.io.images import is_dicom
    from medseg.io.nrrd_image import parse_nrrd

    if is_dicom(segmentation):
        return False  # some segments do, by their codes: both ways of reading are compared
    fields = {str(key): str(value) for key, value in parse_nrrd(segmentation).fields.items()}
    segments = [key.removesuffix("_ID") for key in fields if key.endswith("_ID")]
    return all("medseg.kind:" in fields.get(f"{segment}_Tags", "") for segment in segments)


def read_organs(
    organs: Path, names: Path | None, found: Instances, source: Source | Geometry | None = None
) -> Instances:
    """The organs of --organs, a class a value where it is a label map.

    A SEG or RTSTRUCT is read onto `source`, what it was drawn on; a SEG without it onto the grid of
    the objects.
    """
    from medseg.io import read_instances, require_same_grid
    from medseg.io.names import read_names

    classes = None if names is None else read_names(names, kind="organ")
    grid = found.geometry if source is None else source
    there = read_instances(organs, values="class", classes=classes, source=grid)
    require_same_grid(there.geometry, found.geometry, organs.name, other="objects")
    return there


def read_image(image: Path, said: Mapping[str, Any], found: Instances, labels: str) -> Volume:
    """IMAGE with what was said of it."""
    from medseg.io import read, require_same_grid

    with about(image):
        grey = read(image, **said)
    require_same_grid(found.geometry, grey.geometry, labels)
    return grey
