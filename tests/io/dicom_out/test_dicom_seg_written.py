"""A SEG of instances: segments, codes, references, UIDs, and no fault where headers have some."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

import highdicom
import numpy as np
import pytest
from dicom_out_cases import (
    GRID,
    LIVER,
    MODEL,
    MOMENT,
    NODULE,
    apart,
    overlapping,
    series,
    write_series,
)
from numpy.typing import NDArray
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.uid import JPEGLSNearLossless

from medseg.errors import InputRefused, OutputError
from medseg.io.dicom_out import (
    FILES,
    Algorithm,
    ClassCodes,
    Term,
    dicom_objects,
    read_source,
    write_dicom,
)
from medseg.io.dicom_out.identity import encoded
from medseg.types import Geometry, Instances, reoriented_array


def seg(instances: Instances, source, **options: object) -> Dataset:
    made = dicom_objects(instances, source, formats=("seg",), timestamp=MOMENT, **options)
    return made.objects[FILES["seg"]]


def unpacked(data: bytes, count: int) -> NDArray[np.uint8]:
    return np.unpackbits(np.frombuffer(data, dtype=np.uint8), bitorder="little")[:count]


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    return series(tmp_path_factory.mktemp("series"), PatientName="Canary^Bird", PatientSex="F")


def test_every_instance_is_a_segment_with_its_own_codes_and_ids(source) -> None:
    ds = seg(overlapping(), source)
    found = [
        (one.SegmentNumber, one.SegmentLabel, one.TrackingID, one.SegmentAlgorithmType)
        for one in ds.SegmentSequence
    ]
    assert found == [
        (1, "liver 7", "liver 7", "AUTOMATIC"),
        (2, "lung nodule 3", "lung nodule 3", "AUTOMATIC"),
        (3, "lung nodule 9", "lung nodule 9", "AUTOMATIC"),
        (4, "lung nodule 4", "lung nodule 4", "AUTOMATIC"),
    ]
    assert len({one.TrackingUID for one in ds.SegmentSequence}) == 4
    liver, nodule = ds.SegmentSequence[:2]
    assert liver.SegmentedPropertyTypeCodeSequence[0].CodeValue == "10200004"
    assert nodule.SegmentedPropertyTypeCodeSequence[0].CodeValue == "27925004"
    assert nodule.AnatomicRegionSequence[0].CodeValue == "39607008"
    said = liver.SegmentationAlgorithmIdentificationSequence[0]
    assert (said.AlgorithmName, said.AlgorithmVersion) == ("finder", "2.1")


def test_overlaps_survive_and_are_announced(source, tmp_path) -> None:
    wanted = overlapping()
    write_dicom(wanted, source, tmp_path, formats=("seg",))
    read = highdicom.seg.segread(tmp_path / FILES["seg"])
    grid = highdicom.VolumeGeometry(GRID.affine, GRID.shape, "PATIENT")
    masks = read.get_volume(combine_segments=False).match_geometry(grid).array
    assert read.SegmentsOverlap == "YES"
    for number, item in enumerate(wanted.items):
        mask = np.zeros(GRID.shape, dtype=bool)
        mask[item.box] = item.mask
        assert np.array_equal(masks[..., number] > 0, mask)


def test_frames_are_written_for_used_slices_alone(source) -> None:
    ds = seg(overlapping(), source)
    # liver on 3 slices, a nodule on 2, a voxel on 1, the ends of a line on 2
    assert ds.NumberOfFrames == len(ds.PerFrameFunctionalGroupsSequence) == 3 + 2 + 1 + 2
    assert seg(apart(), source).SegmentsOverlap == "NO"


def test_frames_are_those_that_highdicom_writes_itself(source) -> None:
    wanted = overlapping()
    ds = seg(wanted, source)
    masks = np.zeros((*GRID.shape, 4), dtype=np.uint8)
    for number, item in enumerate(wanted.items):
        masks[..., number][item.box] = item.mask
    code = highdicom.sr.CodedConcept("52988006", "SCT", "Lesion")
    described = [
        highdicom.seg.SegmentDescription(n, "x", code, code, "MANUAL") for n in range(1, 5)
    ]
    volume = highdicom.Volume(
        masks, GRID.affine, "PATIENT", channels={"SegmentNumber": range(1, 5)}
    )
    uids = [highdicom.UID(), highdicom.UID()]
    headers = list(source.datasets)
    peer = highdicom.seg.Segmentation(
        headers, volume, "BINARY", described, uids[0], 1, uids[1], 1, "m", "m", "1", "1"
    )
    bits = ds.NumberOfFrames * ds.Rows * ds.Columns
    assert np.array_equal(*(unpacked(one.PixelData, bits) for one in (ds, peer)))
    for one, other in zip(
        ds.PerFrameFunctionalGroupsSequence, peer.PerFrameFunctionalGroupsSequence, strict=True
    ):
        assert one.PlanePositionSequence == other.PlanePositionSequence
        assert one.SegmentIdentificationSequence == other.SegmentIdentificationSequence
        assert (
            one.FrameContentSequence[0].DimensionIndexValues
            == other.FrameContentSequence[0].DimensionIndexValues
        )
        assert one.DerivationImageSequence == other.DerivationImageSequence


def test_patient_and_study_are_those_of_the_source(source) -> None:
    ds, image = seg(apart(), source), source.datasets[0]
    for keyword in ("PatientName", "PatientID", "StudyInstanceUID", "FrameOfReferenceUID"):
        assert ds[keyword].value == image[keyword].value
    assert ds.ReferencedSeriesSequence[0].SeriesInstanceUID == image.SeriesInstanceUID
    images = ds.ReferencedSeriesSequence[0].ReferencedInstanceSequence
    assert [one.ReferencedSOPInstanceUID for one in images] == [
        one.sop_instance_uid for one in source.slices
    ]


def test_each_frame_refers_to_the_image_of_its_own_slice(source) -> None:
    ds = seg(overlapping(), source)
    for frame in ds.PerFrameFunctionalGroupsSequence:
        place = [float(one) for one in frame.PlanePositionSequence[0].ImagePositionPatient]
        z = round(float(GRID.world_to_index(place)[0]))
        image = frame.DerivationImageSequence[0].SourceImageSequence[0]
        assert image.ReferencedSOPInstanceUID == source.slices[z].sop_instance_uid


def test_a_rerun_gives_the_same_bytes_and_another_moment_the_same_uids(source) -> None:
    first, second = seg(overlapping(), source), seg(overlapping(), source)
    assert encoded(first) == encoded(second)
    later = dicom_objects(
        overlapping(), source, formats=("seg",), timestamp=datetime(2030, 5, 6)
    ).objects[FILES["seg"]]
    assert later.SOPInstanceUID == first.SOPInstanceUID
    assert later.SeriesInstanceUID == first.SeriesInstanceUID
    assert (later.ContentDate, first.ContentDate) == ("20300506", "20260102")
    uids = [first.SOPInstanceUID, first.SeriesInstanceUID]
    assert all(len(one) <= 64 and one.is_valid for one in uids)


def test_other_content_or_another_model_gives_other_uids(source) -> None:
    wanted = overlapping()
    fewer = replace(wanted, items=wanted.items[:-1])
    other = replace(wanted, provenance={"model": {"name": "finder", "version": "2.2"}})
    uids = {seg(one, source).SOPInstanceUID for one in (wanted, fewer, other)}
    assert len(uids) == 3


def test_what_a_reader_edited_is_semiautomatic(source) -> None:
    edited = Algorithm("finder", "2.1", "SEMIAUTOMATIC")
    ds = seg(apart(), source, algorithm=edited)
    assert {one.SegmentAlgorithmType for one in ds.SegmentSequence} == {"SEMIAUTOMATIC"}
    drawn = seg(apart(), source, algorithm=Algorithm("", "", "MANUAL"))
    assert {one.SegmentAlgorithmType for one in drawn.SegmentSequence} == {"MANUAL"}


def test_objects_of_an_unknown_origin_are_not_called_automatic(source) -> None:
    ds = seg(replace(apart(), provenance={}), source)
    assert {one.SegmentAlgorithmType for one in ds.SegmentSequence} == {"SEMIAUTOMATIC"}


def test_a_modifier_stands_inside_the_type(source) -> None:
    head = ClassCodes(
        Term("SCT", "91723000", "Anatomical Structure"),
        Term("SCT", "5366008", "Hippocampus"),
        Term("SCT", "255549009", "Anterior"),
    )
    ds = seg(apart(), source, codes={"liver": head})
    kind = ds.SegmentSequence[0].SegmentedPropertyTypeCodeSequence[0]
    assert kind.CodeValue == "5366008"
    assert kind.SegmentedPropertyTypeModifierCodeSequence[0].CodeMeaning == "Anterior"


def test_part_and_side_both_stand_inside_the_type(source) -> None:
    head = ClassCodes(
        Term("SCT", "91723000", "Anatomical Structure"),
        Term("SCT", "5366008", "Hippocampus"),
        Term("SCT", "255549009", "Anterior"),
        side=Term("SCT", "7771000", "Left"),
    )
    ds = seg(apart(), source, codes={"liver": head})
    kind = ds.SegmentSequence[0].SegmentedPropertyTypeCodeSequence[0]
    meanings = [one.CodeMeaning for one in kind.SegmentedPropertyTypeModifierCodeSequence]
    assert meanings == ["Anterior", "Left"]


def test_a_label_map_in_another_axis_order_lies_where_it_was(source) -> None:
    wanted = apart()
    axes, flips = (2, 0, 1), (True, False, True)
    labels = reoriented_array(wanted.to_labelmap(), axes, flips)
    turned = Instances.from_labelmap(labels, GRID.reoriented(axes, flips))
    straight = Instances.from_labelmap(wanted.to_labelmap(), GRID)
    assert seg(turned, source).PixelData == seg(straight, source).PixelData


def test_objects_on_another_grid_are_refused(source) -> None:
    shifted = Geometry.from_spacing(GRID.shape, GRID.spacing_mm, (-20.4, 31.0, 400.0))
    with pytest.raises(InputRefused, match="0.32 voxels off") as refused:
        seg(apart(shifted), source)
    assert refused.value.code == "grid-mismatch"


def test_probabilities_become_a_fractional_seg(source, tmp_path) -> None:
    wanted = apart()
    rng = np.random.default_rng(0)
    items = [
        replace(one, probability=rng.random(one.mask.shape).astype(np.float16))
        for one in wanted.items
    ]
    write_dicom(replace(wanted, items=items), source, tmp_path, formats=(), probabilities=True)
    ds = dcmread(tmp_path / FILES["fractional"])
    assert ds.SegmentationType == "FRACTIONAL"
    read = highdicom.seg.segread(tmp_path / FILES["fractional"])
    grid = highdicom.VolumeGeometry(GRID.affine, GRID.shape, "PATIENT")
    values = read.get_volume(combine_segments=False).match_geometry(grid).array
    for number, item in enumerate(items):
        off = values[..., number][item.box] - item.probability.astype(np.float32)
        assert np.abs(off).max() <= 0.5 / 255 + 1e-6


def test_masks_without_probabilities_give_no_fractional_seg(source, tmp_path) -> None:
    with pytest.raises(OutputError, match="no object has a probability"):
        write_dicom(apart(), source, tmp_path, formats=("seg",), probabilities=True)
    assert list(tmp_path.iterdir()) == []


def test_no_object_gives_no_seg_and_a_warning(source, tmp_path) -> None:
    none = Instances(GRID, [], (LIVER, NODULE), (), MODEL)
    made = write_dicom(none, source, tmp_path, formats=("seg",))
    assert [one.code for one in made.warnings] == ["no-objects"]
    assert list(tmp_path.iterdir()) == []


def test_a_series_without_a_frame_of_reference_is_no_source(tmp_path) -> None:
    with pytest.raises(InputRefused, match="FrameOfReferenceUID is absent") as refused:
        series(tmp_path / "series", FrameOfReferenceUID=None, PatientName="Canary^Bird")
    assert refused.value.code == "frame-of-reference-missing"
    assert "Canary" not in str(refused.value)


@pytest.mark.parametrize(
    "header",
    [
        {"PatientSex": "U"},
        {"StudyDate": "2026.01.02", "StudyTime": "noon"},
        {"PatientBirthDate": None, "StudyID": None, "AccessionNumber": None, "StudyTime": None},
        {"SliceThickness": None},
        {"SpecificCharacterSet": "ISO_IR 100", "PatientName": "Müller^Jürgen"},
        {"PatientName": "A" * 70, "StudyID": "12345678901234567890"},
    ],
)
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_faults_of_the_source_s_header_stop_nothing_and_are_copied(tmp_path, header) -> None:
    source = series(tmp_path / "series", **header)
    out = tmp_path / "out"
    out.mkdir()
    write_dicom(apart(), source, out, formats=("seg",))
    ds = dcmread(out / FILES["seg"])
    for keyword, value in header.items():
        if keyword not in ("SpecificCharacterSet", "SliceThickness"):
            assert str(ds[keyword].value or "") == str(value or "")


def test_a_series_with_slices_slightly_off_the_even_grid_is_referred_to(tmp_path) -> None:
    folder = tmp_path / "series"
    series(folder)
    for number, path in enumerate(sorted(folder.iterdir())):
        ds = dcmread(path)
        x, y, z = ds.ImagePositionPatient
        ds.ImagePositionPatient = [x, y, float(z) + (0.05 if number == 2 else 0.0)]
        ds.save_as(path)
    source = read_source(folder)
    ds = seg(apart(), source)
    for frame in ds.PerFrameFunctionalGroupsSequence:
        place = [float(one) for one in frame.PlanePositionSequence[0].ImagePositionPatient]
        z = float(source.geometry.world_to_index(place)[0])
        assert z == pytest.approx(round(z), abs=1e-6)
        image = frame.DerivationImageSequence[0].SourceImageSequence[0]
        assert image.ReferencedSOPInstanceUID == source.slices[round(z)].sop_instance_uid


def test_a_single_object_is_read_back_by_another_program(source, tmp_path) -> None:
    wanted = replace(apart(), items=apart().items[:1])
    write_dicom(wanted, source, tmp_path, formats=("seg",))
    read = highdicom.seg.segread(tmp_path / FILES["seg"])
    grid = highdicom.VolumeGeometry(GRID.affine, GRID.shape, "PATIENT")
    mask = read.get_volume(combine_segments=False).match_geometry(grid).array[..., 0] > 0
    assert np.array_equal(mask, wanted.to_labelmap() > 0)


def test_what_was_lost_in_compression_stays_said(tmp_path) -> None:
    lost = {"LossyImageCompressionRatio": "12.5", "LossyImageCompressionMethod": "ISO_15444_1"}
    folder = write_series(tmp_path, LossyImageCompression="01", **lost)
    first = min(folder.iterdir())
    ds = dcmread(first)
    for keyword in ("LossyImageCompression", *lost):  # of one image it is not known
        delattr(ds, keyword)
    ds.save_as(first)
    ds = seg(apart(), read_source(folder))
    assert ds.LossyImageCompression == "01"
    assert {name: str(ds[name].value) for name in lost} == lost


def test_images_of_a_lossy_syntax_need_no_tag_to_be_lossy(tmp_path) -> None:
    source = series(tmp_path)
    assert seg(apart(), source).LossyImageCompression == "00"
    frames = tuple(
        replace(one, file=replace(one.file, syntax=JPEGLSNearLossless))
        for one in source.stack.frames
    )
    lossy = replace(source, stack=replace(source.stack, frames=frames))
    assert seg(apart(), lossy).LossyImageCompression == "01"
