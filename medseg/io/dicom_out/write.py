"""Instances of any origin as DICOM: the objects themselves, and the files in a folder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal, get_args

from pydicom.dataset import Dataset

from medseg.errors import OutputError
from medseg.io.atomic import output_error, staged
from medseg.io.dicom_out.codes import ClassCodes, codes_for
from medseg.io.dicom_out.identity import (
    Algorithm,
    SegKind,
    algorithm_of,
    encoded,
    is_stated,
)
from medseg.io.dicom_out.source import Source
from medseg.io.grids import on_grid
from medseg.types import InputWarning, Instances

if TYPE_CHECKING:
    import pandas as pd

DicomFormat = Literal["seg", "sr", "rtstruct"]
FORMATS: tuple[DicomFormat, ...] = get_args(DicomFormat)
FILES: Mapping[str, str] = MappingProxyType(
    {
        "seg": "instances.seg.dcm",
        "fractional": "probabilities.seg.dcm",
        "sr": "instances.sr.dcm",
        "rtstruct": "instances.rtstruct.dcm",
    }
)
"""The name of each file; none says anything of the patient."""


@dataclass(frozen=True)
class DicomObjects:
    """Objects by the names of their files, and what a reader of them should know.

    `empty` are the names of files that were asked for and have nothing to hold.
    """

    objects: Mapping[str, Dataset]
    warnings: tuple[InputWarning, ...]
    empty: tuple[str, ...] = ()

    @property
    def files(self) -> tuple[str, ...]:
        """The names in the order in which they were made."""
        return tuple(self.objects)

    def save(self, folder: Path) -> None:
        """Write each object under its name into a folder that is there."""
        for name, ds in self.objects.items():
            (folder / name).write_bytes(encoded(ds))

    def remove_empty(self, folder: Path) -> None:
        """Remove what an earlier run left under the names of `empty`, which would contradict.

        Raises OutputError where it cannot be removed.
        """
        for name in self.empty:
            try:
                (folder / name).unlink(missing_ok=True)
            except OSError as error:
                raise output_error(error, folder / name) from error


def dicom_objects(  # noqa: PLR0913 - what a user may say of the objects
    instances: Instances,
    source: Source,
    *,
    formats: Sequence[DicomFormat] = ("seg", "sr"),
    table: pd.DataFrame | None = None,
    codes: Mapping[str, ClassCodes] | None = None,
    algorithm: Algorithm | None = None,
    timestamp: datetime | None = None,
    probabilities: bool = False,
) -> DicomObjects:
    """Instances as objects of DICOM that belong to the study of `source`.

    The grid of the instances is that of the source, or has the same voxels in another order.
    "sr" tells the measures of `table`, which `medseg.measure` made of the same instances, and
    brings the SEG with it, to which it refers. `codes` are of classes by name, others are known
    by their names or written as tissue or lesion, with a warning. `algorithm` is what found them,
    by default what their provenance says. `timestamp` is the moment they are dated to, by default
    now. `probabilities` adds a fractional SEG.

    UIDs come from the content, so the same values give the same UIDs, and the same bytes with the
    same `timestamp`. Without any instance there is no SEG and no RTSTRUCT, which a warning says,
    and the report tells of none.

    Raises InputRefused `grid-mismatch`, OutputError `probabilities-missing`, and ValueError for an
    unknown format or a report without a table.
    """
    wanted = _wanted(formats)
    if "sr" in wanted and table is None:
        msg = "a report tells the measures of a table; give the one of medseg.measure"
        raise ValueError(msg)
    placed = on_grid(instances, source.geometry, "objects")
    known, warnings = codes_for(placed.classes, codes)
    who = algorithm or algorithm_of(placed)
    moment = timestamp or datetime.now()
    if probabilities and not any(item.probability is not None for item in placed.items):
        raise OutputError(
            "probabilities-missing",
            "objects",
            "no object has a probability",
            "leave the probabilities out, or segment with a model that gives them",
        )
    how = _How(known, who, moment)
    made: dict[str, Dataset] = {}
    if placed.items:
        _put_segmentations(made, placed, source, how, wanted, probabilities=probabilities)
    elif "seg" in wanted or "rtstruct" in wanted:
        warnings = (*warnings, InputWarning("no-objects", "there is no object, so no SEG"))
    if "sr" in wanted and table is not None:
        made[FILES["sr"]] = _report(placed, source, how, made.get(FILES["seg"]), table)
    if "rtstruct" in wanted and placed.items:
        made[FILES["rtstruct"]] = _structure_set(placed, source, how)
    asked = {*wanted, *(["seg"] if "sr" in wanted else [])}
    empty = tuple(FILES[one] for one in sorted(asked) if FILES[one] not in made)
    return DicomObjects(MappingProxyType(made), warnings, empty)


def write_dicom(  # noqa: PLR0913 - what a user may say of the objects
    instances: Instances,
    source: Source,
    out: Path,
    *,
    formats: Sequence[DicomFormat] = ("seg", "sr"),
    table: pd.DataFrame | None = None,
    codes: Mapping[str, ClassCodes] | None = None,
    algorithm: Algorithm | None = None,
    timestamp: datetime | None = None,
    probabilities: bool = False,
) -> DicomObjects:
    """Write what `dicom_objects` makes into the folder `out`, which must be there: all or nothing.

    Raises OutputError where a file cannot be written, and what `dicom_objects` raises.
    """
    made = dicom_objects(
        instances,
        source,
        formats=formats,
        table=table,
        codes=codes,
        algorithm=algorithm,
        timestamp=timestamp,
        probabilities=probabilities,
    )
    with staged(Path(out), made.files) as stage:
        made.save(stage)
    made.remove_empty(Path(out))
    return made


@dataclass(frozen=True, slots=True)
class _How:
    codes: Mapping[str, ClassCodes]
    algorithm: Algorithm
    moment: datetime


def _wanted(formats: Sequence[DicomFormat]) -> frozenset[DicomFormat]:
    unknown = [one for one in formats if one not in FORMATS]
    if unknown or isinstance(formats, str):
        msg = f"formats are some of {', '.join(FORMATS)}; got {formats!r}"
        raise ValueError(msg)
    return frozenset(formats)


def _put_segmentations(
    made: dict[str, Dataset],
    placed: Instances,
    source: Source,
    how: _How,
    wanted: frozenset[DicomFormat],
    *,
    probabilities: bool,
) -> None:
    from medseg.io.dicom_out.seg import segmentation_dataset  # highdicom loads here

    kinds: list[tuple[str, SegKind]] = [("seg", "BINARY")] if wanted & {"seg", "sr"} else []
    kinds += [("fractional", "FRACTIONAL")] if probabilities else []
    for name, kind in kinds:
        made[FILES[name]] = segmentation_dataset(
            placed,
            source,
            codes=how.codes,
            algorithm=how.algorithm,
            moment=how.moment,
            kind=kind,
        )


def _report(
    placed: Instances,
    source: Source,
    how: _How,
    segmentation: Dataset | None,
    table: pd.DataFrame,
) -> Dataset:
    from medseg.io.dicom_out.measures import measured
    from medseg.io.dicom_out.sr import report_dataset

    with_score = is_stated(how.algorithm) and how.algorithm.type != "MANUAL"
    return report_dataset(
        placed,
        source,
        segmentation,
        measures=measured(table, source.modality, with_score=with_score),
        codes=how.codes,
        algorithm=how.algorithm,
        moment=how.moment,
    )


def _structure_set(placed: Instances, source: Source, how: _How) -> Dataset:
    from medseg.io.rtstruct import rtstruct_dataset

    return rtstruct_dataset(
        placed, source, codes=how.codes, algorithm=how.algorithm, moment=how.moment
    )
