"""Totals of a study: classes, organs, and the targets that are proposed."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from medseg import measurement
from medseg.errors import InputRefused
from medseg.measurement import axis_of_plane, measure, measure_labels, study, summarise
from medseg.types import Geometry, Instance, InstanceClass, Instances, Volume

LIVER = InstanceClass("liver", "organ", 1)
TUMOUR = InstanceClass("tumour", "lesion", 2)
NODE = InstanceClass("lymph node", "lesion", 3, node=True)
GRID = Geometry.from_spacing((12, 60, 60), (3.0, 1.0, 1.0))
SLICES = {"slice_thickness_mm": 3.0, "acquisition_axis": 0}
ONE = pytest.approx(0.012)


def block(number: int, one: InstanceClass, corner: tuple[int, int, int], *size: int) -> Instance:
    z, y, x = (slice(start, start + n) for start, n in zip(corner, size, strict=True))
    mask = np.ones([part.stop - part.start for part in (z, y, x)], dtype=bool)
    return Instance(number, one.name, one.kind, 1.0, (z, y, x), mask)


def case(*items: Instance) -> Instances:
    return Instances(GRID, list(items), (LIVER, TUMOUR, NODE))


def totals(found: Instances, **said: Any) -> Any:
    return json.loads(json.dumps(study(found, measure(found, **said))))


def test_burden_counts_in_the_organ_that_holds_most_and_overlap_counts_once() -> None:
    found = case(
        block(1, LIVER, (0, 0, 0), 6, 20, 20),
        block(2, TUMOUR, (1, 1, 1), 2, 4, 4),
        block(3, TUMOUR, (1, 1, 3), 2, 4, 4),
        block(4, NODE, (1, 10, 10), 1, 2, 2),
        block(5, TUMOUR, (9, 40, 40), 1, 2, 2),
    )
    assert totals(found)["organs"] == [
        {
            "organ": "liver",
            "class_name": "lymph node",
            "count": 1,
            "volume_ml": pytest.approx(0.012),
        },
        {
            "organ": "liver",
            "class_name": "tumour",
            "count": 2,
            "volume_ml": pytest.approx(2 * 4 * 6 * 3 / 1000),
        },
        {"organ": None, "class_name": "tumour", "count": 1, "volume_ml": ONE},
    ]
    assert summarise(found)["tumour"]["count"] == 3


def test_without_organs_nothing_is_said_of_them() -> None:
    assert totals(case(block(2, TUMOUR, (1, 1, 1), 2, 4, 4)))["organs"] == []


def test_targets_are_the_largest_and_at_most_two_an_organ_and_nodes_are_one() -> None:
    targets = totals(six(), **SLICES)["targets"]
    longest = [(30**2 + 3**2) ** 0.5, (20**2 + 3**2) ** 0.5]
    nodes = [40 * 2**0.5, 30 * 2**0.5]  # of a square: the other diagonal
    assert targets == {
        "ids": [5, 6, 2, 3],
        "sum_of_diameters_mm": pytest.approx(sum(longest) + sum(nodes)),
    }


def test_lesions_that_were_not_judged_give_no_targets_and_no_lesion_gives_an_empty_list() -> None:
    one = case(block(2, TUMOUR, (1, 1, 1), 2, 4, 24))
    nothing = {"ids": None, "sum_of_diameters_mm": None}
    assert totals(one)["targets"] == nothing
    assert totals(one, groups=["size"]) == {"organs": [], "targets": nothing}
    none = {"ids": [], "sum_of_diameters_mm": None}
    assert totals(case())["targets"] == none
    assert totals(case(block(1, LIVER, (1, 1, 1), 2, 4, 24)))["targets"] == none
    small = case(block(2, TUMOUR, (1, 1, 1), 2, 2, 2))
    assert totals(small, **SLICES)["targets"] == none


def six() -> Instances:
    """Tumours 1 to 3 of about 12, 30 and 20 mm, nodes 4 to 6 of 16, 40 and 30 mm."""
    return case(
        block(1, TUMOUR, (0, 0, 0), 1, 3, 12),
        block(2, TUMOUR, (2, 0, 0), 1, 3, 30),
        block(3, TUMOUR, (4, 0, 0), 1, 3, 20),
        block(4, NODE, (6, 0, 0), 1, 16, 16),
        block(5, NODE, (8, 0, 0), 1, 40, 40),
        block(6, NODE, (10, 0, 0), 1, 30, 30),
    )


def chosen(found: Instances, targets: list[int], **said: Any) -> Any:
    table = measure(found, **{**SLICES, **said})
    return study(found, table, targets=targets)["targets"]


def test_a_reader_overrules_the_proposal_and_his_order_stays() -> None:
    got = chosen(six(), [3, 4])
    assert got == {
        "ids": [3, 4],
        "sum_of_diameters_mm": pytest.approx((20**2 + 3**2) ** 0.5 + 16 * 2**0.5),
        "notes": [],
    }
    assert chosen(six(), []) == {"ids": [], "sum_of_diameters_mm": None, "notes": []}


def test_chosen_targets_against_the_rules_stay_and_the_notes_say_which_rule() -> None:
    small = case(*six().items, block(7, TUMOUR, (11, 50, 50), 1, 2, 2))
    got = chosen(small, [7, 4, 5, 6, 2, 3])
    assert got["ids"] == [7, 4, 5, 6, 2, 3]
    assert got["notes"] == [
        "target 7 is not measurable by RECIST",
        "6 targets were chosen, RECIST takes at most 5",
        "3 targets count in one organ (tumour), RECIST takes at most 2",
        "3 targets count in one organ (lymph nodes), RECIST takes at most 2",
    ]
    assert got["sum_of_diameters_mm"] == pytest.approx(
        8**0.5 + (30**2 + 3**2) ** 0.5 + (20**2 + 3**2) ** 0.5 + (16 + 40 + 30) * 2**0.5
    )


def test_a_chosen_node_that_was_not_judged_still_counts_by_its_short_axis() -> None:
    node = case(block(4, NODE, (6, 0, 0), 1, 10, 20))
    row = measure(node, groups=["recist"]).iloc[0]
    got = study(node, measure(node), targets=[4])["targets"]
    assert got["sum_of_diameters_mm"] == pytest.approx(row["recist_short_mm"])
    assert row["recist_short_mm"] < row["recist_long_mm"]
    assert got["notes"] == ["target 4 was not judged, the table's notes say why"]


def test_two_an_organ_counts_the_organs_of_the_table_and_says_where_it_has_none() -> None:
    liver = block(8, LIVER, (0, 0, 0), 3, 3, 60)
    found = case(liver, *six().items[:3])
    assert chosen(found, [1, 2, 3])["notes"] == []  # two in the liver, one in none
    unknown = "organs were not measured, so how many targets lie in one is not known"
    assert chosen(found, [1, 2, 3], groups=["recist"])["notes"] == [unknown]
    assert chosen(found, [1, 2], groups=["recist"])["notes"] == []


@pytest.mark.parametrize(
    ("number", "said"), [(9, "no object has the number 9"), (8, "object 8 is an organ")]
)
def test_a_target_that_is_no_lesion_of_the_table_is_refused(number: int, said: str) -> None:
    found = case(block(8, LIVER, (0, 0, 0), 3, 3, 60), *six().items)
    with pytest.raises(InputRefused, match=f"^targets: {said}") as caught:
        chosen(found, [1, number])
    assert caught.value.code == "table-invalid"


def test_targets_of_a_table_without_recist_or_named_twice_are_a_bad_call() -> None:
    with pytest.raises(ValueError, match="a table with the group recist"):
        chosen(six(), [1], groups=["size"])
    with pytest.raises(ValueError, match="named once; got 2 several times"):
        chosen(six(), [1, 2, 2])


@pytest.mark.parametrize("plane", ["axial", "coronal", "sagittal"])
def test_a_plane_lies_across_the_same_direction_however_the_array_is_turned(plane: Any) -> None:
    world = {"axial": 2, "coronal": 1, "sagittal": 0}[plane]  # z, y, x of LPS
    for axes in ((0, 1, 2), (2, 0, 1), (1, 0, 2)):
        turned = GRID.reoriented(axes, (True, False, True))
        axis = axis_of_plane(turned, plane)
        assert abs(turned.direction[world, axis]) == pytest.approx(1.0)


def test_another_word_is_no_plane() -> None:
    with pytest.raises(ValueError, match="axial, coronal, sagittal; got 'oblique'"):
        axis_of_plane(GRID, "oblique")  # type: ignore[arg-type]


def test_arrays_give_the_same_table_as_instances() -> None:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 4, (5, 6, 7))
    values = rng.normal(size=labels.shape)
    table = measure_labels(labels, (5.0, 0.7, 0.8), values, groups=("size", "intensity"))
    for row in table.to_dict("records"):
        inside = labels == row["instance_id"]
        assert row["volume_ml"] == pytest.approx(inside.sum() * 5 * 0.7 * 0.8 / 1000)
        assert row["intensity_mean"] == pytest.approx(values[inside].mean())
        assert row["intensity_p90"] == pytest.approx(np.percentile(values[inside], 90))
        z, y, x = (np.argwhere(inside) * (5.0, 0.7, 0.8)).mean(axis=0)
        centre = [row[f"centroid_{axis}_mm"] for axis in "xyz"]
        assert centre == pytest.approx([x, y, z])
    assert measure_labels(labels, (1, 1, 1), unit="unknown")["suv_max"].isna().all()


def test_arrays_take_what_an_image_and_a_file_of_organs_would_say() -> None:
    labels, organs = np.zeros((2, 6, 30, 30), dtype=np.uint8)
    labels[2, 5:8, 5:25] = 3  # 20 x 3 mm
    organs[:, :, :12] = 4
    said = {"organs": organs, "slice_thickness_mm": 2.0, "acquisition_axis": 0}
    (row,) = measure_labels(labels, (2.0, 1.0, 1.0), **said).to_dict("records")
    assert (row["recist_measurable"], row["recist_target_proposed"]) == (True, True)
    assert (row["organ"], row["organ_fraction"]) == ("class_4", pytest.approx(7 / 20))
    assert "less than half" in row["notes"]
    thick = {**said, "slice_thickness_mm": 11.0}
    assert measure_labels(labels, (2.0, 1.0, 1.0), **thick)["recist_measurable"].tolist() == [False]
    side = {**said, "acquisition_axis": 2}
    assert measure_labels(labels, (2.0, 1.0, 1.0), **side)["recist_axis"].tolist() == ["x"]
    silent = measure_labels(labels, (2.0, 1.0, 1.0))
    assert silent[["recist_measurable", "organ"]].isna().all(axis=None)


@pytest.mark.parametrize(
    ("said", "detail"),
    [
        ({"organs": np.ones((2, 2, 3), int)}, r"^organs: the shape of the labels"),
        ({"organs": np.full((2, 2, 2), 0.5)}, "fractions"),
        ({"slice_thickness_mm": 0.0}, "above 0"),
        ({"acquisition_axis": 3}, "axes 0, 1, 2"),
    ],
)
def test_what_is_said_beside_arrays_and_does_not_fit_is_a_bad_call(said: Any, detail: str) -> None:
    with pytest.raises(ValueError, match=detail):
        measure_labels(np.ones((2, 2, 2), int), (1.0, 1.0, 1.0), **said)


def test_single_measures_are_at_the_front_door() -> None:
    mask = np.ones((1, 3, 4), dtype=bool)
    assert measurement.mask_diameters(mask, (1.0, 1.0, 1.0)).long_mm == pytest.approx(5.0)
    assert measurement.mask_shape(mask, (1.0, 1.0, 1.0)).axis_least_mm == 0
    assert measurement.sum_of_diameters_mm([10.0, 20.0, 5.0], [0, 2]) == 15.0
    found = Instances.from_labelmap(mask.astype(int), Geometry.identity((1, 3, 4)))
    volume = Volume(np.full((1, 3, 4), 2.0), found.geometry)
    assert measurement.peaks(found, volume).local_peak.tolist() == [2.0]
    assert all(hasattr(measurement, name) for name in measurement.__all__)


@pytest.mark.parametrize(
    ("labels", "spacing_mm", "image", "said"),
    [
        (np.ones((2, 2, 2), int), (1.0, 1.0), None, "three lengths"),
        (np.ones((2, 2, 2), int), (1.0, 0.0, 1.0), None, "above 0"),
        (np.ones((2, 2, 2), int), (1.0, float("nan"), 1.0), None, "above 0"),
        (np.ones((2, 2), int), (1.0, 1.0, 1.0), None, r"got \(2, 2\)"),
        (np.ones((2, 2, 2), int), (1.0, 1.0, 1.0), np.ones((2, 2, 3)), r"got \(2, 2, 3\)"),
        (np.full((2, 2, 2), 0.5), (1.0, 1.0, 1.0), None, "fractions"),
        (np.full((2, 2, 2), -1), (1.0, 1.0, 1.0), None, "from 0 up"),
    ],
)
def test_arrays_that_do_not_fit_are_a_bad_call(labels, spacing_mm, image, said) -> None:
    with pytest.raises(ValueError, match=said):
        measure_labels(labels, spacing_mm, image)
