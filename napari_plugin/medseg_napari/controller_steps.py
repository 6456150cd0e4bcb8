"""Corrections as steps: each takes a session as it is, and gives an edit with a name for people."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike

from medseg import editing
from medseg.editing import RegionSettings
from medseg.types import Geometry, Instance, InstanceClass
from medseg_napari.session import Edit, Session, named
from medseg_napari.view.placement import Placement
from medseg_napari.view.planes import PLANES, Plane

Step = Callable[[], Edit]

HEAVY_VOXELS = 4_000_000
"""Above so many voxels in the boxes that it touches, a step takes longer than a reader waits."""


def is_heavy(session: Session, ids: Sequence[int]) -> bool:
    """Whether a step on these objects is one to wait for."""
    return sum(session.instance(number).mask.size for number in ids) > HEAVY_VOXELS


def delete(session: Session, ids: Sequence[int]) -> Edit:
    """Take objects away."""
    items = _some(session, ids)
    after = dict.fromkeys(item.id for item in items)
    return session.edit(named("Delete", items), "delete", {"ids": [*ids]}, after)


def merge(session: Session, ids: Sequence[int], to: str | None = None) -> Edit:
    """One object of several, with the id of the largest; of classes apart, `to` says which."""
    items = _some(session, ids)
    kept = max(items, key=lambda one: (one.voxel_count, -one.id)).id
    whole = editing.merge(items, kept, None if to is None else class_of(session, to))
    after = {item.id: whole if item.id == kept else None for item in items}
    return session.edit(named("Merge", items), "merge", {"ids": [*ids], "to": to}, after)


def split_parts(session: Session, number: int, connectivity: Literal[6, 18, 26] = 26) -> Edit:
    """The parts of an object that do not touch by so many neighbours, each an object."""
    item = session.instance(number)
    parts = editing.split_parts(item, next_id=session.next_id, connectivity=connectivity)
    if len(parts) < 2:
        msg = f"{item.kind} {number} hangs together: split it by two clicks"
        raise ValueError(msg)
    return _split(session, item, parts, {"id": number, "connectivity": connectivity})


def split_at(
    session: Session, number: int, points_lps_mm: ArrayLike, *, by_image: bool = False
) -> Edit:
    """An object cut between points (N, 3) inside it, at its necks."""
    item = session.instance(number)
    pieces = editing.split_at_points(
        item,
        session.instances.geometry,
        points_lps_mm,
        next_id=session.next_id,
        volume=session.volume if by_image else None,
    )
    points = np.asarray(points_lps_mm, dtype=np.float64).round(3).tolist()
    arguments = {"id": number, "points_lps_mm": points, "by_image": by_image}
    return _split(session, item, pieces, arguments)


def change_class(session: Session, ids: Sequence[int], to: str) -> Edit:
    """Objects as ones of another class."""
    items = _some(session, ids)
    if class_of(session, to).kind == "organ" and len(items) > 1:
        msg = f"{to} is an organ, which is one object: merge them first"
        raise ValueError(msg)
    after = {item.id: editing.change_class(item, to, session.instances) for item in items}
    if all(item.class_name == to for item in items):
        msg = f"the class is {to} already"
        raise ValueError(msg)
    return session.edit(f"{named('Make', items)} {to}", "class", {"ids": [*ids], "to": to}, after)


def reset_diameters(session: Session, number: int) -> Edit:
    """The diameters of a lesion as its mask has them, one step for both."""
    said = session.review(number)
    moved = [which for which, line in (("long", said.long), ("short", said.short)) if line]
    if not moved:
        msg = f"no diameter of {number} was moved"
        raise ValueError(msg)
    what = "both diameters" if len(moved) > 1 else f"the {moved[0]} diameter"
    arguments = {"id": number, "which": " and ".join(moved)}
    reset = replace(said, long=None, short=None)
    name = f"Reset {what} of lesion {number}"
    return Edit(name, "diameter", arguments, {}, {}, {number: said}, {number: reset})


def grow(session: Session, ids: Sequence[int], by_mm: float, *, keep_out: bool = True) -> Edit:
    """Borders moved outwards by `by_mm`, inwards below 0; other lesions keep what they hold.

    Of what several of them would take, the first takes it.
    """
    geometry, grown = session.instances.geometry, dict[int, Instance]()

    def one(item: Instance) -> Instance | None:
        kept = keep_out and by_mm > 0 and item.kind == "lesion"
        others = [grown.get(it.id, it) for it in _others(session, item.id)] if kept else []
        left = editing.grow(item, geometry, by_mm, keep_out=others)
        if left is not None:
            grown[item.id] = left
        return left

    verb = "Grow" if by_mm > 0 else "Shrink"
    arguments = {"by_mm": by_mm, "keep_out": keep_out}
    return _each(session, ids, one, ("grow", verb, f" by {abs(by_mm):g} mm"), arguments)


def smooth(session: Session, ids: Sequence[int], sigma_mm: float) -> Edit:
    """Smoother borders, the volume kept."""
    geometry = session.instances.geometry
    words = ("smooth", "Smooth", f" by {sigma_mm:g} mm")
    return _each(
        session, ids, lambda item: editing.smooth(item, geometry, sigma_mm), words,
        {"sigma_mm": sigma_mm},
    )  # fmt: skip


def fill_holes(session: Session, ids: Sequence[int], axis: int | None = None) -> Edit:
    """No holes, in 3D or on every slice across an axis of the image."""
    plane = None if axis is None else plane_across(session.instances.geometry, axis)
    where = "" if plane is None else f" on every {plane} slice"
    words = ("fill holes", "Fill holes of", where)
    return _each(
        session, ids, lambda item: editing.fill_holes(item, axis=axis), words, {"axis": axis}
    )


def keep_largest_part(session: Session, ids: Sequence[int]) -> Edit:
    """The largest connected part alone."""
    words = ("keep largest part", "Keep the largest part of", "")
    return _each(session, ids, editing.keep_largest_part, words, {})


def interpolate(session: Session, number: int, axis: int) -> Edit:
    """The empty slices across an axis of the image between painted ones, filled."""
    geometry, item = session.instances.geometry, session.instance(number)
    plane = plane_across(geometry, axis)
    if not editing.slice_gaps(item, axis):
        msg = (
            f"{item.kind} {number} has no empty {plane} slice between two painted ones: "
            "paint two slices that are apart, or turn to another plane"
        )
        raise ValueError(msg)
    words = ("interpolate", f"Interpolate {plane} slices of", "")
    return _each(
        session, [number], lambda one: editing.interpolate_slices(one, geometry, axis), words,
        {"axis": axis},
    )  # fmt: skip


def plane_across(geometry: Geometry, axis: int) -> Plane:
    """The plane that slices across an axis of an image lie in, of an oblique one the nearest."""
    return PLANES[Placement.of(geometry).axes.index(axis)]


def add_region(
    session: Session,
    point_lps_mm: ArrayLike,
    of: InstanceClass,
    settings: RegionSettings,
    *,
    keep_out: bool = True,
) -> Edit:
    """A new object around a click, of what looks alike."""
    if session.volume is None:
        msg = "there is no image to grow a region in: open the image, or paint the object"
        raise ValueError(msg)
    point = np.asarray(point_lps_mm, dtype=np.float64).reshape(3)
    number = session.next_id
    made = editing.grow_region(
        session.volume,
        point,
        id=number,
        of=of,
        settings=settings,
        keep_out=_others(session, number) if keep_out else [],
    )
    arguments = {
        "point_lps_mm": point.round(3).tolist(),
        "class": of.name,
        "keep_out": keep_out,
        **{name: value for name, value in vars(settings).items() if value is not None},
    }
    return session.edit(named("Add", [made]), "add region", arguments, {number: made})


def class_of(session: Session, name: str) -> InstanceClass:
    """The class of a name; ValueError where there is none."""
    for one in session.instances.classes:
        if one.name == name:
            return one
    msg = f"no class is named {name!r}"
    raise ValueError(msg)


def _each(
    session: Session,
    ids: Sequence[int],
    work: Callable[[Instance], Instance | None],
    words: tuple[str, str, str],
    arguments: Mapping[str, Any],
) -> Edit:
    """The step that does the same to each object; those that stay as they are stand out of it."""
    operation, verb, rest = words
    items = _some(session, ids)
    left = {item.id: work(item) for item in items}
    changed = [item for item in items if left[item.id] is not item]
    if not changed:
        msg = f"{named(verb, items).lower()}{rest}: nothing changes"
        raise ValueError(msg)
    after = {item.id: left[item.id] for item in changed}
    return session.edit(
        f"{named(verb, items)}{rest}", operation, {"ids": [*ids], **arguments}, after
    )


def _split(
    session: Session, item: Instance, pieces: Sequence[Instance], arguments: Mapping[str, Any]
) -> Edit:
    if item.kind == "organ":
        msg = f"{item.class_name} is an organ, which is one object: change its class first"
        raise ValueError(msg)
    name = f"{named('Split', [item])} into {len(pieces)}"
    return session.edit(name, "split", arguments, {piece.id: piece for piece in pieces})


def _some(session: Session, ids: Sequence[int]) -> list[Instance]:
    if not ids:
        msg = "select a row first"
        raise ValueError(msg)
    return [session.instance(number) for number in ids]


def _others(session: Session, number: int) -> list[Instance]:
    """The lesions that keep what they hold."""
    return [one for one in session.instances if one.kind == "lesion" and one.id != number]
