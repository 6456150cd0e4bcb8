"""What an object is: several made one, or one of another class; voxels stay as they are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from medseg.editing.regions import placed
from medseg.types import Instance, InstanceClass, Instances, union_box


def merge(
    items: Sequence[Instance],
    id: int,  # noqa: A002 - the field's name
    to: InstanceClass | None = None,
) -> Instance:
    """One object of all that two or more objects hold, with the id `id`.

    It has their class, or the class `to`, and the highest of their scores. Nothing is filled
    between them: parts that lie apart stay parts of one object.

    Raises ValueError for fewer than two objects, one given twice, or several classes without `to`.
    """
    numbers = [item.id for item in items]
    if len(items) < 2 or len(set(numbers)) < len(numbers):
        msg = f"merging wants two objects or more, each once; got {numbers}: select another"
        raise ValueError(msg)
    classes = {(item.class_name, item.kind) for item in items}
    if to is None and len(classes) > 1:
        names = ", ".join(sorted(name for name, _ in classes))
        msg = f"objects {numbers} are of several classes ({names}): say the class of the result"
        raise ValueError(msg)
    name, kind = (items[0].class_name, items[0].kind) if to is None else (to.name, to.kind)
    box = union_box(item.box for item in items)
    score = max(item.score for item in items)
    return Instance(id, name, kind, score, box, placed(items, box))


def change_class(item: Instance, class_name: str, instances: Instances) -> Instance:
    """The object as one of another class of `instances`; mask, score and probability stay.

    Raises ValueError where there is no such class, or it is an organ's and another object has it:
    of an organ there is one.
    """
    known = {one.name: one for one in instances.classes}
    if class_name not in known:
        msg = f"no class is named {class_name!r}; there are {', '.join(known) or 'none'}"
        raise ValueError(msg)
    to = known[class_name]
    if to.kind == "organ":
        for other in instances.items:
            if other.class_name == class_name and other.id != item.id:
                msg = (
                    f"object {other.id} is {class_name} already, and an organ is one object: "
                    f"merge object {item.id} into it, or change the class of that one first"
                )
                raise ValueError(msg)
    return replace(item, class_name=to.name, kind=to.kind)
