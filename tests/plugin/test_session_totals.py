"""Counts and volumes of the union, after steps small and large."""

from __future__ import annotations

from medseg_napari.session.totals import UnionCounter
from session_cases import cuboid

from medseg.types import Instance


def row(number: int, length: int) -> dict[int, Instance]:
    """Bars of 1 × 1 × `length` voxels that begin 4 voxels apart."""
    return {n: cuboid(n, f"0:1,0:1,{4 * n}:{4 * n + length}") for n in range(1, number + 1)}


def test_after_a_step_on_very_many_objects_overlaps_with_them_still_count_once() -> None:
    small, large = row(601, 2), row(601, 6)
    counter = UnionCounter(small.values())
    assert counter.voxels("tumour") == 601 * 2
    counter.update({1: (small[1], large[1])})
    counter.update({n: (small[n] if n > 1 else large[1], large[n]) for n in small})
    assert counter.voxels("tumour") == 600 * 4 + 6  # no gap is left between the bars
    counter.update({300: (large[300], None)})
    assert counter.voxels("tumour") == 600 * 4 + 6 - 2  # the other 4 of its 6 are its neighbours'
    assert counter.count("tumour") == 600
