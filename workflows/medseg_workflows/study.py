"""One job in the child: read, segment, measure, write, commit. torch loads with this module."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import datetime
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import torch

from medseg.errors import InputRefused, MedsegError, OutputError
from medseg.inference.results import Summary, write_results
from medseg.inference.segmentation import segment
from medseg.io import check_values
from medseg.io.batch_sources import ImageInput, read_image, without_names
from medseg.io.dicom_out import codes_of_card, dicom_objects, source_of
from medseg.io.pseudonyms import unveiled
from medseg.measurement import measure
from medseg.models.loading import Model, load_model
from medseg.types import InputWarning, Instances, Volume
from medseg_workflows.commit import commit, fresh_folder
from medseg_workflows.pseudonymous import pseudonymous
from medseg_workflows.records import Job, Record, Settings
from medseg_workflows.report.thumbnails import write_thumbnail

if TYPE_CHECKING:
    import pandas as pd

    from medseg.inference.results import View
    from medseg.io.dicom import Checked, PetUnits
    from medseg.io.dicom_out import DicomFormat, DicomObjects
    from medseg.types import Modality, Unit

_MB = 2**20
_CODES_OF_SERIES = ("series",)


def segment_study(request: Mapping[str, Any]) -> dict[str, Any]:
    """Do the job whose veiled file the request names, and commit it into OUT.

    A request has `job` (the file), `veil` (its key, hexadecimal) and `out`. The answer is `stale`
    where that run is over: its file is gone, or a later run's.

    Raises InputRefused where the study is not sound, OutputError where OUT cannot be written; no
    text of theirs names a file or folder of the study.
    """
    try:
        data = unveiled(Path(request["job"]).read_bytes(), bytes.fromhex(request["veil"]))
    except (FileNotFoundError, ValueError):
        return {"stale": True}
    job, out = Job.from_dict(json.loads(data)), Path(request["out"])
    torch.set_num_threads(job.settings.threads)
    forget_peak()
    try:
        with fresh_folder(out, job.key) as folder:
            record = run_job(job, folder)
            commit(out, record, folder)
    except MedsegError as error:
        raise _nameless(error, job) from error
    return {"stale": False}


def run_job(job: Job, folder: Path) -> Record:
    """Write the results of a job into `folder`, which is there; what `record.json` says of it.

    Raises InputRefused and OutputError.
    """
    clock = _Clock()
    with clock.step("load"):
        model = _model(job.model.place, job.model.weights_sha256)
    with clock.step("read"):
        images = {name: _image(one, job.settings) for name, one in job.inputs.items()}
        volumes = {name: _anonymous(image.volume, job) for name, image in images.items()}
        volumes = _with_warnings(volumes, job)
    with clock.step("segment"):
        found = segment(volumes, model, device=job.settings.device)
    with clock.step("measure"):
        table = measure(found, volumes[model.card.channels[0].name])
    with clock.step("write"):
        first = next(iter(images.values()))
        dicom = _dicom(first, found, table, model, job)
        views = cast("list[View]", list(job.settings.views))
        summary = write_results(volumes, found, folder, table=table, dicom=dicom, views=views)
        write_thumbnail(folder)
    return _record(job, summary, clock.seconds)


class _Image(NamedTuple):
    """A volume, and the series that it was read from if it is DICOM."""

    volume: Volume
    checked: Checked | None
    number: int | None


@lru_cache(maxsize=1)
def _model(place: str, weights_sha256: str) -> Model:
    """The model at a place, kept until another is asked for."""
    model = load_model(place)
    if model.card.weights_sha256 != weights_sha256:
        raise InputRefused(
            "model-invalid",
            f"model {model.card.name}",
            "the model changed since the batch was planned",
            "run the same command again",
        )
    return model


def _image(image: ImageInput, settings: Settings) -> _Image:
    volume, checked = read_image(
        image,
        modality=cast("Modality | None", settings.modality or None),
        unit=cast("Unit | None", settings.unit or None),
        pet=cast("PetUnits", settings.pet),
    )
    check_values(volume, "study")
    return _Image(volume, checked, image.volume)


def _anonymous(volume: Volume, job: Job) -> Volume:
    """The volume without plain hashes of UIDs, and without names of files in its warnings."""
    meta = {key: one for key, one in volume.meta.items() if key not in _CODES_OF_SERIES}
    warnings = [
        InputWarning(code, without_names(text, job.inputs.values()))
        for code, text in volume.warnings
    ]
    return replace(volume, meta=meta, warnings=tuple(warnings))


def _with_warnings(volumes: Mapping[str, Volume], job: Job) -> dict[str, Volume]:
    """The volumes, the first of them with the warnings that the plan had."""
    name, first = next(iter(volumes.items()))
    said = tuple(InputWarning(*one) for one in job.warnings)
    return {**volumes, name: replace(first, warnings=(*first.warnings, *said))}


def _dicom(
    image: _Image, found: Instances, table: pd.DataFrame, model: Model, job: Job
) -> DicomObjects | None:
    """The DICOM objects that the settings ask for; None where they ask for none."""
    settings = job.settings
    if not (settings.formats or settings.probabilities):
        return None
    if image.checked is None:
        raise InputRefused(
            "frame-of-reference-missing",
            "study",
            "is no DICOM, so nothing says which patient and study a DICOM result belongs to",
            "leave --format and --probabilities out, or pass the DICOM series",
        )
    source = source_of(image.checked, image.number)
    if settings.pseudonymous_dicom:
        source = pseudonymous(source, patient=job.patient, study=job.study)
    return dicom_objects(
        found,
        source,
        formats=cast("list[DicomFormat]", list(settings.formats)),
        table=table,
        codes=codes_of_card(model.card),
        timestamp=datetime.fromisoformat(settings.timestamp) if settings.timestamp else None,
        probabilities=settings.probabilities and bool(found.items),
    )


def _record(job: Job, summary: Summary, seconds: Mapping[str, float]) -> Record:
    said = summary.as_dict()
    return Record(
        key=job.key,
        study=job.study,
        patient=job.patient,
        model=job.model,
        settings=job.settings,
        inputs=said["inputs"],
        classes=said["classes"],
        warnings=said["warnings"],
        files=said["files"],
        versions=said["versions"],
        seconds=seconds,
        peak_memory_mb=round(peak_mb(), 1),
        series=job.series,
    )


class _Clock:
    """Seconds of each step."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        begun = time.monotonic()
        yield
        self.seconds[name] = round(time.monotonic() - begun, 3)


def _nameless(error: MedsegError, job: Job) -> MedsegError:
    """The same refusal, without the names of the study's files."""
    images = job.inputs.values()
    detail, remedy = without_names(error.detail, images), without_names(error.remedy, images)
    kind = OutputError if isinstance(error, OutputError) else InputRefused
    return kind(error.code, job.key, detail, remedy)


def forget_peak() -> None:
    """Begin to count the peak of memory anew, where the system can (Linux)."""
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")


def peak_mb() -> float:
    """The most memory of this process since `forget_peak`, in MB; elsewhere since its start."""
    with suppress(OSError):
        for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024 / _MB
    return _peak_since_start_mb()


def _peak_since_start_mb() -> float:
    try:
        import resource
    except ImportError:  # Windows
        import psutil

        return float(psutil.Process().memory_info().peak_wset / _MB)
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / _MB
