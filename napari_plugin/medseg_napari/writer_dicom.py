"""Objects as a DICOM SEG of the study that they were drawn on."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from medseg.errors import OutputError
from medseg.io import same_place
from medseg.io.atomic import atomic_path
from medseg.types import Instances
from medseg_napari.view.facts import LayerFacts


def write_seg(
    instances: Instances, path: Path, images: Iterable[LayerFacts], *, edited: bool
) -> None:
    """Write one SEG of the series that an open image on the objects' grid was read from.

    `edited` says that a person may have changed what a model found: it is SEMIAUTOMATIC then.

    Raises OutputError (`no-dicom-study` where there is not just one such series, `no-objects`, and
    as writing does), InputRefused as `read_source` does.
    """
    from medseg.io.dicom_out import dicom_objects, read_source  # pydicom and highdicom load here
    from medseg.io.dicom_out.identity import algorithm_of, encoded

    sources = {
        one.source
        for one in images
        if one.source.path and one.source.series
        if same_place(instances.geometry, one.placement.geometry)
    }
    if len(sources) != 1:
        found = f"{len(sources)} DICOM series are open on its grid"
        remedy = "open the one that it was drawn on, or save it as .seg.nrrd"
        raise OutputError("no-dicom-study", path.name, found, remedy)
    (source,) = sources
    study = read_source(Path(str(source.path)), source.series, source.volume)
    who = algorithm_of(instances, edited=edited)
    made = dicom_objects(instances, study, formats=("seg",), algorithm=who)
    if not made.objects:
        raise OutputError("no-objects", path.name, "there is no object", "save it as .csv")
    (seg,) = made.objects.values()
    with atomic_path(path) as place:
        place.write_bytes(encoded(seg))
