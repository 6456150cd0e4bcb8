"""What one study leaves in a folder, checked with readers that are not medseg's."""

from __future__ import annotations

import hashlib
import json
import struct
import sys
from pathlib import Path

import nibabel
import nrrd
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from medseg.errors import OutputError
from medseg.inference.results import (
    FILES,
    hidden_voxels,
    volume_sha256,
    without_overlaps,
    write_results,
)
from medseg.measurement import measure
from medseg.types import Geometry, InputWarning, Instance, InstanceClass, Instances, Volume

SHAPE = (6, 8, 10)
GEOMETRY = Geometry.from_spacing(SHAPE, spacing_mm=(2.0, 1.0, 0.5), origin_mm=(10.0, 20.0, 30.0))
CLASSES = (InstanceClass("organ", "organ", 1, (200, 40, 40)), InstanceClass("spot", "lesion", 2))
PROVENANCE = {
    "model": {"name": "made-up", "version": "1.0", "weights_sha256": "ab" * 32},
    "device": "cpu",
    "defaults": ["unit: taken as arbitrary"],
}


def block(
    number: int, class_name: str, corner: tuple[int, int, int], size: int, score: float
) -> Instance:
    mask = np.zeros(SHAPE, dtype=bool)
    z, y, x = corner
    mask[z : z + size, y : y + size, x : x + size] = True
    kind = "organ" if class_name == "organ" else "lesion"
    made = Instance.from_mask(mask, id=number, class_name=class_name, kind=kind, score=score)
    assert made is not None
    return made


@pytest.fixture
def volume() -> Volume:
    array = np.arange(np.prod(SHAPE), dtype=np.int16).reshape(SHAPE)
    return Volume(array, GEOMETRY, "MR", "arbitrary", meta={"PatientName": "Doe^Jane"})


@pytest.fixture
def found() -> Instances:
    """An organ of 4x4x4 voxels, a lesion of 2x2x2 in it that wins, and one that stands alone."""
    items = [
        block(1, "organ", (1, 1, 1), 4, 0.6),
        block(2, "spot", (2, 2, 2), 2, 0.9),
        block(5, "spot", (0, 6, 7), 1, 0.8),
    ]
    warnings = (InputWarning("out-of-domain", "the image is darker than those of the training"),)
    return Instances(GEOMETRY, items, CLASSES, warnings, PROVENANCE)


def test_other_views_are_written_beside_and_listed(
    volume: Volume, found: Instances, tmp_path: Path
) -> None:
    table = measure(found, volume)
    summary = write_results(volume, found, tmp_path, table=table, views=["semantic", "panoptic"])
    assert sorted(summary.files) == sorted(path.name for path in tmp_path.iterdir())
    assert summary.files[-1] == "summary.json" and "panoptic.json" in summary.files
    classes, segments = (
        np.asarray(nibabel.load(tmp_path / f"{name}.nii.gz").dataobj).T
        for name in ("semantic", "panoptic")
    )
    assert [int((classes == label).sum()) for label in (1, 2)] == [64 - 8, 8 + 1]
    listed = json.loads((tmp_path / "panoptic.json").read_text(encoding="utf-8"))["segments"]
    assert [(one["id"], one["voxel_count"]) for one in listed] == [(1, 56), (2, 8), (5, 1)]
    assert all(int((segments == one["id"]).sum()) == one["voxel_count"] for one in listed)


def test_a_folder_gets_every_file_and_no_other(
    volume: Volume, found: Instances, tmp_path: Path
) -> None:
    write_results(volume, found, tmp_path, table=measure(found, volume))
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(FILES)
    assert (tmp_path / "preview.png").read_bytes().startswith(b"\x89PNG")


def test_the_label_map_gives_an_overlap_to_the_higher_score(
    volume: Volume, found: Instances, tmp_path: Path
) -> None:
    write_results(volume, found, tmp_path, table=measure(found, volume))
    labels = np.asarray(nibabel.load(tmp_path / "instances.nii.gz").dataobj)
    numbers, counts = np.unique(labels, return_counts=True)
    assert dict(zip(numbers.tolist(), counts.tolist(), strict=True)) == {
        0: np.prod(SHAPE) - 64 - 1,
        1: 64 - 8,
        2: 8,
        5: 1,
    }


