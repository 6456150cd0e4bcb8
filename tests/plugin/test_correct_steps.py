"""Each correction is one step with a name; answers known from the shapes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from medseg_napari import controller_steps as steps
from medseg_napari.session import Session
from session_cases import GRID, cuboid, from_scratch, full_mask, output, session, snapshot

from medseg.editing import RegionSettings
from medseg.types import Instances


def world(index) -> list[float]:
    return GRID.index_to_world(index).tolist()


def ids(work) -> list[int]:
    return sorted(item.id for item in work.instances)


@pytest.mark.parametrize(
    ("step", "name"),
    [
        (lambda work: steps.delete(work, [7, 12]), "Delete 2 lesions"),
        (lambda work: steps.delete(work, [7, 1]), "Delete 2 objects"),
        (lambda work: steps.merge(work, [7, 12]), "Merge 2 lesions"),
        (lambda work: steps.change_class(work, [7], "node"), "Make lesion 7 node"),
        (lambda work: steps.grow(work, [7], 1.0), "Grow lesion 7 by 1 mm"),
        (lambda work: steps.grow(work, [12], -1.0), "Shrink lesion 12 by 1 mm"),
        (lambda work: steps.smooth(work, [1], 1.5), "Smooth organ 1 by 1.5 mm"),
        (
            lambda work: steps.split_at(work, 12, [world((2, 3, 3)), world((4, 6, 7))]),
            "Split lesion 12 into 2",
        ),
        (
            lambda work: steps.add_region(
                work, world((7, 2, 11)), steps.class_of(work, "node"), RegionSettings(reach_mm=2.0)
            ),
            "Add lesion 41",
        ),
    ],
)
def test_a_step_has_a_name_and_undo_takes_all_of_it_back(step, name) -> None:
    work = session()
    before = snapshot(work)
    edit = step(work)
    assert edit.name == name
    work.apply(edit)
    after = snapshot(work)
    assert after != before
    work.table.column("volume_ml")
    assert np.array_equal(work.table.column("volume_ml"), from_scratch(work)["volume_ml"])
    work.undo()
    assert snapshot(work) == before
    work.redo()
    assert snapshot(work) == after


def test_merged_lesions_keep_the_id_of_the_largest() -> None:
    work = session()
    work.apply(steps.merge(work, [7, 12]))  # 3 x 4 x 4 and 3 x 4 x 5 voxels, 2 x 3 x 2 shared
    assert ids(work) == [1, 3, 12, 40]
    assert work.instance(12).voxel_count == 48 + 60 - 12


def test_lesions_of_two_classes_merge_only_where_the_class_is_said() -> None:
    work = session()
    with pytest.raises(ValueError, match="say the class of the result"):
        steps.merge(work, [3, 7])
    work.apply(steps.merge(work, [3, 7], "node"))
    assert work.instance(7).class_name == "node"


def test_parts_become_objects_with_new_ids() -> None:
    mask = np.zeros((1, 1, 7), dtype=bool)
    mask[..., [0, 1, 2, 4, 6]] = True
    pieces = replace(cuboid(3, "1:2,1:2,1:8"), mask=mask)
    work = session(start=replace(output(), items=[pieces]))
    work.apply(steps.split_parts(work, 3))
    assert {item.id: item.voxel_count for item in work.instances} == {3: 3, 4: 1, 5: 1}
    with pytest.raises(ValueError, match="lesion 3 hangs together: split it by two clicks"):
        steps.split_parts(work, 3)


def test_what_hangs_together_by_a_corner_is_split_where_the_reader_counts_faces() -> None:
    mask = np.zeros((2, 2, 2), dtype=bool)
    mask[0, 0, 0] = mask[1, 1, 1] = True
    pieces = replace(cuboid(3, "1:3,1:3,1:3"), mask=mask)
    work = session(start=replace(output(), items=[pieces]))
    with pytest.raises(ValueError, match="hangs together"):
        steps.split_parts(work, 3)
    work.apply(steps.split_parts(work, 3, connectivity=6))
    assert {item.id: item.voxel_count for item in work.instances} == {3: 1, 4: 1}


def test_a_growing_lesion_leaves_to_others_what_they_hold() -> None:
    items = [cuboid(3, "2:3,2:4,2:4"), cuboid(7, "2:3,2:4,4:6"), cuboid(1, "0:6,0:9,0:10", "liver")]
    work = session(start=replace(output(), items=items))
    work.apply(steps.grow(work, [3], 0.75))  # a step along x is 0.7 mm, along y 0.9 mm
    assert work.instance(3).voxel_count == 4 + 2  # towards smaller x alone
    work.undo()
    work.apply(steps.grow(work, [3], 0.75, keep_out=False))
    assert work.instance(3).voxel_count == 4 + 4


def test_lesions_that_grow_together_share_no_voxel_and_the_first_takes_what_both_would() -> None:
    """Between them lie two voxels along x, of 0.7 mm; 1.5 mm reaches over both."""
    items = [cuboid(3, "2:3,2:3,1:2"), cuboid(7, "2:3,2:3,4:5")]
    for first, second in ((3, 7), (7, 3)):
        work = session(start=replace(output(), items=items))
        work.apply(steps.grow(work, [first, second], 1.5))
        held = {number: full_mask(work.instance(number)) for number in (3, 7)}
        assert not (held[3] & held[7]).any()
        assert held[first][2, 2, 2:4].all()
    work.undo()
    work.apply(steps.grow(work, [3, 7], 1.5, keep_out=False))
    assert (full_mask(work.instance(3)) & full_mask(work.instance(7))).any()


def test_a_hole_on_a_slice_is_none_in_space() -> None:
    mask = np.ones((3, 3, 3), dtype=bool)
    mask[:, 1, 1] = False  # a channel along z
    pipe = replace(cuboid(3, "1:4,1:4,1:4"), mask=mask)
    work = session(start=replace(output(), items=[pipe]))
    with pytest.raises(ValueError, match="fill holes of lesion 3: nothing changes"):
        steps.fill_holes(work, [3])
    work.apply(steps.fill_holes(work, [3], 0))
    assert work.instance(3).voxel_count == 27
    assert work.undo_name == "Fill holes of lesion 3 on every axial slice"


def test_empty_slices_between_equal_ones_are_filled_as_a_prism() -> None:
    mask = np.zeros((4, 3, 3), dtype=bool)
    mask[[0, 3]] = True
    work = session(start=replace(output(), items=[replace(cuboid(3, "1:5,1:4,1:4"), mask=mask)]))
    work.apply(steps.interpolate(work, 3, 0))
    assert work.instance(3).voxel_count == 4 * 9


@pytest.mark.parametrize(
    ("axes", "axis", "plane"),
    [
        ((0, 1, 2), 0, "axial"),
        ((0, 1, 2), 1, "coronal"),
        ((0, 1, 2), 2, "sagittal"),
        ((2, 0, 1), 0, "sagittal"),  # slices taken from side to side
        ((1, 0, 2), 0, "coronal"),
    ],
)
def test_slices_are_called_as_the_plane_that_they_lie_in(axes, axis, plane) -> None:
    grid = GRID.reoriented(axes, (False, True, False))
    assert steps.plane_across(grid, axis) == plane
    item = replace(cuboid(3, "1:4,1:4,1:4"), mask=np.ones((3, 3, 3), dtype=bool))
    work = Session.begin(None, Instances(grid, [item], output().classes), "AB")
    with pytest.raises(ValueError, match=rf"lesion 3 has no empty {plane} slice .*another plane"):
        steps.interpolate(work, 3, axis)
    gap = np.ones((3, 3, 3), dtype=bool)
    np.moveaxis(gap, axis, 0)[1] = False
    work = Session.begin(None, Instances(grid, [replace(item, mask=gap)], output().classes), "AB")
    assert steps.interpolate(work, 3, axis).name == f"Interpolate {plane} slices of lesion 3"


def test_the_largest_part_is_left_alone() -> None:
    mask = np.zeros((1, 1, 7), dtype=bool)
    mask[..., [0, 2, 3, 4]] = True
    mask[..., 6] = True
    work = session(start=replace(output(), items=[replace(cuboid(3, "1:2,1:2,1:8"), mask=mask)]))
    work.apply(steps.keep_largest_part(work, [3]))
    assert work.instance(3).voxel_count == 3


def test_of_several_objects_those_that_stay_as_they_are_stand_out_of_the_step() -> None:
    work = session()
    edit = steps.grow(work, [12, 40], -1.0)  # 40 is one voxel at the image's corner
    assert set(edit.after) <= {12, 40}
    assert all(edit.after[number] is not work.instance(number) for number in edit.after)


@pytest.mark.parametrize(
    ("step", "said"),
    [
        (lambda work: steps.delete(work, []), "select a row first"),
        (lambda work: steps.change_class(work, [7], "tumour"), "the class is tumour already"),
        (lambda work: steps.change_class(work, [7, 12], "liver"), "merge them first"),
        (lambda work: steps.change_class(work, [7], "liver"), "an organ is one object"),
        (lambda work: steps.change_class(work, [7], "bone"), "no class is named 'bone'"),
        (lambda work: steps.grow(work, [7], 0.1), r"0\.1 mm is less than a voxel"),
        (
            lambda work: steps.split_at(work, 1, [world((1, 1, 1)), world((4, 6, 7))]),
            "liver is an organ, which is one object",
        ),
    ],
)
def test_what_cannot_be_done_is_said(step, said) -> None:
    with pytest.raises(ValueError, match=said):
        step(session())


def test_without_an_image_no_region_grows() -> None:
    work = Session.begin(None, output(), "AB")
    with pytest.raises(ValueError, match="there is no image to grow a region in"):
        steps.add_region(work, world((1, 1, 1)), work.instances.classes[1], RegionSettings())


def test_large_objects_are_heavy() -> None:
    work = session()
    assert not steps.is_heavy(work, [1, 3])
