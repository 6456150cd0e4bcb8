"""Which columns a choice of groups gives, what each group fills, and what is empty and why."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from medseg.errors import InputRefused
from medseg.measurement import COLUMNS, GROUPS, columns_of, measure
from medseg.types import (
    Geometry,
    Instance,
    InstanceClass,
    Instances,
    Volume,
    reoriented_array,
)

LIVER = InstanceClass("liver", "organ", 1)
TUMOUR = InstanceClass("tumour", "lesion", 2)
NODE = InstanceClass("lymph node", "lesion", 3, node=True)
CLASSES = (LIVER, TUMOUR, NODE)
SHAPE = (12, 40, 40)
GRID = Geometry.from_spacing(SHAPE, (3.0, 1.0, 1.0), origin_mm=(-10.0, 20.0, 5.0))
SLICES = {"slice_thickness_mm": 3.0, "acquisition_axis": 0}


def block(number: int, one: InstanceClass, corner: tuple[int, int, int], *size: int) -> Instance:
    z, y, x = (slice(start, start + n) for start, n in zip(corner, size, strict=True))
    mask = np.ones([part.stop - part.start for part in (z, y, x)], dtype=bool)
    return Instance(number, one.name, one.kind, 1.0, (z, y, x), mask)


def study(*items: Instance, geometry: Geometry = GRID) -> Instances:
    return Instances(geometry, list(items), CLASSES)


def image(unit: Any = "HU", modality: Any = "CT", **said: Any) -> Volume:
    array = np.arange(np.prod(SHAPE), dtype=np.float32).reshape(SHAPE) / 100
    return Volume(array, GRID, modality, unit, **said)


def full() -> Instances:
    """A liver, a tumour half in it, a node far from it, and a tumour of one voxel."""
    return study(
        block(1, LIVER, (1, 2, 2), 4, 12, 12),
        block(5, TUMOUR, (2, 8, 8), 2, 12, 3),
        block(6, NODE, (8, 20, 20), 1, 16, 12),
        block(9, TUMOUR, (11, 39, 39), 1, 1, 1),
    )


@pytest.mark.parametrize("group", GROUPS)
def test_a_group_gives_its_columns_and_those_that_always_come(group: Any) -> None:
    table = measure(full(), image(), groups=[group])
    names = [column.name for column in columns_of([group])]
    assert list(table.columns) == names
    assert names[:4] == ["instance_id", "class_name", "kind", "score"]
    assert names[-1] == "notes"
    whole = measure(full(), image())
    pd.testing.assert_frame_equal(table.drop(columns="notes"), whole[names[:-1]])


def test_groups_come_in_one_order_and_each_once() -> None:
    table = measure(full(), groups=("shape", "size", "shape"))
    assert list(table.columns) == list(measure(full(), groups=("size", "shape")).columns)
    assert list(measure(full(), groups=()).columns) == [
        "instance_id",
        "class_name",
        "kind",
        "score",
        "notes",
    ]


@pytest.mark.parametrize(
    ("groups", "said"), [(("volume",), "named 'volume'.*size, shape, recist"), ("size", "a list")]
)
def test_an_unknown_group_is_a_bad_call(groups: Any, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        measure(full(), groups=groups)


@pytest.mark.parametrize("group", GROUPS)
def test_what_is_not_asked_for_is_not_measured(group: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    costly = {
        "groups.shapes": ("shape",),
        "recist_columns.recist_diameters": ("recist",),
        "table.intensities": ("intensity", "suv"),
        "groups.suv_peaks": ("suv",),
        "groups.nearest_lesions": ("relations",),
        "table.component_counts": ("relations", "recist"),
    }

    def fail(*_: object, **__: object) -> None:
        pytest.fail("was measured")

    for name, needed_by in costly.items():
        if group not in needed_by:
            monkeypatch.setattr(f"medseg.measurement.{name}", fail)
    assert len(measure(full(), image("SUVbw", "PT"), groups=[group])) == 4


@pytest.mark.parametrize("found", [study(), full()], ids=["none", "four"])
@pytest.mark.parametrize("volume", [None, image(), image("SUVbw", "PT")], ids=["-", "CT", "PT"])
def test_types_do_not_depend_on_what_there_is(found: Instances, volume: Volume | None) -> None:
    table = measure(found, volume)
    assert len(table) == len(found)
    assert table.dtypes.astype(str).to_dict() == {one.name: one.dtype for one in COLUMNS}


def test_every_empty_cell_has_its_reason() -> None:
    table = measure(full(), **SLICES)
    reasons = {
        **dict.fromkeys(
            ("volume_partial", "volume_low", "volume_high"),
            "partial volume: no probability was kept",
        ),
        "axis": "shape: one voxel has no axes",
        "elongation": "shape: one voxel has no axes",
        "flatness": "shape: one voxel has no axes",
        "intensity": "intensity: no image was given",
        "suv": "suv: no image was given",
        "nearest_organ": None,  # only for what lies outside every organ
        "recist_node_status": None,  # only for nodes
    }
    for row in table.to_dict("records"):
        for name, value in row.items():
            if not pd.isna(value) or row["kind"] == "organ":
                continue
            start = next((one for one in reasons if str(name).startswith(one)), None)
            if start is None:
                assert name == "organ" and "relations: outside every organ" in row["notes"]
            elif reasons[start]:
                assert reasons[start] in row["notes"], name


def test_an_organ_has_no_recist_and_no_nearest_lesion() -> None:
    row = measure(full(), **SLICES).iloc[0]
    empty = [column.name for column in COLUMNS if column.group == "recist"]
    empty += ["nearest_lesion_id", "nearest_lesion_mm", "organ", "organ_fraction"]
    assert row[empty].isna().all()
    assert "recist: an organ is no lesion" in row["notes"]
    assert row["volume_mesh_ml"] > 0


def test_diameters_end_at_corners_in_index_and_world() -> None:
    row = measure(full(), **SLICES).iloc[1]
    assert row["recist_long_mm"] == pytest.approx((12**2 + 3**2) ** 0.5)
    assert row["recist_product_mm2"] == pytest.approx(
        row["recist_long_mm"] * row["recist_short_mm"]
    )
    ends = {
        (which, end): (
            [row[f"recist_{which}_{end}_{axis}"] for axis in "zyx"],
            [row[f"recist_{which}_{end}_{axis}_mm"] for axis in "xyz"],
        )
        for which in ("long", "short")
        for end in ("start", "stop")
    }
    for index, world in ends.values():
        assert world == pytest.approx(GRID.index_to_world(index).tolist())
        assert index[0] == row["recist_slice"] == 2
    for which in ("long", "short"):
        apart = np.subtract(ends[which, "start"][1], ends[which, "stop"][1])
        assert np.linalg.norm(apart) == pytest.approx(row[f"recist_{which}_mm"])
    corners = {tuple(ends["long", end][0][1:]) for end in ("start", "stop")}
    assert corners in ({(7.5, 7.5), (19.5, 10.5)}, {(7.5, 10.5), (19.5, 7.5)})


def test_lesions_are_measurable_by_the_long_axis_and_nodes_by_the_short_one() -> None:
    table = measure(full(), **SLICES).set_index("instance_id")
    # The node is 16 x 12 mm: its diagonal of 20 mm, and the chord square to it of 15 mm.
    assert table.loc[6, "recist_short_mm"] == pytest.approx(15.0)
    assert table["recist_measurable"].tolist() == [pd.NA, True, True, False]
    assert table["recist_node_status"].dropna().to_dict() == {6: "target"}
    assert table["recist_target_proposed"].tolist() == [pd.NA, True, True, False]


@pytest.mark.parametrize(
    ("said", "notes"),
    [
        ({}, ["plane unknown, axial assumed, not judged", "slice thickness unknown, not judged"]),
        ({"slice_thickness_mm": 3.0}, ["plane unknown, axial assumed, not judged"]),
        ({"acquisition_axis": 2}, ["slice thickness unknown, not judged"]),
    ],
)
def test_without_thickness_or_plane_nothing_is_judged_and_the_notes_say_so(
    said: dict[str, Any], notes: list[str]
) -> None:
    table = measure(full(), groups=["recist"], **said)
    judged = table[["recist_measurable", "recist_target_proposed"]]
    assert judged.isna().all(axis=None)
    assert table["recist_long_mm"].notna().sum() == 3
    assert table.loc[1, "notes"] == "; ".join(f"recist: {note}" for note in notes)


def test_what_the_image_says_of_its_slices_holds() -> None:
    volume = image(slice_thickness_mm=6.0, acquisition_axis=1)
    table = measure(full(), volume, groups=["recist"])
    assert table["recist_axis"].dropna().unique().tolist() == ["y"]
    assert table.loc[1, "notes"] == ""
    # 12 mm of slices 6 mm thick: 2 x thickness is reached by a diameter of 12 mm or more only.
    assert table.loc[1, "recist_long_mm"] == pytest.approx((6**2 + 3**2) ** 0.5)
    assert not table.loc[1, "recist_measurable"]
    again = measure(full(), volume, groups=["recist"], slice_thickness_mm=6.0, acquisition_axis=1)
    pd.testing.assert_frame_equal(table, again)


@pytest.mark.parametrize(
    ("said", "detail"),
    [
        ({"slice_thickness_mm": 3.0}, "its slices are 6 mm thick, not 3"),
        ({"acquisition_axis": 0}, "its slices are coronal, not axial"),
    ],
)
def test_what_the_image_says_otherwise_is_refused(said: dict[str, Any], detail: str) -> None:
    volume = image(slice_thickness_mm=6.0, acquisition_axis=1)
    with pytest.raises(InputRefused, match=detail) as caught:
        measure(full(), volume, **said)
    assert caught.value.code == "acquisition-mismatch"


@pytest.mark.parametrize(
    "said",
    [{"slice_thickness_mm": 0.0}, {"slice_thickness_mm": float("nan")}, {"acquisition_axis": 3}],
)
def test_a_thickness_or_axis_that_is_none_is_a_bad_call(said: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"above 0|axes 0, 1, 2"):
        measure(full(), **said)


def test_organs_among_the_instances_or_given_apart_say_where_lesions_lie() -> None:
    table = measure(full()).set_index("instance_id")
    inside = 2 * 6 * 3 / (2 * 12 * 3)
    assert table.loc[5, ["organ", "organ_fraction"]].tolist() == ["liver", pytest.approx(inside)]
    assert table.loc[6, "nearest_organ"] == "liver"
    assert pd.isna(table.loc[6, "organ"]) and table.loc[6, "organ_fraction"] == 0
    kidney = InstanceClass("kidney", "organ", 4)
    apart = Instances(GRID, [block(7, kidney, (8, 30, 20), 2, 9, 9)], (kidney,))
    lesions = full().filter(lambda item: item.kind == "lesion")
    other = measure(lesions, organs=apart).set_index("instance_id")
    assert other.loc[6, "organ"] == "kidney"
    assert other.loc[5, "nearest_organ"] == "kidney"
    alone = measure(lesions)
    assert (
        alone[["organ", "organ_fraction", "nearest_organ", "nearest_organ_mm"]]
        .isna()
        .all(axis=None)
    )
    assert alone["notes"].str.contains("relations: no organs were given").all()


@pytest.mark.parametrize(("inside", "said"), [(3, True), (6, False), (7, False), (0, False)])
def test_an_organ_that_holds_less_than_half_of_a_lesion_is_named_with_a_note(
    inside: int, said: bool
) -> None:
    """The lesion's 12 voxels are a row, `inside` of them in the liver, and none in the spleen."""
    liver = block(1, LIVER, (0, 0, 0), 1, 1, 10 + inside)
    spleen = InstanceClass("spleen", "organ", 9)
    lesion = block(2, TUMOUR, (0, 0, 10), 1, 1, 12)
    found = Instances(
        GRID, [liver, lesion, block(3, spleen, (5, 0, 0), 1, 1, 1)], (*CLASSES, spleen)
    )
    row = measure(found, groups=["relations"]).set_index("instance_id").loc[2]
    assert row["organ_fraction"] == pytest.approx(inside / 12)
    assert (row["organ"] == "liver") if inside else pd.isna(row["organ"])
    assert ("less than half of it lies in its organ" in row["notes"]) is said


