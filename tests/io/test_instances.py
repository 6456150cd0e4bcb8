"""Instances keep ids, masks and names through label maps and .seg.nrrd."""

from __future__ import annotations

import re
from dataclasses import replace

import nibabel
import nrrd
import numpy as np
import pytest
import SimpleITK
from hypothesis import given, settings
from io_cases import (
    box_instance,
    overlapping_instances,
    random_geometry,
    random_volume,
    same_instances,
    seeds,
)

from medseg.errors import InputRefused, OutputError
from medseg.io import read, read_instances, write
from medseg.io.seg_nrrd import layered
from medseg.types import Geometry, InputWarning, Instance, InstanceClass, Instances, Volume

LABELMAPS = (".nii", ".nii.gz", ".nrrd", ".mha")
NODE = InstanceClass("node", "lesion", 1)


def four_with_gaps(geometry=None):
    """Ids 3, 7, 12 and 40, none of which overlap."""
    boxes = [np.s_[0:2, 0:2, 0:3], np.s_[2:4, 0:2, 0:3], np.s_[0:4, 3:5, 0:1], np.s_[3:4, 3:5, 4:6]]
    items = [
        box_instance(number, "node", "lesion", box)
        for number, box in zip((3, 7, 12, 40), boxes, strict=True)
    ]
    return Instances(geometry or random_geometry(8), items, (NODE,))


@pytest.mark.parametrize("suffix", LABELMAPS)
def test_label_maps_keep_ids_with_gaps_and_masks(tmp_path, suffix):
    wanted = four_with_gaps()
    write(wanted, tmp_path / f"a{suffix}")
    found = read_instances(tmp_path / f"a{suffix}")
    assert [item.id for item in found.items] == [3, 7, 12, 40]
    for mine, theirs in zip(found.items, wanted.items, strict=True):
        assert mine.box == theirs.box
        assert np.array_equal(mine.mask, theirs.mask)
    assert found.geometry.same_grid(wanted.geometry)


@pytest.mark.parametrize("number", [255, 256, 70_000])
def test_large_ids_are_kept(tmp_path, number):
    items = [box_instance(number, "node", "lesion", np.s_[0:1, 0:1, 0:1])]
    instances = Instances(random_geometry(1), items, (NODE,))
    for suffix in (*LABELMAPS, ".seg.nrrd"):
        write(instances, tmp_path / f"a{suffix}")
        assert [one.id for one in read_instances(tmp_path / f"a{suffix}").items] == [number]


@pytest.mark.parametrize("suffix", [*LABELMAPS, ".seg.nrrd"])
def test_no_instance_at_all_is_kept(tmp_path, suffix):
    empty = Instances(random_geometry(1), [], (NODE,))
    write(empty, tmp_path / f"a{suffix}")
    found = read_instances(tmp_path / f"a{suffix}")
    assert len(found) == 0
    assert found.geometry.same_grid(empty.geometry)


def test_overlap_in_a_label_map_is_an_error_that_names_seg_nrrd(tmp_path):
    with pytest.raises(OutputError, match=r"instances \d+ and \d+ overlap.*\.seg\.nrrd"):
        write(overlapping_instances(), tmp_path / "a.nii.gz")
    assert list(tmp_path.iterdir()) == []


@given(seed=seeds)
@settings(max_examples=40)
def test_seg_nrrd_keeps_overlapping_instances_whole(tmp_path_factory, seed):
    path = tmp_path_factory.mktemp("a") / "a.seg.nrrd"
    wanted = overlapping_instances(seed)
    write(wanted, path)
    found = read_instances(path)
    assert same_instances(found, wanted)
    assert found.classes == wanted.classes
    assert np.allclose(found.geometry.affine, wanted.geometry.affine, atol=1e-9)


def test_seg_nrrd_keeps_sheared_grids_warnings_and_provenance(tmp_path):
    wanted = replace(
        four_with_gaps(random_geometry(4, sheared=True)),
        warnings=(InputWarning("out-of-domain", "Größe \\n und | und : 5 %"),),
        provenance={"model": {"name": "m", "hash": "ab"}, "defaults": ["a\nb"]},
    )
    write(wanted, tmp_path / "a.seg.nrrd")
    found = read_instances(tmp_path / "a.seg.nrrd")
    assert found.warnings == wanted.warnings
    assert dict(found.provenance) == dict(wanted.provenance)
    assert np.allclose(found.geometry.affine, wanted.geometry.affine, atol=1e-9)


@pytest.mark.parametrize("name", ["Läsion | links: a\\b", "two\nlines", " edge ", "100 %"])
def test_seg_nrrd_keeps_any_class_name(tmp_path, name):
    item = replace(four_with_gaps().items[0], class_name=name)
    wanted = Instances(random_geometry(1), [item], (InstanceClass(name, "lesion", 2),))
    write(wanted, tmp_path / "a.seg.nrrd")
    found = read_instances(tmp_path / "a.seg.nrrd")
    assert same_instances(found, wanted)
    assert found.classes == wanted.classes


