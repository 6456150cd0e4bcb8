"""The studies of a batch as cases, from the folder that `medseg batch` writes.

`batch.json` says whose it is, `plan.json` which studies, `done/<key>/` and `quarantine/<key>.json`
what became of them, and `sources`, for who has the site's secret, where their images lie. Nothing
is written there.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

from medseg.errors import InputRefused, MedsegError
from medseg.io import read_instances
from medseg.io.batch_sources import ImageInput, Images, read_image, read_sources, without_names
from medseg.io.pseudonyms import Pseudonyms, site_secret
from medseg.types import InputWarning, Instances, Volume
from medseg_napari.session.case import Case
from medseg_napari.session.packing import DAMAGE

READERS = "readers"
"""Where readers' work is kept in the folder of a batch unless they say otherwise."""

BATCH, PLAN, RECORD, OBJECTS = "batch.json", "plan.json", "record.json", "instances.seg.nrrd"
DONE, QUARANTINE = "done", "quarantine"
VERSION = 1

_FACTS = ("modality", "unit", "pet")
_AGAIN = "run the same `medseg batch` again"
_SECRET = "copy it from where the batch ran, or name its file in Preferences ▸ medseg"


class Opened(NamedTuple):
    """The images of a case by channel, as the batch read them, and what chose the first one.

    `series` is the code of a DICOM series that the batch gave it.
    """

    images: Mapping[str, Volume]
    series: str | None
    volume: int | None


@dataclass(frozen=True)
class BatchCase(Case):
    """A study with a model. `path` is its folder in done/ or its file in quarantine/.

    `secret` is the file of the site's secret (None: where it usually is).
    """

    key: str = ""
    secret: Path | None = field(default=None, repr=False)

    @property
    def is_done(self) -> bool:
        """Whether the batch found objects in it, or that there are none."""
        return self.path.parent.name == DONE

    @property
    def out(self) -> Path:
        """The folder of the batch."""
        return self.path.parent.parent

    def read(self, said: Mapping[str, Any]) -> Volume:
        """The image that was measured, as `images` reads it."""
        return next(iter(self.images(said).images.values()))

    def images(self, said: Mapping[str, Any]) -> Opened:
        """All images, with modality, unit and pet of a session's source, else of the batch.

        Raises InputRefused as `medseg.read` does, and what `codes_of` raises; no text of theirs
        names a file.
        """
        codes = codes_of(self.out, self.secret)
        sources = self._sources(codes.key)
        facts = self._settings() | {name: said[name] for name in _FACTS if name in said}
        found = {name: self._image(one, facts, codes) for name, one in sources.items()}
        first = next(iter(sources.values()))
        series = codes.series(first.series_uid) if first.series_uid else None
        return Opened(found, series, first.volume)

    def objects(self) -> Instances | None:
        """What the batch found, None of a study that failed. Raises InputRefused."""
        return read_instances(self.path / OBJECTS) if self.is_done else None

    def _sources(self, veil: bytes) -> Images:
        try:
            found = read_sources(self.out, veil, {self.key}).get(self.key)
        except DAMAGE as error:
            detail = "what tells where its images lie is damaged"
            raise InputRefused("file-corrupt", self.id, detail, _AGAIN) from error
        except OSError as error:
            detail = f"what tells where its images lie cannot be read ({error.strerror})"
            raise InputRefused("path-unreadable", self.id, detail, "check permissions") from error
        if not found:
            detail = "the batch does not tell where its images lie"
            raise InputRefused("path-missing", self.id, detail, _AGAIN)
        files = [Path(file) for image in found.values() for file in image.files]
        gone = sum(map(_is_gone, files))
        if gone:
            detail = f"{gone} of its {len(files)} image files are not where the batch found them"
            remedy = "put them back, or run the batch on the folder where they are now"
            raise InputRefused("path-missing", self.id, detail, remedy)
        return found

    def _settings(self) -> dict[str, Any]:
        """Modality, unit and pet of the batch, where it was given them."""
        name = RECORD if self.is_done else BATCH
        settings = _document((self.path if self.is_done else self.out) / name)["settings"]
        return {one: settings[one] for one in _FACTS if settings.get(one)}

    def _image(self, image: ImageInput, facts: Mapping[str, Any], codes: Pseudonyms) -> Volume:
        """One image; its code is that of the batch, since a plain hash of a UID is guessed back."""
        try:
            volume = read_image(image, **facts).volume
        except InputRefused as error:
            detail, remedy = (without_names(one, [image]) for one in (error.detail, error.remedy))
            raise InputRefused(error.code, self.id, detail, remedy) from error
        warnings = (
            InputWarning(code, without_names(text, [image])) for code, text in volume.warnings
        )
        meta = {name: value for name, value in volume.meta.items() if name != "series"}
        if image.series_uid:
            meta["series"] = codes.series(image.series_uid)
        return replace(volume, meta=meta, warnings=tuple(warnings))