def test_organs_on_another_grid_are_refused() -> None:
    far = replace(full(), geometry=Geometry.from_spacing(SHAPE, (3.0, 1.0, 1.0)))
    with pytest.raises(InputRefused, match=r"^organs: its grid is not that of the objects"):
        measure(full(), organs=far)


def test_a_lone_lesion_has_no_nearest_one_and_of_two_each_is_the_others() -> None:
    alone = measure(study(block(3, TUMOUR, (0, 0, 0), 1, 2, 2)), groups=["relations"])
    assert alone[["nearest_lesion_id", "nearest_lesion_mm"]].isna().all(axis=None)
    assert "relations: there is no other lesion" in alone.loc[0, "notes"]
    table = measure(full(), groups=["relations"]).set_index("instance_id")
    assert table["nearest_lesion_id"].tolist() == [pd.NA, 6, 9, 6]
    assert table.loc[9, "nearest_lesion_mm"] == pytest.approx((9**2 + 4**2 + 8**2) ** 0.5)


def test_suv_needs_suv() -> None:
    names = [column.name for column in COLUMNS if column.group == "suv"]
    for volume, said in (
        (image(), "suv: the image is in HU, not SUVbw"),
        (image("Bq/ml", "PT"), "suv: the image is in Bq/ml, not SUVbw"),
        (image("unknown", "PT"), "suv: the image's unit is unknown"),
        (None, "suv: no image was given"),
    ):
        table = measure(full(), volume, groups=["suv"])
        assert table[names].isna().all(axis=None)
        assert table["notes"].tolist() == [said] * 4
    pet = measure(full(), image("SUVbw", "PT"))
    assert pet["suv_max"].tolist() == pet["intensity_max"].tolist()
    assert pet["suv_mean"].tolist() == pet["intensity_mean"].tolist()
    assert (pet["suv_tlg_g"] / pet["volume_ml"]).tolist() == pytest.approx(pet["suv_mean"].tolist())
    assert (pet["suv_peak_global"] >= pet["suv_peak_local"]).all()
    assert pet["intensity_unit"].tolist() == ["SUVbw"] * 4


