"""Objects of a study, each with its mask; any two may overlap."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray

from medseg.types.boxes import box_inside
from medseg.types.geometry import Box, Geometry, Shape, check_box
from medseg.types.volume import InputWarning

Kind = Literal["organ", "lesion"]


@dataclass(frozen=True)
class InstanceClass:
    """A class of objects: `organ` (one object a class) or `lesion` (many).

    `label` is its value in a label map of classes; `color` is RGB in 0..255; `node` says that its
    lesions are lymph nodes, which RECIST measures by their short axis.
    """

    name: str
    kind: Kind
    label: int
    color: tuple[int, int, int] | None = None
    node: bool = False


@dataclass(frozen=True, eq=False, repr=False)
class Instance:
    """One object: an id that is kept, a class, a score in 0..1, and its mask.

    Shapes: box three slices; mask boolean, the tight crop that the box cuts out; probability None
    or float16, the crop that `probability_box` cuts out. That box is `box` or a wider one, which
    then holds the fringe as well: what fades around the mask, 0 where nothing of it is there. None
    stands for `box`; without a probability it is None.
    """

    id: int
    class_name: str
    kind: Kind
    score: float
    box: Box
    mask: NDArray[np.bool_]
    probability: NDArray[np.float16] | None = None
    probability_box: Box | None = None

    def __post_init__(self) -> None:
        lengths = _lengths(self.box)
        if self.id < 1:
            msg = f"an id is at least 1; got {self.id}"
            raise ValueError(msg)
        if self.mask.dtype != np.bool_ or self.mask.shape != lengths:
            got = f"{self.mask.dtype} {self.mask.shape}"
            msg = f"instance {self.id}: a boolean mask of shape {lengths} is wanted; got {got}"
            raise ValueError(msg)
        if not _fills_its_ends(self.mask):
            msg = f"instance {self.id}: its box is not tight around its mask"
            raise ValueError(msg)
        self._check_probability()

    def _check_probability(self) -> None:
        wider = self.probability_box
        if self.probability is None:
            if wider is not None:  # who takes a probability away need not know of its box
                object.__setattr__(self, "probability_box", None)
            return
        if wider is None:
            if self.probability.shape != self.mask.shape:
                msg = f"instance {self.id}: probability and mask differ in shape"
                raise ValueError(msg)
            return
        if not all(
            outer.step is None and outer.start <= part.start and part.stop <= outer.stop
            for outer, part in zip(wider, self.box, strict=True)
        ):
            msg = f"instance {self.id}: its probability's box does not hold its box"
            raise ValueError(msg)
        if self.probability.shape != _lengths(wider):
            got = self.probability.shape
            msg = (
                f"instance {self.id}: a probability of shape {_lengths(wider)} is wanted; got {got}"
            )
            raise ValueError(msg)

    @classmethod
    def from_mask(
        cls,
        mask: NDArray[np.bool_],
        *,
        id: int,  # noqa: A002 - the field's name
        class_name: str,
        kind: Kind,
        score: float = 1.0,
        offset: Shape = (0, 0, 0),
        probability: NDArray[Any] | None = None,
    ) -> Self | None:
        """Crop `mask` (z, y, x), whose corner lies at index `offset`; None where it is empty."""
        tight = tight_box(mask)
        if tight is None:
            return None
        z, y, x = (
            slice(part.start + start, part.stop + start)
            for part, start in zip(tight, offset, strict=True)
        )
        crop = None if probability is None else probability[tight].astype(np.float16)
        return cls(id, class_name, kind, float(score), (z, y, x), mask[tight].copy(), crop)

    def __repr__(self) -> str:
        box = ", ".join(f"{part.start}:{part.stop}" for part in self.box)
        name, score = f"{self.class_name!r}, {self.kind}", f"score={self.score:.3f}"
        return f"Instance({self.id}, {name}, {score}, box=[{box}], {self.voxel_count} voxels)"

    @property
    def voxel_count(self) -> int:
        """Voxels in the mask."""
        return int(np.count_nonzero(self.mask))

    @property
    def core(self) -> Box:
        """Where the mask lies in an array of the probability's shape."""
        outer = self.box if self.probability_box is None else self.probability_box
        return box_inside(self.box, outer)


def _lengths(box: Box) -> Shape:
    z, y, x = box
    return z.stop - z.start, y.stop - y.start, x.stop - x.start


def _fills_its_ends(mask: NDArray[np.bool_]) -> bool:
    """Whether the first and last plane along each axis hold a true voxel."""
    return mask.size > 0 and all(
        map(
            np.count_nonzero,
            (mask[0], mask[-1], mask[:, 0], mask[:, -1], mask[..., 0], mask[..., -1]),
        )
    )


