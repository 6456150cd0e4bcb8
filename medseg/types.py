"""Geometry, volumes and instances: NumPy values without files and without torch.

Arrays are indexed (z, y, x); the world is LPS millimetres, (x, y, z), as in DICOM.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from itertools import permutations
from types import MappingProxyType
from typing import Any, Literal, NamedTuple, Self, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

Shape = tuple[int, int, int]
Box = tuple[slice, slice, slice]
Axes = tuple[int, int, int]
Flips = tuple[bool, bool, bool]
Modality = Literal["CT", "MR", "PT", "unknown"]
Unit = Literal["HU", "SUVbw", "Bq/ml", "arbitrary", "unknown"]
Kind = Literal["organ", "lesion"]


class InputWarning(NamedTuple):
    """Something a reader of the result should know, which was no reason to refuse."""

    code: str
    detail: str


class Geometry:
    """A voxel grid: its shape (z, y, x) and where its voxels lie in LPS millimetres.

    `affine` is float64 4x4 and takes index (z, y, x, 1) to world (x, y, z, 1). Immutable and
    hashable.

    Raises ValueError where shape or affine do not span three dimensions.
    """

    __slots__ = ("_affine", "_shape")

    def __init__(self, shape: Sequence[int], affine: ArrayLike) -> None:
        matrix = np.array(affine, dtype=np.float64)
        if len(shape) != 3 or any(n < 1 or int(n) != n for n in shape):
            msg = f"a geometry needs three whole lengths of at least 1; got {tuple(shape)}"
            raise ValueError(msg)
        if matrix.shape != (4, 4) or not np.isfinite(matrix).all():
            msg = f"an affine is a finite 4x4 matrix; got shape {matrix.shape}"
            raise ValueError(msg)
        if not np.array_equal(matrix[3], [0.0, 0.0, 0.0, 1.0]):
            msg = f"the last row of an affine is 0 0 0 1; got {matrix[3].tolist()}"
            raise ValueError(msg)
        lengths = np.linalg.norm(matrix[:3, :3], axis=0)
        if lengths.min() == 0 or abs(np.linalg.det(matrix[:3, :3] / lengths)) < 1e-6:
            msg = "the affine is singular: its axes do not span three dimensions"
            raise ValueError(msg)
        matrix.setflags(write=False)
        self._shape: Shape = (int(shape[0]), int(shape[1]), int(shape[2]))
        self._affine = matrix

    @classmethod
    def identity(cls, shape: Sequence[int]) -> Self:
        """A grid of 1 mm voxels whose axes z, y, x run along S, P, L from the origin."""
        return cls.from_spacing(shape, spacing_mm=(1.0, 1.0, 1.0))

    @classmethod
    def from_spacing(
        cls,
        shape: Sequence[int],
        spacing_mm: Sequence[float],
        origin_mm: Sequence[float] = (0.0, 0.0, 0.0),
    ) -> Self:
        """A straight axial grid; `spacing_mm` is (z, y, x), `origin_mm` is LPS (x, y, z)."""
        affine = np.zeros((4, 4))
        affine[[2, 1, 0], [0, 1, 2]] = spacing_mm
        affine[:3, 3] = origin_mm
        affine[3, 3] = 1.0
        return cls(shape, affine)

    @property
    def shape(self) -> Shape:
        """Number of voxels along (z, y, x)."""
        return self._shape

    @property
    def affine(self) -> NDArray[np.float64]:
        """Read-only 4x4 matrix from index (z, y, x, 1) to LPS millimetres (x, y, z, 1)."""
        return self._affine

    @property
    def spacing_mm(self) -> tuple[float, float, float]:
        """Distance between neighbouring voxel centres along (z, y, x)."""
        z, y, x = np.linalg.norm(self._affine[:3, :3], axis=0)
        return float(z), float(y), float(x)

    @property
    def direction(self) -> NDArray[np.float64]:
        """(3, 3): columns are the unit vectors of axes z, y, x in LPS (x, y, z)."""
        return np.asarray(self._affine[:3, :3] / self.spacing_mm, dtype=np.float64)

    @property
    def origin_mm(self) -> tuple[float, float, float]:
        """Centre of voxel (0, 0, 0) in LPS (x, y, z)."""
        x, y, z = self._affine[:3, 3]
        return float(x), float(y), float(z)

    @property
    def voxel_ml(self) -> float:
        """Volume of one voxel; right for sheared grids too."""
        return float(abs(np.linalg.det(self._affine[:3, :3]))) / 1000.0

    @property
    def is_orthogonal(self) -> bool:
        """Whether the three axes are square to each other within 1e-4 of a cosine."""
        cosines = self.direction.T @ self.direction - np.eye(3)
        return bool(np.abs(cosines).max() < 1e-4)

    def index_to_world(self, index_zyx: ArrayLike) -> NDArray[np.float64]:
        """Indices (..., 3) in (z, y, x) to LPS millimetres (..., 3) in (x, y, z)."""
        index = np.asarray(index_zyx, dtype=np.float64)
        world = index @ self._affine[:3, :3].T + self._affine[:3, 3]
        return np.asarray(world, dtype=np.float64)

    def world_to_index(self, point_lps_mm: ArrayLike) -> NDArray[np.float64]:
        """LPS millimetres (..., 3) in (x, y, z) to indices (..., 3) in (z, y, x), not rounded."""
        inverse = np.linalg.inv(self._affine)
        point = np.asarray(point_lps_mm, dtype=np.float64)
        return np.asarray(point @ inverse[:3, :3].T + inverse[:3, 3], dtype=np.float64)

    def same_grid(self, other: Geometry, atol_mm: float = 1e-3) -> bool:
        """Whether both have the same shape and no outer corner lies more than `atol_mm` apart."""
        if self.shape != other.shape:
            return False
        ends = np.array([[-0.5, n - 0.5] for n in self.shape])
        corners = np.stack(np.meshgrid(*ends, indexing="ij"), axis=-1).reshape(-1, 3)
        apart = self.index_to_world(corners) - other.index_to_world(corners)
        return bool(np.abs(apart).max() <= atol_mm)

    def crop(self, box: Box) -> Geometry:
        """The grid of `array[box]`; slices without step, inside the grid and not empty."""
        checked = check_box(box, self.shape)
        affine = self._affine.copy()
        affine[:3, 3] = self.index_to_world([part.start for part in checked])
        return Geometry([part.stop - part.start for part in checked], affine)

    def reoriented(self, axes: Axes, flips: Flips) -> Geometry:
        """The grid of `flip(transpose(array, axes), flips)`: new axis i is old axis `axes[i]`."""
        if sorted(axes) != [0, 1, 2]:
            msg = f"axes is an order of 0, 1, 2; got {tuple(axes)}"
            raise ValueError(msg)
        step = np.zeros((4, 4))
        step[3, 3] = 1.0
        for new, (old, flip) in enumerate(zip(axes, flips, strict=True)):
            step[old, new] = -1.0 if flip else 1.0
            step[old, 3] = self.shape[old] - 1 if flip else 0.0
        return Geometry([self.shape[axis] for axis in axes], self._affine @ step)

    def closest_axes(self) -> tuple[Axes, Flips]:
        """What `reoriented` needs so that z, y, x lead as nearly as can be to S, P, L."""
        towards = self.direction[[2, 1, 0]]  # rows: S, P, L; columns: this grid's axes
        nearness = np.abs(towards).round(9)  # of equally near orders the first
        best = max(permutations((0, 1, 2), 3), key=lambda axes: nearness[[0, 1, 2], axes].sum())
        z, y, x = (bool(towards[new, old] < 0) for new, old in enumerate(best))
        return best, (z, y, x)

    def __reduce__(self) -> tuple[type[Self], tuple[Shape, NDArray[np.float64]]]:
        return type(self), (self._shape, self._affine)  # a copied array would be writable

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Geometry):
            return NotImplemented
        return self._shape == other._shape and np.array_equal(self._affine, other._affine)

    def __hash__(self) -> int:
        return hash((self._shape, (self._affine + 0.0).tobytes()))

    def __repr__(self) -> str:
        spacing = ", ".join(f"{mm:.4g}" for mm in self.spacing_mm)
        origin = ", ".join(f"{mm:.4g}" for mm in self.origin_mm)
        return f"Geometry(shape={self._shape}, spacing_mm=({spacing}), origin_mm=({origin}))"


def check_box(box: Box, shape: Shape) -> Box:
    """The box with plain int ends; ValueError where it is empty, stepped or outside `shape`."""
    for part, length in zip(box, shape, strict=True):
        inside = part.step in (None, 1) and part.start is not None and part.stop is not None
        if not inside or not 0 <= part.start < part.stop <= length:
            msg = f"box {box} is empty, has a step or leaves the grid {shape}"
            raise ValueError(msg)
    z, y, x = (slice(int(part.start), int(part.stop)) for part in box)
    return z, y, x


def reoriented_array(array: NDArray[Any], axes: Axes, flips: Flips) -> NDArray[Any]:
    """`array` (z, y, x) in another axis order and direction, C-ordered."""
    turned = np.transpose(array, axes)
    backwards = tuple(slice(None, None, -1 if flip else 1) for flip in flips)
    return np.ascontiguousarray(turned[backwards])


@dataclass(frozen=True, eq=False)
class Volume:
    """One 3D image: values, where they lie, and what they mean.

    Shapes: array (z, y, x), any real type. What a file does not say is None or "unknown", never
    a guess. `acquisition_axis` is the array axis across which slices were acquired. `meta` holds
    JSON-able facts about the source (its hash, tags), never a patient's name.
    """

    array: NDArray[Any]
    geometry: Geometry
    modality: Modality = "unknown"
    unit: Unit = "unknown"
    slice_thickness_mm: float | None = None
    acquisition_axis: int | None = None
    meta: Mapping[str, Any] = field(default_factory=dict)
    warnings: tuple[InputWarning, ...] = ()

    def __post_init__(self) -> None:
        if self.array.shape != self.geometry.shape:
            msg = f"array {self.array.shape} and geometry {self.geometry.shape} differ in shape"
            raise ValueError(msg)
        if self.array.dtype.kind not in "iuf":
            msg = f"a volume holds real numbers; got {self.array.dtype}"
            raise ValueError(msg)
        if self.modality not in get_args(Modality) or self.unit not in get_args(Unit):
            msg = f"unknown modality {self.modality!r} or unit {self.unit!r}"
            raise ValueError(msg)
        if self.acquisition_axis not in (None, 0, 1, 2):
            msg = f"an array has the axes 0, 1, 2; acquisition_axis is {self.acquisition_axis}"
            raise ValueError(msg)
        object.__setattr__(self, "meta", MappingProxyType(dict(self.meta)))

    def __reduce__(self) -> tuple[type[Self], tuple[Any, ...]]:
        state = {**vars(self), "meta": dict(self.meta)}  # a mapping proxy cannot be pickled
        return type(self), tuple(state[one.name] for one in fields(self))

    def reoriented(self, axes: Axes, flips: Flips) -> Volume:
        """The same voxels in another axis order and direction; world positions stay."""
        axis = self.acquisition_axis
        return replace(
            self,
            array=reoriented_array(self.array, axes, flips),
            geometry=self.geometry.reoriented(axes, flips),
            acquisition_axis=None if axis is None else axes.index(axis),
        )

    def crop(self, box: Box) -> Volume:
        """The part inside `box`, as a copy."""
        checked = check_box(box, self.geometry.shape)
        return replace(self, array=self.array[checked].copy(), geometry=self.geometry.crop(checked))


@dataclass(frozen=True)
class InstanceClass:
    """A class of objects: `organ` (one object a class) or `lesion` (many).

    `label` is its value in a label map of classes; `color` is RGB in 0..255.
    """

    name: str
    kind: Kind
    label: int
    color: tuple[int, int, int] | None = None


@dataclass(frozen=True, eq=False)
class Instance:
    """One object: an id that is kept, a class, a score in 0..1, and its mask.

    Shapes: box three slices; mask boolean, the tight crop that the box cuts out;
    probability None or float16 of the mask's shape.
    """

    id: int
    class_name: str
    kind: Kind
    score: float
    box: Box
    mask: NDArray[np.bool_]
    probability: NDArray[np.float16] | None = None

    def __post_init__(self) -> None:
        lengths = tuple(part.stop - part.start for part in self.box)
        if self.id < 1:
            msg = f"an id is at least 1; got {self.id}"
            raise ValueError(msg)
        if self.mask.dtype != np.bool_ or self.mask.shape != lengths:
            got = f"{self.mask.dtype} {self.mask.shape}"
            msg = f"instance {self.id}: a boolean mask of shape {lengths} is wanted; got {got}"
            raise ValueError(msg)
        z, y, x = self.mask, self.mask.swapaxes(0, 1), self.mask.swapaxes(0, 2)
        if not all(end.any() for axis in (z, y, x) for end in (axis[:1], axis[-1:])):
            msg = f"instance {self.id}: its box is not tight around its mask"
            raise ValueError(msg)
        if self.probability is not None and self.probability.shape != self.mask.shape:
            msg = f"instance {self.id}: probability and mask differ in shape"
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

    @property
    def voxel_count(self) -> int:
        """Voxels in the mask."""
        return int(np.count_nonzero(self.mask))


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


@dataclass(frozen=True, eq=False)
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
        for item in self.items:
            check_box(item.box, self.geometry.shape)
            if known.get(item.class_name) != item.kind:
                msg = f"instance {item.id}: no {item.kind} class is named {item.class_name!r}"
                raise ValueError(msg)

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
    ) -> Self:
        """One instance for each value above 0 of a label map (z, y, x); the value is its id.

        `values` says what a value stands for. "instance": `classes` holds the one class of all
        (by default a lesion named "object"). "class": `classes` holds the class of each value
        (by default organs named "class_<value>").

        Raises ValueError for values that are not whole numbers from 0 up, or without a class.
        """
        labels = as_labels(array)
        if labels.shape != geometry.shape:
            msg = f"label map {labels.shape} and geometry {geometry.shape} differ in shape"
            raise ValueError(msg)
        boxes = label_boxes(labels)
        known = _classes_of_values(list(boxes), classes, values)
        items = [
            Instance(value, known[value].name, known[value].kind, 1.0, box, labels[box] == value)
            for value, box in boxes.items()
        ]
        kept = tuple(classes) if classes is not None else tuple(dict.fromkeys(known.values()))
        return cls(geometry, items, kept)


MOST_DENSE_LABEL = 2**20  # up to here one list entry a value is cheaper than sorting all voxels


def label_boxes(labels: NDArray[np.integer[Any]]) -> dict[int, Box]:
    """The tight box of each value above 0 in `labels` (z, y, x), in the order of the values."""
    from scipy.ndimage import find_objects  # only who reads labels waits for SciPy

    largest = int(labels.max(initial=0))
    if largest <= MOST_DENSE_LABEL:
        found = enumerate(find_objects(labels, largest), start=1)
        return {value: box for value, box in found if box is not None}
    values, dense = np.unique(labels, return_inverse=True)
    boxes = find_objects(dense.reshape(labels.shape) + 1)
    return {int(value): box for value, box in zip(values, boxes, strict=True) if value > 0}


def as_labels(array: NDArray[Any]) -> NDArray[np.integer[Any]]:
    """The label map as integers; ValueError where a value is no whole number from 0 up."""
    kind = array.dtype.kind
    if kind not in "biuf":
        msg = f"a label map holds whole numbers; got {array.dtype}"
        raise ValueError(msg)
    if kind == "f" and not (np.isfinite(array).all() and (array == np.rint(array)).all()):
        msg = "a label map holds whole numbers; this one has fractions, NaN or infinity"
        raise ValueError(msg)
    if array.min(initial=0) < 0:
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
