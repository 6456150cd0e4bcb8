"""The table: its columns and types, what is empty and why, refusals, and speed."""

from __future__ import annotations

import json
import time
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from medseg.errors import InputRefused
from medseg.measurement import COLUMNS, GROUPS, measure, summarise
from medseg.types import Geometry, InputWarning, Instance, InstanceClass, Instances, Volume

FIRST_NAMES = [
    "instance_id",
    "class_name",
    "kind",
    "score",
    "voxel_count",
    "volume_ml",
    "centroid_x_mm",
    "centroid_y_mm",
    "centroid_z_mm",
    "bbox_z_start",
    "bbox_z_stop",
    "bbox_y_start",
    "bbox_y_stop",
    "bbox_x_start",
    "bbox_x_stop",
    "intensity_mean",
    "intensity_std",
    "intensity_min",
    "intensity_max",
    "touches_border",
    "notes",
]
"""The columns of the first version: they keep their names and order for good."""

NAMES = [column.name for column in COLUMNS]
INTENSITY = [name for name in FIRST_NAMES if name.startswith("intensity")]
VALUES = ("intensity",)
CLASSES = (InstanceClass("liver", "organ", 1), InstanceClass("tumour", "lesion", 2))


def cube(number: int, start: int, stop: int, class_name: str = "tumour") -> Instance:
    part = slice(start, stop)
    kind = "organ" if class_name == "liver" else "lesion"
    mask = np.ones((stop - start,) * 3, dtype=bool)
    return Instance(number, class_name, kind, 0.5, (part, part, part), mask)


def study(*items: Instance, shape: tuple[int, int, int] = (10, 10, 10)) -> Instances:
    return Instances(Geometry.from_spacing(shape, (2.0, 1.0, 1.0)), list(items), CLASSES)


def image(instances: Instances, array: NDArray[np.float32]) -> Volume:
    return Volume(array, instances.geometry, "CT", "HU")


def test_columns_are_those_promised_and_each_is_described() -> None:
    assert [name for name in NAMES if name in FIRST_NAMES] == FIRST_NAMES
    assert len(set(NAMES)) == len(NAMES)
    for column in COLUMNS:
        assert column.definition.endswith(".") and column.source, column.name
        assert ";" not in column.name and column.group in ("always", *GROUPS)


@pytest.mark.parametrize(
    ("ending", "unit"), [("_mm", "mm"), ("_mm2", "mm2"), ("_ml", "mL"), ("_g", "g")]
)
def test_a_name_carries_the_unit_of_its_column(ending: str, unit: str) -> None:
    for column in COLUMNS:
        assert column.name.endswith(ending) == (column.unit == unit), column.name


@pytest.mark.parametrize("items", [(), (cube(3, 1, 4), cube(900_001, 4, 5, "liver"))])
def test_types_are_the_same_with_and_without_rows(items: tuple[Instance, ...]) -> None:
    found = study(*items)
    volume = image(found, np.zeros(found.geometry.shape, dtype=np.float32))
    for table in (measure(found), measure(found, volume)):
        assert list(table.columns) == NAMES
        assert len(table) == len(items)
        for column in COLUMNS:
            wanted = pd.Series([], dtype=column.dtype).dtype
            assert table[column.name].dtype == wanted, column.name


def test_rows_keep_the_order_and_the_ids_of_the_instances() -> None:
    table = measure(study(cube(900_001, 4, 5), cube(3, 1, 4, "liver")))
    assert table["instance_id"].tolist() == [900_001, 3]
    assert table["class_name"].tolist() == ["tumour", "liver"]
    assert table["kind"].tolist() == ["lesion", "organ"]
    assert table["score"].tolist() == [0.5, 0.5]
    assert table["volume_ml"].tolist() == pytest.approx([0.002, 0.054])


def test_row_of_a_cube_is_as_worked_out_by_hand() -> None:
    found = study(cube(1, 1, 3))
    values = np.arange(1000, dtype=np.float32).reshape(10, 10, 10)
    row = measure(found, image(found, values)).iloc[0]
    assert (row["centroid_x_mm"], row["centroid_y_mm"], row["centroid_z_mm"]) == (1.5, 1.5, 3.0)
    assert [row[name] for name in NAMES if name.startswith("bbox")] == [1, 3, 1, 3, 1, 3]
    assert (row["recist_long_mm"], row["recist_short_mm"]) == pytest.approx((8**0.5, 8**0.5))
    assert (row["recist_axis"], row["recist_slice"]) == ("z", 1)
    # 111, 112, 121, 122, 211, 212, 221, 222: mean 166.5, squared deviations 50^2 + 5^2 + 0.5^2.
    assert row["intensity_mean"] == pytest.approx(166.5)
    assert row["intensity_std"] == pytest.approx((2500 + 25 + 0.25) ** 0.5)
    assert (row["intensity_min"], row["intensity_max"]) == (111.0, 222.0)
    assert not row["touches_border"]


def test_one_voxel_has_its_own_value_and_no_spread() -> None:
    found = study(cube(1, 0, 1))
    row = measure(found, image(found, np.full((10, 10, 10), 7.0, dtype=np.float32))).iloc[0]
    assert [row[name] for name in INTENSITY] == [7.0, 0.0, 7.0, 7.0]
    assert row["touches_border"]


def test_without_an_image_intensity_is_empty_and_the_notes_say_why() -> None:
    table = measure(study(cube(1, 1, 3), cube(2, 5, 6)), groups=("size", "intensity"))
    assert table[INTENSITY].isna().all(axis=None)
    assert table["notes"].str.endswith("; intensity: no image was given").all()
    assert table["volume_ml"].notna().all()