def test_layers_are_as_few_as_the_overlaps_need():
    chain = [np.s_[0:2, 0:1, 0:1], np.s_[1:4, 0:1, 0:1], np.s_[3:4, 0:1, 0:2], np.s_[0:1, 3:5, 0:9]]
    items = [box_instance(n + 1, "node", "lesion", box) for n, box in enumerate(chain)]
    layers, layer_of = layered(Instances(Geometry.identity((4, 5, 9)), items, (NODE,)))
    assert len(layers) == 2
    assert layer_of == [0, 1, 0, 0]


def test_other_readers_find_what_slicer_documents(tmp_path):
    """pynrrd, which shares no code with our writer, reads fields and values as documented."""
    instances = overlapping_instances(3)
    write(instances, tmp_path / "a.seg.nrrd")
    values, header = nrrd.read(str(tmp_path / "a.seg.nrrd"))
    assert header["kinds"] == ["list", "domain", "domain", "domain"]
    assert np.isnan(header["space directions"][0]).all()
    assert header["space"] == "left-posterior-superior"
    for number, item in enumerate(instances.items):
        prefix = f"Segment{number}_"
        assert header[prefix + "Name"] == f"{item.class_name} {item.id}"
        layer, label = int(header[prefix + "Layer"]), int(header[prefix + "LabelValue"])
        found = np.argwhere(values[layer] == label)  # (i, j, k)
        assert len(found) == item.voxel_count
        extent = [int(word) for word in header[prefix + "Extent"].split()]
        assert extent == np.stack([found.min(axis=0), found.max(axis=0)], axis=1).ravel().tolist()
        if item.class_name == "liver lobe":
            color = [float(word) * 255 for word in header[prefix + "Color"].split()]
            assert color == pytest.approx((10, 200, 30), abs=1e-3)


def test_a_file_of_one_layer_is_a_label_map_for_other_programs(tmp_path):
    wanted = four_with_gaps()
    write(wanted, tmp_path / "a.seg.nrrd")
    image = SimpleITK.ReadImage(str(tmp_path / "a.seg.nrrd"))
    assert np.array_equal(SimpleITK.GetArrayFromImage(image), wanted.to_labelmap())
    assert image.GetMetaData("Segment0_Name") == "node 3"


SLICER = """NRRD0004
# Complete NRRD file format specification at:
# http://teem.sourceforge.net/nrrd/format.html
type: unsigned char
dimension: {dimension}
space: left-posterior-superior
sizes: {sizes}
space directions: {directions}
kinds: {kinds}
encoding: raw
space origin: (-119.5,-119.5,-77.7)
{segments}Segmentation_ContainedRepresentationNames:=Binary labelmap|Closed surface|
Segmentation_ConversionParameters:=Smoothing factor|0.2|Range: 0.0 to 1.0&
Segmentation_MasterRepresentation:={kind}
Segmentation_ReferenceImageExtentOffset:=0 0 0

"""


def slicer_file(path, values, segments, kind="Binary labelmap", fields=True):
    """As 3D Slicer writes it: `values` (z, y, x) or (z, y, x, layer)."""
    layers = values.ndim == 4
    text = ""
    for n, (name, label, layer, tags) in enumerate(segments):
        text += f"Segment{n}_Color:=0.694118 0.478431 0.396078\nSegment{n}_ID:=Segment_{n + 1}\n"
        text += f"Segment{n}_Name:={name}\nSegment{n}_Tags:={tags}\n"
        if fields:
            text += f"Segment{n}_LabelValue:={label}\nSegment{n}_Layer:={layer}\n"
    header = SLICER.format(
        dimension=values.ndim,
        sizes=" ".join(str(length) for length in values.shape[::-1]),
        directions="none " * layers + "(0.5,0,0) (0,0.5,0) (0,0,2)",
        kinds="list " * layers + "domain domain domain",
        segments=text,
        kind=kind,
    )
    path.write_bytes(header.encode() + values.astype(np.uint8).tobytes())
    return path


@pytest.mark.parametrize("own_keys", [True, False])
def test_seg_nrrd_keeps_which_classes_are_lymph_nodes(tmp_path, own_keys):
    items = four_with_gaps().items
    items[1:] = [replace(one, class_name="lymph | node") for one in items[1:]]
    classes = (NODE, InstanceClass("lymph | node", "lesion", 2, None, node=True))
    path = tmp_path / "a.seg.nrrd"
    write(Instances(random_geometry(8), items, classes), path)
    if not own_keys:  # as Slicer saves it
        resaved(path, lambda text: re.sub(r"\nmedseg_\w+:=[^\n]*", "", text))
    assert [(one.name, one.node) for one in read_instances(path).classes] == [
        ("node", False),
        ("lymph | node", True),
    ]
    renamed = resaved(path, lambda text: text.replace("Name:=lymph | node 7", "Name:=cyst"))
    assert {one.name for one in read_instances(renamed).classes if one.node} == {"lymph | node"}


