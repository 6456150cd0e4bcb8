"""What is warned of while cases are read: which file of which side, and sides that are one."""

from __future__ import annotations

from pathlib import Path

import nibabel
import numpy as np
import pytest
from scipy import ndimage

from medseg.evaluation.files import FileCases, Reading
from medseg.io import write
from medseg.io.pairs import pair_files
from medseg.types import Geometry, InputWarning, Instance, InstanceClass, Instances

SHAPE = (6, 8, 9)


def cube(corner: int) -> np.ndarray:
    array = np.zeros(SHAPE, dtype=np.uint8)
    array[corner : corner + 3, 1:4, 1:4] = 1
    return array


def save(path: Path, array: np.ndarray, *, unit: str = "mm") -> Path:
    path.parent.mkdir(exist_ok=True)
    image = nibabel.Nifti1Image(array.T, np.diag([-1.0, -1, 1, 1]))
    image.header.set_xyzt_units(unit)
    nibabel.save(image, path)
    return path


def read(pred: Path, ref: Path, reading: Reading | None = None) -> tuple[InputWarning, ...]:
    """The warnings once all cases were read."""
    cases = FileCases(pair_files(pred, ref), reading or Reading())
    for case in cases.ref:
        assert cases.pred[case].geometry.shape == cases.ref[case].geometry.shape
    return cases.warnings


@pytest.mark.parametrize("side", ["prediction", "reference"])
def test_a_warning_of_reading_names_the_file_and_its_side(tmp_path, side) -> None:
    units = {"prediction": "mm", "reference": "mm"} | {side: "unknown"}
    pred = save(tmp_path / "prob255.nii.gz", cube(1), unit=units["prediction"])
    ref = save(tmp_path / "ms_07.nii.gz", cube(2), unit=units["reference"])
    name = {"prediction": "prob255.nii.gz", "reference": "ms_07.nii.gz"}[side]
    (warning,) = read(pred, ref)
    assert warning.code == "unit-of-length-assumed"
    assert warning.detail.startswith(f"{name} ({side}): the file names no unit of length")


def test_one_file_for_both_sides_is_warned_of_under_any_name(tmp_path) -> None:
    path = save(tmp_path / "a.nii.gz", cube(1))
    link = tmp_path / "b.nii.gz"
    link.symlink_to(path)
    for other in (path, link):
        (warning,) = read(other, path)
        names = f"{other.name} (prediction) and a.nii.gz (reference)"
        assert warning == ("sides-identical", f"{names} are one file")


def test_a_folder_of_copies_is_warned_of_once_with_the_number_of_cases(tmp_path) -> None:
    for case, corner in (("a", 0), ("b", 1), ("c", 2), ("d", 3)):
        save(tmp_path / "pred" / f"{case}.nii", cube(corner))
        save(tmp_path / "ref" / f"{case}.nii", cube(3 if case == "a" else corner))
    (warning,) = read(tmp_path / "pred", tmp_path / "ref")
    assert warning == (
        "sides-identical",
        "b.nii (prediction) and b.nii (reference) are the same byte for byte "
        "(and so in 2 more cases)",
    )


def test_two_files_without_an_object_may_be_equal(tmp_path) -> None:
    empty = np.zeros(SHAPE, dtype=np.uint8)
    pred, ref = (save(tmp_path / side / "a.nii", empty) for side in ("pred", "ref"))
    assert pred.read_bytes() == ref.read_bytes()
    assert read(pred, ref) == ()


def test_equal_headers_of_other_voxels_are_not_the_same(tmp_path) -> None:
    for side, corner in (("pred", 1), ("ref", 2)):
        folder = tmp_path / side
        folder.mkdir()
        (folder / "a.raw").write_bytes(cube(corner).tobytes())
        (folder / "a.mhd").write_text(
            "ObjectType = Image\nNDims = 3\nTransformMatrix = 1 0 0 0 1 0 0 0 1\nOffset = 0 0 0\n"
            f"ElementSpacing = 1 1 1\nDimSize = {' '.join(map(str, SHAPE[::-1]))}\n"
            "ElementType = MET_UCHAR\nElementDataFile = a.raw\n"
        )
    assert "sides-identical" not in [one.code for one in read(tmp_path / "pred", tmp_path / "ref")]


def test_sides_of_other_classes_are_shown_both_ways_out(tmp_path) -> None:
    item = Instance.from_mask(cube(1) == 1, id=1, class_name="tumour", kind="lesion")
    assert item is not None
    classes = (InstanceClass("tumour", "lesion", 1),)
    write(Instances(Geometry.identity(SHAPE), [item], classes), tmp_path / "pred.seg.nrrd")
    (warning,) = (
        one
        for one in read(tmp_path / "pred.seg.nrrd", save(tmp_path / "ref.nii", cube(1)))
        if one.code == "classes-differ"
    )
    assert "tumour is predicted, object the reference" in warning.detail
    assert "--across-classes" in warning.detail and "--names" in warning.detail


def test_what_may_be_an_image_is_not_told_to_split_its_values(tmp_path) -> None:
    hot = np.zeros((20, 24, 40), dtype=np.float32)
    hot[8:13, 9:14, 8:13] = hot[8:13, 9:14, 28:33] = 1
    levels = np.rint(9 * ndimage.gaussian_filter(hot, 2.5) / 0.6).astype(np.uint8)
    pred = save(tmp_path / "pred.nii.gz", levels)
    codes = [one.code for one in read(pred, save(tmp_path / "ref.nii.gz", levels))]
    assert codes == ["like-grey-values", "like-grey-values", "sides-identical"]
