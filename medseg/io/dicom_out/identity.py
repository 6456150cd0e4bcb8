"""What makes an object of DICOM the same in every run: UIDs from content, a stated time."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from pydicom.dataset import Dataset
from pydicom.filewriter import dcmwrite
from pydicom.uid import UID

from medseg.io.dicom.tags import quiet_pydicom
from medseg.types import Instances

AlgorithmType = Literal["AUTOMATIC", "SEMIAUTOMATIC", "MANUAL"]
SegKind = Literal["BINARY", "FRACTIONAL"]
PLACEHOLDER = UID("2.25.0")
_STATED_NOWHERE = "not stated"
_EPOCH = datetime(2000, 1, 1)
_DATE_TIMES = ("ContributionDateTime", "DateTime", "ObservationDateTime")
_DATES = ("ContentDate", "InstanceCreationDate", "SeriesDate", "StructureSetDate")
_TIMES = ("ContentTime", "InstanceCreationTime", "SeriesTime", "StructureSetTime")


@dataclass(frozen=True, slots=True)
class Algorithm:
    """What found the objects: SEMIAUTOMATIC once a reader has changed them, MANUAL if drawn."""

    name: str
    version: str
    type: AlgorithmType


def algorithm_of(instances: Instances, *, edited: bool = False) -> Algorithm:
    """The model that the provenance names: AUTOMATIC, or SEMIAUTOMATIC where a reader edited.

    Without a model nobody knows how much a person did: SEMIAUTOMATIC, by an unstated algorithm.
    """
    model = instances.provenance.get("model")
    if not isinstance(model, dict) or not model.get("name"):
        return Algorithm(_STATED_NOWHERE, _STATED_NOWHERE, "SEMIAUTOMATIC")
    version = str(model.get("version") or _STATED_NOWHERE)
    return Algorithm(str(model["name"]), version, "SEMIAUTOMATIC" if edited else "AUTOMATIC")


def is_stated(algorithm: Algorithm) -> bool:
    """Whether anybody said what found the objects, so that scores are those of a model."""
    return algorithm.name != _STATED_NOWHERE


def uid(*parts: str) -> UID:
    """A UID of at most 44 characters that stands for these texts (PS3.5 B.2)."""
    digest = hashlib.sha256("\x1f".join(parts).encode()).digest()
    return UID("2.25." + str(int.from_bytes(digest[:16], "big")))


def identify(ds: Dataset, what: str, moment: datetime) -> None:
    """Give an object its UIDs, from all that it holds, and then its time.

    `ds` bears `PLACEHOLDER` as its own UIDs. Two objects that differ in nothing but their time
    bear the same UIDs; with the same `moment` they have the same bytes.
    """
    _set_time(ds, _EPOCH)
    key = hashlib.sha256(encoded(ds)).hexdigest()
    ds.SOPInstanceUID = ds.file_meta.MediaStorageSOPInstanceUID = uid(what, key)
    ds.SeriesInstanceUID = uid(f"{what} series", key)
    _set_time(ds, moment)


def encoded(ds: Dataset) -> bytes:
    """The bytes of the file that holds an object."""
    file = io.BytesIO()
    with quiet_pydicom():
        dcmwrite(file, ds, enforce_file_format=True)
    return file.getvalue()


def _set_time(ds: Dataset, moment: datetime) -> None:
    day, clock = moment.strftime("%Y%m%d"), moment.strftime("%H%M%S")
    for part in _parts(ds):
        for keyword in _DATE_TIMES:
            if keyword in part:
                setattr(part, keyword, day + clock)
    for keyword in ("InstanceCreationDate", *(one for one in _DATES if one in ds)):
        setattr(ds, keyword, day)
    for keyword in ("InstanceCreationTime", *(one for one in _TIMES if one in ds)):
        setattr(ds, keyword, clock)


def _parts(ds: Dataset) -> Iterator[Dataset]:
    """The object and what its sequences hold that may bear a time of ours."""
    yield ds
    for keyword in ("ContributingEquipmentSequence", "ContentSequence"):
        for item in ds.get(keyword) or ():
            yield from _parts(item)