def test_voxels_without_a_number_are_left_out_and_counted() -> None:
    found = study(cube(1, 0, 2), cube(2, 4, 5), cube(3, 7, 9))
    values = np.full((10, 10, 10), 5.0, dtype=np.float32)
    values[0, 0, 0], values[0, 0, 1], values[0, 1, 1] = np.nan, np.inf, 11.0
    values[4, 4, 4] = np.nan
    table = measure(found, image(found, values), groups=VALUES)
    assert table.loc[0, INTENSITY].tolist() == pytest.approx([6.0, 5**0.5, 5.0, 11.0])
    assert table.loc[1, INTENSITY].isna().all()
    assert table.loc[2, INTENSITY].tolist() == [5.0, 0.0, 5.0, 5.0]
    assert table["notes"].tolist() == [
        "intensity: leaves out 2 of 8 voxels that are NaN or infinite",
        "intensity: no voxel of the image is finite here",
        "",
    ]


def test_values_near_the_limit_of_their_type_do_not_overflow() -> None:
    found = study(cube(1, 0, 2))
    values = np.full((10, 10, 10), 30_000, dtype=np.int16)
    row = measure(found, Volume(values, found.geometry)).iloc[0]
    assert (row["intensity_mean"], row["intensity_std"]) == (30_000.0, 0.0)


@given(seed=st.integers(0, 2**32 - 1))
@settings(deadline=None, max_examples=1000)
def test_intensities_of_overlapping_instances_equal_a_loop_over_voxels(seed: int) -> None:
    rng = np.random.default_rng(seed)
    values = rng.normal(size=(4, 5, 6)).astype(np.float32)
    masks = rng.random((2, 4, 5, 6)) < 0.3
    masks[:, 1, 1, 1] = True
    items = [
        Instance.from_mask(mask, id=n, class_name="tumour", kind="lesion")
        for n, mask in enumerate(masks, start=4)
    ]
    found = study(*filter(None, items), shape=(4, 5, 6))
    table = measure(found, image(found, values))
    for row, mask in enumerate(masks):
        inside = [float(values[index]) for index in np.ndindex(*mask.shape) if mask[index]]
        mean = sum(inside) / len(inside)
        spread = (sum((value - mean) ** 2 for value in inside) / len(inside)) ** 0.5
        wanted = [mean, spread, min(inside), max(inside)]
        assert table.loc[row, INTENSITY].tolist() == pytest.approx(wanted, abs=1e-9)


@pytest.mark.parametrize(
    ("geometry", "said"),
    [
        (
            Geometry.from_spacing((10, 10, 9), (2.0, 1.0, 1.0)),
            r"shape \(10, 10, 9\) against \(10, 10, 10\)",
        ),
        (
            Geometry.from_spacing((10, 10, 10), (2.0, 1.0, 1.1)),
            r"spacing \(2, 1, 1.1\) against \(2, 1, 1\) mm",
        ),
        (
            Geometry.from_spacing((10, 10, 10), (2.0, 1.0, 1.0), (0.0, 0.0, 5.0)),
            r"^image: its grid is not that of the objects: origin 5 mm off",
        ),
        (
            Geometry.from_spacing((10, 10, 10), (2.0, 1.0, 1.0)).reoriented(
                (0, 1, 2), (False, False, True)
            ),
            r"axes turned by up to 180.0 degrees",
        ),
        (
            Geometry.from_spacing((10, 10, 10), (2.0, 1.0, 1.0), (0.02, 0.0, 0.0)),
            r"origin 0.02 mm off",
        ),
    ],
)
def test_an_image_on_another_grid_is_refused_and_the_difference_named(
    geometry: Geometry, said: str
) -> None:
    volume = Volume(np.zeros(geometry.shape, dtype=np.float32), geometry)
    with pytest.raises(InputRefused, match=said) as caught:
        measure(study(cube(1, 1, 3)), volume)
    assert caught.value.code == "grid-mismatch"


def test_warnings_of_result_and_image_reach_every_row_once() -> None:
    warned = replace(
        study(cube(1, 1, 3), cube(2, 5, 6)), warnings=(InputWarning("out-of-domain", "dark"),)
    )
    volume = replace(
        image(warned, np.zeros((10, 10, 10), dtype=np.float32)),
        warnings=(InputWarning("out-of-domain", "dark"), InputWarning("forms-disagree", "qform")),
    )
    assert (
        measure(warned, volume, groups=VALUES)["notes"].tolist()
        == ["warning: out-of-domain; warning: forms-disagree"] * 2
    )
    assert (
        measure(warned, groups=VALUES)["notes"].tolist()
        == ["intensity: no image was given; warning: out-of-domain"] * 2
    )


def test_summary_counts_overlap_once_and_names_classes_without_objects() -> None:
    found = study(cube(1, 0, 4), cube(2, 2, 6), cube(3, 8, 9))
    assert summarise(found) == {
        "liver": {"kind": "organ", "count": 0, "volume_ml": 0.0},
        "tumour": {"kind": "lesion", "count": 3, "volume_ml": pytest.approx(0.242)},
    }
    assert json.loads(json.dumps(summarise(found)))["tumour"]["count"] == 3


def test_twenty_thousand_instances_take_seconds() -> None:
    spots = np.zeros((56, 56, 112), dtype=np.int64)
    spots[::2, ::2, ::2] = np.arange(1, 28 * 28 * 56 + 1).reshape(28, 28, 56)
    labels = np.where(spots <= 20_000, spots, 0)
    found = Instances.from_labelmap(labels, Geometry.identity(labels.shape))
    volume = Volume(np.zeros(labels.shape, dtype=np.float32), found.geometry)
    start = time.perf_counter()
    table = measure(found, volume)
    assert len(table) == 20_000
    assert time.perf_counter() - start < 20  # about 2 s on a quiet core
