"""Organs that change: lesions near the change are measured again, and no other."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from medseg_napari.session import Session
from medseg_napari.session import table as table_module
from medseg_napari.session.document import Document

from medseg.measurement import measure
from medseg.types import Geometry, Instance, InstanceClass, Instances

SHAPE = (16, 20, 24)
STRAIGHT = Geometry.from_spacing(SHAPE, (3.0, 0.8, 0.7))
SHEAR = np.eye(4)
SHEAR[0, 2] = 0.6
SHEARED = Geometry(SHAPE, SHEAR @ STRAIGHT.affine)
CLASSES = (
    InstanceClass("lesion", "lesion", 1),
    InstanceClass("liver", "organ", 2),
    InstanceClass("spleen", "organ", 3),
)
COLUMNS = ["organ", "organ_fraction", "nearest_organ", "nearest_organ_mm", "notes"]


def ball(number: int, name: str, middle, radius: float) -> Instance:
    away = np.indices(SHAPE) - np.reshape(middle, (3, 1, 1, 1))
    mask = np.square(away).sum(axis=0) <= radius**2
    kind = "lesion" if name == "lesion" else "organ"
    return Instance.from_mask(mask, id=number, class_name=name, kind=kind, score=1.0)


def scattered(grid: Geometry, seed: int) -> Session:
    rng = np.random.default_rng(seed)
    lesions = [ball(n, "lesion", rng.uniform(0, SHAPE), rng.uniform(1, 2)) for n in range(1, 16)]
    organs = [ball(20, "liver", (5, 6, 6), 5), ball(21, "spleen", (11, 13, 17), 4)]
    return Session(None, Document(Instances(grid, [*lesions, *organs], CLASSES)), "AB")


def changed(work: Session, number: int, rng: np.random.Generator) -> None:
    """Let an organ grow or shrink at a place, move, vanish or be of the other class."""
    item = work.instance(number)
    what = rng.integers(5)
    full = np.zeros(SHAPE, dtype=bool)
    full[item.box] = item.mask
    place = ball(number, item.class_name, rng.uniform(0, SHAPE), rng.uniform(1, 3))
    if what == 0:
        after = None
    elif what == 1:
        name = "spleen" if item.class_name == "liver" else "liver"
        after = replace(item, class_name=name)
    elif what == 2:
        after = place
    else:
        full[place.box] = place.mask | full[place.box] if what == 3 else (
            full[place.box] & ~place.mask
        )  # fmt: skip
        after = None
        if full.any():
            after = Instance.from_mask(
                full, id=number, class_name=item.class_name, kind="organ", score=1.0
            )
    work.apply(work.edit("Change", "change", {}, {number: after}))


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("grid", [STRAIGHT, SHEARED], ids=["straight", "sheared"])
def test_whatever_becomes_of_organs_the_table_is_that_of_measure(grid, seed: int) -> None:
    work, rng = scattered(grid, seed), np.random.default_rng(seed)
    for _ in range(6):
        work.table.frame(COLUMNS)
        organs = [item.id for item in work.instances if item.kind == "organ"]
        if not organs or rng.random() < 0.3:
            work.undo()
        else:
            changed(work, int(rng.choice(organs)), rng)
        wanted = measure(work.instances, None, groups=work.table.groups)
        found = work.table.frame(COLUMNS)
        pd.testing.assert_frame_equal(found, wanted[found.columns.tolist()])


def test_a_stroke_in_an_organ_measures_the_lesions_beside_it_alone(monkeypatch) -> None:
    items = [
        ball(1, "lesion", (5, 6, 6), 1),  # in the liver, where the stroke is
        ball(2, "lesion", (5, 6, 9), 1),  # in the liver, away from it
        ball(3, "lesion", (12, 15, 18), 1),  # near the spleen
        ball(20, "liver", (5, 6, 6), 5),
        ball(21, "spleen", (11, 13, 14), 3),
    ]
    work = Session(None, Document(Instances(STRAIGHT, items, CLASSES)), "AB")
    work.table.frame(COLUMNS)
    measured: list[int] = []

    def noting(instances: Instances, *args: object, **kwargs: object) -> pd.DataFrame:
        measured.extend(item.id for item in instances)
        return measure(instances, *args, **kwargs)

    monkeypatch.setattr(table_module, "measure", noting)
    liver = work.instance(20)
    mask = liver.mask.copy()
    mask[
        tuple(5 - part.start if n == 0 else 6 - part.start for n, part in enumerate(liver.box))
    ] ^= 1
    work.apply(work.edit("Paint", "paint", {}, {20: replace(liver, mask=mask)}))
    work.table.column("organ")
    assert 1 in measured
    assert 3 not in measured
