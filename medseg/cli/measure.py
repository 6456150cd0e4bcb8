"""`medseg measure`: a label map in, a table of measures out."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Annotated, Any, Literal, cast

import typer

from medseg.cli.console import show_json, show_warnings
from medseg.cli.errors import about, reported
from medseg.cli.measures import show_columns, show_measures, show_study
from medseg.cli.options import (
    Debug,
    GroupNames,
    Json,
    ModalityName,
    PlaneName,
    Series,
    SliceThickness,
    TableFile,
    UnitName,
    VolumeNumber,
    above_zero,
)

if TYPE_CHECKING:
    from medseg.measurement import Group
    from medseg.types import Instances, Kind, Volume

Values = Literal["instance", "class"]
Connectivity = Literal[6, 18, 26]
_CONNECTED: Mapping[str, Connectivity] = MappingProxyType({"6": 6, "18": 18, "26": 26})


def measure(  # noqa: PLR0913 - one parameter an option
    labels: Annotated[
        Path | None,
        typer.Argument(
            metavar="LABELS",
            help="Label map or mask (NIfTI, NRRD, MHA), or segmentation (.seg.nrrd).",
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
    by: Annotated[
        Literal["instance", "component"],
        typer.Option("--by", help="A row an object as it is drawn, or a row a connected part."),
    ] = "instance",
    connectivity: Annotated[
        Literal["6", "18", "26"] | None,
        typer.Option(
            "--connectivity",
            help="What connects the parts: faces, edges too, or corners too (26, the default).",
        ),
    ] = None,
    values: Annotated[
        Values | None,
        typer.Option(
            "--values",
            help="What a value of the label map is: one object (the default), or all of a class "
            "(the default with --names).",
        ),
    ] = None,
    names: Annotated[
        Path | None,
        typer.Option(
            "--names", metavar="FILE", help="Names of the values, as JSON, dataset.json or CSV."
        ),
    ] = None,
    min_volume_ml: Annotated[
        float | None,
        typer.Option(
            "--min-volume-ml",
            metavar="ML",
            callback=above_zero,
            help="Leave out what is smaller; how many is said.",
        ),
    ] = None,
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
    _need({"--organ-names": organ_names}, {"--organs": organs})
    _need({"--connectivity": connectivity}, {"--by component": by == "component" or None})
    _refuse_contradiction(names, values)
    if labels is None:
        msg = "LABELS is missing"
        raise typer.BadParameter(msg)
    with reported(debug=debug, as_json=as_json):
        from medseg import measurement
        from medseg.io.tables import table_as_rows, write_table

        parts = _CONNECTED[connectivity or "26"] if by == "component" else None
        found = _objects(labels, values, names, parts)
        if min_volume_ml is not None:
            found = measurement.without_small(found, min_volume_ml=min_volume_ml)
        grey = None if image is None else _image(image, about_image, found, labels.name)
        others = None if organs is None else _organs(organs, organ_names, found)
        shown = [one for one in (found, grey, others) if one is not None]
        show_warnings([warning for one in shown for warning in one.warnings])
        table = measurement.measure(
            found,
            grey,
            groups=chosen,
            organs=others,
            slice_thickness_mm=slice_thickness_mm,
            acquisition_axis=plane and measurement.axis_of_plane(found.geometry, plane),
        )
        study = measurement.study(found, table)
        if out is not None:
            write_table(table, out)
        if as_json:
            classes = measurement.summarise(found)
            show_json({"instances": table_as_rows(table), "classes": classes, "study": study})
        elif out is None:
            show_measures(labels.name, table)
            show_study(study)
        else:
            typer.echo(f"{len(table)} objects are in {out}")


def _need(options: Mapping[str, object], other: Mapping[str, object]) -> None:
    """Refuse an option that means nothing without another."""
    ((needed, there),) = other.items()
    given = [name for name, value in options.items() if value is not None]
    if given and there is None:
        msg = f"{given[0]} says something about {needed}, which is missing"
        raise typer.BadParameter(msg)


def _refuse_contradiction(names: Path | None, values: Values | None) -> None:
    if names is not None and values == "instance":
        msg = "--names names classes, and --values instance says that values are objects"
        raise typer.BadParameter(msg)


def _objects(
    labels: Path, values: Values | None, names: Path | None, parts: Connectivity | None
) -> Instances:
    """The objects of LABELS; where parts become rows, a class of unsaid kind is one of lesions."""
    from medseg.io import read_instances
    from medseg.io.names import read_names
    from medseg.measurement import parts_noted, split_components

    values = values or ("instance" if names is None else "class")
    kind: Kind = "organ" if values == "class" and parts is None else "lesion"
    classes = None if names is None else read_names(names, kind=kind)
    found = read_instances(labels, values=values, kind=kind, classes=classes)
    return parts_noted(found) if parts is None else split_components(found, connectivity=parts)


def _organs(organs: Path, names: Path | None, found: Instances) -> Instances:
    from medseg.io import read_instances, require_same_grid
    from medseg.io.names import read_names

    classes = None if names is None else read_names(names, kind="organ")
    there = read_instances(organs, values="class", classes=classes)
    require_same_grid(there.geometry, found.geometry, organs.name, other="objects")
    return there


def _image(image: Path, said: Mapping[str, Any], found: Instances, labels: str) -> Volume:
    from medseg.io import read, require_same_grid

    with about(image):
        grey = read(image, **said)
    require_same_grid(found.geometry, grey.geometry, labels)
    return grey
