"""Estimates and segmentations, one at a time, in a process that keeps its model."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, TypeVar

from medseg.errors import MedsegError, OutputError
from medseg.io.atomic import output_error
from medseg.models.packages import package_folder
from medseg.types import Box, Geometry, Instances, Volume
from medseg_napari.run.exchange import Message, geometry_header, read_error, write_volume
from medseg_napari.run.job import Job
from medseg_napari.run.process import Child, ended
from medseg_napari.run.region import cropped, on_whole_grid
from medseg_napari.session.snapshot import read_snapshot

T = TypeVar("T")


@dataclass(frozen=True)
class JobEstimate:
    """What segmenting will take, as `medseg.estimate` says it; kept apart, for that needs torch."""

    windows: int
    seconds: float
    memory_bytes: int
    device_bytes: int
    device: str


class Worker:
    """A process for networks. It starts with the first job and keeps the model of the last one.

    One job at a time. A cancelled job ends the process; the next one starts another.
    """

    def __init__(self, command: Sequence[str] | None = None) -> None:
        self._command = command
        self._child: Child | None = None
        self._job: Job[Any] | None = None

    @property
    def is_busy(self) -> bool:
        """Whether a job is running."""
        return self._job is not None and not self._job.state.is_over

    @property
    def process_number(self) -> int | None:
        """The number of the process in the system; None where there is none."""
        return None if self._child is None else self._child.number

    def estimate(
        self, geometry: Geometry, model: str | Path, *, device: str = "auto"
    ) -> Job[JobEstimate]:
        """What segmenting an image of that grid will take.

        The job's errors: as `medseg.estimate` and `load_model` raise them, and those of `Child`.
        Raises ModelError (`model-unknown`), ValueError while another job runs.
        """
        request = {
            "operation": "estimate",
            "model": str(package_folder(model).resolve()),
            "geometry": geometry_header(geometry),
            "device": device,
        }
        child = self._ready_child()

        def work(job: Job[JobEstimate]) -> JobEstimate:
            found = _answer(job, child, request)
            return JobEstimate(**{one.name: found[one.name] for one in fields(JobEstimate)})

        return self._started(Job(work, on_cancel=child.kill))

    def segment(
        self,
        volumes: Mapping[str, Volume],
        model: str | Path,
        *,
        device: str = "auto",
        box: Box | None = None,
        at: Sequence[float] | None = None,
    ) -> Job[Instances]:
        """Find the objects of volumes by channel, the first of the card first; on the first's grid.

        With a `box` of the first's grid only that part is looked at, with `at` (x, y, z), LPS mm,
        only around that point for the one object that is there. The job's errors: as `segment`
        and `load_model` raise them, OutputError where the arrays find no room, those of `Child`.
        Raises ModelError (`model-unknown`), ValueError while another job runs.
        """
        folder = str(package_folder(model).resolve())
        geometry = next(iter(volumes.values())).geometry
        child = self._ready_child()

        def work(job: Job[Instances]) -> Instances:
            given = volumes if box is None else cropped(volumes, box)
            try:
                headers = _written(given, child.folder)
                request = {
                    "operation": "segment",
                    "model": folder,
                    "volumes": headers,
                    "device": device,
                    "at": None if at is None else [float(mm) for mm in at],
                }
                found = _answer(job, child, request)
                job.enter("collecting")
                result = read_snapshot(child.folder / found["file"])
            finally:
                _empty(child.folder, gone=job.is_cancelled)
            return result if box is None else on_whole_grid(result, geometry, box)

        return self._started(Job(work, on_cancel=child.kill))

    def close(self) -> None:
        """End whatever runs, and the process."""
        if self._job is not None:
            self._job.cancel()
        if self._child is not None:
            self._child.kill()
            self._child = None

    def _ready_child(self) -> Child:
        if self.is_busy:
            msg = "one job at a time: wait for the other, or cancel it"
            raise ValueError(msg)
        if self._child is None or not self._child.is_running:
            if self._child is not None:
                self._child.kill()
            self._child = Child(self._command)
        return self._child

    def _started(self, job: Job[T]) -> Job[T]:
        self._job = job
        return job


def _answer(job: Job[Any], child: Child, request: Message) -> dict[str, Any]:
    """The last answer to a request, and the job told of all before it. Raises its error."""
    for said in child.ask(request):  # it ends with an error of its own
        if said["event"] == "phase":
            job.enter(said["phase"])
        elif said["event"] == "progress":
            job.count(said["done"], said["total"])
        elif said["event"] == "error":
            raise read_error(said)
        else:
            return said
    raise ended("it gave no answer")


def _written(volumes: Mapping[str, Volume], folder: Path) -> dict[str, dict[str, Any]]:
    try:
        return {
            name: write_volume(volume, folder, f"channel-{n}")
            for n, (name, volume) in enumerate(volumes.items())
        }
    except OSError as error:
        raise _no_room(error, folder) from error


def _no_room(error: OSError, folder: Path) -> MedsegError:
    found = output_error(error, folder)
    return OutputError(found.code, "temporary folder", found.detail, found.remedy)


def _empty(folder: Path, *, gone: bool) -> None:
    """Leave no image of a patient behind; of a cancelled job not even the folder."""
    if gone:
        shutil.rmtree(folder, ignore_errors=True)
        return
    for path in folder.glob("*.np[yz]"):
        with suppress(OSError):
            path.unlink()
