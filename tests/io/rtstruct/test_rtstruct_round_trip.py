"""Written and read back: the same voxels, whatever the grid; what others read in it."""

from __future__ import annotations

import shutil
import subprocess
from itertools import product
from pathlib import Path

import numpy as np
import pydicom
import pytest
from rtstruct_builders import instances_of, same_instances, series, written

from medseg.errors import InputRefused
from medseg.io.dicom_out.codes import codes_for
from medseg.io.dicom_out.identity import algorithm_of
from medseg.io.dicom_out.source import Source
from medseg.io.images import read
from medseg.io.rtstruct import read_rtstruct, rtstruct_dataset
from medseg.types import Geometry, Instances

SPACINGS = [(1.0, 1.0, 1.0), (5.0, 0.7, 0.8), (0.5, 2.1, 1.3)]
AXES = [(0, 1, 2), (1, 2, 0), (2, 0, 1)]
SIGNS = list(product((1, -1), repeat=2))
SHAPE = (6, 9, 8)
TURN = (0.2, 0.15, -0.3)


def rotation(angles: tuple[float, float, float]) -> np.ndarray:
    turned = np.eye(3)
    for axis, angle in enumerate(angles):
        one = np.eye(3)
        i, j = (axis + 1) % 3, (axis + 2) % 3
        one[i, i] = one[j, j] = np.cos(angle)
        one[i, j], one[j, i] = -np.sin(angle), np.sin(angle)
        turned = turned @ one
    return turned


def grid(axes, signs, spacing_mm, *, oblique: bool) -> Geometry:
    """Rows and columns along two axes of the world, slices along their normal."""
    y, x = (sign * np.eye(3)[:, axis] for axis, sign in zip(axes[1:], signs, strict=True))
    directions = np.stack([np.cross(x, y), y, x], axis=1)
    if oblique:
        directions = rotation(TURN) @ directions
    affine = np.eye(4)
    affine[:3, :3] = directions * spacing_mm
    affine[:3, 3] = (-103.3, 57.77, -812.4)
    return Geometry(SHAPE, affine)


def hard_masks(seed: int) -> list[np.ndarray]:
    """Noise, a shell with an island, single voxels, a diagonal, and all voxels of the grid."""
    rng = np.random.default_rng(seed)
    shell = np.zeros(SHAPE, dtype=bool)
    shell[1:5, 1:8, 1:8] = True
    shell[2:4, 3:6, 2:7] = False
    shell[3, 4, 4] = True
    single = np.zeros(SHAPE, dtype=bool)
    single[0, 0, 0] = single[-1, -1, -1] = single[2, 4, 4] = True
    diagonal = np.zeros(SHAPE, dtype=bool)
    diagonal[1, range(8), range(8)] = True
    noise = [rng.random(SHAPE) < share for share in (0.1, 0.5, 0.85)]
    return [*noise, shell, single, diagonal, np.ones(SHAPE, dtype=bool)]


@pytest.fixture(scope="module")
def source(tmp_path_factory) -> Source:
    geometry = Geometry.from_spacing(SHAPE, (2.5, 0.8, 0.7), (-10, -20, 5))
    return series(tmp_path_factory.mktemp("series"), geometry)


@pytest.mark.parametrize("oblique", [False, True], ids=["straight", "oblique"])
@pytest.mark.parametrize("spacing_mm", SPACINGS)
@pytest.mark.parametrize("signs", SIGNS)
@pytest.mark.parametrize("axes", AXES)
def test_written_and_read_back_gives_the_same_voxels(axes, signs, spacing_mm, oblique, tmp_path):
    source = series(tmp_path / "s", grid(axes, signs, spacing_mm, oblique=oblique))
    instances = instances_of(hard_masks(7), source.geometry)
    found = read_rtstruct(written(instances, source, tmp_path / "rs.dcm"), source)
    assert same_instances(found, instances)
    assert {one.code for one in found.warnings} == {"contours-gap"}  # the single voxels'
    assert [(one.name, one.kind, one.label) for one in found.classes] == [
        (one.name, one.kind, one.label) for one in instances.classes
    ]


@pytest.mark.parametrize("seed", range(20))
def test_random_masks_come_back(seed, source, tmp_path):
    instances = instances_of(hard_masks(seed)[:3], source.geometry)
    path = written(instances, source, tmp_path / "rs.dcm")
    assert same_instances(read_rtstruct(path, source), instances)


def test_the_same_instances_give_the_same_bytes_and_others_give_other_uids(source, tmp_path):
    instances = instances_of(hard_masks(1), source.geometry)
    one, two = (written(instances, source, tmp_path / name) for name in ("a.dcm", "b.dcm"))
    assert one.read_bytes() == two.read_bytes()
    other = written(instances_of(hard_masks(2), source.geometry), source, tmp_path / "c.dcm")
    assert pydicom.dcmread(one).SOPInstanceUID != pydicom.dcmread(other).SOPInstanceUID


