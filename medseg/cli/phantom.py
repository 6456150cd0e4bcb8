"""`medseg phantom`: a made-up study whose truth is known."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from medseg.cli.errors import reported
from medseg.cli.options import Debug
from medseg.cli.output import output_folder


def phantom(
    out: Annotated[
        Path, typer.Argument(metavar="OUT", help="Folder for image and truth, made if missing.")
    ],
    *,
    seed: Annotated[
        int, typer.Option("--seed", metavar="N", min=0, help="The same seed, the same study.")
    ],
    modality: Annotated[
        Literal["CT", "MR"], typer.Option("--modality", help="What the image looks like.")
    ] = "CT",
    dicom: Annotated[
        bool,
        typer.Option(
            "--dicom", help="Write the image as a DICOM series in OUT/image.", show_default=False
        ),
    ] = False,
    debug: Debug = False,
) -> None:
    """Make a CT-like or MR-like study of organs and lesions whose truth is known.

    OUT gets:

    image.nii.gz, or with --dicom the folder image.
    truth.nii.gz: one number an object; where two overlap, one of them.
    truth.seg.nrrd: every object whole.
    truth.csv: one row an object.
    """
    with reported(debug=debug), output_folder(out) as folder:
        from medseg.inference.results import without_overlaps
        from medseg.io import write
        from medseg.io.tables import write_table
        from medseg.measurement import measure
        from medseg.phantom import make_phantom, write_dicom_series

        made = make_phantom(seed, modality=modality)
        if dicom:
            write_dicom_series(made.volume, folder / "image")
        else:
            write(made.volume, folder / "image.nii.gz")
        write(without_overlaps(made.truth), folder / "truth.nii.gz")
        write(made.truth, folder / "truth.seg.nrrd")
        write_table(measure(made.truth, made.volume), folder / "truth.csv")
        typer.echo(f"{modality} study with {len(made.truth)} objects: {out}")