def tight_box(mask: NDArray[np.bool_]) -> Box | None:
    """The smallest box that holds every true voxel of `mask` (z, y, x); None where none is."""
    ends = []
    for axis in range(3):
        others = tuple(other for other in range(3) if other != axis)
        found = np.flatnonzero(mask.any(axis=others))
        if found.size == 0:
            return None
        ends.append(slice(int(found[0]), int(found[-1]) + 1))
    z, y, x = ends
    return z, y, x


@dataclass(frozen=True, eq=False, repr=False)
class Instances:
    """The objects of one study on one grid; any two may overlap.

    `provenance` holds JSON-able facts: versions, model and input hash, device, every default.
    """

    geometry: Geometry
    items: list[Instance]
    classes: tuple[InstanceClass, ...] = ()
    warnings: tuple[InputWarning, ...] = ()
    provenance: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        known = {item.name: item.kind for item in self.classes}
        if len(known) != len(self.classes):
            msg = "two classes have the same name"
            raise ValueError(msg)
        double = [number for number, n in Counter(item.id for item in self.items).items() if n > 1]
        if double:
            msg = f"ids are used twice: {double[:5]}"
            raise ValueError(msg)
        depth, height, width = self.geometry.shape
        for item in self.items:
            z, y, x = item.box
            if not (
                z.step is y.step is x.step is None
                and 0 <= z.start < z.stop <= depth
                and 0 <= y.start < y.stop <= height
                and 0 <= x.start < x.stop <= width
            ):  # most boxes pass here, in a tenth of the time
                check_box(item.box, self.geometry.shape)
            if item.probability_box is not None:
                check_box(item.probability_box, self.geometry.shape)
            if known.get(item.class_name) != item.kind:
                msg = f"instance {item.id}: no {item.kind} class is named {item.class_name!r}"
                raise ValueError(msg)

    def __repr__(self) -> str:
        counts = Counter(item.class_name for item in self.items)
        return f"Instances({dict(counts)}, {self.geometry!r}, {len(self.warnings)} warnings)"

    def __len__(self) -> int:
        return len(self.items)

    def __iter__(self) -> Iterator[Instance]:
        return iter(self.items)

    def filter(self, keep: Callable[[Instance], bool]) -> Instances:
        """The instances for which `keep` is true; ids stay."""
        return replace(self, items=[item for item in self.items if keep(item)])

    def sorted(self, key: Callable[[Instance], Any], *, reverse: bool = False) -> Instances:
        """The instances in another order; ids stay."""
        return replace(self, items=sorted(self.items, key=key, reverse=reverse))

    def overlap_voxels(self) -> int:
        """Voxels that more than one instance claims, and a label map of these would hide."""
        covered = np.zeros(self.geometry.shape, dtype=bool)
        doubly = np.zeros(self.geometry.shape, dtype=bool)
        for item in self.items:
            doubly[item.box] |= covered[item.box] & item.mask
            covered[item.box] |= item.mask
        return int(np.count_nonzero(doubly))

    def to_labelmap(
        self, on_overlap: Literal["error", "higher_score"] = "error"
    ) -> NDArray[np.unsignedinteger[Any]]:
        """Ids as a label map (z, y, x) of the smallest unsigned type; 0 where no instance is.

        Two instances in one voxel raise ValueError, or the higher score (then the lower id) wins.
        """
        if on_overlap not in ("error", "higher_score"):
            msg = f"on_overlap is 'error' or 'higher_score'; got {on_overlap!r}"
            raise ValueError(msg)
        largest = max((item.id for item in self.items), default=0)
        labels = np.zeros(self.geometry.shape, dtype=np.min_scalar_type(largest))
        for item in sorted(self.items, key=lambda one: (one.score, -one.id)):
            target = labels[item.box]
            if on_overlap == "error" and target[item.mask].any():
                other = int(target[item.mask].max())
                msg = f"instances {item.id} and {other} overlap; a label map cannot hold both"
                raise ValueError(msg)
            target[item.mask] = item.id
        return labels

    @classmethod
    def from_labelmap(
        cls,
        array: NDArray[Any],
        geometry: Geometry,
        classes: Sequence[InstanceClass] | None = None,
        values: Literal["instance", "class"] = "instance",
        *,
        boxes: Mapping[int, Box] | None = None,
    ) -> Self:
        """One instance for each value above 0 of a label map (z, y, x); the value is its id.

        `values` says what a value stands for. "instance": `classes` holds the one class of all
        (by default a lesion named "object"). "class": `classes` holds the class of each value
        (by default organs named "class_<value>"). `boxes` are those of `label_boxes`, for who has
        them already.

        Raises ValueError for values that are not whole numbers from 0 up, or without a class.
        """
        labels = as_labels(array)
        if labels.shape != geometry.shape:
            msg = f"label map {labels.shape} and geometry {geometry.shape} differ in shape"
            raise ValueError(msg)
        if boxes is None:
            boxes = label_boxes(labels)
        known = _classes_of_values(list(boxes), classes, values)
        items = [
            Instance(value, known[value].name, known[value].kind, 1.0, box, labels[box] == value)
            for value, box in boxes.items()
        ]
        kept = tuple(classes) if classes is not None else tuple(dict.fromkeys(known.values()))
        return cls(geometry, items, kept)


