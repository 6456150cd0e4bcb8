"""Splitting lesions into connected components, against flood fill and hand-made cases."""

from __future__ import annotations

from itertools import product
from typing import Literal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from medseg.measurement import split_components
from medseg.types import Geometry, Instance, InstanceClass, Instances

CLASSES = (
    InstanceClass("node", "lesion", 1),
    InstanceClass("lung", "organ", 2),
    InstanceClass("tumour", "lesion", 3),
)
REACH = {6: 1, 18: 2, 26: 3}


def instance(
    mask: NDArray[np.bool_], number: int, class_name: str, probability: NDArray[np.float64]
) -> Instance:
    kinds = {one.name: one.kind for one in CLASSES}
    made = Instance.from_mask(
        mask,
        id=number,
        class_name=class_name,
        kind=kinds[class_name],
        score=0.25,
        probability=probability,
    )
    assert made is not None
    return made


def flood_fill(mask: NDArray[np.bool_], connectivity: int) -> list[set[tuple[int, ...]]]:
    left = {tuple(int(n) for n in index) for index in np.argwhere(mask)}
    found = []
    while left:
        open_voxels, part = [min(left)], set()
        while open_voxels:
            voxel = open_voxels.pop()
            if voxel not in left:
                continue
            left.remove(voxel)
            part.add(voxel)
            for step in product((-1, 0, 1), repeat=3):
                if 0 < sum(map(abs, step)) <= REACH[connectivity]:
                    open_voxels.append(tuple(a + b for a, b in zip(voxel, step, strict=True)))
        found.append(part)
    return found


@pytest.mark.parametrize(("connectivity", "count"), [(6, 3), (18, 2), (26, 1)])
def test_connectivity_decides_whether_edges_and_corners_join(
    connectivity: Literal[6, 18, 26], count: int
) -> None:
    mask = np.zeros((4, 4, 4), dtype=bool)
    mask[0, 0, 0] = mask[0, 1, 1] = mask[1, 2, 2] = True  # an edge, then a corner apart
    found = Instances(
        Geometry.identity(mask.shape),
        [instance(mask, 9, "tumour", np.zeros(mask.shape))],
        CLASSES,
    )
    parts = split_components(found, connectivity=connectivity)
    assert [part.id for part in parts] == list(range(1, count + 1))


def test_ids_run_by_class_then_by_first_voxel_and_organs_stay_whole() -> None:
    shape = (4, 4, 8)
    lung, node, tumour = (np.zeros(shape, dtype=bool) for _ in range(3))
    lung[3, 3, 0] = lung[0, 0, 7] = True
    node[2, 0, 3] = node[0, 3, 3] = True
    tumour[0, 0, 0] = True
    probability = np.arange(128, dtype=np.float64).reshape(shape)
    found = Instances(
        Geometry.identity(shape),
        [
            instance(tumour, 5, "tumour", probability),
            instance(lung, 8, "lung", probability),
            instance(node, 70_000, "node", probability),
        ],
        CLASSES,
    )
    parts = split_components(found)
    assert [(part.id, part.class_name) for part in parts] == [
        (1, "node"),
        (2, "node"),
        (3, "lung"),
        (4, "tumour"),
    ]
    assert [part.box[0].start for part in parts] == [0, 2, 0, 0]
    assert [part.voxel_count for part in parts] == [1, 1, 2, 1]
    assert {part.score for part in parts} == {0.25}
    crops = [part.probability for part in parts if part.probability is not None]
    assert [float(crop.ravel()[0]) for crop in crops] == [27.0, 67.0, 0.0, 0.0]
    assert parts.items[2].probability is not None
    assert parts.items[2].probability.shape == parts.items[2].mask.shape


@given(seed=st.integers(0, 2**32 - 1), connectivity=st.sampled_from([6, 18, 26]))
@settings(deadline=None, max_examples=1000)
def test_components_of_overlapping_lesions_equal_a_flood_fill(
    seed: int, connectivity: Literal[6, 18, 26]
) -> None:
    rng = np.random.default_rng(seed)
    names = ("node", "tumour", "lung")
    masks = np.zeros((3, 6, 7, 8), dtype=bool)
    masks[:, 1:5, 2:6, 1:7] = rng.random((3, 4, 4, 6)) < 0.25
    masks[:, 3, 3, 3] = True  # the three overlap
    probability = rng.random(masks.shape[1:])
    found = Instances(
        Geometry.identity(probability.shape),
        [
            instance(mask, n, name, probability)
            for n, (mask, name) in enumerate(zip(masks, names, strict=True), start=1)
        ],
        CLASSES,
    )
    parts = split_components(found, connectivity=connectivity)
    wanted = [
        (name, voxels)
        for mask, name in zip(masks, names[:2], strict=False)
        for voxels in sorted(flood_fill(mask, connectivity), key=min)
    ]
    whole = {tuple(int(n) for n in index) for index in np.argwhere(masks[2])}
    wanted.insert(sum(name == "node" for name, _ in wanted), ("lung", whole))
    assert [part.class_name for part in parts] == [name for name, _ in wanted]
    for part, (_, voxels) in zip(parts, wanted, strict=True):
        corner = np.array([one.start for one in part.box])
        assert {tuple(int(n) for n in index + corner) for index in np.argwhere(part.mask)} == voxels
        assert part.probability is not None
        assert np.array_equal(part.probability, probability[part.box].astype(np.float16))


def test_nothing_splits_into_nothing() -> None:
    nothing = Instances(Geometry.identity((3, 3, 3)), [], CLASSES)
    assert len(split_components(nothing)) == 0


def test_another_connectivity_is_a_bad_call() -> None:
    nothing = Instances(Geometry.identity((3, 3, 3)), [], CLASSES)
    with pytest.raises(ValueError, match="connectivity is 6, 18 or 26; got 8"):
        split_components(nothing, connectivity=8)  # type: ignore[arg-type]


def test_two_voxels_with_one_between_them_are_two_parts() -> None:
    """The least mask on which the library raises, unless it is given a margin."""
    mask = np.array([[[True, False, True]]])
    geometry = Geometry.identity((1, 1, 3))
    lesion = instance(mask, 1, "node", np.ones(mask.shape))
    assert len(split_components(Instances(geometry, [lesion], CLASSES))) == 2
