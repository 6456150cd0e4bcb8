"""`medseg segment`: one study in, every object with its measures out."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple, cast

import typer

from medseg.cli.aim_options import AtPoint, InBox, aim_of
from medseg.cli.console import progress_bar, show_json, show_warnings
from medseg.cli.errors import about, reported
from medseg.cli.measures import show_measures
from medseg.cli.options import (
    Debug,
    Device,
    DicomFormats,
    Json,
    ModalityName,
    ModelName,
    OutFolder,
    Probabilities,
    Quiet,
    RawUnits,
    Series,
    Timestamp,
    UnitName,
    Views,
    VolumeNumber,
    as_moment,
    pet_units,
)
from medseg.cli.output import output_folder
from medseg.errors import InputRefused

if TYPE_CHECKING:
    import pandas as pd

    from medseg.card import Card
    from medseg.inference.results import View
    from medseg.io.dicom_out import DicomFormat, DicomObjects, Source
    from medseg.types import Instances, Volume


def _channels(given: list[str] | None) -> list[str] | None:
    names = []
    for word in given or []:
        name, equals, path = word.partition("=")
        if not (name and equals and path):
            msg = f"wanted NAME=PATH, such as t1=t1.nii.gz; got {word!r}"
            raise typer.BadParameter(msg)
        if name in names:
            msg = f"channel {name!r} is given twice"
            raise typer.BadParameter(msg)
        names.append(name)
    return given


def segment(  # noqa: PLR0913 - one parameter an option
    study: Annotated[
        Path,
        typer.Argument(
            metavar="INPUT",
            help="DICOM folder, NIfTI, NRRD or MHA file; the first channel of the model.",
        ),
    ],
    *,
    out: OutFolder,
    model: ModelName,
    channel: Annotated[
        list[str] | None,
        typer.Option(
            "--channel",
            metavar="NAME=PATH",
            callback=_channels,
            help="Another image of the same study, for a model with several channels; repeatable.",
        ),
    ] = None,
    at: AtPoint = None,
    box: InBox = None,
    device: Device = "auto",
    series: Series = None,
    volume: VolumeNumber = None,
    modality: ModalityName = None,
    unit: UnitName = None,
    raw_units: RawUnits = False,
    views: Views = None,
    formats: DicomFormats = None,
    probabilities: Probabilities = False,
    timestamp: Timestamp = None,
    as_json: Json = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Segment one study and write its objects and their measures.

    OUT gets:

    instances.nii.gz: one number an object; the higher score wins an overlap.
    instances.seg.nrrd: every object whole, with its name and colour.
    instances.csv: one row an object; volumes in ml, positions in LPS mm.
    summary.json: counts, total volumes, versions, hashes, defaults, warnings.
    preview.png: slices through the objects.
    semantic.nii.gz, .json: the class of each voxel and their names, with --as semantic.
    panoptic.nii.gz, .json: its one segment and what it is, with --as panoptic.
    instances.seg.dcm, .sr.dcm, .rtstruct.dcm: with --format.
    probabilities.seg.dcm: with --probabilities.

    --modality and --unit hold for all channels, --series and --volume for INPUT.
    """
    pet, (point, corners) = pet_units(unit, raw=raw_units), aim_of(at, box)
    with reported(debug=debug, as_json=as_json), output_folder(out) as folder:
        from medseg.models import card_of

        card = card_of(model)  # a name that is not there costs neither torch nor a reading
        chosen = cast("list[DicomFormat]", formats or [])
        told = _Told(chosen, probabilities, as_moment(timestamp))
        source = _source(study, series, volume) if told.wanted else None
        volumes = _read(
            card,
            study,
            channel or [],
            first={"series": series, "volume": volume},
            every={"modality": modality, "unit": unit, "pet": pet},
        )
        from medseg.inference import segment as find
        from medseg.inference.results import write_results
        from medseg.measurement import measure
        from medseg.models import load_model

        loaded = load_model(model)
        with about(study), progress_bar("segment", quiet=quiet) as progress:
            found = find(volumes, loaded, at=point, box=corners, device=device, progress=progress)
        table = measure(found, volumes[card.channels[0].name])
        dicom = None if source is None else _dicom(found, source, table, card, told)
        others = cast("list[View]", [one for one in views or () if one != "instance"])
        summary = write_results(volumes, found, folder, table=table, dicom=dicom, views=others)
        show_warnings(summary.warnings)
        if as_json:
            show_json(summary.as_dict())
        elif not quiet:
            show_measures(f"{study.name}: {card.name} {card.version}", table)
            typer.echo(summary.in_words())
            typer.echo(f"{', '.join(summary.files)} are in {out}")


class _Told(NamedTuple):
    """What was said of DICOM results."""

    formats: list[DicomFormat]
    probabilities: bool
    timestamp: datetime | None

    @property
    def wanted(self) -> bool:
        return bool(self.formats) or self.probabilities


def _source(study: Path, series: str | None, volume: int | None) -> Source:
    """INPUT as the series that DICOM results belong to, checked before anything is computed."""
    from medseg.io.dicom_out import read_source
    from medseg.io.images import is_dicom

    with about(study):
        if not is_dicom(study):
            raise InputRefused(
                code="frame-of-reference-missing",
                subject=study.name,
                detail="is no DICOM, so nothing says which patient and study a result belongs to",
                remedy="give the DICOM series, or leave --format and --probabilities out",
            )
        return read_source(study, series, volume)


def _dicom(
    found: Instances, source: Source, table: pd.DataFrame, card: Card, told: _Told
) -> DicomObjects:
    from medseg.io.dicom_out import codes_of_card, dicom_objects

    return dicom_objects(
        found,
        source,
        formats=told.formats,
        table=table,
        codes=codes_of_card(card),
        timestamp=told.timestamp,
        probabilities=told.probabilities and bool(found.items),
    )


def _read(
    card: Card,
    study: Path,
    channels: list[str],
    *,
    first: Mapping[str, Any],
    every: Mapping[str, Any],
) -> dict[str, Volume]:
    """INPUT as the first channel of the card, and the other channels by name."""
    from medseg.io import check_values

    main = card.channels[0].name
    paths = {main: study}
    for name, _, path in (word.partition("=") for word in channels):
        if name == main:
            raise InputRefused(
                code="channel-unknown",
                subject=f"--channel {name}",
                detail=f"INPUT is the channel {name} already",
                remedy="leave one of them out",
            )
        paths[name] = Path(path)
    volumes = {}
    unknown = [name for name in paths if name not in [one.name for one in card.channels]]
    if unknown:
        raise InputRefused(
            code="channel-unknown",
            subject=f"--channel {unknown[0]}",
            detail=f"model {card.name} has {', '.join(one.name for one in card.channels)}",
            remedy="name the channels as the model does",
        )
    for name, place in paths.items():
        with about(place):
            volumes[name] = _read_one(place, None if name == main else name, first, every)
            check_values(volumes[name], place.name)
    return volumes


def _read_one(
    place: Path, other: str | None, first: Mapping[str, Any], every: Mapping[str, Any]
) -> Volume:
    """The volume at `place`: INPUT, or the channel called `other`, of which nothing is chosen."""
    from medseg.io import read

    if other is None:
        return read(place, **first, **every)
    try:
        return read(place, **every)
    except InputRefused as error:
        if error.code not in ("several-series", "several-volumes"):
            raise
        remedy = (
            f"--series and --volume hold for INPUT: give --channel {other} a folder of one series"
            " with one volume, or an image file"
        )
        raise InputRefused(error.code, error.subject, error.detail, remedy) from error