def label_boxes(labels: NDArray[np.integer[Any]]) -> dict[int, Box]:
    """The tight box of each value above 0 in `labels` (z, y, x), in the order of the values."""
    from medseg.types.label_kernel import label_ends  # only who reads labels waits for numba

    words, shape, turned = label_words(labels)
    found = label_ends(words, 8 * labels.itemsize, shape)
    values = found[:, 0].astype(labels.dtype)
    order = np.argsort(values)
    found[:, 4:] += 1
    if turned:
        found[:, 1:] = found[:, [3, 2, 1, 6, 5, 4]]
    return {
        value: (slice(z, z_stop), slice(y, y_stop), slice(x, x_stop))
        for value, (_, z, y, x, z_stop, y_stop, x_stop) in zip(
            values[order].tolist(), found[order].tolist(), strict=True
        )
        if value > 0
    }


def label_words(
    labels: NDArray[np.integer[Any]],
) -> tuple[NDArray[np.uint64], Shape, bool]:
    """The bytes of `labels` (z, y, x) as words, little end first, filled up with zeros.

    Also the shape in whose C order they lie, and whether that is (x, y, z), as NIfTI is read.
    """
    turned = labels.flags.f_contiguous and not labels.flags.c_contiguous
    array = labels.T if turned else labels
    flat = np.ascontiguousarray(array, dtype=labels.dtype.newbyteorder("<")).reshape(-1)
    if flat.nbytes % 8 or flat.ctypes.data % 8:
        whole = np.zeros(-(-flat.nbytes // 8) * 8 // flat.itemsize, dtype=flat.dtype)
        whole[: flat.size] = flat
        flat = whole
    words = flat.view(np.uint64)
    words.flags.writeable = False  # always, so that one compiled version does
    return words, array.shape, turned


def as_labels(array: NDArray[Any]) -> NDArray[np.integer[Any]]:
    """The label map as integers; ValueError where a value is no whole number from 0 up."""
    kind = array.dtype.kind
    if kind not in "biuf":
        msg = f"a label map holds whole numbers; got {array.dtype}"
        raise ValueError(msg)
    if kind == "f" and not (np.isfinite(array).all() and (array == np.rint(array)).all()):
        msg = "a label map holds whole numbers; this one has fractions, NaN or infinity"
        raise ValueError(msg)
    if kind in "if" and array.min(initial=0) < 0:
        msg = f"a label map holds numbers from 0 up; got {array.min()}"
        raise ValueError(msg)
    integer = {"b": np.uint8, "f": np.int64}.get(kind, array.dtype)
    return array.astype(integer, copy=False)


def _classes_of_values(
    found: Sequence[int],
    classes: Sequence[InstanceClass] | None,
    values: Literal["instance", "class"],
) -> dict[int, InstanceClass]:
    if values not in ("instance", "class"):
        msg = f"values is 'instance' or 'class'; got {values!r}"
        raise ValueError(msg)
    if values == "instance":
        given = tuple(classes) if classes is not None else (InstanceClass("object", "lesion", 1),)
        if len(given) != 1:
            msg = f"a label map of instances has one class; got {len(given)}"
            raise ValueError(msg)
        return dict.fromkeys(found, given[0])
    if classes is None:
        return {value: InstanceClass(f"class_{value}", "organ", value) for value in found}
    known = {one.label: one for one in classes}
    if len(known) != len(classes):
        msg = f"two classes share one label: {sorted(one.label for one in classes)}"
        raise ValueError(msg)
    lost = [value for value in found if value not in known]
    if lost:
        msg = f"no class has the label {lost[0]}; the classes have {sorted(known)}"
        raise ValueError(msg)
    return known
