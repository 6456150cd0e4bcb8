"""What napari opens and saves with medseg: the manifest, the reader, the writer, the samples."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from medseg_napari import samples
from medseg_napari.reader import get_reader
from medseg_napari.view.choices import list_choices, thumbnail
from medseg_napari.view.facts import facts_of
from medseg_napari.view.layer_data import image_data, labels_data
from medseg_napari.view.objects import as_painted
from medseg_napari.view.opening import Asking, add_layers, read_layers, read_volume, warnings_of
from medseg_napari.view.placement import Placement
from medseg_napari.widgets.segment_sessions import study_folder
from medseg_napari.writer import objects_of_layer, write_image, write_labels
from session_cases import GRID, cuboid, image, output, state_of
from view_cases import STRAIGHT, TURNS, marked, oblique
from view_dicom import ct_series, seg_of

from medseg.errors import InputRefused, OutputError
from medseg.io import read, read_instances, write
from medseg.io.tables import write_table
from medseg.measurement import measure
from medseg.phantom import write_dicom_series
from medseg.types import Instances, Volume

NO_OVERLAP = (3, 12, 40)


def apart() -> Instances:
    """Objects that a label map can hold: 3, 12, 40."""
    return output().filter(lambda item: item.id in NO_OVERLAP)


def attributes(data) -> dict[str, object]:
    return {"name": data[1]["name"], **data[1]}


def asked(*, labels: bool = False, take=lambda choices: choices) -> Asking:
    return Asking(volumes=take, labels=lambda name: labels)


def test_npe2_finds_the_manifest_and_every_command_imports(skip_unless) -> None:
    skip_unless(
        find_spec("npe2") is not None, "npe2 is not installed: pip install 'medseg[napari]'"
    )
    ran = subprocess.run(
        [str(Path(sys.executable).with_name("npe2")), "validate", "medseg", "--imports"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "Manifest for 'medseg' valid" in ran.stdout


def test_asking_for_a_reader_loads_neither_napari_nor_qt(tmp_path) -> None:
    code = (
        "import sys; from medseg_napari.reader import get_reader; import medseg_napari.writer;"
        "assert get_reader(sys.argv[1]) is not None;"
        "heavy = {'napari', 'qtpy', 'PyQt6', 'torch'};"
        "print(sorted({m.split('.')[0] for m in sys.modules} & heavy))"
    )
    path = str(tmp_path / "image.nii.gz")
    words = [sys.executable, "-c", code, path]
    ran = subprocess.run(words, capture_output=True, text=True, check=False)
    assert ran.stdout.strip() == "[]", ran.stderr


@pytest.mark.parametrize(
    "name", ["a.nii", "a.NII.GZ", "a.nrrd", "a.seg.nrrd", "a.mha", "a.mhd", "a.dcm"]
)
def test_files_that_medseg_reads_are_offered(tmp_path, name) -> None:
    assert get_reader(str(tmp_path / name)) is not None


@pytest.mark.parametrize("name", ["a.tif", "a.png", "a.zarr", "a.nii.txt", "a"])
def test_other_files_are_left_to_others(tmp_path, name) -> None:
    assert get_reader(str(tmp_path / name)) is None


def test_a_folder_is_offered_where_one_of_its_files_is_an_image(tmp_path) -> None:
    (tmp_path / "deep" / "er").mkdir(parents=True)
    (tmp_path / "deep" / "notes.txt").write_text("nothing")
    assert get_reader(str(tmp_path)) is None
    (tmp_path / "deep" / "er" / "IM0001").write_bytes(b"\0" * 128 + b"DICM")
    assert get_reader(str(tmp_path)) is not None
    assert get_reader([str(tmp_path), str(tmp_path / "a.nrrd")]) is not None
    assert get_reader([str(tmp_path), str(tmp_path / "a.tif")]) is None


@pytest.mark.parametrize("suffix", [".nii.gz", ".nrrd", ".mha"])
def test_an_image_opens_where_it_lies(tmp_path, viewer, suffix) -> None:
    volume, _ = marked()
    path = tmp_path / f"image{suffix}"
    write(volume.reoriented((2, 0, 1), (True, False, True)), path)
    (data,) = get_reader(str(path))(str(path))
    (layer,) = add_layers(viewer, [data])
    assert layer.name == "image"
    index = tuple(int(n[0]) for n in np.nonzero(layer.data == 100))
    world = layer.data_to_world(index)
    at = np.rint(volume.geometry.world_to_index(world[::-1])).astype(int)
    assert volume.array[tuple(at)] == 100
    assert facts_of(layer).source.path == str(path)


def test_an_unsound_file_is_refused_with_its_code(tmp_path) -> None:
    path = tmp_path / "broken.nii.gz"
    path.write_bytes(b"not an image")
    with pytest.raises(InputRefused) as caught:
        get_reader(str(path))(str(path))
    assert caught.value.code in str(caught.value)
    assert "broken.nii.gz" in str(caught.value)


def test_a_dicom_folder_opens_with_what_finds_it_again(tmp_path) -> None:
    folder = ct_series(tmp_path, 1)
    ((_, keywords, kind),) = get_reader(str(folder))(str(folder))
    assert kind == "image"
    source = keywords["metadata"]["medseg"].source
    again = read(source.path, series=source.series)
    assert np.array_equal(again.array, keywords["metadata"]["medseg"].volume.array)
    assert keywords["contrast_limits"] == (-160.0, 240.0)


def test_of_several_series_none_is_guessed(tmp_path) -> None:
    ct_series(tmp_path / "study" / "a", 1)
    ct_series(tmp_path / "study" / "b", 2)
    with pytest.raises(InputRefused, match=r"2 series, none chosen.*\[several-series\]"):
        get_reader(str(tmp_path))(str(tmp_path / "study"))


def test_of_several_series_people_choose(tmp_path) -> None:
    ct_series(tmp_path / "a", 1, SeriesDescription="portal venous")
    ct_series(tmp_path / "b", 2, ProtocolName="native")
    choices = list_choices(tmp_path)
    assert [one.description for one in choices] == ["portal venous", "native"]
    assert {one.size for one in choices} == {"13 × 11 × 6 voxels of 1.25 × 0.8 × 3 mm"}
    assert thumbnail(choices[0].read()).shape == (round(96 * 11 * 0.8 / (13 * 1.25)), 96)
    (second,) = read_layers(tmp_path, asking=asked(take=lambda found: found[1:]))
    assert second[1]["metadata"]["medseg"].source.series == choices[1].source.series
    assert np.array_equal(second[1]["metadata"]["medseg"].volume.array, choices[1].read().array)
    assert read_layers(tmp_path, asking=asked(take=lambda found: [])) == []


def test_each_series_of_a_folder_has_a_folder_for_its_work(tmp_path, viewer) -> None:
    for number in (1, 2):
        ct_series(tmp_path / "scan" / str(number), number)
    layers = add_layers(viewer, read_layers(tmp_path / "scan", asking=asked()))
    folders = [study_folder(layer) for layer in layers]
    assert len(set(folders)) == 2
    assert {one.parent for one in folders} == {tmp_path / "medseg"}
    for layer in layers:
        source = facts_of(layer).source
        again = read(source.path, series=source.series, volume=source.volume)
        assert np.array_equal(again.array, facts_of(layer).volume.array)
    alone = add_layers(viewer, read_layers(ct_series(tmp_path / "one", 3)))[0]
    assert study_folder(alone).name == facts_of(alone).source.path.rpartition("/")[2]


def test_pet_that_gives_no_suv_opens_as_stored_and_says_so(tmp_path) -> None:
    values = np.random.default_rng(1).uniform(0, 9, GRID.shape).astype(np.float32)
    write_dicom_series(Volume(values, GRID, "PT", "Bq/ml"), tmp_path / "pet")
    data = read_layers(tmp_path / "pet")
    assert data[0][1]["metadata"]["medseg"].volume.unit == "Bq/ml"
    assert any("[suv-not-computable]" in line for line in warnings_of(data))
    with pytest.raises(InputRefused, match=r"\[suv-not-computable\]"):
        read_volume(tmp_path / "pet", unit="SUVbw")


def test_a_refused_series_is_listed_with_its_code(tmp_path) -> None:
    ct_series(tmp_path / "sound", 1)
    folder = ct_series(tmp_path / "cut", 2)
    sorted(folder.iterdir())[2].unlink()
    codes = [None if one.refusal is None else one.refusal.code for one in list_choices(tmp_path)]
    assert sorted(codes, key=str) == [None, "missing-slices"]
    with pytest.raises(InputRefused, match=r"\[missing-slices\]"):
        read_layers(
            tmp_path, asking=asked(take=lambda found: [one for one in found if one.refusal])
        )


def test_a_file_of_whole_numbers_is_what_people_say_it_is(tmp_path) -> None:
    path = tmp_path / "labels.nii.gz"
    write(apart(), path)
    kinds = {
        answer: read_layers(path, asking=None if answer is None else asked(labels=answer))[0][2]
        for answer in (None, False, True)
    }
    assert kinds == {None: "image", False: "image", True: "labels"}


def test_a_grey_image_raises_no_question(tmp_path) -> None:
    path = tmp_path / "image.nii.gz"
    write(image(), path)
    never = Asking(volumes=lambda _: pytest.fail("asked"), labels=lambda _: pytest.fail("asked"))
    assert read_layers(path, asking=never)[0][2] == "image"


def test_a_folder_of_files_is_chosen_from(tmp_path) -> None:
    write(image(), tmp_path / "image.nii.gz")
    write(output(), tmp_path / "found.seg.nrrd")
    found = read_layers(tmp_path, asking=asked())
    assert [kind for _, _, kind in found] == ["labels", "image"]
    with pytest.raises(InputRefused, match="give one of them"):
        read_layers(tmp_path)


def test_a_seg_nrrd_opens_with_overlaps_classes_and_scores(tmp_path) -> None:
    path = tmp_path / "found.seg.nrrd"
    write(output(), path)
    ((labels, keywords, kind),) = get_reader(str(path))(str(path))
    assert (kind, keywords["name"]) == ("labels", "found")
    kept = replace(output(), items=[replace(one, probability=None) for one in output()])
    assert state_of(keywords["metadata"]["medseg"].instances) == state_of(kept)
    assert labels[3, 5, 7] == 12


def test_a_dicom_seg_lies_on_the_open_image_that_it_was_drawn_on(tmp_path) -> None:
    series = ct_series(tmp_path / "image", 1)
    seg = seg_of(series, tmp_path / "found")
    (opened,) = read_layers(series)
    facts = opened[1]["metadata"]["medseg"]
    ((alone, *_),) = read_layers(seg)
    ((labels, keywords, _),) = read_layers(seg, images=[facts])
    assert alone.shape[0] < labels.shape[0] == opened[0].shape[0]
    assert keywords["metadata"]["medseg"].placement.geometry == facts.placement.geometry
    other = read_layers(ct_series(tmp_path / "other", 2))[0][1]["metadata"]["medseg"]
    assert read_layers(seg, images=[other])[0][0].shape == alone.shape


def test_warnings_of_an_image_reach_people(tmp_path) -> None:
    (line, *_) = warnings_of([labels_data(output(), name="found")])
    assert line == "found: thicker slices than the model has seen [out-of-domain]"


@pytest.mark.parametrize(("axes", "flips"), TURNS)
def test_objects_are_saved_on_the_images_own_grid_in_every_orientation(
    tmp_path, axes, flips
) -> None:
    degrees = 20.0 if flips[0] else 0.0
    grid = oblique(STRAIGHT, degrees).reoriented(axes, flips)
    labels = np.zeros(grid.shape, dtype=np.uint8)
    labels[0, 1:3, 0:2], labels[2:, :1, 1] = 3, 40
    own = Instances.from_labelmap(labels, grid)
    data = labels_data(own)
    for name in ("out.nii.gz", "out.nrrd", "out.seg.nrrd", "out.mha"):
        assert write_labels(str(tmp_path / name), data[0], attributes(data)) == [
            str(tmp_path / name)
        ]
        again = read_instances(tmp_path / name)
        assert again.geometry.same_grid(grid, atol_mm=1e-4), name  # NIfTI rounds to float32
        assert np.array_equal(again.to_labelmap(), labels), name
    back = objects_of_layer(data[0], attributes(data))
    assert back.geometry == grid


@pytest.mark.parametrize(("axes", "flips"), TURNS[::5])
def test_an_image_is_saved_as_it_was_read(tmp_path, axes, flips) -> None:
    grid = oblique(STRAIGHT, 20.0).reoriented(axes, flips)
    values = np.random.default_rng(1).integers(-1000, 1000, grid.shape).astype(np.int16)
    data = image_data(Volume(values, grid, "CT", "HU"))
    write_image(str(tmp_path / "out.nrrd"), data[0], attributes(data))
    again = read(tmp_path / "out.nrrd")
    assert np.array_equal(again.array, values)
    assert again.geometry.same_grid(grid, atol_mm=1e-6)


def test_a_table_holds_the_measures_of_the_true_objects(tmp_path) -> None:
    """7 and 12 overlap: counted on the flattened layer, 7 would be too small."""
    data = labels_data(output())
    write_labels(str(tmp_path / "napari.csv"), data[0], attributes(data))
    write_table(measure(output()), tmp_path / "medseg.csv")
    assert (tmp_path / "napari.csv").read_text() == (tmp_path / "medseg.csv").read_text()
    table = pd.read_csv(tmp_path / "napari.csv")
    volume_ml = 3 * 4 * 4 * 3.0 * 0.9 * 0.7 / 1000
    assert table.set_index("instance_id").volume_ml[7] == pytest.approx(volume_ml, abs=1e-6)
    assert np.count_nonzero(data[0] == 7) < 48


def test_a_table_has_intensities_of_the_one_image_that_fits_and_of_two_none(
    tmp_path, monkeypatch
) -> None:
    data = labels_data(output())
    facts = [image_data(one)[1]["metadata"]["medseg"] for one in (image(), image())]
    for shown, known in ((facts[:1], True), ([facts[0], facts[0]], True), (facts, False)):
        monkeypatch.setattr("medseg_napari.writer.open_images", lambda _, shown=shown: shown)
        write_labels(str(tmp_path / "out.csv"), data[0], attributes(data))
        assert pd.read_csv(tmp_path / "out.csv").intensity_mean.notna().all() == known


def test_overlaps_are_not_lost_in_a_label_map_without_a_word(tmp_path) -> None:
    data = labels_data(output())
    with pytest.raises(OutputError, match=r"\[overlap\]; save it as .seg.nrrd"):
        write_labels(str(tmp_path / "out.nii.gz"), data[0], attributes(data))
    assert not list(tmp_path.iterdir())
    write_labels(str(tmp_path / "out.seg.nrrd"), data[0], attributes(data))
    assert read_instances(tmp_path / "out.seg.nrrd").overlap_voxels() == output().overlap_voxels()


def test_what_was_painted_joins_its_object_and_leaves_the_one_on_top() -> None:
    """Painted over 12, which lies on 7: 12 loses the voxel, the hidden 7 keeps its own."""
    before, placement = output(), Placement.of(GRID)
    labels = labels_data(before)[0].copy()
    assert as_painted(before, placement, labels) is before
    labels[3, 5, 7] = 3  # was 12 on 7
    labels[0, 9, 11] = 40  # was nothing
    labels[1, 1, 1] = 0  # was 3 on 1
    labels[7, 0, 0] = 99  # was nothing, and no object had this number
    after = {item.id: item for item in as_painted(before, placement, labels)}
    was = {item.id: item for item in before}
    assert after[12].voxel_count == was[12].voxel_count - 1
    assert after[7] is was[7]
    assert after[1] is was[1]
    assert after[3].voxel_count == was[3].voxel_count
    assert after[40].voxel_count == 2
    assert (after[99].voxel_count, after[99].class_name, after[99].kind) == (1, "object", "lesion")
    assert (after[3].class_name, after[3].score) == ("node", 0.4)
    gone = np.where(labels == 40, 0, labels)
    assert 40 not in {item.id for item in as_painted(before, placement, gone)}


def test_painting_on_a_turned_layer_lands_on_the_same_voxels() -> None:
    grid = oblique(STRAIGHT, 20.0).reoriented((2, 0, 1), (True, False, True))
    own = np.zeros(grid.shape, dtype=np.uint8)
    own[1:3, 1, 2] = 5
    before = Instances.from_labelmap(own, grid)
    placement = Placement.of(grid)
    own[4, 2, 3], own[1, 1, 2] = 5, 0
    after = as_painted(before, placement, placement.to_shown(own))
    assert np.array_equal(after.to_labelmap(), own)


def test_a_layer_that_lies_on_no_image_is_not_saved(tmp_path) -> None:
    loose = {"name": "Labels", "scale": (1, 1, 1), "translate": (0, 0, 0), "metadata": {}}
    with pytest.raises(OutputError, match=r"Labels: .*\[place-unknown\]"):
        write_labels(str(tmp_path / "out.nii.gz"), np.ones((4, 5, 6), np.uint8), loose)
    with pytest.raises(OutputError, match=r"\[place-unknown\]"):
        write_image(str(tmp_path / "out.nii.gz"), np.ones((4, 5, 6)), loose)


@pytest.mark.parametrize("name", ["hippocampus", "lung_nodule", "phantom", "lesions_phantom"])
def test_samples_open_in_their_place(viewer, name) -> None:
    layers = add_layers(viewer, getattr(samples, name)())
    facts = [facts_of(layer) for layer in layers]
    assert facts[0].volume is not None
    assert all(str(unit) == "millimeter" for layer in layers for unit in layer.units)
    for one in facts[1:]:
        assert one.instances is not None
        assert one.placement.geometry.same_grid(facts[0].placement.geometry)


@pytest.mark.parametrize("name", ["hippocampus", "lung_nodule"])
def test_no_work_is_kept_inside_the_package_that_samples_come_with(viewer, name) -> None:
    layers = add_layers(viewer, getattr(samples, name)())
    assert layers and all(study_folder(layer) is None for layer in layers)


def test_an_object_that_was_erased_wholly_is_gone() -> None:
    before = replace(output(), items=[cuboid(3, "1:3,1:3,1:4")])
    after = as_painted(before, Placement.of(GRID), np.zeros(GRID.shape, dtype=np.uint8))
    assert after.items == []
