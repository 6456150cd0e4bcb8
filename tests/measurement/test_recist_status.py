"""What a node is where slices are thick, where nothing is known of them, and in several parts."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from medseg.measurement import COLUMNS, measure
from medseg.types import Geometry, Instance, InstanceClass, Instances

TUMOUR = InstanceClass("tumour", "lesion", 2)
NODE = InstanceClass("lymph node", "lesion", 3, node=True)
GRID = Geometry.from_spacing((12, 40, 40), (3.0, 1.0, 1.0))
SLICES = {"slice_thickness_mm": 3.0, "acquisition_axis": 0}


def square(number: int, one: InstanceClass, z: int, length: int) -> Instance:
    box = (slice(z, z + 1), slice(0, length), slice(0, length))
    return Instance(number, one.name, "lesion", 1.0, box, np.ones((1, length, length), dtype=bool))


def study(*items: Instance) -> Instances:
    return Instances(GRID, list(items), (TUMOUR, NODE))


@pytest.mark.parametrize(
    ("thickness_mm", "status"),
    [
        (3.0, ["target", "non-target", "normal"]),
        (7.5, ["target", "non-target", "normal"]),  # twice 7.5 mm are the 15 mm of a target
        (9.0, ["non-target", "non-target", "normal"]),
    ],
)
def test_a_node_that_slices_are_too_thick_for_is_no_target_but_a_non_target(
    thickness_mm: float, status: list[str]
) -> None:
    # Of a square the chord is the other diagonal: 16.97, 11.31 and 8.49 mm.
    nodes = study(
        square(1, NODE, 1, 12),
        square(2, NODE, 4, 8),
        square(3, NODE, 7, 6),
        square(4, TUMOUR, 9, 25),
    )
    said = {"slice_thickness_mm": thickness_mm, "acquisition_axis": 0}
    table = measure(nodes, groups=["recist"], **said)
    assert table["recist_node_status"].tolist()[:3] == status
    assert pd.isna(table["recist_node_status"][3])
    target = status[0] == "target"
    assert table["recist_measurable"].tolist() == [target, False, False, True]
    assert table["recist_target_proposed"].tolist() == [target, False, False, True]


@pytest.mark.parametrize("said", [{}, {"slice_thickness_mm": 3.0}, {"acquisition_axis": 0}])
def test_a_node_of_unknown_thickness_or_plane_has_no_status(said: dict[str, Any]) -> None:
    table = measure(study(square(1, NODE, 1, 12)), groups=["recist"], **said)
    assert table["recist_short_mm"].notna().all()
    assert table["recist_node_status"].isna().all()


def test_a_node_in_parts_has_no_status_and_a_whole_one_beside_it_has() -> None:
    mask = np.ones((1, 12, 30), dtype=bool)
    mask[:, :, 12:18] = False
    parts = Instance(1, NODE.name, "lesion", 1.0, (slice(1, 2), slice(0, 12), slice(0, 30)), mask)
    nodes = study(parts, square(2, NODE, 4, 12))
    table = measure(nodes, groups=["recist"], **SLICES)
    assert pd.isna(table["recist_node_status"][0]) and pd.isna(table["recist_measurable"][0])
    assert table["recist_node_status"][1] == "target"
    assert table["notes"].str.contains("in several parts").tolist() == [True, False]


def test_the_definitions_name_every_reason_for_which_nothing_is_judged() -> None:
    of = {column.name: column.definition for column in COLUMNS}
    for name in ("recist_measurable", "recist_node_status"):
        for reason in ("thickness", "plane", "several parts"):
            assert reason in of[name].partition("Empty")[2], (name, reason)