def test_patient_study_frame_and_images_are_those_of_the_source(source, tmp_path):
    instances = instances_of(hard_masks(1), source.geometry)
    ds = pydicom.dcmread(written(instances, source, tmp_path / "rs.dcm"))
    header = source.datasets[0]
    for keyword in ("PatientName", "PatientID", "StudyInstanceUID", "FrameOfReferenceUID"):
        assert ds[keyword].value == header[keyword].value
    frame = ds.ReferencedFrameOfReferenceSequence[0]
    images = frame.RTReferencedStudySequence[0].RTReferencedSeriesSequence[0].ContourImageSequence
    wanted = [one.sop_instance_uid for one in source.slices]
    assert [one.ReferencedSOPInstanceUID for one in images] == wanted
    position = {str(one.SOPInstanceUID): one.ImagePositionPatient[2] for one in source.datasets}
    for contour in ds.ROIContourSequence[1].ContourSequence:
        named = contour.ContourImageSequence[0].ReferencedSOPInstanceUID
        assert set(contour.ContourData[2::3]) == {position[named]}
        assert contour.NumberOfContourPoints * 3 == len(contour.ContourData)


def test_each_region_says_in_codes_what_it_is(source, tmp_path):
    instances = instances_of(hard_masks(1)[:2], source.geometry)
    ds = pydicom.dcmread(written(instances, source, tmp_path / "rs.dcm"))
    organ, lesion = ds.RTROIObservationsSequence
    assert organ.RTROIIdentificationCodeSequence[0].CodeValue == "10200004"
    assert lesion.RTROIIdentificationCodeSequence[0].CodeValue == "14799000"
    assert (organ.RTROIInterpretedType, lesion.RTROIInterpretedType) == ("ORGAN", "")
    assert [one.ROIName for one in ds.StructureSetROISequence] == ["liver 3", "liver metastasis 6"]
    assert [one.ROINumber for one in ds.StructureSetROISequence] == [3, 6]
    litres = [float(one.ROIVolume) for one in ds.StructureSetROISequence]
    voxel_ml = source.geometry.voxel_ml
    assert litres == pytest.approx([one.voxel_count * voxel_ml for one in instances])


def test_a_region_renamed_elsewhere_is_of_the_class_that_its_name_says(source, tmp_path):
    path = written(instances_of(hard_masks(1)[:2], source.geometry), source, tmp_path / "rs.dcm")
    ds = pydicom.dcmread(path)
    ds.StructureSetROISequence[1].ROIName = "Boost"
    ds.save_as(path)
    found = read_rtstruct(path, source)
    assert [one.class_name for one in found] == ["liver", "Boost"]


def test_long_names_are_cut_and_known_again(source, tmp_path):
    from dataclasses import replace

    made = instances_of(hard_masks(1)[:2], source.geometry)
    name = "a very long name of a class " * 4
    long = Instances(
        made.geometry,
        [replace(made.items[1], class_name=name)],
        (replace(made.classes[1], name=name),),
    )
    path = written(long, source, tmp_path / "rs.dcm")
    assert len(pydicom.dcmread(path).StructureSetROISequence[0].ROIName) <= 64
    assert read_rtstruct(path, source).items[0].class_name == name


def test_no_instance_and_another_grid_are_bad_calls(source):
    def write(instances: Instances) -> None:
        rtstruct_dataset(
            instances,
            source,
            codes=codes_for(instances.classes)[0],
            algorithm=algorithm_of(instances),
            moment=None,  # type: ignore[arg-type] - not reached
        )

    with pytest.raises(ValueError, match="at least one region"):
        write(instances_of([], source.geometry))
    with pytest.raises(ValueError, match="grid of the source"):
        write(instances_of(hard_masks(1), Geometry.identity(SHAPE)))


def test_another_patient_is_refused(source, tmp_path):
    path = written(instances_of(hard_masks(1), source.geometry), source, tmp_path / "rs.dcm")
    ds = pydicom.dcmread(path)
    ds.PatientID = "CANARY-4711"
    ds.save_as(path)
    with pytest.raises(InputRefused, match="PatientID") as caught:
        read_rtstruct(path, source)
    assert caught.value.code == "several-patients"
    assert "CANARY" not in str(caught.value)


def test_dciodvfy_finds_no_error(source, tmp_path, skip_unless):
    tool = shutil.which("dciodvfy")
    skip_unless(tool is not None, "dciodvfy is not there (Debian's dicom3tools)")
    path = written(instances_of(hard_masks(1), source.geometry), source, tmp_path / "rs.dcm")
    run = subprocess.run([tool, path], capture_output=True, text=True, check=False)
    assert "RTStructureSet" in run.stderr
    assert [line for line in run.stderr.splitlines() if line.startswith("Error")] == []


@pytest.mark.parametrize("more", [(), ("--xor-contours",)], ids=["union", "parity"])
def test_plastimatch_finds_the_same_voxels(more, source, tmp_path, skip_unless):
    """Its own way is to unite contours; holes are there either way."""
    tool = shutil.which("plastimatch")
    skip_unless(tool is not None, "plastimatch is not there (Debian's package of that name)")
    instances = instances_of(hard_masks(3), source.geometry)
    path = written(instances, source, tmp_path / "rs.dcm")
    images = Path(source.stack.frames[0].file.path).parent
    command = [tool, "convert", "--input", path, "--referenced-ct", images, *more]
    command += ["--output-prefix", tmp_path / "out", "--prefix-format", "nrrd"]
    subprocess.run(command, capture_output=True, check=True)
    for item in instances:
        expected = np.zeros(SHAPE, dtype=bool)
        expected[item.box] = item.mask
        found = read(tmp_path / "out" / f"{item.class_name} {item.id}.nrrd")
        assert np.array_equal(found.array > 0, expected)
