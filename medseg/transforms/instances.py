"""Objects inside MONAI pipelines: a mask to a label map of its parts, a label map to its table."""

from __future__ import annotations

from collections.abc import Collection, Hashable, Mapping
from typing import Any, Literal, cast

import numpy as np
import torch
from monai.config.type_definitions import KeysCollection
from monai.data.meta_tensor import MetaTensor
from monai.transforms.transform import MapTransform
from monai.utils.misc import ensure_tuple

from medseg.measurement import (
    Group,
    acquisition_of,
    chosen_groups,
    measure,
    split_components,
)
from medseg.measurement.parts import Connectivity
from medseg.transforms.bridge import from_metatensor, geometry_of, with_meta
from medseg.types import Geometry, InstanceClass, Instances, as_labels, label_boxes


class SplitInstancesd(MapTransform):
    """A mask or a class map (1, Z, Y, X) to a label map (1, Z, Y, X) int32 of connected parts.

    Parts of different values are different objects, also where they touch. They are numbered 1..n
    by value, then by their first voxel in z, y, x. A MetaTensor keeps its affine and meta; an empty
    mask stays empty.
    """

    def __init__(
        self,
        keys: KeysCollection,
        connectivity: Connectivity = 26,
        *,
        allow_missing_keys: bool = False,
    ) -> None:
        super().__init__(keys, allow_missing_keys)
        if connectivity not in (6, 18, 26):
            msg = f"connectivity is 6, 18 or 26; got {connectivity}"
            raise ValueError(msg)
        self.connectivity = connectivity

    def __call__(self, data: Mapping[Hashable, torch.Tensor]) -> dict[Hashable, Any]:
        """The data with the masks of `keys` split.

        Raises ValueError where one is not (1, Z, Y, X) of whole numbers from 0 up.
        """
        out: dict[Hashable, Any] = dict(data)
        for key in self.key_iterator(out):
            out[key] = self._split(out[key])
        return out

    def _split(self, mask: torch.Tensor) -> torch.Tensor:
        labels = _labels_of(mask)
        boxes = label_boxes(labels)
        classes = [InstanceClass(str(value), "lesion", value) for value in boxes]
        whole = Instances.from_labelmap(
            labels, Geometry.identity(labels.shape), classes, "class", boxes=boxes
        )
        parts = split_components(whole, connectivity=self.connectivity)
        split = torch.from_numpy(parts.to_labelmap().astype(np.int32))[None].to(mask.device)
        return with_meta(split, mask) if isinstance(mask, MetaTensor) else split


class MeasureInstancesd(MapTransform):
    """The table of a label map (1, Z, Y, X), a MetaTensor, as a pandas DataFrame beside it.

    A value is one object, a lesion. With `image_key` intensities are those of that image, with
    `organs_key` a value n of that label map is the organ "class_n"; both lie on the same grid.
    `slice_thickness_mm` and `acquisition_axis` (of Z, Y, X as they lie here) say what the image
    does not. The table of the first key goes to the first of `result_key`, and so on. With
    `allow_missing_keys` image and organs may be missing too: their columns are empty then.
    """

    def __init__(  # noqa: PLR0913 - those of measure, a key for each
        self,
        keys: KeysCollection,
        image_key: Hashable | None = None,
        result_key: KeysCollection = "measures",
        groups: Collection[Group] | None = None,
        *,
        organs_key: Hashable | None = None,
        slice_thickness_mm: float | None = None,
        acquisition_axis: int | None = None,
        allow_missing_keys: bool = False,
    ) -> None:
        super().__init__(keys, allow_missing_keys)
        self.image_key, self.organs_key = image_key, organs_key
        self.result_keys = ensure_tuple(result_key)
        self.groups = chosen_groups(groups)
        self.acquired = acquisition_of(None, slice_thickness_mm, acquisition_axis)
        if len(self.result_keys) != len(self.keys):
            msg = f"{len(self.keys)} label maps need as many result keys; got {self.result_keys}"
            raise ValueError(msg)

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """The data with a table for each of `keys`.

        Raises KeyError for a key that is missing, ValueError where a label map is not (1, Z, Y, X)
        of whole numbers from 0 up or has no affine, InputRefused where image or organs lie on
        another grid (`grid-mismatch`) or the image's slices are others (`acquisition-mismatch`).
        """
        out: dict[Hashable, Any] = dict(data)
        image, organs = self._beside(out, self.image_key), self._beside(out, self.organs_key)
        volume = None if image is None else from_metatensor(image)
        around = None if organs is None else _objects(organs, self.organs_key, "class")
        for key, result_key in self.key_iterator(out, self.result_keys):
            out[result_key] = measure(
                _objects(out[key], key, "instance"),
                volume,
                groups=self.groups,
                organs=around,
                slice_thickness_mm=self.acquired.slice_thickness_mm,
                acquisition_axis=self.acquired.axis,
            )
        return out

    def _beside(self, data: Mapping[Hashable, Any], key: Hashable | None) -> Any:
        """What lies under a key of the image or of the organs; None where nobody wants it."""
        if key is None or (key not in data and self.allow_missing_keys):
            return None
        if key not in data:
            msg = f"{key!r} is missing in the data; allow_missing_keys measures without it"
            raise KeyError(msg)
        return data[key]


def _objects(labels: object, key: Hashable, values: Literal["instance", "class"]) -> Instances:
    if not isinstance(labels, MetaTensor):
        msg = f"{key!r} is no MetaTensor: without an affine nothing has a size"
        raise ValueError(msg)
    return Instances.from_labelmap(_labels_of(labels), geometry_of(labels), None, values)


def _labels_of(tensor: torch.Tensor) -> np.ndarray[Any, np.dtype[np.integer[Any]]]:
    if tensor.ndim != 4 or tensor.shape[0] != 1:
        msg = f"a label map (1, Z, Y, X) is wanted; got {tuple(tensor.shape)}"
        raise ValueError(msg)
    return as_labels(cast("Any", torch.as_tensor(tensor)).detach().cpu().numpy()[0])
