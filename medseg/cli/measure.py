"""`medseg measure`: a label map in, a table of measures out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, cast

import typer

from medseg.cli.console import show_json, show_warnings
from medseg.cli.errors import reported
from medseg.cli.measures import show_burden, show_columns, show_measures, show_targets
from medseg.cli.objects import (
    Drawn,
    Reading,
    read_image,
    read_objects,
    read_organs,
)
from medseg.cli.options import (
    PANEL_OBJECTS,
    By,
    ConnectivityName,
    Debug,
    GroupNames,
    Json,
    LeastVolume,
    ModalityName,
    NamesFile,
    PlaneName,
    RawUnits,
    Series,
    SliceThickness,
    TableFile,
    UnitName,
    Values,
    VolumeNumber,
    chosen_connectivity,
    chosen_values,
    pet_units,
)

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

    from medseg.io.dicom_out import Source
    from medseg.measurement import Group, Study
    from medseg.measurement.acquisition import Acquisition
    from medseg.types import Geometry, Instances

CHOSEN = "targets-chosen"
"""The code of the warning that targets which a reader chose are not those of RECIST's rules."""


def _target_ids(value: str | None) -> str | None:
    """The words of `--targets`, if each is a whole number from 1 up and stands once."""
    words = [] if value is None else [word.strip() for word in value.split(",")]
    odd = [word for word in words if not (word.isascii() and word.isdigit() and int(word) > 0)]
    if odd:
        msg = f"numbers of objects with commas between are wanted, such as 1,4; got {odd[0]!r}"
        raise typer.BadParameter(msg)
    if len({int(word) for word in words}) < len(words):
        msg = f"a target is named once; got {value}"
        raise typer.BadParameter(msg)
    return None if value is None else ",".join(words)


