"""Objects inside MONAI pipelines: a mask to a label map of its parts, a label map to its table."""

from __future__ import annotations

from collections.abc import Collection, Hashable, Mapping
from typing import Any, cast

import numpy as np
import torch
from monai.config.type_definitions import KeysCollection
from monai.data.meta_tensor import MetaTensor
from monai.transforms.transform import MapTransform
from monai.utils.misc import ensure_tuple

from medseg.measurement import Group, chosen_groups, measure, split_components
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

    A value is one object, a lesion. With `image_key` intensities are those of that image, which
    lies on the same grid; the table of the first key goes to the first of `result_key`, and so on.
    """

    def __init__(
        self,
        keys: KeysCollection,
        image_key: Hashable | None = None,
        result_key: KeysCollection = "measures",
        groups: Collection[Group] | None = None,
        *,
        allow_missing_keys: bool = False,
    ) -> None:
        super().__init__(keys, allow_missing_keys)
        self.image_key = image_key
        self.result_keys = ensure_tuple(result_key)
        self.groups = chosen_groups(groups)
        if len(self.result_keys) != len(self.keys):
            msg = f"{len(self.keys)} label maps need as many result keys; got {self.result_keys}"
            raise ValueError(msg)

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """The data with a table for each of `keys`.

        Raises ValueError where a label map is not (1, Z, Y, X) of whole numbers from 0 up or has
        no affine, InputRefused (`grid-mismatch`) where the image lies on another grid.
        """
        out: dict[Hashable, Any] = dict(data)
        volume = None if self.image_key is None else from_metatensor(out[self.image_key])
        for key, result_key in self.key_iterator(out, self.result_keys):
            labels = out[key]
            if not isinstance(labels, MetaTensor):
                msg = f"{key!r} is no MetaTensor: without an affine nothing has a size"
                raise ValueError(msg)
            found = Instances.from_labelmap(_labels_of(labels), geometry_of(labels))
            out[result_key] = measure(found, volume, groups=self.groups)
        return out


def _labels_of(tensor: torch.Tensor) -> np.ndarray[Any, np.dtype[np.integer[Any]]]:
    if tensor.ndim != 4 or tensor.shape[0] != 1:
        msg = f"a label map (1, Z, Y, X) is wanted; got {tuple(tensor.shape)}"
        raise ValueError(msg)
    return as_labels(cast("Any", torch.as_tensor(tensor)).detach().cpu().numpy()[0])
