"""Small studies with gaps in their ids, sessions on them, and random steps of work."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import count
from pathlib import Path

import numpy as np
import pandas as pd
from medseg_napari.session import Edit, Session
from medseg_napari.session.document import Document
from numpy.typing import NDArray

from medseg.measurement import measure
from medseg.types import (
    Geometry,
    InputWarning,
    Instance,
    InstanceClass,
    Instances,
    Volume,
)

SHAPE = (8, 10, 12)
GRID = Geometry.from_spacing(SHAPE, (3.0, 0.9, 0.7), (-20.0, 5.0, 40.0))
CLASSES = (
    InstanceClass("liver", "organ", 1, (120, 60, 40)),
    InstanceClass("tumour", "lesion", 2),
    InstanceClass("node", "lesion", 3, node=True),
)
KINDS = {one.name: one.kind for one in CLASSES}
WARNINGS = (InputWarning("out-of-domain", "thicker slices than the model has seen"),)


def cuboid(number: int, box: str, class_name: str = "tumour", *, score: float = 0.5) -> Instance:
    """A full cuboid whose box is written as in NumPy, `0:2,1:3,2:4`."""
    z, y, x = (slice(*(int(end) for end in part.split(":"))) for part in box.split(","))
    mask = np.ones([part.stop - part.start for part in (z, y, x)], dtype=bool)
    return Instance(number, class_name, KINDS[class_name], score, (z, y, x), mask)


def faded(item: Instance) -> Instance:
    """The same with a probability that fades around the mask."""
    rng = np.random.default_rng(item.id)
    values = rng.uniform(0.6, 1.0, item.mask.shape).astype(np.float16)
    return replace(item, probability=values)


def output(*, warned: bool = True) -> Instances:
    """An organ, and four lesions with the ids 3, 7, 12, 40; 7 and 12 overlap, 40 lies outside."""
    items = [
        cuboid(12, "2:5,3:7,3:8", score=0.9),
        faded(cuboid(3, "1:3,1:3,1:4", "node", score=0.4)),
        cuboid(7, "3:6,4:8,6:10"),
        cuboid(1, "0:6,0:9,0:10", "liver", score=1.0),
        cuboid(40, "7:8,9:10,11:12", score=0.8),
    ]
    return Instances(GRID, items, CLASSES, WARNINGS if warned else (), {"model": "toy"})


def image() -> Volume:
    values = np.random.default_rng(0).normal(50, 20, SHAPE).astype(np.float32)
    return Volume(values, GRID, "CT", "HU", slice_thickness_mm=3.0, acquisition_axis=0)


def many(number: int, *, spread: int = 40) -> tuple[Volume, Instances]:
    """`number` single lesions of one to eight voxels on a large grid, ids 2, 4, 6, ..."""
    rng = np.random.default_rng(number)
    geometry = Geometry.from_spacing((spread, spread, spread), (1.0, 1.0, 1.0))
    items = []
    for n in range(number):
        lengths = rng.integers(1, 3, 3)
        start = rng.integers(0, spread - 2, 3)
        z, y, x = (slice(int(a), int(a + b)) for a, b in zip(start, lengths, strict=True))
        mask = np.ones(lengths, dtype=bool)
        name = ("tumour", "node")[n % 2]
        items.append(Instance(2 * n + 2, name, "lesion", float(rng.random()), (z, y, x), mask))
    values = rng.normal(0, 1, geometry.shape).astype(np.float32)
    return Volume(values, geometry, "CT", "HU", 1.0, 0), Instances(geometry, items, CLASSES)


def session(
    folder: Path | None = None, *, reader: str = "AB", start: Instances | None = None
) -> Session:
    return Session.begin(image(), output() if start is None else start, reader, folder=folder)


def ticking(start: Instances | None = None) -> Session:
    """A session that keeps nothing, and whose clock counts seconds from midnight."""
    seconds = count()
    return Session(
        image(),
        Document(output() if start is None else start),
        "AB",
        clock=lambda: f"2026-01-01T00:00:{next(seconds):02d}.000Z",
    )


def from_scratch(work: Session) -> pd.DataFrame:
    return measure(work.instances, work.volume, groups=work.table.groups)


def box_mask(box: Sequence[int]) -> NDArray[np.bool_]:
    mask = np.zeros(SHAPE, dtype=bool)
    mask[box[0] : box[1], box[2] : box[3], box[4] : box[5]] = True
    return mask


def full_mask(item: Instance) -> NDArray[np.bool_]:
    mask = np.zeros(SHAPE, dtype=bool)
    mask[item.box] = item.mask
    return mask


def drawn(item: Instance, mask: NDArray[np.bool_]) -> Instance | None:
    return Instance.from_mask(
        mask, id=item.id, class_name=item.class_name, kind=item.kind, score=item.score
    )


def paint(work: Session, number: int, box: Sequence[int], *, erase: bool = False) -> Edit:
    """A stroke that adds a box to an instance, or takes it away; wholly erased it is gone."""
    item = work.instance(number)
    mask, stroke = full_mask(item), box_mask(box)
    left = drawn(item, mask & ~stroke if erase else mask | stroke)
    name, operation = ("Erase", "erase") if erase else ("Paint", "paint")
    return work.edit(f"{name} {number}", operation, {"box": [*box]}, {number: left})


def add(work: Session, box: Sequence[int], class_name: str = "tumour") -> Edit:
    number = work.next_id
    made = Instance.from_mask(
        box_mask(box), id=number, class_name=class_name, kind=KINDS[class_name]
    )
    return work.edit("Add a lesion", "add", {"box": [*box]}, {number: made})


def merge(work: Session, ids: Sequence[int]) -> Edit:
    items = [work.instance(number) for number in ids]
    whole = np.any([full_mask(item) for item in items], axis=0)
    after: Mapping[int, Instance | None] = {
        **dict.fromkeys(ids[1:]),
        ids[0]: drawn(items[0], whole),
    }
    return work.edit(f"Merge {len(ids)} objects", "merge", {"ids": [*ids]}, after)


def split(work: Session, number: int, at: int) -> Edit:
    """Two halves of an instance along x; the second gets a new id."""
    item, mask = work.instance(number), np.zeros(SHAPE, dtype=bool)
    mask[..., :at] = True
    new = replace(item, id=work.next_id)
    after = {
        number: drawn(item, full_mask(item) & mask),
        new.id: drawn(new, full_mask(new) & ~mask),
    }
    return work.edit(
        "Split",
        "split",
        {"at": at},
        {key: one for key, one in after.items() if one or key == number},
    )


def change_class(work: Session, number: int, class_name: str) -> Edit:
    item = replace(work.instance(number), class_name=class_name, kind=KINDS[class_name])
    return work.edit(f"Change {number}", "change class", {"to": class_name}, {number: item})


def state_of(instances: Instances) -> list[tuple[object, ...]]:
    """All that makes instances what they are, comparable."""
    return [
        (
            item.id,
            item.class_name,
            item.kind,
            item.score,
            item.box,
            item.mask.tobytes(),
            None if item.probability is None else item.probability.tobytes(),
        )
        for item in instances
    ]


def snapshot(work: Session) -> tuple[object, ...]:
    """Masks, reviews and totals of a session, comparable."""
    reviews = {item.id: work.review(item.id) for item in work.instances}
    return state_of(work.instances), reviews, work.totals()


def random_step(work: Session, rng: np.random.Generator) -> str:
    """One step of a random kind, through the door that a panel takes; what was done."""
    ids = [item.id for item in work.instances]
    lesions = [item.id for item in work.instances if item.kind == "lesion"]
    ends = [
        sorted(int(end) for end in rng.choice(length + 1, 2, replace=False)) for length in SHAPE
    ]
    box = [end for pair in ends for end in pair]
    kind = str(
        rng.choice(
            [
                "paint",
                "erase",
                "add",
                "merge",
                "split",
                "class",
                "delete",
                "mark",
                "comment",
                "line",
                "undo",
                "undo",
                "redo",
            ]
        )
    )
    if kind in ("undo", "redo"):
        work.undo() if kind == "undo" else work.redo()
    elif kind == "add" or not lesions:
        work.apply(add(work, box, str(rng.choice(["tumour", "node"]))))
    elif kind in ("paint", "erase"):
        work.apply(paint(work, int(rng.choice(ids)), box, erase=kind == "erase"))
    elif kind == "merge" and len(lesions) > 1:
        chosen = rng.choice(lesions, 2, replace=False)
        work.apply(merge(work, [int(number) for number in chosen]))
    elif kind == "split":
        work.apply(split(work, int(rng.choice(lesions)), box[4] + 1))
    elif kind == "class":
        name = str(rng.choice(["tumour", "node"]))
        work.apply(change_class(work, int(rng.choice(lesions)), name))
    elif kind == "delete":
        work.delete([int(number) for number in rng.choice(ids, min(2, len(ids)), replace=False)])
    elif kind == "comment":
        work.comment(int(rng.choice(ids)), f"says {rng.integers(9)}")
    elif kind == "line":
        start, stop = rng.normal(0, 20, (2, 3))
        work.move_line(int(rng.choice(lesions)), "long", start.tolist(), stop.tolist())
    else:
        decision = rng.choice(["accept", "reject", "unsure"])
        work.mark([int(rng.choice(ids))], str(decision))
    return kind
