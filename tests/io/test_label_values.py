"""What the values of a label map stand for: names, kinds, and grey images taken for one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
from numpy.typing import NDArray

from medseg.errors import InputRefused
from medseg.io import read_instances, write
from medseg.types import Geometry, InstanceClass, Instances, Volume

CLASSES = (InstanceClass("liver", "organ", 1), InstanceClass("tumour", "lesion", 5))


def save(path: Path, array: NDArray[Any]) -> Path:
    write(Volume(array, Geometry.identity(array.shape)), path)
    return path


def two_values() -> NDArray[np.uint8]:
    array = np.zeros((6, 7, 8), dtype=np.uint8)
    array[1:4, 1:4, 1:4], array[5, 5, 5] = 1, 5
    return array


def test_values_get_the_names_and_kinds_of_their_classes(tmp_path: Path) -> None:
    path = save(tmp_path / "a.nrrd", two_values())
    found = read_instances(path, values="class", classes=CLASSES)
    assert [(one.id, one.class_name, one.kind, one.voxel_count) for one in found] == [
        (1, "liver", "organ", 27),
        (5, "tumour", "lesion", 1),
    ]
    assert found.classes == CLASSES


def test_a_class_without_a_voxel_stays_a_class(tmp_path: Path) -> None:
    path = save(tmp_path / "a.nrrd", np.where(two_values() == 1, np.uint8(1), np.uint8(0)))
    found = read_instances(path, values="class", classes=CLASSES)
    assert [one.id for one in found] == [1]
    assert found.classes == CLASSES


def test_a_value_without_a_name_is_refused(tmp_path: Path) -> None:
    path = save(tmp_path / "a.nrrd", two_values())
    with pytest.raises(InputRefused, match=r"1 of its 2 values have no name, 5 first") as caught:
        read_instances(path, values="class", classes=CLASSES[:1])
    assert (caught.value.code, caught.value.subject) == ("names-invalid", "a.nrrd")


def test_a_segmentation_names_itself(tmp_path: Path) -> None:
    geometry = Geometry.identity((6, 7, 8))
    write(Instances.from_labelmap(two_values(), geometry), tmp_path / "a.seg.nrrd")
    with pytest.raises(InputRefused, match="names-invalid"):
        read_instances(tmp_path / "a.seg.nrrd", values="class", classes=CLASSES)


@pytest.mark.parametrize(("values", "name"), [("class", "class_1"), ("instance", "object")])
@pytest.mark.parametrize("kind", ["organ", "lesion"])
def test_the_kind_of_what_no_file_says_is_as_asked(
    tmp_path: Path, values: Any, name: str, kind: Any
) -> None:
    found = read_instances(save(tmp_path / "a.nrrd", two_values()), values=values, kind=kind)
    assert {one.kind for one in found} == {kind}
    assert found.items[0].class_name == name


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.uint16, np.float32])
def test_a_grey_image_of_whole_numbers_is_no_label_map(tmp_path: Path, dtype: Any) -> None:
    grey = np.random.default_rng(0).integers(0, 250, (20, 24, 28)).astype(dtype)
    with pytest.raises(InputRefused, match=r"249 values lie scattered.*\d+ times") as caught:
        read_instances(save(tmp_path / "t1.nii.gz", grey))
    assert (caught.value.code, caught.value.subject) == ("not-a-label-map", "t1.nii.gz")


@pytest.mark.parametrize("number", ["001", "034", "088"])  # of whole numbers as they are stored
def test_a_smooth_grey_image_is_no_label_map_either(shared_data: Path, number: str) -> None:
    path = shared_data / "hippocampus_mr" / "images" / f"hippocampus_{number}.nii.gz"
    assert not (np.asarray(nibabel.load(path).dataobj) % 1).any()
    with pytest.raises(InputRefused, match="not-a-label-map"):
        read_instances(path)


def test_no_crop_is_made_of_a_grey_image(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    grey = np.random.default_rng(0).integers(0, 250, (20, 24, 28)).astype(np.uint8)

    def fail(*_: object, **__: object) -> None:
        pytest.fail("crops were made before the values were looked at")

    monkeypatch.setattr(Instances, "from_labelmap", fail)
    with pytest.raises(InputRefused, match="not-a-label-map"):
        read_instances(save(tmp_path / "t1.nrrd", grey))


def test_labels_in_many_far_pieces_are_still_labels(tmp_path: Path) -> None:
    corners = np.zeros((12, 12, 12), dtype=np.uint8)
    corners.reshape(-1)[:60] = corners.reshape(-1)[-60:] = np.arange(1, 61)
    assert len(read_instances(save(tmp_path / "a.nrrd", corners))) == 60


def test_a_hundred_thousand_components_are_still_labels(tmp_path: Path) -> None:
    spots = np.zeros((100, 100, 80), dtype=np.uint32)
    spots[::2, ::2, ::2] = np.arange(1, 100_001).reshape(50, 50, 40)
    found = read_instances(save(tmp_path / "a.nrrd", spots))
    assert (len(found), found.items[-1].id) == (100_000, 100_000)


def test_boxes_are_looked_for_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import medseg.io.instances
    import medseg.types.instances

    calls = []
    real = medseg.types.instances.label_boxes

    def counted(labels: NDArray[Any]) -> Any:
        calls.append(labels.shape)
        return real(labels)

    monkeypatch.setattr(medseg.types.instances, "label_boxes", counted)
    monkeypatch.setattr(medseg.io.instances, "label_boxes", counted)
    read_instances(save(tmp_path / "a.nrrd", two_values()))
    assert len(calls) == 1
