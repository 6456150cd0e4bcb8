"""What rules may ask: facts of series and files, known from how the headers were written."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from medseg_workflows.facts import SeriesFacts, file_facts, is_segmentation, plane_of, series_facts
from plan_cases import make_series
from pydicom.dataset import Dataset

from medseg.io import write
from medseg.io.dicom import scan
from medseg.types import Geometry, Instances, Volume


def facts_of(folder: Path, **options: Any) -> SeriesFacts:
    (series,) = scan(folder)
    return series_facts(series, **options)


def facts(folder: Path) -> dict[str, Any]:
    (volume,) = facts_of(folder).volumes
    return dict(volume.facts)


def test_facts_are_what_the_headers_say(tmp_path: Path) -> None:
    make_series(
        tmp_path,
        7,
        step_mm=2.5,
        modality="CT",
        PixelSpacing=[0.8, 0.7],
        SeriesDescription="Abdomen portal venous",
        ConvolutionKernel="B30f",
        ContrastBolusAgent="Iohexol",
        BodyPartExamined="ABDOMEN",
        Manufacturer="SIEMENS",
    )
    assert facts(tmp_path) == {
        "modality": "CT",
        "image_type": ("ORIGINAL", "PRIMARY", "AXIAL"),
        "orientation": "axial",
        "slices": 12,
        "spacing_z_mm": 2.5,
        "spacing_xy_mm": 0.8,
        "cover_mm": 30.0,
        "longest_mm": 30.0,
        "matrix": 8,
        "kernel": "B30f",
        "contrast": True,
        "body_part": "ABDOMEN",
        "manufacturer": "SIEMENS",
        "volume_label": None,
        "channel": None,
        "description": "Abdomen portal venous",
    }
    found = facts_of(tmp_path)
    assert (found.number, found.patient_id) == (7.0, "P1")
    assert sorted(found.files) == sorted(str(path) for path in tmp_path.iterdir())


def test_what_no_header_says_is_unknown(tmp_path: Path) -> None:
    make_series(tmp_path, ImageType=None, SeriesNumber=None)
    known = {"modality", "orientation", "slices", "spacing_z_mm", "spacing_xy_mm", "cover_mm"}
    assert {name for name, value in facts(tmp_path).items() if value is not None} == known | {
        "longest_mm",
        "matrix",
    }
    assert facts_of(tmp_path).number == float("inf")


@pytest.mark.parametrize(
    ("agent", "means"), [("", None), ("none", False), ("NO", False), ("Gadovist 7 ml", True)]
)
def test_an_agent_that_is_named_is_contrast(tmp_path: Path, agent: str, means: bool | None) -> None:
    make_series(tmp_path, ContrastBolusAgent=agent)
    assert facts(tmp_path)["contrast"] is means


def test_an_agent_in_a_sequence_is_contrast(tmp_path: Path) -> None:
    make_series(tmp_path, ContrastBolusAgentSequence=[Dataset()])
    assert facts(tmp_path)["contrast"] is True


def turned(axis: int, degrees: float) -> Geometry:
    """Axial slices, turned about an axis of the body."""
    angle = np.radians(degrees)
    first, second = [n for n in range(3) if n != axis]
    turn = np.eye(3)
    turn[first, first] = turn[second, second] = np.cos(angle)
    turn[first, second], turn[second, first] = -np.sin(angle), np.sin(angle)
    affine = np.eye(4)
    affine[:3, :3] = turn @ np.eye(3)[:, ::-1]
    return Geometry((4, 5, 6), affine)


@pytest.mark.parametrize(
    ("axis", "degrees", "plane"),
    [
        (0, 0, "axial"),
        (0, 29, "axial"),
        (0, -29, "axial"),
        (0, 31, "oblique"),
        (0, 45, "oblique"),
        (0, 65, "coronal"),
        (0, 90, "coronal"),
        (1, 90, "sagittal"),
        (1, 180, "axial"),
        (2, 40, "axial"),
    ],
)
def test_planes_are_named_after_the_body(axis: int, degrees: float, plane: str) -> None:
    assert plane_of(turned(axis, degrees)) == plane


def test_a_series_that_reading_refuses_says_why(tmp_path: Path) -> None:
    make_series(tmp_path)[5].unlink()
    (volume,) = facts_of(tmp_path).volumes
    assert volume.refused.startswith("missing-slices: the gap after slice 5 is 2.00 mm")
    assert volume.facts["slices"] == 11


def test_volumes_of_one_series_have_numbers_and_what_sets_them_apart(tmp_path: Path) -> None:
    make_series(tmp_path, EchoTime=20)
    make_series(tmp_path, EchoTime=90, first=13)
    first, second = facts_of(tmp_path).volumes
    assert (first.number, first.facts["volume_label"]) == (1, "EchoTime 20")
    assert (second.number, second.facts["volume_label"]) == (2, "EchoTime 90")
    assert first.facts["slices"] == second.facts["slices"] == 12


def test_the_content_is_that_of_the_images_and_not_of_their_names(tmp_path: Path) -> None:
    for path in make_series(tmp_path / "a"):
        (tmp_path / "b").mkdir(exist_ok=True)
        (tmp_path / "b" / f"{path.stem[::-1]}.dcm").write_bytes(path.read_bytes())
    make_series(tmp_path / "c", slices=13)
    contents = [facts_of(tmp_path / name).content for name in "abc"]
    assert contents[0] == contents[1] != contents[2]


def test_a_copy_of_a_file_counts_once(tmp_path: Path) -> None:
    paths = make_series(tmp_path)
    (tmp_path / "copy.dcm").write_bytes(paths[3].read_bytes())
    found = facts_of(tmp_path)
    assert found.volumes[0].facts["slices"] == len(found.files) == 12
    assert len(found.copies) == 1


def test_pet_is_refused_where_the_wanted_unit_cannot_be_had(tmp_path: Path) -> None:
    make_series(tmp_path, modality="PT")
    assert facts_of(tmp_path).volumes[0].refused == ""
    refused = facts_of(tmp_path, pet="SUVbw").volumes[0].refused
    assert refused.startswith("suv-not-computable: ")


def volume() -> Volume:
    array = np.arange(24 * 4 * 5, dtype=np.int16).reshape(24, 4, 5)
    affine = np.array([[0, 0, 0.5, 0], [0, 0.75, 0, 0], [2, 0, 0, 0], [0, 0, 0, 1]], dtype=float)
    return Volume(array, Geometry(array.shape, affine), "unknown", "unknown")


def test_a_file_says_its_grid_and_no_more(tmp_path: Path) -> None:
    path = tmp_path / "brain_T1.nii.gz"
    write(volume(), path)
    found = file_facts(path, "brain_T1.nii.gz", modality="MR")
    (one,) = found.volumes
    assert one.refused == ""
    assert {name: value for name, value in one.facts.items() if value is not None} == {
        "modality": "MR",
        "orientation": "axial",
        "slices": 24,
        "spacing_z_mm": 2.0,
        "spacing_xy_mm": 0.75,
        "cover_mm": 48.0,
        "longest_mm": 48.0,
        "matrix": 4,
        "description": "brain_T1.nii.gz",
    }
    assert found.files == (str(path),)
    assert not found.is_dicom
    assert file_facts(path, "brain_T1.nii.gz").volumes[0].facts["modality"] is None


def test_a_damaged_file_says_no_name(tmp_path: Path) -> None:
    path = tmp_path / "CANARY.nii.gz"
    path.write_bytes(b"nothing")
    (one,) = file_facts(path, path.name).volumes
    assert one.refused.startswith("format-unknown: ")
    assert "CANARY" not in one.refused
    path.unlink()
    (one,) = file_facts(path, path.name).volumes
    assert one.refused.startswith("path-")


def test_a_file_of_objects_is_no_image(tmp_path: Path) -> None:
    write(
        Instances.from_labelmap(np.ones((3, 3, 3), int), Geometry.identity((3, 3, 3))),
        tmp_path / "a.seg.nrrd",
    )
    write(volume(), tmp_path / "a.nrrd")
    (tmp_path / "bad.nrrd").write_bytes(b"NRRD0004\n")
    assert is_segmentation(tmp_path / "a.seg.nrrd")
    assert not is_segmentation(tmp_path / "a.nrrd")
    assert not is_segmentation(tmp_path / "bad.nrrd")