def test_the_segmentation_keeps_what_the_label_map_hides(
    volume: Volume, found: Instances, tmp_path: Path
) -> None:
    write_results(volume, found, tmp_path, table=measure(found, volume))
    data, header = nrrd.read(str(tmp_path / "instances.seg.nrrd"))
    layers = data if data.ndim == 4 else data[None]
    voxels = [
        int(
            (
                layers[int(header[f"Segment{n}_Layer"])] == int(header[f"Segment{n}_LabelValue"])
            ).sum()
        )
        for n in range(3)
    ]
    assert voxels == [64, 8, 1]


def test_the_summary_says_burden_in_organs_and_proposes_targets(
    volume: Volume, found: Instances, tmp_path: Path
) -> None:
    known = {"slice_thickness_mm": 2.0, "acquisition_axis": 0}
    write_results(volume, found, tmp_path, table=measure(found, volume, **known))
    read = json.loads((tmp_path / "summary.json").read_text())
    assert read["study"] == {
        "organs": [
            {"organ": "organ", "class_name": "spot", "count": 1, "volume_ml": 0.008},
            {"organ": None, "class_name": "spot", "count": 1, "volume_ml": 0.001},
        ],
        "targets": {"ids": [], "sum_of_diameters_mm": None},  # both are below 10 mm
    }


def test_the_summary_counts_per_class_and_says_what_is_hidden(
    volume: Volume, found: Instances, tmp_path: Path
) -> None:
    summary = write_results(volume, found, tmp_path, table=measure(found, volume))
    read = json.loads((tmp_path / "summary.json").read_text())
    assert read == summary.as_dict()
    assert read["object_count"] == 3
    assert read["classes"] == {
        "organ": {"kind": "organ", "count": 1, "volume_ml": 0.064},
        "spot": {"kind": "lesion", "count": 2, "volume_ml": 0.009},
    }
    assert read["hidden_voxels"] == {"1": 8}
    codes = {one["code"]: one["detail"] for one in read["warnings"]}
    assert set(codes) == {"out-of-domain", "overlap-hidden"}
    assert "hides 8 voxels of 1 objects" in codes["overlap-hidden"]
    assert summary.in_words() == "1 organ (0.064 ml), 2 spot (0.009 ml)"


def test_the_summary_names_model_device_defaults_and_versions(
    volume: Volume, found: Instances, tmp_path: Path
) -> None:
    write_results(volume, found, tmp_path, table=measure(found, volume))
    read = json.loads((tmp_path / "summary.json").read_text())
    assert read["model"] == PROVENANCE["model"]
    assert (read["device"], read["defaults"]) == ("cpu", ["unit: taken as arbitrary"])
    assert list(read["versions"]) == ["medseg", "torch", "monai", "numpy", "python"]
    assert read["versions"]["numpy"] == np.__version__
    assert read["versions"]["python"] == sys.version.split()[0]
    assert read["inputs"]["image"]["shape_zyx"] == [6, 8, 10]
    assert read["inputs"]["image"]["spacing_mm_zyx"] == [2.0, 1.0, 0.5]


def test_neither_path_nor_patient_is_in_the_summary(
    volume: Volume, found: Instances, tmp_path: Path
) -> None:
    write_results(volume, found, tmp_path, table=measure(found, volume))
    text = (tmp_path / "summary.json").read_text()
    assert "Doe" not in text
    assert str(tmp_path) not in text


def test_each_channel_has_its_own_input_hash(
    volume: Volume, found: Instances, tmp_path: Path
) -> None:
    other = Volume(volume.array + 1, GEOMETRY, "MR")
    channels = {"flair": volume, "t1": other}
    summary = write_results(channels, found, tmp_path, table=measure(found, volume))
    assert list(summary.inputs) == ["flair", "t1"]
    assert summary.inputs["flair"]["sha256"] == volume_sha256(volume)
    assert summary.inputs["t1"]["sha256"] == volume_sha256(other)