def is_batch(folder: Path) -> bool:
    """Whether `medseg batch` wrote this folder."""
    return (folder / BATCH).is_file() and (folder / DONE).is_dir()


def list_batch(out: Path, secret: Path | None = None) -> tuple[BatchCase, ...]:
    """The finished and failed studies of a batch, in the order of its tables.

    A case is called by the code of its study, and of a study with several models by the model too.
    Results of which the plan says that they are of an older input or setting are passed over.

    Raises InputRefused (`format-unknown` for another version, `file-corrupt`; `dataset-invalid`
    where nothing is finished yet).
    """
    if _document(out / BATCH).get("version") != VERSION:
        detail, remedy = "is a batch of another version", "take the medseg that wrote it"
        raise InputRefused("format-unknown", out.name, detail, remedy)
    planned = {job.key: job for job in _planned(out / PLAN)}
    wanted = {(job.study, job.model): job.key for job in planned.values()}
    found: dict[tuple[str, str], tuple[_Job, Path]] = {}
    for path in (*_entries(out / QUARANTINE), *_entries(out / DONE)):
        job = planned.get(path.name.removesuffix(".json")) or _told(path)
        if job is not None and wanted.get((job.study, job.model), job.key) == job.key:
            found[job.study, job.model] = job, path
    if not found:
        detail, remedy = "is a batch of which no study is finished yet", "wait for the first ones"
        raise InputRefused("dataset-invalid", out.name, detail, remedy)
    models = Counter(job.study for job, _ in found.values())
    return tuple(
        BatchCase(
            id=f"{job.study}-{job.model}" if models[job.study] > 1 else job.study,
            path=path,
            note=_note(path),
            key=job.key,
            secret=secret,
        )
        for job, path in sorted(found.values())
    )


def codes_of(out: Path, secret: Path | None = None) -> Pseudonyms:
    """The site's codes and key, where the secret here is that of the batch.

    Raises InputRefused (`path-missing`), MedsegError (`secret-other`), OutputError, each with the
    way out.
    """
    try:
        codes = Pseudonyms(site_secret(secret, make=False))
    except InputRefused as error:
        detail = "is not here, and it alone tells where a batch found its images"
        raise InputRefused(error.code, error.subject, detail, _SECRET) from error
    if codes.check != _document(out / BATCH).get("secret_check"):
        detail = "is another one than that of this batch, so its images cannot be found"
        raise MedsegError("secret-other", "the site's secret", detail, _SECRET)
    return codes


def why_closed(out: Path, secret: Path | None = None) -> str:
    """Why no image of a batch can be opened here, in one line; "" where nothing speaks against."""
    try:
        codes_of(out, secret)
    except MedsegError as error:
        return str(error)
    return ""


class _Job(NamedTuple):
    """In the order of the tables of a batch."""

    patient: str
    study: str
    model: str
    key: str


def _planned(path: Path) -> Iterator[_Job]:
    """The jobs of plan.json, which has an entry a line and the jobs before all else that is long.

    Raises InputRefused (`file-corrupt`).
    """
    try:
        if not path.is_file():
            return
        with path.open(encoding="utf-8") as file:
            inside = False
            for line in file:
                if inside and line.startswith("]"):
                    return
                if inside:
                    yield _job(json.loads(line.rstrip().rstrip(",")))
                inside = inside or line.startswith('"jobs"')
    except (*DAMAGE, OSError) as error:
        raise InputRefused("file-corrupt", path.name, "cannot be read", _AGAIN) from error


def _told(path: Path) -> _Job | None:
    """What an entry that is not planned says of itself; None where no batch put it there."""
    try:
        said = _document(path / RECORD if path.parent.name == DONE else path)
        name = said["model"]["name"] if path.parent.name == DONE else said["model"]
        return _job({**said, "model": name})
    except (*DAMAGE, MedsegError):
        return None


def _job(said: Mapping[str, Any]) -> _Job:
    return _Job(*(str(said[name]) for name in _Job._fields))


def _note(path: Path) -> str:
    """Why a study failed and what to do, "" of one that did not."""
    if path.parent.name == DONE:
        return ""
    try:
        said = _document(path)
        return f"{said['code']}: {said['remedy']}"
    except (KeyError, MedsegError):
        return f"quarantined, and the reason cannot be read: {_AGAIN}"


def _is_gone(file: Path) -> bool:
    """Whether there is no such file; of one that cannot be looked at, its reader says why."""
    try:
        return not file.is_file()
    except OSError:
        return False


def _entries(folder: Path) -> Sequence[Path]:
    if not folder.is_dir():
        return ()
    return sorted(one for one in folder.iterdir() if not one.name.startswith("."))


def _document(path: Path) -> dict[str, Any]:
    """A JSON object. Raises InputRefused (`file-corrupt`)."""
    try:
        found = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise InputRefused("file-corrupt", path.name, "cannot be read", _AGAIN) from error
    if not isinstance(found, dict):
        raise InputRefused("file-corrupt", path.name, "is no object of JSON", _AGAIN)
    return found
