"""What napari saves with medseg: on the image's own grid, in its own orientation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from medseg.errors import OutputError
from medseg.io import same_place, write
from medseg.io.formats import has_suffix
from medseg.io.tables import write_table
from medseg.types import Instances, Volume
from medseg_napari.controller import controller_of
from medseg_napari.session import Session
from medseg_napari.view.adapter import open_viewer
from medseg_napari.view.facts import KEY, LayerFacts, facts_of
from medseg_napari.view.layer_data import taken_as_instances
from medseg_napari.view.objects import as_painted
from medseg_napari.view.opening import open_images
from medseg_napari.view.placement import Placement
from medseg_napari.writer_dicom import write_seg


def write_labels(path: str, data: Any, attributes: Mapping[str, Any]) -> list[str]:
    """Save a labels layer as a label map (.nii, .nii.gz, .nrrd, .mha), .seg.nrrd, .dcm or .csv.

    The objects that the layer stands for are saved, with what was painted in napari since. A label
    map holds one object a voxel: objects that overlap need .seg.nrrd, or .dcm, a DICOM SEG where
    the series is open that they lie on. A .csv has the measures, a row an object, with intensities
    where just one image on their grid is open.

    Of a session's layer the files of masks leave out what its reader rejected, as its totals do,
    and say how many that is; the .csv has a row of these too, with all that was said of each.

    Raises OutputError (`place-unknown` for a layer that lies on no image of medseg, `one-object`
    for the one that outlines the current object of a session, `overlap`, and as `medseg.write` and
    `write_seg` do).
    """
    place = Path(path)
    _refuse_current(data)
    instances, session = objects_of_layer(np.asarray(data), attributes), _session_on(attributes)
    if has_suffix(place, ".csv"):
        write_table(_table(instances, session), place)
        return [path]
    kept = instances if session is None else session.without_rejected(instances)
    try:
        if has_suffix(place, ".dcm"):
            edited = session is None or bool(session.steps)
            write_seg(kept, place, open_images(open_viewer()), edited=edited)
        else:
            write(kept, place)
    except OutputError as error:
        if error.code != "overlap":
            raise
        remedy = "save it as .seg.nrrd, which keeps both"
        raise OutputError(error.code, error.subject, error.detail, remedy) from error
    lost = len(instances) - len(kept)
    if lost:
        _warn(f"{place.name}: {lost} rejected, left out; File ▸ Save as .csv has all, with marks")
    return [path]


def write_image(path: str, data: Any, attributes: Mapping[str, Any]) -> list[str]:
    """Save an image layer of medseg as .nii, .nii.gz, .nrrd or .mha: the voxels as they were read.

    Raises OutputError (`place-unknown`, and as `medseg.write` does).
    """
    facts = _facts(attributes)
    if facts is None or facts.volume is None:
        raise _unknown(str(attributes.get("name", "image")))
    array = facts.placement.to_own(np.asarray(data))
    write(replace(facts.volume, array=array), path)
    return [path]


def objects_of_layer(data: Any, attributes: Mapping[str, Any]) -> Instances:
    """The instances that a labels layer stands for, on the image's own grid.

    Raises OutputError `place-unknown` where nothing says where its voxels lie in the patient.
    """
    facts = _facts(attributes)
    if facts is not None and facts.instances is not None:
        return as_painted(facts.instances, facts.placement, data)
    placement = facts.placement if facts is not None else _placement_of(data, attributes)
    return taken_as_instances(data, placement)


def _facts(attributes: Mapping[str, Any]) -> LayerFacts | None:
    found = attributes.get("metadata", {}).get(KEY)
    return found if isinstance(found, LayerFacts) else None


def _placement_of(data: Any, attributes: Mapping[str, Any]) -> Placement:
    """The place of the open image that a layer made in napari lies on, voxel by voxel."""
    for image in open_images(open_viewer()):
        placement = image.placement
        if (
            placement.shown.shape == data.shape
            and np.allclose(attributes.get("scale", ()), placement.scale_mm, rtol=1e-6)
            and np.allclose(attributes.get("translate", ()), placement.translate_mm, atol=1e-3)
        ):
            return placement
    raise _unknown(str(attributes.get("name", "labels")))


def _session_on(attributes: Mapping[str, Any]) -> Session | None:
    """The session whose objects a layer shows; None where there is none."""
    viewer, facts = open_viewer(), _facts(attributes)
    controller = None if viewer is None else controller_of(viewer)
    if controller is None or facts is None:
        return None
    return controller.session if facts_of(controller.objects) is facts else None


def _refuse_current(data: Any) -> None:
    """Refuse the layer that tools paint in: it holds one object of a session, without its class."""
    viewer = open_viewer()
    controller = None if viewer is None else controller_of(viewer)
    if controller is None or controller.current.layer is None:
        return
    layer, objects = controller.current.layer, controller.objects
    if layer.data is data:
        detail = "the layer shows one object alone, for tools to paint in"
        remedy = f"select the layer {objects.name!r}, which has all of them, and save that"
        raise OutputError("one-object", layer.name, detail, remedy)


def _table(instances: Instances, session: Session | None) -> pd.DataFrame:
    """The measures of instances, with what the reader of their session said of each."""
    from medseg.measurement import measure

    if session is None:
        return measure(instances, _image_of(instances))
    image = _image_of(instances) if session.volume is None else session.volume
    return pd.concat([measure(instances, image), session.said_of(instances)], axis=1)


def _warn(text: str) -> None:
    from napari.utils.notifications import show_warning

    show_warning(text)


def _image_of(instances: Instances) -> Volume | None:
    """The open image on whose grid the instances lie; of several none, for who says which?"""
    volumes = [image.volume for image in open_images(open_viewer()) if image.volume is not None]
    fitting = [one for one in volumes if same_place(instances.geometry, one.geometry)]
    return fitting[0] if len({id(one) for one in fitting}) == 1 else None


def _unknown(name: str) -> OutputError:
    return OutputError(
        code="place-unknown",
        subject=name,
        detail="the layer lies on no image that medseg opened: its place in the patient is unknown",
        remedy="open the image with medseg, and draw on a layer of the same shape and scale",
    )
