"""Totals of a study: classes, organs, and the targets that are proposed."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from medseg.measurement import axis_of_plane, measure, measure_labels, study, summarise
from medseg.types import Geometry, Instance, InstanceClass, Instances

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
    found = case(
        block(1, TUMOUR, (0, 0, 0), 1, 3, 12),
        block(2, TUMOUR, (2, 0, 0), 1, 3, 30),
        block(3, TUMOUR, (4, 0, 0), 1, 3, 20),
        block(4, NODE, (6, 0, 0), 1, 16, 16),
        block(5, NODE, (8, 0, 0), 1, 40, 40),
        block(6, NODE, (10, 0, 0), 1, 30, 30),
    )
    targets = totals(found, **SLICES)["targets"]
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


@pytest.mark.parametrize(
    ("labels", "spacing_mm", "image", "said"),
    [
        (np.ones((2, 2, 2), int), (1.0, 1.0), None, "three lengths"),
        (np.ones((2, 2, 2), int), (1.0, 0.0, 1.0), None, "above 0"),
        (np.ones((2, 2, 2), int), (1.0, float("nan"), 1.0), None, "above 0"),
        (np.ones((2, 2), int), (1.0, 1.0, 1.0), None, r"got \(2, 2\)"),
        (np.ones((2, 2, 2), int), (1.0, 1.0, 1.0), np.ones((2, 2, 3)), r"and \(2, 2, 3\)"),
        (np.full((2, 2, 2), 0.5), (1.0, 1.0, 1.0), None, "fractions"),
        (np.full((2, 2, 2), -1), (1.0, 1.0, 1.0), None, "from 0 up"),
    ],
)
def test_arrays_that_do_not_fit_are_a_bad_call(labels, spacing_mm, image, said) -> None:
    with pytest.raises(ValueError, match=said):
        measure_labels(labels, spacing_mm, image)
