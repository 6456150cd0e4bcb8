"""From a path to layers: one way for napari's File menu, `medseg view` and the panels."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from medseg.errors import InputRefused
from medseg.io import read, read_instances, require_same_grid
from medseg.io.dicom_objects import is_dicom_object
from medseg.io.formats import IMAGE_SUFFIXES, file_format, has_suffix
from medseg.io.images import is_dicom
from medseg.io.instances import holds_segments
from medseg.types import InputWarning, Instances, Modality, Unit, Volume
from medseg_napari.view.choices import Choice, list_choices
from medseg_napari.view.facts import LayerFacts, StudySource, facts_of
from medseg_napari.view.layer_data import LayerData, image_data, labels_data
from medseg_napari.view.objects import read_objects
from medseg_napari.view.study_view import attach

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Layer

CHOICE_NEEDED = frozenset({"several-series", "several-volumes", "several-patients"})
_NOT_DICOM = "no-image-series"


@dataclass(frozen=True)
class Asking:
    """How a person is asked what no file says: which volumes, and whether a file holds labels.

    An empty answer to the first means that nothing is to be opened.
    """

    volumes: Callable[[Sequence[Choice]], Sequence[Choice]]
    labels: Callable[[str], bool]


def read_layers(
    path: str | Path, *, images: Iterable[LayerFacts] = (), asking: Asking | None = None
) -> list[LayerData]:
    """The layers of what lies at a path: an image, or the objects of a segmentation.

    `images` are those that are open, for a SEG or RTSTRUCT that was drawn on one of them. Without
    somebody to ask, several volumes are refused, and a file of whole numbers opens as an image.

    Raises InputRefused with the code of what is wrong.
    """
    place, open_now = Path(path), list(images)
    if is_dicom_object(place) or _names_objects(place):
        objects = read_objects(place, open_now)
        return [labels_data(objects, name=stem(place), source=StudySource(str(place)))]
    perhaps = None if asking is None else _perhaps_objects(place)
    if perhaps is not None and asking is not None and asking.labels(place.name):
        return [labels_data(perhaps, name=stem(place), source=StudySource(str(place)))]
    try:
        volume = read_volume(place)
    except InputRefused as refused:
        choices = _choices(place, refused, asking)
        if choices is None or asking is None:
            raise
        chosen = choices if len(choices) == 1 else asking.volumes(choices)
        return [layer for one in chosen for layer in _chosen(one, place, open_now, asking)]
    return [image_data(volume, name=stem(place), source=_source(volume, place))]


def read_volume(
    path: str | Path,
    *,
    series: str | None = None,
    volume: int | None = None,
    modality: Modality | None = None,
    unit: Unit | None = None,
) -> Volume:
    """As `medseg.read`; PET in SUV, or where its tags do not give that, with a warning, as stored.

    Raises InputRefused as `medseg.read` does.
    """
    chosen: dict[str, Any] = {
        "series": series, "volume": volume, "modality": modality, "unit": unit
    }  # fmt: skip
    try:
        return read(path, **chosen, pet="SUVbw")
    except InputRefused as refused:
        if refused.code != "suv-not-computable" or unit == "SUVbw":
            raise
        found = read(path, **chosen)
        note = InputWarning(refused.code, refused.detail)
        return replace(found, warnings=(*found.warnings, note))


def open_study(
    viewer: ViewerModel,
    volume: Volume,
    *,
    name: str = "image",
    source: StudySource | None = None,
    labels: str | Path | None = None,
) -> list[Layer]:
    """Add an image to a viewer, and the objects of a file that were found in it.

    The patient is shown upright, with letters and scale bar.

    Raises InputRefused (`grid-mismatch`, and as `read_instances` does).
    """
    data = [image_data(volume, name=name, source=source)]
    if labels is not None:
        facts: LayerFacts = data[0][1]["metadata"]["medseg"]
        found = read_objects(labels, [facts])
        place = Path(labels)
        require_same_grid(found.geometry, volume.geometry, place.name)
        data.append(labels_data(found, name=stem(place), source=StudySource(str(place))))
    return add_layers(viewer, data)


def add_layers(viewer: ViewerModel, data: Iterable[LayerData]) -> list[Layer]:
    """Add layers to a viewer whose canvas says what it shows of the patient."""
    attach(viewer)
    add = {"image": viewer.add_image, "labels": viewer.add_labels}
    return [add[kind](array, **keywords) for array, keywords, kind in data]


def open_images(viewer: ViewerModel | None) -> list[LayerFacts]:
    """The images of medseg that are open in a viewer."""
    found = (facts_of(layer) for layer in (() if viewer is None else viewer.layers))
    return [facts for facts in found if facts is not None and facts.volume is not None]


def warnings_of(data: Iterable[LayerData]) -> list[str]:
    """What a person should know of the images and objects of layers, a line each."""
    found: dict[str, None] = {}
    for _, keywords, _ in data:
        facts: LayerFacts = keywords["metadata"]["medseg"]
        for what in (facts.volume, facts.instances):
            for code, detail in () if what is None else what.warnings:
                found[f"{keywords['name']}: {detail} [{code}]"] = None
    return list(found)


def stem(path: Path) -> str:
    """A path's name without the suffix of an image file."""
    name = path.name or str(path)
    known = sorted((".seg.nrrd", *IMAGE_SUFFIXES, ".dcm"), key=len, reverse=True)
    suffix = next((one for one in known if name.lower().endswith(one)), "")
    return name[: len(name) - len(suffix)] or name


def _names_objects(path: Path) -> bool:
    """Whether a file names its objects itself, as .seg.nrrd does."""
    try:
        return (
            has_suffix(path, ".nrrd", ".nhdr")
            and path.is_file()
            and file_format(path) == "NRRD"
            and holds_segments(path)
        )
    except InputRefused:
        return False  # the reader of images says what is wrong


def _perhaps_objects(path: Path) -> Instances | None:
    """The objects of an image file that could as well be a label map: nothing but its use says it.

    None of any other file. All of it is read, on the caller's thread: who opens a file waits for
    it as for its image.
    """
    try:
        found = None if is_dicom(path) else read_instances(path)
    except InputRefused:
        return None
    return found or None


def _choices(place: Path, refused: InputRefused, asking: Asking | None) -> list[Choice] | None:
    """The volumes among which a person may choose, None where the refusal stands."""
    folder_of_images = refused.code == _NOT_DICOM and place.is_dir()
    if asking is None or not (refused.code in CHOICE_NEEDED or folder_of_images):
        return None
    return list_choices(place) or None


def _chosen(
    choice: Choice, place: Path, images: Sequence[LayerFacts], asking: Asking
) -> list[LayerData]:
    if choice.refusal is not None:
        raise choice.refusal
    source = choice.source
    if source.series is None:  # a file, in a folder of image files
        return read_layers(source.path or place, images=images, asking=asking)
    found = read_volume(source.path or place, series=source.series, volume=source.volume)
    return [image_data(found, name=f"{stem(place)}: {choice.title}", source=source)]


def _source(volume: Volume, place: Path) -> StudySource:
    series = volume.meta.get("series")
    return StudySource(str(place), None if series is None else str(series))
