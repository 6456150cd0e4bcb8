"""Semantic and panoptic maps of the same instances, one value a voxel."""

from __future__ import annotations

import numpy as np

from medseg.types import Geometry, Instance, InstanceClass, Instances
from medseg.types.views import panoptic_map, semantic_map

CLASSES = (
    InstanceClass("liver", "organ", 4),
    InstanceClass("tumor", "lesion", 7),
    InstanceClass("cyst", "lesion", 300),
)
Kinds = {one.name: one.kind for one in CLASSES}


def row(*objects: tuple[int, str, float, slice]) -> Instances:
    """Objects of a row of ten voxels: id, class, score and where."""
    items = []
    for number, name, score, part in objects:
        mask = np.zeros((1, 1, 10), dtype=bool)
        mask[0, 0, part] = True
        items.append(
            Instance.from_mask(
                mask, id=number, class_name=name, kind=Kinds[name], score=score, offset=(0, 0, 0)
            )
        )
    return Instances(Geometry.identity((1, 1, 10)), items, CLASSES)


SCENE = row(
    (1, "liver", 0.99, slice(0, 8)),
    (2, "tumor", 0.4, slice(2, 5)),
    (3, "cyst", 0.6, slice(4, 6)),
    (9, "tumor", 0.5, slice(8, 10)),
)


def test_a_lesion_hides_its_organ_and_the_higher_score_wins_in_a_semantic_map() -> None:
    found = semantic_map(SCENE)
    assert found.ravel().tolist() == [4, 4, 7, 7, 300, 300, 4, 4, 7, 7]
    assert found.dtype == np.uint16


def test_a_panoptic_map_keeps_ids_and_says_what_is_left_of_each_segment() -> None:
    found, segments = panoptic_map(SCENE)
    assert found.ravel().tolist() == [1, 1, 2, 2, 3, 3, 1, 1, 9, 9]
    said = [(one["id"], one["class_name"], one["is_thing"], one["voxel_count"]) for one in segments]
    assert said == [
        (1, "liver", False, 4),
        (2, "tumor", True, 2),
        (3, "cyst", True, 2),
        (9, "tumor", True, 2),
    ]


def test_a_segment_that_is_wholly_hidden_is_not_listed() -> None:
    hidden = row((1, "tumor", 0.4, slice(2, 4)), (2, "cyst", 0.6, slice(1, 6)))
    found, segments = panoptic_map(hidden)
    assert [one["id"] for one in segments] == [2] and set(found.ravel()) == {0, 2}


def test_no_instance_gives_an_empty_map() -> None:
    empty = row()
    assert not semantic_map(empty).any()
    found, segments = panoptic_map(empty)
    assert not found.any() and segments == []
