"""Grey images of whole numbers that are given as label maps: how their values lie tells them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from medseg.errors import InputRefused
from medseg.types import Box, InputWarning
from medseg.types.instances import label_words

LIKE_GREY_VALUES = "like-grey-values"
"""The warning where values lie as those of an image do, but might be objects."""

MOST_BOX_VOXELS = 64
"""How often the boxes of a label map's values may cover the image before it is taken for one."""
_LARGEST = 2**22
"""Above it no table of ranks is made and faces are not looked at: nobody writes greys so large."""
_FEWEST: Mapping[str, int] = {"instance": 4, "class": 6}
"""Values that lie in layers before they are warned of: tissues around each other are few."""
_SURE, _SUSPECT = (16, 2 / 3), (6, 1 / 2)
"""Scattered values, and their share, from which a map is refused or warned of."""
_LOW_SHARE, _NEXT_SHARE, _APART_SHARE = 0.9, 0.45, 0.75

_VOXELS, _RUNS, _OTHER, _NEXT, _BACKGROUND, _LOWEST = range(6)


def check_values(
    labels: NDArray[np.integer[Any]],
    boxes: Mapping[int, Box],
    values: Literal["instance", "class"],
    name: str,
) -> tuple[InputWarning, ...]:
    """Refuse a grey image of whole numbers before a crop is made of each of its grey values.

    Three things tell it from objects. Boxes around grey values cover the image many times. Most
    grey values are in single voxels among other such values: n voxels with e faces between them
    are at least n - e pieces, and a connected object is one. Where neither is so, as of few
    rounded values, they lie in layers: each touches the next one, and the lowest the background.
    Organs may do that too, so it is a warning (`like-grey-values`).

    `boxes` are those of `label_boxes`, `values` as in `read_instances`.

    Raises InputRefused (`not-a-label-map`).
    """
    _refuse_wide_boxes(boxes, labels.size, name)
    if len(boxes) < _FEWEST[values] or max(boxes) > _LARGEST or not _boxes_overlap(boxes):
        return ()
    ranks = np.zeros(max(boxes) + 1, dtype=np.int64)
    ranks[sorted(boxes)] = np.arange(1, len(boxes) + 1)
    faces = _faces(labels, ranks, np.ones(len(boxes), dtype=bool))
    return _scattered(labels, ranks, faces, name) or _layered(faces)


def _refuse_wide_boxes(boxes: Mapping[int, Box], voxels: int, name: str) -> None:
    held = sum(map(_volume, boxes.values()))
    if held > MOST_BOX_VOXELS * voxels:
        raise _refused(
            name,
            f"its {len(boxes)} values lie scattered: the boxes around them hold "
            f"{held / voxels:.0f} times the image's voxels, as those of grey values do",
        )


def _boxes_overlap(boxes: Mapping[int, Box]) -> bool:
    """Whether the boxes hold more than the box around all, as those of grey values always do."""
    ends = np.array([[(part.start, part.stop) for part in box] for box in boxes.values()])
    lengths = ends[..., 1].max(axis=0) - ends[..., 0].min(axis=0)
    return sum(map(_volume, boxes.values())) > int(np.prod(lengths))


def _volume(box: Box) -> int:
    return math.prod(part.stop - part.start for part in box)


def _faces(
    labels: NDArray[np.integer[Any]], ranks: NDArray[np.int64], seen: NDArray[np.bool_]
) -> NDArray[np.int64]:
    """The table of `face_counts` for values above 0, (K, 6); `seen` (K,) are those that count."""
    from medseg.io.grey_kernel import face_counts  # only who reads such labels waits for numba

    words, shape, _ = label_words(labels)
    counted = np.concatenate([[0], seen]).astype(np.int64)
    return face_counts(words, 8 * labels.itemsize, shape, ranks, counted)[1:]


def _scattered(
    labels: NDArray[np.integer[Any]],
    ranks: NDArray[np.int64],
    faces: NDArray[np.int64],
    name: str,
) -> tuple[InputWarning, ...]:
    """A refusal or warning where most values are in single voxels among others of the kind."""
    voxels = faces[:, _VOXELS]
    pieces = faces[:, _RUNS] - 2 * voxels  # 3 voxels - runs are the faces within a value
    scattered = (pieces >= 3) & (2 * pieces > voxels) & (faces[:, _OTHER] >= voxels)
    count = int(np.count_nonzero(scattered))
    judged = int(np.count_nonzero(voxels >= 3))
    if not _reached(_SUSPECT, count, judged):
        return ()
    among = _faces(labels, ranks, scattered)[scattered, _OTHER].sum()
    if 2 * among < faces[scattered, _OTHER].sum():
        return ()  # specks of classes lie in other classes, not among each other
    detail = (
        f"{count} of its {len(faces)} values lie in single voxels among each other, "
        f"{int(np.median(pieces[scattered]))} pieces or more for one value, as grey values do"
    )
    if _reached(_SURE, count, judged):
        raise _refused(name, detail)
    return (_warning(detail),)


def _reached(limit: tuple[int, float], count: int, of: int) -> bool:
    least, share = limit
    return count >= least and count >= share * of


def _layered(faces: NDArray[np.int64]) -> tuple[InputWarning, ...]:
    """A warning where each value touches the next one and only the lowest the background."""
    background, lowest, other = faces[:, _BACKGROUND], faces[:, _LOWEST], faces[:, _OTHER]
    if not background.any() or not other.any():
        return ()
    low = background[: -(-len(faces) // 4)].sum() / background.sum()
    near = faces[:, _NEXT].sum() / other.sum()
    apart = 2 * (background + lowest)[2:] < (background + other)[2:]
    around_one = 2 * faces[0, _NEXT] >= other[0]  # an organ is around all lesions in it
    if not around_one or low < _LOW_SHARE or near < _NEXT_SHARE or apart.mean() < _APART_SHARE:
        return ()
    detail = (
        f"its {len(faces)} values lie in layers, as those of a rounded image do: {low:.0%} of "
        f"their border with the background is of the lowest quarter of values, and {near:.0%} of "
        "that between values is of one with the next"
    )
    return (_warning(detail),)


def _warning(detail: str) -> InputWarning:
    return InputWarning(LIKE_GREY_VALUES, f"{detail}; make sure that it is no image")


def _refused(name: str, detail: str) -> InputRefused:
    return InputRefused(
        code="not-a-label-map",
        subject=name,
        detail=detail,
        remedy="give the label map of the image, not the image or a probability map",
    )
