"""What a model outlines at a click, as a step: one new object, of a class that is known then."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike

from medseg.card import Card
from medseg.editing.regions import placed, with_mask
from medseg.types import Instance, InstanceClass, Instances
from medseg_napari.session import Edit, Session, named


def check_free(session: Session, point_lps_mm: ArrayLike, *, keep_out: bool = True) -> None:
    """ValueError where a click (x, y, z) lies outside the image, or in another lesion to keep."""
    geometry = session.instances.geometry
    z, y, x = (int(n) for n in np.rint(geometry.world_to_index(point_lps_mm)))
    if not all(0 <= n < length for n, length in zip((z, y, x), geometry.shape, strict=True)):
        msg = "the click lies outside the image: click inside it"
        raise ValueError(msg)
    voxel = slice(z, z + 1), slice(y, y + 1), slice(x, x + 1)
    for item in _kept(session, keep_out=keep_out):
        if placed([item], voxel).any():
            msg = f"the click lies in lesion {item.id}, which is to be kept: click beside it"
            raise ValueError(msg)


def add_found(
    session: Session,
    found: Instances,
    point_lps_mm: ArrayLike,
    card: Card,
    *,
    keep_out: bool = True,
) -> Edit:
    """A new object as a model of that card outlined it at a click, with the model's score.

    With `keep_out` other lesions keep what they hold. The session learns the object's class where
    it does not know it.

    Raises ValueError where the model found nothing there, or other lesions hold all of it.
    """
    if not found.items:
        said = "; ".join(one.detail for one in found.warnings) or "nothing was found there"
        msg = f"{card.name}: {said}"
        raise ValueError(msg)
    item = found.items[0]
    others = _kept(session, keep_out=keep_out)
    left = with_mask(item, item.mask & ~placed(others, item.box), item.box)
    if left is None:
        msg = f"{card.name}: other lesions hold all that it found there"
        raise ValueError(msg)
    of = _known_class(session, item, found.classes)
    made = replace(
        left, id=session.next_id, class_name=of.name, probability=None, probability_box=None
    )
    arguments = {
        "point_lps_mm": np.asarray(point_lps_mm, dtype=np.float64).round(3).tolist(),
        "model": {
            "name": card.name,
            "version": card.version,
            "weights_sha256": card.weights_sha256,
        },
        "class": of.name,
        "keep_out": keep_out,
        "warnings": [one.code for one in found.warnings],
    }
    return session.edit(
        f"{named('Add', [made])} by {card.name}", "add found", arguments, {made.id: made}
    )


def _kept(session: Session, *, keep_out: bool) -> list[Instance]:
    return [one for one in session.instances if keep_out and one.kind == "lesion"]


def _known_class(
    session: Session, item: Instance, classes: Sequence[InstanceClass]
) -> InstanceClass:
    """The session's class of an object's name; one is added where there is none."""
    known = session.instances.classes
    for one in known:
        if one.name == item.class_name and one.kind == item.kind:
            return one
    wanted = next(one for one in classes if one.name == item.class_name)
    labels = [one.label for one in known]
    if wanted.label in labels:
        wanted = replace(wanted, label=max(labels) + 1)
    session.add_class(wanted)
    return wanted