def measure(  # noqa: PLR0913 - one parameter an option
    labels: Annotated[
        Path | None,
        typer.Argument(
            metavar="LABELS",
            help="Label map or mask (NIfTI, NRRD, MHA), or segmentation (.seg.nrrd, DICOM SEG or "
            "RTSTRUCT; the latter with --image).",
            show_default=False,
        ),
    ] = None,
    *,
    out: TableFile = None,
    image: Annotated[
        Path | None,
        typer.Option(
            "--image",
            metavar="IMAGE",
            help="Image on the same grid, for intensities; without it they are empty.",
        ),
    ] = None,
    series: Series = None,
    volume: VolumeNumber = None,
    modality: ModalityName = None,
    unit: UnitName = None,
    raw_units: RawUnits = False,
    kind: Annotated[
        Literal["organ", "lesion"] | None,
        typer.Option(
            "--kind",
            help="What objects are whose kind no file says.",
            rich_help_panel=PANEL_OBJECTS,
        ),
    ] = None,
    by: By = "instance",
    connectivity: ConnectivityName = None,
    values: Values = None,
    names: NamesFile = None,
    min_volume_ml: LeastVolume = None,
    organs: Annotated[
        Path | None,
        typer.Option(
            "--organs",
            metavar="LABELS",
            help="Organs on the same grid: which of them holds each lesion, or is nearest.",
        ),
    ] = None,
    organ_names: Annotated[
        Path | None,
        typer.Option("--organ-names", metavar="FILE", help="Names of the values of --organs."),
    ] = None,
    groups: GroupNames = None,
    targets: Annotated[
        str | None,
        typer.Option(
            "--targets",
            metavar="IDS",
            callback=_target_ids,
            help="Your target lesions by number, as 1,4, instead of those proposed.",
        ),
    ] = None,
    slice_thickness_mm: SliceThickness = None,
    plane: PlaneName = None,
    columns: Annotated[
        bool,
        typer.Option(
            "--columns",
            help="Print what each column means, its unit and its source; needs no LABELS.",
            show_default=False,
        ),
    ] = False,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Measure every object of a label map: size, shape, RECIST, intensity, SUV, neighbours.

    The numbers of objects are those of the file; with --by component they
    are given anew. Without -o the table is printed, the main columns of it.
    --series, --volume, --modality and --unit hold for IMAGE.
    """
    chosen = None if groups is None else cast("list[Group]", groups.split(","))
    if columns:
        with reported(debug=debug, as_json=as_json):
            show_columns(chosen, as_json=as_json)
        return
    about_image = {"series": series, "volume": volume, "modality": modality, "unit": unit}
    _need({f"--{name}": value for name, value in about_image.items()}, {"--image": image})
    _need({"--raw-units": raw_units or None}, {"--image": image})
    pet = pet_units(unit, raw=raw_units)
    _need({"--organ-names": organ_names}, {"--organs": organs})
    _need({"--targets": targets}, {"the group recist": _with_recist(chosen)})
    said = {**about_image, "pet": pet}
    parts, chosen_as = chosen_connectivity(by, connectivity), chosen_values(values, names)
    if labels is None:
        msg = "LABELS is missing"
        raise typer.BadParameter(msg)
    with reported(debug=debug, as_json=as_json):
        from medseg import measurement
        from medseg.io.tables import write_table

        reading = Reading(chosen_as, names, kind, parts, min_volume_ml)
        place = _drawn_on([labels, organs], image, series, volume)
        drawn = read_objects(labels, reading, place)
        grey = None if image is None else read_image(image, said, drawn.found, labels.name)
        others = None if organs is None else read_organs(organs, organ_names, drawn.found, place)
        axis = plane and measurement.axis_of_plane(drawn.found.geometry, plane)
        acquired = measurement.acquisition_of(grey, slice_thickness_mm, axis)
        found, counts = _noted(drawn, chosen, acquired, as_drawn=parts is None)
        shown = [one for one in (found, grey, others) if one is not None]
        show_warnings([warning for one in shown for warning in one.warnings])
        table = measurement.measure(
            found,
            grey,
            groups=chosen,
            organs=others,
            slice_thickness_mm=slice_thickness_mm,
            acquisition_axis=axis,
            parts=counts,
        )
        study = measurement.study(found, table, targets=_numbers(targets))
        show_warnings([(CHOSEN, note) for note in study["targets"].get("notes", [])])
        if out is not None:
            write_table(table, out)
        _give(labels.name, found, table, study, as_json=as_json, out=out)


def _drawn_on(
    files: Sequence[Path | None], image: Path | None, series: str | None, volume: int | None
) -> Source | Geometry | None:
    """IMAGE as what a SEG or RTSTRUCT was drawn on; None where no file is either."""
    from medseg.io.images import is_dicom

    for file in files:
        if file is None or not is_dicom(file):
            continue
        from medseg.io.dicom_objects import drawn_on  # pydicom loads here

        if (found := drawn_on(file, image, series, volume)) is not None:
            return found
    return None


def _noted(
    drawn: Drawn, groups: list[Group] | None, acquired: Acquisition, *, as_drawn: bool
) -> tuple[Instances, NDArray[np.int64] | None]:
    """The objects with warnings, and their parts where a warning and measures both count them.

    Said are several parts in one object, and lesions that nobody called so: where RECIST judges
    them, and where classes that may be of organs are split.
    """
    from medseg.measurement import chosen_groups, component_counts, kinds_noted, parts_noted

    found, counts, asked = drawn.found, None, chosen_groups(groups)
    if as_drawn:
        if "recist" in asked or "relations" in asked:
            counts = component_counts(found)
        found = parts_noted(found, parts=counts)
    judged = "recist" in asked and None not in acquired
    if judged or (drawn.named and not as_drawn):
        found = kinds_noted(found, drawn.assumed)
    return found, counts


def _give(
    title: str,
    found: Instances,
    table: pd.DataFrame,
    study: Study,
    *,
    as_json: bool,
    out: Path | None,
) -> None:
    """Print what was measured, or where it is."""
    from medseg.io.tables import table_as_rows
    from medseg.measurement import summarise

    if as_json:
        classes = summarise(found)
        show_json({"instances": table_as_rows(table), "classes": classes, "study": study})
        return
    if out is None:
        show_measures(title, table)
        show_burden(summarise(found), study)
    else:
        typer.echo(f"{len(table)} {'object is' if len(table) == 1 else 'objects are'} in {out}")
    show_targets(study)


def _numbers(targets: str | None) -> list[int] | None:
    return None if targets is None else [int(word) for word in targets.split(",")]


def _with_recist(groups: list[Group] | None) -> bool | None:
    return groups is None or "recist" in groups or None


def _need(options: Mapping[str, object], other: Mapping[str, object]) -> None:
    """Refuse an option that means nothing without another."""
    ((needed, there),) = other.items()
    given = [name for name, value in options.items() if value is not None]
    if given and there is None:
        msg = f"{given[0]} says something about {needed}, which is missing"
        raise typer.BadParameter(msg)
