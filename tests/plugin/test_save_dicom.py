"""Objects that are saved from napari as a DICOM SEG of the study that they lie on."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pydicom
import pytest
from medseg_napari import writer
from medseg_napari.controller import bind
from medseg_napari.session import Session
from medseg_napari.view.facts import StudySource
from medseg_napari.view.layer_data import labels_data
from medseg_napari.view.objects import read_objects
from medseg_napari.view.opening import add_layers, open_study, read_volume

from medseg import samples
from medseg.errors import OutputError
from medseg.types import Instance, InstanceClass, Instances


@pytest.fixture
def opened(viewer, monkeypatch):
    """A real MR series in a viewer, and two overlapping lesions on it as a model found them."""
    monkeypatch.setattr(writer, "open_viewer", lambda: viewer)
    folder = samples.path("hippocampus_crop_study1")
    volume = read_volume(folder)
    source = StudySource(str(folder), str(volume.meta["series"]))
    image = open_study(viewer, volume, name="study", source=source)[0]
    box = slice(4, 9), slice(10, 20), slice(5, 15)
    beside = slice(6, 12), slice(12, 22), slice(8, 18)
    items = [
        Instance(
            number, "lesion", "lesion", 0.5, place, np.ones([s.stop - s.start for s in place], bool)
        )
        for number, place in ((3, box), (7, beside))
    ]
    model = {"model": {"name": "toy", "version": "1.0"}}
    found = Instances(volume.geometry, items, (InstanceClass("lesion", "lesion", 1),), (), model)
    return viewer, image, volume, found


def saved(layer, path: Path) -> pydicom.Dataset:
    attributes = {"name": layer.name, "metadata": layer.metadata}
    assert writer.write_labels(str(path), layer.data, attributes) == [str(path)]
    return pydicom.dcmread(path)


def test_a_seg_has_every_object_whole_and_says_whether_a_reader_changed_them(
    opened, tmp_path: Path
) -> None:
    viewer, image, volume, found = opened
    (layer,) = add_layers(viewer, [labels_data(found)])
    work = bind(viewer, Session.begin(volume, found, "AB"), layer)
    path = tmp_path / "objects.dcm"
    assert {one.SegmentAlgorithmType for one in saved(layer, path).SegmentSequence} == {"AUTOMATIC"}
    again = read_objects(path, [image.metadata["medseg"]])
    masks = [(one.box, one.mask.tobytes()) for one in again]
    assert sorted(masks, key=str) == sorted(
        [(one.box, one.mask.tobytes()) for one in found], key=str
    )
    work.session.mark([3], "reject")
    (left,) = saved(layer, path).SegmentSequence
    assert left.SegmentAlgorithmType == "SEMIAUTOMATIC"
    assert [one.box for one in read_objects(path, [image.metadata["medseg"]])] == [
        found.items[1].box
    ]


def test_without_its_series_or_without_an_object_no_seg_is_written(opened, tmp_path) -> None:
    viewer, image, _, found = opened
    (layer,) = add_layers(viewer, [labels_data(found.filter(lambda _: False))])
    with pytest.raises(OutputError, match="no-objects"):
        saved(layer, tmp_path / "objects.dcm")
    viewer.layers.remove(image)
    with pytest.raises(OutputError, match=r"0 DICOM series are open.*no-dicom-study"):
        saved(layer, tmp_path / "objects.dcm")
    assert list(tmp_path.iterdir()) == []
