"""SEG as instances: those of medseg, and of other programs in their own ways."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import highdicom
import numpy as np
import pytest
from dicom_out_cases import GRID, LIVER, MOMENT, NODULE, apart, overlapping, same_objects, series
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes

import medseg
from medseg.errors import InputRefused
from medseg.io.dicom_objects import comparing_grid
from medseg.io.dicom_out import FILES, write_dicom
from medseg.types import Instances


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    return series(tmp_path_factory.mktemp("series"))


def written(instances: Instances, source, folder: Path) -> Path:
    write_dicom(instances, source, folder, formats=("seg",), timestamp=MOMENT)
    return folder / FILES["seg"]


def by_others(source, labels: list[str], path: Path, kind: str = "BINARY") -> Path:
    """A label map of 1, 2, ... along x, written by highdicom with these labels."""
    array = np.zeros(GRID.shape, dtype=np.uint8)
    for number in range(1, len(labels) + 1):
        array[1:4, 2:5, 3 * number : 3 * number + 2] = number
    described = [
        highdicom.seg.SegmentDescription(n, label, codes.SCT.Tissue, codes.SCT.Tissue, "MANUAL")
        for n, label in enumerate(labels, 1)
    ]
    uids = [highdicom.UID(), highdicom.UID()]
    ds = highdicom.seg.Segmentation(
        list(source.datasets), array, kind, described, uids[0], 1, uids[1], 1, "x", "x", "1", "1"
    )
    ds.save_as(path)
    return path


@pytest.mark.parametrize("objects", [overlapping, apart])
def test_ids_classes_kinds_and_overlaps_come_back(source, tmp_path, objects) -> None:
    wanted = objects()
    found = medseg.read_instances(written(wanted, source, tmp_path), source=source)
    assert same_objects(found, wanted)
    assert found.warnings == ()


def test_without_its_images_a_seg_lies_on_the_slices_it_uses_and_says_so(source, tmp_path) -> None:
    found = medseg.read_instances(written(apart(), source, tmp_path))
    assert found.geometry.same_grid(GRID.crop((slice(1, 5), slice(0, 11), slice(0, 13))))
    assert [one.code for one in found.warnings] == ["slices-unknown"]
    assert [one.voxel_count for one in found] == [one.voxel_count for one in apart()]


def test_a_grid_does_as_its_images_do(source, tmp_path) -> None:
    path = written(apart(), source, tmp_path)
    turned = GRID.reoriented((1, 2, 0), (True, False, True))
    found = medseg.read_instances(path, source=turned)
    assert found.geometry == turned
    back = np.flip(np.transpose(found.to_labelmap(), (2, 0, 1)), axis=(0, 1))
    assert np.array_equal(back, apart().to_labelmap())


def test_a_folder_with_one_seg_is_that_seg(source, tmp_path) -> None:
    written(apart(), source, tmp_path)
    assert len(medseg.read_instances(tmp_path, source=source)) == 2


@pytest.mark.parametrize("kind", ["BINARY", "LABELMAP", "FRACTIONAL"])
def test_segments_of_other_programs_are_instances(source, tmp_path, kind) -> None:
    path = by_others(source, ["Lesion 1", "Lesion 2", "Rim"], tmp_path / "x.dcm", kind)
    found = medseg.read_instances(path, kind="organ", source=source)
    assert [(one.id, one.class_name, one.kind, one.voxel_count) for one in found] == [
        (1, "Lesion", "organ", 18),
        (2, "Lesion", "organ", 18),
        (3, "Rim", "organ", 18),
    ]


def test_one_slice_is_as_thick_as_it_says(source, tmp_path) -> None:
    mask = np.zeros(GRID.shape, dtype=bool)
    mask[3, 2:4, 2:4] = True
    item = medseg.Instance.from_mask(mask, id=1, class_name="liver", kind="organ")
    found = medseg.read_instances(written(Instances(GRID, [item], (LIVER,)), source, tmp_path))
    assert found.geometry.spacing_mm == pytest.approx(GRID.spacing_mm)
    assert found.geometry.shape == (1, *GRID.shape[1:])


STEP = GRID.spacing_mm[0]


def stating(source, folder: Path, slices, between: float | None, thickness: float | None) -> Path:
    """A SEG of 4 voxels in each of `slices` that says this of their distance and thickness."""
    mask = np.zeros(GRID.shape, dtype=bool)
    mask[list(slices), 2:4, 2:4] = True
    item = medseg.Instance.from_mask(mask, id=1, class_name="liver", kind="organ")
    path = written(Instances(GRID, [item], (LIVER,)), source, folder)
    ds = dcmread(path)
    measures = ds.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0]
    for keyword, value in (("SpacingBetweenSlices", between), ("SliceThickness", thickness)):
        delattr(measures, keyword)
        if value is not None:
            setattr(measures, keyword, f"{value:g}")
    ds.save_as(path)
    return path


def coded(value: str, scheme: str) -> Dataset:
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, scheme, "x"
    return item


@pytest.mark.parametrize(
    ("slices", "between", "thickness", "told"),
    [
        ((1, 2, 3), STEP, STEP, False),
        ((1, 3), STEP, 9.0, False),
        ((1, 2, 3), None, STEP, False),
        ((1, 2, 3), None, STEP / 2, True),  # gaps between thin slices, or every second one used
        ((1, 3), None, STEP, True),
        ((1, 3), None, None, True),
        ((3,), None, STEP, True),
        ((1, 2, 3), 0.7 * STEP, STEP, True),
        ((1, 2, 3, 4), STEP / 6, 5 * STEP / 6, True),  # the gap between slices, wrongly there
    ],
)
def test_a_seg_that_leaves_the_distance_of_its_slices_open_says_so(
    source, tmp_path, slices, between, thickness, told
) -> None:
    alone = medseg.read_instances(stating(source, tmp_path, slices, between, thickness))
    codes_of = [one.code for one in alone.warnings]
    assert codes_of == ["slices-unknown", *["slice-distance-unknown"] * told]


@pytest.mark.parametrize(
    ("slices", "between", "thickness"),
    [
        ((1, 2, 3, 4), STEP / 6, 5 * STEP / 6),  # the gap between slices, as some scanners say it
        ((1, 2, 3), None, STEP / 10),  # thin slices far apart
        ((1, 3), None, None),
        ((3,), None, 5 * STEP / 3),
        ((1, 2, 3), 0.7 * STEP, STEP),
    ],
)
def test_with_its_images_a_seg_has_their_distance_of_slices(
    source, tmp_path, slices, between, thickness
) -> None:
    path = stating(source, tmp_path, slices, between, thickness)
    for place in (source, GRID):
        found = medseg.read_instances(path, source=place)
        assert found.geometry.same_grid(GRID)
        assert found.warnings == ()
        (item,) = found.items
        assert np.flatnonzero(item.mask.any(axis=(1, 2))).tolist() == [
            z - slices[0] for z in slices
        ]
        assert (item.box[0].start, item.voxel_count) == (slices[0], 4 * len(slices))


@pytest.mark.parametrize("name", ["node", "gtvn", "liver metastasis"])
def test_a_class_of_nodes_comes_back_as_one(source, tmp_path, name) -> None:
    nodes = replace(NODULE, name=name, node=True)
    mask = np.zeros(GRID.shape, dtype=bool)
    mask[1:4, 2:4, 2:4] = True
    items = [*apart().items, medseg.Instance.from_mask(mask, id=5, class_name=name, kind="lesion")]
    path = written(Instances(GRID, items, (LIVER, NODULE, nodes)), source, tmp_path)
    found = medseg.read_instances(path, source=source)
    assert {one.name: one.node for one in found.classes} == {
        "liver": False,
        "lung nodule": False,
        name: True,
    }


@pytest.mark.parametrize(
    ("category", "site", "node"),
    [
        (("49755003", "SCT"), ("59441001", "SCT"), True),
        (("M-01000", "SRT"), ("T-C4000", "SRT"), True),
        (("49755003", "SCT"), ("39607008", "SCT"), False),
        (("91723000", "SCT"), ("59441001", "SCT"), False),  # anatomy: no lesion
    ],
)
def test_lesions_of_other_programs_in_lymph_nodes_are_nodes(
    source, tmp_path, category, site, node
) -> None:
    path = by_others(source, ["x"], tmp_path / "x.dcm")
    ds = dcmread(path)
    (segment,) = ds.SegmentSequence
    segment.SegmentedPropertyCategoryCodeSequence = [coded(*category)]
    segment.AnatomicRegionSequence = [coded(*site)]
    ds.save_as(path)
    (found,) = medseg.read_instances(path, source=source).classes
    assert found.node == node


def test_a_seg_of_another_frame_of_reference_is_refused(source, tmp_path) -> None:
    path = written(apart(), source, tmp_path)
    ds = dcmread(path)
    ds.FrameOfReferenceUID = "1.2.3"
    ds.save_as(path)
    with pytest.raises(InputRefused, match="frame of reference") as refused:
        medseg.read_instances(path, source=source)
    assert refused.value.code == "mixed-frame-of-reference"


@pytest.mark.parametrize(
    ("harm", "code"),
    [
        (lambda ds: setattr(ds, "PixelData", ds.PixelData[:40]), "pixel-data-corrupt"),
        (lambda ds: delattr(ds, "SegmentSequence"), "file-corrupt"),
        (lambda ds: setattr(ds, "NumberOfFrames", 3), "file-corrupt"),
        (lambda ds: ds.SegmentSequence.pop(), "file-corrupt"),
        (
            lambda ds: delattr(
                ds.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0], "PixelSpacing"
            ),
            "geometry-missing",
        ),
        (
            lambda ds: setattr(
                ds.PerFrameFunctionalGroupsSequence[1].PlanePositionSequence[0],
                "ImagePositionPatient",
                [-20.0, 31.0, 404.3],
            ),
            "uneven-spacing",
        ),
        (
            lambda ds: setattr(
                ds.SharedFunctionalGroupsSequence[0].PlaneOrientationSequence[0],
                "ImageOrientationPatient",
                [1, 0, 0, 0.5, 1, 0],
            ),
            "geometry-invalid",
        ),
        (lambda ds: setattr(ds, "Rows", 65535), "pixel-data-corrupt"),
    ],
)
def test_a_damaged_seg_is_refused(source, tmp_path, harm, code) -> None:
    path = written(apart(), source, tmp_path)
    ds = dcmread(path)
    harm(ds)
    ds.save_as(path)
    with pytest.raises(InputRefused) as refused:
        medseg.read_instances(path, source=None)
    assert refused.value.code == code


def test_an_image_is_no_seg(tmp_path) -> None:
    folder = tmp_path / "series"
    series(folder)
    with pytest.raises(InputRefused, match="without a SEG or RTSTRUCT"):
        medseg.read_instances(folder)


def test_an_rtstruct_needs_its_images(source, tmp_path) -> None:
    write_dicom(apart(), source, tmp_path, formats=("rtstruct",))
    path = tmp_path / FILES["rtstruct"]
    with pytest.raises(InputRefused, match="contours have no voxels") as refused:
        medseg.read_instances(path)
    assert refused.value.code == "geometry-missing"
    found = medseg.read_instances(path, source=source)
    assert np.array_equal(found.to_labelmap(), apart().to_labelmap())


def test_two_segs_are_compared_on_a_grid_that_holds_the_slices_of_both(source, tmp_path) -> None:
    paths = []
    for number, item in enumerate(apart().items):
        folder = tmp_path / str(number)
        folder.mkdir()
        one = Instances(GRID, [item], apart().classes)
        paths.append(written(one, source, folder))
    grid = comparing_grid(*paths)
    assert grid is not None
    assert grid.same_grid(GRID.crop((slice(1, 5), slice(0, 11), slice(0, 13))))
    masks = [medseg.read_instances(path, source=grid).to_labelmap() > 0 for path in paths]
    assert np.array_equal(masks[0] | masks[1], apart().to_labelmap()[1:5] > 0)
