"""`medseg phantom`: a made-up study whose truth is known."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from medseg.cli.errors import reported
from medseg.cli.options import Debug
from medseg.cli.output import output_folder

if TYPE_CHECKING:
    from medseg.phantom import Phantom


def phantom(
    out: Annotated[
        Path, typer.Argument(metavar="OUT", help="Folder for image and truth, made if missing.")
    ],
    *,
    seed: Annotated[
        int, typer.Option("--seed", metavar="N", min=0, help="The same seed, the same study.")
    ],
    modality: Annotated[
        Literal["CT", "MR"] | None,
        typer.Option("--modality", help="What the trunk looks like; CT unless said."),
    ] = None,
    scene: Annotated[
        Literal["trunk", "lesions"],
        typer.Option(
            "--scene",
            help="A trunk with organs and lesions, or 3 to 12 touching lesions in a small MR-like "
            "volume, as the model phantom-lesions knows them.",
        ),
    ] = "trunk",
    dicom: Annotated[
        bool,
        typer.Option(
            "--dicom", help="Write the image as a DICOM series in OUT/image.", show_default=False
        ),
    ] = False,
    debug: Debug = False,
) -> None:
    """Make a study whose truth is known.

    OUT gets:

    image.nii.gz, or with --dicom the folder image.
    truth.nii.gz: one number an object; where two overlap, one of them.
    truth.seg.nrrd: every object whole.
    truth.csv: one row an object.
    """
    if scene == "lesions" and modality == "CT":
        msg = "the scene of lesions looks like MR; leave --modality out"
        raise typer.BadParameter(msg)
    with reported(debug=debug), output_folder(out) as folder:
        from medseg.inference.results import without_overlaps
        from medseg.io import write
        from medseg.io.tables import write_table
        from medseg.measurement import measure
        from medseg.phantom import write_dicom_series

        made = _made(seed, scene, modality)
        if dicom:
            write_dicom_series(made.volume, folder / "image")
        else:
            write(made.volume, folder / "image.nii.gz")
        write(without_overlaps(made.truth), folder / "truth.nii.gz")
        write(made.truth, folder / "truth.seg.nrrd")
        write_table(measure(made.truth, made.volume), folder / "truth.csv")
        typer.echo(f"{made.volume.modality} study with {len(made.truth)} objects: {out}")


def _made(seed: int, scene: str, modality: Literal["CT", "MR"] | None) -> Phantom:
    from medseg.phantom import make_phantom, touching_lesions

    if scene == "trunk":
        return make_phantom(seed, modality=modality or "CT")
    lesions = touching_lesions(seed)
    return replace(lesions, volume=replace(lesions.volume, modality="MR", unit="arbitrary"))
