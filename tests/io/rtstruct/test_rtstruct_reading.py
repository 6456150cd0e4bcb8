"""What is read of a structure set, what is told, and what is refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset
from pydicom.uid import CTImageStorage
from rtstruct_builders import CANARY_ID, FRAME, Drawn, saved, square, structure_set

from medseg.errors import InputRefused
from medseg.io.dicom_out.source import read_source
from medseg.io.rtstruct import read_rtstruct
from medseg.io.rtstruct.read import place_structure_set
from medseg.io.rtstruct.structure import read_structure_set
from medseg.types import Geometry, Instances

GRID = Geometry.from_spacing((10, 20, 20), (3.0, 1.0, 1.0))


def placed(ds: Dataset, tmp_path: Path, *, images: frozenset[str] = frozenset()) -> Instances:
    found = read_structure_set(saved(ds, tmp_path / "rs.dcm"))
    return place_structure_set(found, GRID, frame=FRAME, images=images)


def codes(found: Instances) -> list[str]:
    return [one.code for one in found.warnings]


def block(*planes: float, low: float = 2.5, high: float = 7.5) -> list:
    return [square(low, high, 3.0 * plane) for plane in planes]


def test_regions_become_instances_with_number_name_and_kind(tmp_path):
    found = placed(
        structure_set(
            Drawn(4, "Liver", block(1, 2), interpreted="ORGAN"),
            Drawn(2, "GTV 1", block(2, 3), interpreted="GTV"),
            Drawn(9, "Unclear", block(3)),
        ),
        tmp_path,
    )
    assert [(one.id, one.class_name, one.kind) for one in found] == [
        (4, "Liver", "organ"),
        (2, "GTV 1", "lesion"),
        (9, "Unclear", "lesion"),
    ]
    assert [one.voxel_count for one in found] == [50, 50, 25]
    assert found.warnings == ()


def test_regions_of_one_name_are_instances_of_one_class(tmp_path):
    found = placed(structure_set(Drawn(1, "n", block(1)), Drawn(2, "n", block(5))), tmp_path)
    assert len(found.classes) == 1
    assert [one.box[0].start for one in found] == [1, 5]


@pytest.mark.parametrize("off", [0.0, 0.24, -0.24])
def test_a_contour_within_a_quarter_step_is_of_that_slice(off, tmp_path):
    found = placed(structure_set(Drawn(contours=block(4 + off))), tmp_path)
    assert found.items[0].box[0] == slice(4, 5)
    assert codes(found) == (["contours-off-plane"] if off else [])


def tilted(tmp_path: Path) -> Dataset:
    points = [(x, y, 12 + 0.3 * x) for x, y, _ in square(2.5, 7.5, 0)]
    return structure_set(Drawn(contours=[points]))


def two_planes(tmp_path: Path) -> Dataset:
    return structure_set(Drawn(contours=[square(2, 5, 12.3), square(9, 12, 11.7)]))


@pytest.mark.parametrize(
    ("make", "match"),
    [
        (
            lambda _: structure_set(Drawn(contours=block(4.3, 5))),
            "1 of 2 contours of ROI 1 lie bet",
        ),
        (lambda _: structure_set(Drawn(contours=block(1, 3, 5))), "are 6.00 mm apart"),
        (lambda _: structure_set(Drawn(contours=block(-5, -4))), "beyond the first or last"),
        (tilted, "across them"),
        (two_planes, "two planes beside one slice"),
    ],
    ids=["between", "coarser", "elsewhere", "tilted", "two planes"],
)
def test_contours_that_do_not_fit_the_slices_are_refused(make, match, tmp_path):
    with pytest.raises(InputRefused, match=match) as caught:
        placed(make(tmp_path), tmp_path)
    assert caught.value.code == "grid-mismatch"


def test_gaps_in_a_region_drawn_on_these_images_are_told(tmp_path):
    ds = structure_set(Drawn(contours=block(1, 3, 5), images=["1.2.99"]))
    found = placed(ds, tmp_path, images=frozenset({"1.2.99"}))
    assert codes(found) == ["contours-gap"]
    assert found.items[0].mask.any(axis=(1, 2)).tolist() == [True, False, True, False, True]


def test_contours_need_name_no_image_of_the_series(tmp_path):
    ds = structure_set(Drawn(contours=block(1, 2), images=["9.9.9"]))
    assert placed(ds, tmp_path).items[0].voxel_count == 50


@pytest.mark.parametrize("kind", ["CLOSED_PLANAR", "CLOSEDPLANAR_XOR"])
def test_contours_in_contours_are_holes_and_islands(kind, tmp_path):
    rings = [square(2.5, 12.5, 6), square(4.5, 9.5, 6), square(5.5, 7.5, 6)]
    found = placed(structure_set(Drawn(contours=rings, kind=kind)), tmp_path)
    assert found.items[0].voxel_count == 100 - 25 + 4
    assert found.provenance["rois"][0]["area_times_spacing_ml"] == pytest.approx(0.237)
    assert found.warnings == ()


@pytest.mark.parametrize(
    ("region", "told", "voxels"),
    [
        (Drawn(contours=[*block(1), *block(1)]), "contours-repeated", 25),
        (Drawn(contours=[*block(1), [(1, 1, 3), (2, 2, 3), (5, 5, 3)]]), "contours-left-out", 25),
        (Drawn(contours=[*block(1), [(1, 1, 3), (2, 2, 3)]]), "contours-left-out", 25),
        (Drawn(contours=[*block(1), square(4.5, 9.5, 3)]), "contours-cross", 32),
        (Drawn(contours=[*block(9, 10)]), "contours-outside", 25),
        (Drawn(contours=block(1, low=-4.5)), "contours-outside", 64),
        (Drawn(contours=block(1, low=2, high=7)), "contours-through-centres", 25),
        (Drawn(contours=block(1, low=2.8, high=4.2)), "contours-volume", 4),
    ],
)
def test_what_a_reader_should_know_is_told(region, told, voxels, tmp_path):
    found = placed(structure_set(region), tmp_path)
    assert told in codes(found)
    assert found.items[0].voxel_count == voxels


@pytest.mark.parametrize(
    ("region", "why"),
    [
        (Drawn(2, contours=[]), "no closed contour"),
        (Drawn(2, contours=[[(3, 3, 3)]], kind="POINT"), "no closed contour"),
        (Drawn(2, contours=[square(2.6, 2.9, 3)]), "no centre of a voxel"),
        (Drawn(2, contours=[square(100, 110, 3)]), "no centre of a voxel"),
        (Drawn(2, contours=block(-3)), "on a slice of the image"),
    ],
)
def test_an_empty_region_is_left_out_and_told(region, why, tmp_path):
    found = placed(structure_set(Drawn(1, contours=block(1)), region), tmp_path)
    assert [one.id for one in found] == [1]
    assert [one.detail for one in found.warnings if one.code == "empty-roi" and why in one.detail]


def test_no_region_gives_no_instance(tmp_path):
    found = placed(structure_set(), tmp_path)
    assert (len(found), codes(found)) == (0, ["empty-roi"])


def test_regions_in_another_frame_of_reference_are_left_out_or_refused(tmp_path):
    mixed = structure_set(Drawn(1, contours=block(1)), Drawn(2, contours=block(1), frame="9"))
    found = placed(mixed, tmp_path)
    assert ([one.id for one in found], codes(found)) == ([1], ["roi-in-another-frame"])
    with pytest.raises(InputRefused, match="frame of reference") as caught:
        placed(structure_set(Drawn(contours=block(1), frame="9")), tmp_path)
    assert caught.value.code == "mixed-frame-of-reference"
    with pytest.raises(InputRefused, match="which frame of reference") as caught:
        placed(structure_set(Drawn(contours=block(1), frame="")), tmp_path)
    assert caught.value.code == "frame-of-reference-missing"


def test_a_frame_stated_once_for_the_whole_file_counts(tmp_path):
    ds = structure_set(Drawn(contours=block(1), frame=""))
    ds.FrameOfReferenceUID = FRAME
    assert len(placed(ds, tmp_path)) == 1


@pytest.mark.parametrize("name", ["yellow tumour", f"GTV {CANARY_ID.lower()}", "CANARY_GTV"])
def test_a_name_that_holds_the_patients_is_not_shown(name, tmp_path):
    found = placed(structure_set(Drawn(3, name, block(1))), tmp_path)
    assert found.items[0].class_name == "ROI 3"
    assert codes(found) == ["roi-name-hidden"]


def edited(edit: Callable[[Dataset], None]) -> Dataset:
    ds = structure_set(Drawn(1, "CANARY", block(1, 2)))
    edit(ds)
    return ds


def first(ds: Dataset) -> Dataset:
    return ds.ROIContourSequence[0].ContourSequence[0]


def strange(text: str) -> Callable[[Dataset], None]:
    def edit(ds: Dataset) -> None:
        raw = text.encode() + b" " * (len(text) % 2)
        from pydicom.dataelem import RawDataElement
        from pydicom.tag import Tag

        tag, item = Tag(0x30060050), first(ds)
        item[tag] = RawDataElement(tag, "DS", len(raw), raw, 0, True, True)
        for one in (item, ds.ROIContourSequence[0]):
            one.set_original_encoding(True, True, "iso8859")

    return edit


def twice(ds: Dataset) -> None:
    ds.StructureSetROISequence.append(ds.StructureSetROISequence[0])


@pytest.mark.parametrize(
    ("edit", "code"),
    [
        (strange("1\\2\\nan\\4\\5\\6\\7\\8\\9"), "geometry-invalid"),
        (strange("0,8\\2\\3\\4\\5\\6\\7\\8\\9"), "geometry-invalid"),
        (strange("1e999\\2\\3\\4\\5\\6\\7\\8\\9"), "geometry-invalid"),
        (strange("1\\\\3\\4\\5\\6\\7\\8\\9"), "geometry-invalid"),
        (strange("9e9\\2\\3\\4\\5\\3\\7\\8\\3"), "geometry-invalid"),
        (strange("1\\2\\3\\4\\5\\6\\7\\8"), "file-corrupt"),
        (strange("1\\2\\3\\4\\5\\6\\7\\8\\9"), "file-corrupt"),
        (twice, "file-corrupt"),
        (lambda ds: setattr(ds.ROIContourSequence[0], "ReferencedROINumber", 7), "file-corrupt"),
        (lambda ds: delattr(ds.StructureSetROISequence[0], "ROINumber"), "file-corrupt"),
        (lambda ds: setattr(ds, "SOPClassUID", CTImageStorage), "sop-class-unsupported"),
    ],
)
def test_bad_input_is_refused_in_one_line_without_patient_data(edit, code, tmp_path):
    ds = edited(edit)
    if code == "geometry-invalid" and b"9e9" in first(ds).get_item(0x30060050).value:
        first(ds).NumberOfContourPoints = 3
    with pytest.raises(InputRefused) as caught:
        placed(ds, tmp_path)
    assert caught.value.code == code
    assert "\n" not in str(caught.value)
    assert "CANARY" not in str(caught.value).upper()
    assert str(tmp_path) not in str(caught.value)


def test_files_that_are_no_structure_set_are_refused(tmp_path):
    (tmp_path / "text.dcm").write_text("nothing of DICOM " * 20)
    with pytest.raises(InputRefused, match="not DICOM") as caught:
        read_structure_set(tmp_path / "text.dcm")
    assert caught.value.code == "file-corrupt"
    with pytest.raises(InputRefused) as caught:
        read_structure_set(tmp_path / "absent.dcm")
    assert caught.value.code == "path-missing"


def test_a_file_cut_anywhere_gives_no_other_error(tmp_path):
    whole = saved(structure_set(Drawn(contours=block(1, 2))), tmp_path / "rs.dcm").read_bytes()
    path = tmp_path / "cut.dcm"
    rng = np.random.default_rng(0)
    for _ in range(150):
        bad = bytearray(whole[: rng.integers(100, len(whole) + 1)])
        for place in rng.integers(132, len(bad), size=3) if len(bad) > 132 else []:
            bad[place] = rng.integers(256)
        path.write_bytes(bad)
        error = None
        try:
            place_structure_set(read_structure_set(path), GRID, frame=FRAME)
        except InputRefused as refused:
            error = refused
        assert "Canary" not in str(error)


@pytest.mark.parametrize(
    ("folder", "voxels", "ml"),
    [("sarcoma_mr_t1_rtstruct", 9655, 30.093), ("sarcoma_pet_rtstruct", 606, 30.093)],
)
def test_real_contours_have_the_volume_of_area_times_spacing(folder, voxels, ml, shared_data):
    """Figures of an own count with pydicom: contours that name no image of the folder."""
    place = shared_data / "dicom" / folder
    source = read_source(place)
    found = read_rtstruct(place / "RS.dcm", source)
    (item,) = found.items
    assert item.voxel_count == voxels
    assert item.voxel_count * source.geometry.voxel_ml == pytest.approx(ml, rel=0.02)
    facts = found.provenance["rois"][0]
    assert facts["area_times_spacing_ml"] == pytest.approx(ml, abs=0.001)
    assert (item.kind, facts["contours"], facts["slices"]) == ("lesion", 15, 15)
    ds = pydicom.dcmread(place / "RS.dcm")
    assert item.class_name == ds.StructureSetROISequence[0].ROIName
