"""Where the images of a batch's results lie, legible to the site alone, and reading them there."""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Self

from medseg.errors import InputRefused
from medseg.io.atomic import atomic_path
from medseg.io.grey import LIKE_GREY_VALUES
from medseg.io.images import read, with_said
from medseg.io.instances import read_instances
from medseg.io.pseudonyms import unveiled, veiled
from medseg.types import Modality, Unit, Volume

if TYPE_CHECKING:
    from medseg.io.dicom import Checked, PetUnits

SOURCES = "sources"


@dataclass(frozen=True, slots=True)
class ImageInput:
    """One image that a job reads: a file that is no DICOM, or the files of one DICOM series.

    `files` are absolute paths. `series_uid` is "" for a file that is no DICOM. `volume` chooses one
    of several in the series, counted from 1; None where there is one.
    """

    files: tuple[str, ...] = field(repr=False)
    series_uid: str = field(default="", repr=False)
    volume: int | None = None

    @classmethod
    def from_dict(cls, said: Mapping[str, Any]) -> Self:
        """What `asdict` gave."""
        return cls(tuple(said["files"]), said["series_uid"], said["volume"])


Images = Mapping[str, ImageInput]
"""The images of a job by channel, the first channel first."""


class ReadImage(NamedTuple):
    """A volume, and the series that it was read from if it is DICOM."""

    volume: Volume
    checked: Checked | None


def write_sources(
    out: Path, images: Mapping[str, Images], kept: Collection[str], veil: bytes
) -> None:
    """Write OUT/sources: a line for each job's key and, veiled, its files and series.

    Lines of earlier plans stay for keys in `kept`.

    Raises OutputError.
    """
    earlier = [line for key, line in _lines(out) if key in kept and key not in images]
    with atomic_path(out / SOURCES) as temporary, temporary.open("w", encoding="ascii") as file:
        for line in earlier:
            file.write(line)
        for key, channels in images.items():
            said = json.dumps({name: asdict(one) for name, one in channels.items()}).encode()
            text = base64.b64encode(veiled(zlib.compress(said), veil)).decode("ascii")
            file.write(f"{key} {text}\n")


def read_sources(out: Path, veil: bytes, keys: Collection[str] | None = None) -> dict[str, Images]:
    """The images of jobs by key, of `keys` alone where given.

    Raises ValueError where `veil` is not `Pseudonyms.key` of the secret that made the batch.
    """
    found: dict[str, Images] = {}
    for key, line in _lines(out):
        if keys is None or key in keys:
            data = unveiled(base64.b64decode(line.partition(" ")[2]), veil)
            said: Mapping[str, Any] = json.loads(zlib.decompress(data))
            found[key] = {name: ImageInput.from_dict(one) for name, one in said.items()}
    return found


def read_image(
    image: ImageInput,
    *,
    modality: Modality | None = None,
    unit: Unit | None = None,
    pet: PetUnits = "physical",
) -> ReadImage:
    """Read an image from its files, the rest as in `read`.

    Raises InputRefused as `read` does, `series-unknown` where the files became those of another
    series, and `label-map-as-image` where nobody chose the file and its values are objects. Its
    subject and texts may name a file, see `without_names`.
    """
    if not image.series_uid:
        volume = read(image.files[0], modality=modality, unit=unit)
        _refuse_labels(volume, Path(image.files[0]))
        return ReadImage(volume, None)
    from medseg.io.dicom import check, read_checked, series_of_files  # pydicom loads here

    series = series_of_files(image.files)
    if series.uid != image.series_uid:
        raise InputRefused(
            "series-unknown",
            series.subject,
            "the files belong to another series than when the batch was planned",
            "run the same command again",
        )
    checked = check(series)
    wanted: PetUnits = "SUVbw" if pet == "physical" and unit == "SUVbw" else pet
    volume = read_checked(checked, image.volume, pet=wanted)
    return ReadImage(with_said(volume, modality, unit, series.subject), checked)


def _refuse_labels(volume: Volume, path: Path) -> None:
    """Refuse a file that reads as objects without a doubt: label maps lie beside images."""
    if volume.array.dtype.kind not in "iub" or volume.array.min() < 0:
        return
    try:
        found = read_instances(path)
    except InputRefused:
        return
    if not any(one.code == LIKE_GREY_VALUES for one in found.warnings):
        raise InputRefused(
            "label-map-as-image",
            path.name,
            "its whole numbers lie together as in a label map",
            "move label maps out of the folder, or leave them out by a rule on their names",
        )


def without_names(text: str, images: Iterable[ImageInput]) -> str:
    """The text with every name of a file of the images, whole or without its ending, put aside."""
    paths = [Path(file) for image in images for file in image.files]
    names = {part for path in paths for part in (str(path), path.name, path.name.split(".")[0])}
    for name in sorted(names, key=len, reverse=True):
        if len(name) > 2 and name in text:
            text = text.replace(name, "the file")
    return text


def _lines(out: Path) -> Iterator[tuple[str, str]]:
    path = out / SOURCES
    if path.is_file():
        with path.open(encoding="ascii") as file:
            for line in file:
                yield line.partition(" ")[0], line