def test_seg_nrrd_keeps_a_class_of_lymph_nodes_without_an_object(tmp_path):
    classes = (NODE, InstanceClass("lymph node", "lesion", 2, None, node=True))
    write(Instances(random_geometry(8), [], classes), tmp_path / "a.seg.nrrd")
    assert read_instances(tmp_path / "a.seg.nrrd").classes == classes


def test_a_seg_nrrd_that_says_nothing_of_lymph_nodes_has_none(tmp_path):
    write(four_with_gaps(), tmp_path / "a.seg.nrrd")
    assert b"medseg_nodes" not in (tmp_path / "a.seg.nrrd").read_bytes()
    assert not any(one.node for one in read_instances(tmp_path / "a.seg.nrrd").classes)


TERMS = "Segmentation.Status:inprogress|TerminologyEntry:a list~SCT^4147007^Mass~^^|"


def test_segments_drawn_in_slicer_become_lesions_of_their_names(tmp_path):
    values = np.zeros((3, 4, 5))
    values[0, 0, :2], values[2, 3, 3:] = 4, 9
    segments = [("Mass", 9, 0, TERMS), ("Cyst", 4, 0, TERMS)]
    found = read_instances(slicer_file(tmp_path / "a.seg.nrrd", values, segments))
    assert [(one.id, one.class_name, one.kind) for one in found.items] == [
        (9, "Mass", "lesion"),
        (4, "Cyst", "lesion"),
    ]
    assert found.items[0].box == np.s_[2:3, 3:4, 3:5]
    assert found.classes[0] == InstanceClass("Mass", "lesion", 1, (177, 122, 101))
    assert found.geometry.spacing_mm == (2.0, 0.5, 0.5)
    organs = read_instances(tmp_path / "a.seg.nrrd", values="class")
    assert {one.kind for one in organs.items} == {"organ"}


@pytest.mark.parametrize("fields", [True, False])
def test_segments_in_layers_get_running_ids(tmp_path, fields):
    values = np.zeros((3, 4, 5, 2))
    values[:2, 0, 0, 0], values[1:, 0, 0, 1] = 1, 1
    segments = [("Head", 1, 0, ""), ("Mass", 1, 1, "")]
    path = slicer_file(tmp_path / "a.seg.nrrd", values, segments, fields=fields)
    found = read_instances(path)
    assert [(one.id, one.class_name) for one in found.items] == [(1, "Head"), (2, "Mass")]
    assert found.overlap_voxels() == 1


def resaved(path, change):
    """The file with its header text changed, as another program would have saved it."""
    head, _, values = path.read_bytes().partition(b"\n\n")
    path.write_bytes(change(head.decode()).encode() + b"\n\n" + values)
    return path


def test_what_slicer_drops_does_not_cost_ids_classes_or_scores(tmp_path):
    wanted = overlapping_instances(5)
    write(wanted, tmp_path / "a.seg.nrrd")
    resaved(tmp_path / "a.seg.nrrd", lambda text: re.sub(r"\nmedseg_\w+:=[^\n]*", "", text))
    found = read_instances(tmp_path / "a.seg.nrrd")
    assert same_instances(found, wanted)
    used = {item.class_name for item in wanted.items}
    assert {(one.name, one.label) for one in found.classes} == {
        (one.name, one.label) for one in wanted.classes if one.name in used
    }


def test_a_segment_renamed_in_slicer_has_its_new_name_as_class_and_keeps_its_id(tmp_path):
    write(four_with_gaps(), tmp_path / "a.seg.nrrd")
    path = resaved(tmp_path / "a.seg.nrrd", lambda text: text.replace("Name:=node 7", "Name:=cyst"))
    found = read_instances(path)
    assert [(one.id, one.class_name) for one in found.items] == [
        (3, "node"),
        (7, "cyst"),
        (12, "node"),
        (40, "node"),
    ]
    assert [one.name for one in found.classes] == ["node", "cyst"]


def test_a_copied_segment_gets_a_new_id_with_a_warning(tmp_path):
    write(four_with_gaps(), tmp_path / "a.seg.nrrd")
    path = resaved(
        tmp_path / "a.seg.nrrd", lambda text: text.replace("medseg.id:7|", "medseg.id:3|")
    )
    found = read_instances(path)
    assert [one.id for one in found.items] == [3, 7, 12, 40]
    assert [one.code for one in found.warnings] == ["id-changed"]