def test_nan_inside_an_object_is_left_out_and_said() -> None:
    volume = image("SUVbw", "PT")
    volume.array[2, 8, 8] = np.nan
    table = measure(full(), volume).set_index("instance_id")
    assert table.loc[5, "suv_max"] == table.loc[5, "intensity_max"]
    assert "intensity: leaves out 1 of 72 voxels" in table.loc[5, "notes"]
    assert "leaves out" not in table.loc[6, "notes"]


@pytest.mark.parametrize("count", [300, 3_000])
def test_the_table_itself_costs_little(count: int) -> None:
    labels = np.zeros((40, 60, 60), dtype=np.int32)
    places = np.argwhere(np.ones((20, 30, 30), dtype=bool))[:count] * 2
    labels[tuple(places.T)] = np.arange(1, count + 1)
    found = Instances.from_labelmap(labels, Geometry.identity(labels.shape))
    measure(found, groups=())
    start = time.perf_counter()
    measure(found, groups=())
    assert time.perf_counter() - start < 0.2  # about 2 ms on a quiet core


def test_probabilities_give_a_partial_volume_and_their_absence_a_note() -> None:
    sure, unsure = block(1, TUMOUR, (2, 2, 2), 2, 4, 4), block(2, TUMOUR, (6, 20, 20), 2, 4, 4)
    sure = replace(sure, probability=sure.mask.astype(np.float16))
    table = measure(study(sure, unsure), groups=["size"])
    volumes = table[["volume_partial_ml", "volume_low_ml", "volume_high_ml"]]
    assert volumes.loc[0].tolist() == pytest.approx([2 * 4 * 4 * 3 / 1000] * 3)
    assert volumes.loc[1].isna().all()
    assert table["notes"].tolist() == ["", "partial volume: no probability was kept"]