def test_the_same_values_give_the_same_bytes(
    volume: Volume, found: Instances, tmp_path: Path
) -> None:
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
        write_results(volume, found, tmp_path / name, table=measure(found, volume))
    for name in FILES:
        first, second = (tmp_path / one / name for one in ("first", "second"))
        assert first.read_bytes() == second.read_bytes(), name


def test_no_object_gives_all_files_and_zero_counts(volume: Volume, tmp_path: Path) -> None:
    none = Instances(GEOMETRY, [], CLASSES)
    summary = write_results(volume, none, tmp_path, table=measure(none, volume))
    assert [total["count"] for total in summary.classes.values()] == [0, 0]
    assert not np.asarray(nibabel.load(tmp_path / "instances.nii.gz").dataobj).any()
    assert len((tmp_path / "instances.csv").read_text().splitlines()) == 1


def test_an_error_half_way_leaves_earlier_results_alone(
    volume: Volume, found: Instances, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in FILES:
        (tmp_path / name).write_text("earlier")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("medseg.io.preview.write_preview", full)
    with pytest.raises(OutputError, match=r"there is no room left to write it \[disk-full\]"):
        write_results(volume, found, tmp_path, table=measure(found, volume))
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(FILES)
    assert {path.read_text() for path in tmp_path.iterdir()} == {"earlier"}


def test_earlier_results_are_replaced_and_other_files_stay(
    volume: Volume, found: Instances, tmp_path: Path
) -> None:
    for name in (*FILES, "notes.txt"):
        (tmp_path / name).write_text("earlier")
    write_results(volume, found, tmp_path, table=measure(found, volume))
    unchanged = [path.name for path in tmp_path.iterdir() if path.read_bytes() == b"earlier"]
    assert unchanged == ["notes.txt"]


def test_a_folder_in_the_place_of_a_file_is_named(
    volume: Volume, found: Instances, tmp_path: Path
) -> None:
    (tmp_path / "instances.csv").mkdir()
    with pytest.raises(OutputError, match=r"^instances\.csv: "):
        write_results(volume, found, tmp_path, table=measure(found, volume))


def test_the_input_hash_is_the_documented_one(volume: Volume) -> None:
    affine = [0, 0, 0.5, 10, 0, 1, 0, 20, 2, 0, 0, 30, 0, 0, 0, 1]
    expected = hashlib.sha256(b"<i2 6 8 10\n")
    expected.update(struct.pack(f"<{volume.array.size}h", *range(volume.array.size)))
    expected.update(struct.pack("<16d", *affine))
    assert volume_sha256(volume) == expected.hexdigest()


def test_the_input_hash_depends_on_voxels_and_grid_alone(volume: Volume) -> None:
    same = [
        Volume(volume.array.astype(">i2"), GEOMETRY),
        Volume(np.asfortranarray(volume.array), GEOMETRY),
    ]
    assert {volume_sha256(one) for one in same} == {volume_sha256(volume)}
    changed = volume.array.copy()
    changed[3, 4, 5] += 1
    moved = Geometry.from_spacing(SHAPE, (2.0, 1.0, 0.5), (10.0, 20.0, 30.001))
    for other in (Volume(changed, GEOMETRY), Volume(volume.array, moved)):
        assert volume_sha256(other) != volume_sha256(volume)


@settings(max_examples=40)
@given(
    blocks=st.lists(
        st.tuples(
            st.tuples(*(st.integers(0, length - 3) for length in SHAPE)),
            st.integers(1, 3),
            st.sampled_from([0.2, 0.5, 0.9]),
        ),
        max_size=6,
    )
)
def test_hidden_and_shown_voxels_are_all_voxels(
    blocks: list[tuple[tuple[int, int, int], int, float]],
) -> None:
    items = [
        block(n, "spot", corner, size, score)
        for n, (corner, size, score) in enumerate(blocks, start=1)
    ]
    instances = Instances(GEOMETRY, items, CLASSES)
    hidden, flat = hidden_voxels(instances), without_overlaps(instances)
    shown = {item.id: item.voxel_count for item in flat.items}
    for item in items:
        assert shown.get(item.id, 0) + hidden.get(item.id, 0) == item.voxel_count
    assert flat.overlap_voxels() == 0
    assert np.array_equal(flat.to_labelmap(), instances.to_labelmap("higher_score"))
