"""What lies at a path for people to choose from: each volume with its size and description."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from medseg.errors import InputRefused
from medseg.io import read
from medseg.io.inspection import Finding, survey
from medseg.types import Modality, Shape, Unit, Volume
from medseg_napari.view.facts import StudySource

if TYPE_CHECKING:
    from medseg.io.dicom.report import VolumeReport

_SHOWN_SIDE = 96
_DESCRIBING_TAGS = ("SeriesDescription", "ProtocolName")


@dataclass(frozen=True)
class Choice:
    """One volume or segmentation, or why it cannot be read; `shape`, `spacing_mm` are (z, y, x).

    `title` names it as `medseg inspect` does. `description` is what the scanner's operator called
    it: for the screen of whoever has the files, never for a log. `objects` is how many a
    segmentation holds, None for an image.
    """

    title: str
    description: str
    files: int
    shape: Shape | None
    spacing_mm: tuple[float, float, float] | None
    modality: Modality
    unit: Unit
    source: StudySource
    refusal: InputRefused | None = None
    objects: int | None = None

    @property
    def size(self) -> str:
        """Columns, rows and slices, and the voxel's edges in mm, as people say them."""
        if self.shape is None or self.spacing_mm is None:
            return f"{self.files} file{'' if self.files == 1 else 's'}"
        (z, y, x), (dz, dy, dx) = self.shape, self.spacing_mm
        return f"{x} × {y} × {z} voxels of {dx:.3g} × {dy:.3g} × {dz:.3g} mm"

    def read(self) -> Volume:
        """The volume; raises InputRefused with what `refusal` says, or what reading shows."""
        if self.refusal is not None:
            raise self.refusal
        place = Path(self.source.path or "")
        return read(place, series=self.source.series, volume=self.source.volume)


def list_choices(path: str | Path) -> list[Choice]:
    """Every volume at a path, sound or refused, in the order of `medseg inspect`.

    Headers alone are read, of segmentations the objects too. DICOM that is no image is left out.

    Raises InputRefused for the path as a whole.
    """
    place = Path(path)
    with tempfile.TemporaryDirectory() as index:  # a second look at the headers is quick
        found = survey(place, index=Path(index))
        described = _descriptions(place, Path(index)) if _has_dicom(found.findings) else {}
    alone = sum(bool(one.series) and one.status != "skipped" for one in found.findings) == 1
    return [
        one
        for finding in found.findings
        for one in _choices(finding, place, described, alone=alone)
    ]


def thumbnail(volume: Volume, side: int = _SHOWN_SIDE) -> NDArray[np.uint8]:
    """The middle slice of a volume as grey values, the longer side `side` pixels, upright."""
    from medseg.io.preview_strip import thumbnail as middle_slice  # matplotlib loads here

    shown = middle_slice(volume, "").shown
    low, high = shown.limits
    image = np.asarray(shown.view.image, dtype=np.float64)
    grey = np.clip((image - low) / (high - low), 0.0, 1.0)
    lengths_mm = np.multiply(image.shape, shown.view.spacing_mm)
    rows, columns = np.maximum(1, np.rint(side * lengths_mm / lengths_mm.max())).astype(int)
    picked = grey[np.ix_(_spread(image.shape[0], rows), _spread(image.shape[1], columns))]
    return np.asarray(np.rint(255 * picked), dtype=np.uint8)


def _spread(length: int, pixels: int) -> NDArray[np.int64]:
    """The index that each of `pixels` shows of `length`."""
    return np.minimum(((np.arange(pixels) + 0.5) * length / pixels).astype(np.int64), length - 1)


def _has_dicom(findings: tuple[Finding, ...]) -> bool:
    return any(one.series for one in findings)


def _choices(
    finding: Finding, place: Path, described: dict[str, str], *, alone: bool
) -> Iterator[Choice]:
    """The volumes of a finding; `alone` says that no other series lies in the folder."""
    if finding.status == "skipped":
        return
    if not finding.series:
        file = place / finding.what if place.is_dir() else place
        yield _choice(finding, finding, finding.what, "", StudySource(str(file)))
        return
    description = described.get(finding.series, "")
    if not finding.volumes:
        source = StudySource(str(place), finding.series)
        yield _choice(finding, finding, finding.what, description, source)
    for one in finding.volumes:
        several = len(finding.volumes) > 1
        number = one.number if several or not alone else None  # by it, its work lies apart
        source = StudySource(str(place), finding.series, number)
        label = f", volume {one.number}: {one.label}" if several else ""
        yield _choice(finding, one, f"{finding.what}{label}", description, source)


def _choice(
    finding: Finding,
    what: Finding | VolumeReport,
    title: str,
    description: str,
    source: StudySource,
) -> Choice:
    refusal = None
    if what.code:
        refusal = InputRefused(what.code, title, what.detail, what.remedy)
    return Choice(
        title=title,
        description=description,
        files=finding.files,
        shape=what.shape,
        spacing_mm=what.spacing_mm,
        modality=finding.modality,
        unit=what.unit,
        source=source,
        refusal=refusal,
        objects=finding.instances,
    )


def _descriptions(place: Path, index: Path) -> dict[str, str]:
    """What the first file of each series says of it, by the series' code; "" where nothing."""
    import pydicom

    from medseg.io.dicom import scan_tree
    from medseg.io.dicom.tags import PARSE_ERRORS, quiet_pydicom

    found = {}
    for series in scan_tree(place, index=index).images:
        with quiet_pydicom(), suppress(*PARSE_ERRORS, OSError):
            header = pydicom.dcmread(
                series.frames[0].file.path,
                specific_tags=list(_DESCRIBING_TAGS),
                stop_before_pixels=True,
            )
            words = (str(header.get(name) or "").strip() for name in _DESCRIBING_TAGS)
            found[series.pseudonym] = next((text for text in words if text), "")
    return found