def turned(found: Instances, axes: Any, flips: Any) -> Instances:
    """The same objects on the same grid with its axes in another order and direction."""
    items = []
    for item in found:
        whole = np.zeros(found.geometry.shape, dtype=bool)
        whole[item.box] = item.mask
        items.append(
            Instance.from_mask(
                reoriented_array(whole, axes, flips),
                id=item.id,
                class_name=item.class_name,
                kind=item.kind,
            )
        )
    return Instances(found.geometry.reoriented(axes, flips), items, found.classes)


def test_a_turned_array_gives_the_same_numbers_in_the_world() -> None:
    volume = image("SUVbw", "PT", slice_thickness_mm=3.0, acquisition_axis=0)
    axes, flips = (2, 0, 1), (True, False, True)
    table = measure(full(), volume)
    again = measure(turned(full(), axes, flips), volume.reoriented(axes, flips))
    of_the_array = [name for name in table.columns if name.startswith("bbox")]
    of_the_array += ["recist_axis", "recist_slice"]  # and which end of a line comes first
    of_the_array += [name for name in table.columns if "_start_" in name or "_stop_" in name]
    pd.testing.assert_frame_equal(
        table.drop(columns=of_the_array), again.drop(columns=of_the_array), rtol=1e-9
    )
    assert table["recist_axis"].dropna().unique().tolist() == ["z"]
    assert again["recist_axis"].dropna().unique().tolist() == ["y"]


def test_glycolysis_counts_the_voxels_that_have_a_value() -> None:
    labels = np.zeros((4, 4, 4), dtype=np.uint8)
    labels[1:3, 1:3, 1:3] = 1
    grid = Geometry.from_spacing(labels.shape, (10.0, 10.0, 10.0))  # 1 mL a voxel
    array = np.full(labels.shape, 2.0)
    array[1, 1:3, 1:3] = np.nan
    pet = Volume(array, grid, modality="PT", unit="SUVbw")
    table = measure(Instances.from_labelmap(labels, grid), pet, groups=["suv"])
    assert table["suv_tlg_g"].tolist() == pytest.approx([2.0 * 4])
    assert "suv: voxels that are NaN or infinite are left out" in table["notes"][0]


def test_what_is_given_as_organs_is_organs_whatever_its_kind() -> None:
    labels = np.zeros((4, 9, 9), dtype=np.uint8)
    labels[1:3, 2:7, 2:7] = 1
    grid = Geometry.identity(labels.shape)
    liver = Instances.from_labelmap(labels, grid, (InstanceClass("liver", "lesion", 1),))
    labels[:] = 0
    labels[1, 3:5, 3:5] = 1
    table = measure(Instances.from_labelmap(labels, grid), organs=liver, groups=["relations"])
    assert table["organ"].tolist() == ["liver"] and table["organ_fraction"].tolist() == [1.0]