def test_empty_segments_and_voxels_of_no_segment_are_reported(tmp_path):
    values = np.zeros((3, 4, 5))
    values[0, 0, 0], values[1, 1, 1] = 1, 6
    segments = [("Mass", 1, 0, ""), ("Empty", 2, 0, "")]
    found = read_instances(slicer_file(tmp_path / "a.seg.nrrd", values, segments))
    assert [one.class_name for one in found.items] == ["Mass"]
    assert {one.code for one in found.warnings} == {"empty-segment", "unnamed-voxels"}


def test_fractional_segmentations_and_broken_fields_are_refused(tmp_path):
    values = np.ones((3, 4, 5))
    segment = ("Mass", 1, 0, "")
    path = slicer_file(tmp_path / "a.seg.nrrd", values, [segment], kind="Fractional labelmap")
    with pytest.raises(InputRefused, match="labels-not-integer"):
        read_instances(path)
    for broken in (("Mass", "x", 0, ""), ("Mass", 1, 5, "")):
        path = slicer_file(tmp_path / "a.seg.nrrd", values, [broken])
        with pytest.raises(InputRefused, match=r"^a\.seg\.nrrd: .*file-corrupt"):
            read_instances(path)


def labelmap(path, array):
    nibabel.Nifti1Image(array.T, np.eye(4)).to_filename(path)
    return path


def test_whole_numbers_stored_as_floats_are_labels(tmp_path):
    array = np.zeros((4, 5, 6), np.float32)
    array[0, 0, :3], array[3, 4, 5] = 2, 17
    found = read_instances(labelmap(tmp_path / "a.nii", array))
    assert [(one.id, one.voxel_count, one.kind) for one in found.items] == [
        (2, 3, "lesion"),
        (17, 1, "lesion"),
    ]
    classes = read_instances(tmp_path / "a.nii", values="class")
    assert [(one.class_name, one.kind) for one in classes.items] == [
        ("class_2", "organ"),
        ("class_17", "organ"),
    ]


@pytest.mark.parametrize("value", [0.5, -1.0, 1.0001])
def test_fractions_and_negative_values_are_no_labels(tmp_path, value):
    array = np.zeros((4, 5, 6), np.float32)
    array[1, 1, 1] = value
    with pytest.raises(InputRefused, match=r"^a\.nii: .*labels-not-integer"):
        read_instances(labelmap(tmp_path / "a.nii", array))


def test_a_folder_holds_no_label_map(tmp_path):
    with pytest.raises(InputRefused, match="format-unknown"):
        read_instances(tmp_path)


def test_a_volume_is_not_written_as_a_segmentation_nor_read_from_layers(tmp_path):
    with pytest.raises(OutputError, match="format-unsupported"):
        write(random_volume(0), tmp_path / "a.seg.nrrd")
    write(overlapping_instances(), tmp_path / "a.seg.nrrd")
    with pytest.raises(InputRefused, match=r"not-3d.*read_instances"):
        read(tmp_path / "a.seg.nrrd")


def test_a_full_disk_leaves_no_half_segmentation(tmp_path, monkeypatch):
    def fail(**_settings):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("medseg.io.nrrd_image.zlib.compressobj", fail)
    with pytest.raises(OutputError, match="disk-full"):
        write(four_with_gaps(), tmp_path / "a.seg.nrrd")
    assert list(tmp_path.iterdir()) == []


def test_scores_of_single_precision_and_probabilities_do_not_stop_writing(tmp_path):
    item = Instance.from_mask(
        np.ones((2, 2, 2), bool),
        id=1,
        class_name="node",
        kind="lesion",
        score=float(np.float32(0.1)),
        probability=np.full((2, 2, 2), 0.5),
    )
    write(Instances(random_geometry(1), [item], (NODE,)), tmp_path / "a.seg.nrrd")
    assert read_instances(tmp_path / "a.seg.nrrd").items[0].score == float(np.float32(0.1))


def test_real_labels_stored_as_floats_are_read(shared_data):
    folder = shared_data / "hippocampus_mr" / "labels"
    kinds = {}
    for path in sorted(folder.glob("*.nii.gz"))[:60]:
        kinds.setdefault(nibabel.load(path).get_data_dtype().kind, path)
    assert "f" in kinds
    for path in kinds.values():
        found = read_instances(path, values="class")
        reference = np.asarray(nibabel.load(path).dataobj).T
        assert [item.id for item in found.items] == [1, 2]
        for item in found.items:
            assert item.voxel_count == np.count_nonzero(reference == item.id)


def test_labels_of_a_volume_and_of_a_file_are_the_same(tmp_path):
    volume = Volume(np.eye(4, dtype=np.uint8)[None] * 3, Geometry.identity((1, 4, 4)))
    write(volume, tmp_path / "a.nrrd")
    assert [item.id for item in read_instances(tmp_path / "a.nrrd").items] == [3]
