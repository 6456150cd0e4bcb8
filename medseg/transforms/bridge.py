"""Between `Volume` and MONAI's `MetaTensor`, without loss of place or meaning."""

from __future__ import annotations

import json
from typing import Any, cast, get_args

import numpy as np
import torch
from monai.data.meta_tensor import MetaTensor
from monai.utils.enums import MetaKeys, SpaceKeys
from numpy.typing import NDArray

from medseg.types import Geometry, InputWarning, Modality, Unit, Volume

RAS_FROM_LPS = np.diag([-1.0, -1.0, 1.0, 1.0])
"""Takes LPS (x, y, z, 1) to RAS and back: MONAI's affines are RAS, as nibabel's are."""

MODALITY = "modality"
UNIT = "unit"
_THICKNESS = "slice_thickness_mm"
_ACQUIRED_ALONG = "acquired_along_lps"
_SOURCE = "source_json"
_WARNINGS = "warnings_json"
_OURS = (MODALITY, UNIT, _THICKNESS, _ACQUIRED_ALONG, _SOURCE, _WARNINGS)

_TORCH_TYPES = {
    "uint16": "int32",
    "uint32": "int64",
    "uint64": "float64",
    "float16": "float32",
    "float128": "float64",
    "longdouble": "float64",
}
"""What torch lacks, or cannot compute with, and the type that holds its values."""


def to_metatensor(volume: Volume) -> MetaTensor:
    """A copy of the volume as (1, Z, Y, X), its affine in MONAI's RAS convention.

    The array order stays (z, y, x), so MONAI calls an axial LPS volume "SPL". `meta` holds strings
    and numbers only, so that MONAI's collate takes it; the acquisition axis is kept as a direction
    in LPS, because transforms that turn the array know nothing of it.
    """
    meta: dict[str, Any] = {
        str(MetaKeys.SPACE): str(SpaceKeys.RAS),
        MODALITY: volume.modality,
        UNIT: volume.unit,
        _SOURCE: json.dumps(dict(volume.meta)),
        _WARNINGS: json.dumps([list(one) for one in volume.warnings]),
    }
    if volume.slice_thickness_mm is not None:
        meta[_THICKNESS] = float(volume.slice_thickness_mm)
    if volume.acquisition_axis is not None:
        meta[_ACQUIRED_ALONG] = volume.geometry.direction[:, volume.acquisition_axis].tolist()
    affine = torch.from_numpy(RAS_FROM_LPS @ volume.geometry.affine)
    return MetaTensor(_as_tensor(volume.array)[None], affine=affine, meta=meta)


def from_metatensor(tensor: MetaTensor, like: Volume | None = None) -> Volume:
    """A copy of a (1, Z, Y, X) tensor as a volume.

    What the tensor says of itself holds; what it does not say is taken from `like`, and else is
    unknown. Nothing of a foreign `meta` (paths, names) is carried over.

    Raises ValueError where the tensor has several channels, is a batch or has no sound affine.
    """
    geometry = geometry_of(tensor)
    if tensor.shape[0] != 1:
        msg = f"a volume has one channel; got {tensor.shape[0]}"
        raise ValueError(msg)
    meta = tensor.meta
    if like is not None:
        meta = {**to_metatensor(like).meta, **{key: meta[key] for key in _OURS if key in meta}}
    array = tensor.as_tensor()[0].detach().cpu().numpy().copy()
    thickness = meta.get(_THICKNESS)
    return Volume(
        array,
        geometry,
        modality=_known(meta.get(MODALITY), get_args(Modality)),
        unit=_known(meta.get(UNIT), get_args(Unit)),
        slice_thickness_mm=None if thickness is None else float(thickness),
        acquisition_axis=_axis_along(geometry, meta.get(_ACQUIRED_ALONG)),
        meta=json.loads(meta.get(_SOURCE, "{}")),
        warnings=tuple(InputWarning(*one) for one in json.loads(meta.get(_WARNINGS, "[]"))),
    )


def geometry_of(tensor: MetaTensor) -> Geometry:
    """Where the voxels of a (C, Z, Y, X) tensor lie, in LPS; `meta["space"]` is respected.

    Raises ValueError where the tensor is a batch, is not 3D, waits for lazy transforms or has an
    affine that does not span three dimensions.
    """
    if tensor.ndim != 4 or tensor.affine.shape != (4, 4):
        msg = f"a tensor (C, Z, Y, X) with one 4x4 affine is wanted; got {tuple(tensor.shape)}"
        raise ValueError(msg)
    if tensor.has_pending_operations:
        msg = "the tensor waits for lazy transforms: apply them first"
        raise ValueError(msg)
    affine = tensor.affine.cpu().numpy().astype(np.float64)
    if not _speaks_lps(tensor):
        affine = RAS_FROM_LPS @ affine
    return Geometry(tuple(tensor.shape[1:]), affine)


def with_meta(values: torch.Tensor, like: MetaTensor, **changes: Any) -> MetaTensor:
    """A MetaTensor of `values` with its own copy of the meta and the trace of `like`, changed."""
    out: MetaTensor = MetaTensor(values).copy_meta_from(like)
    out.meta.update(changes)
    return out


def with_geometry(values: torch.Tensor, like: MetaTensor, geometry: Geometry) -> MetaTensor:
    """A MetaTensor of `values` on another grid, in the space (RAS or LPS) that `like` speaks."""
    out = with_meta(values, like)
    affine = geometry.affine if _speaks_lps(like) else RAS_FROM_LPS @ geometry.affine
    out.affine = torch.from_numpy(affine.copy())
    return out


def _speaks_lps(tensor: MetaTensor) -> bool:
    return bool(tensor.meta.get(str(MetaKeys.SPACE), SpaceKeys.RAS) == SpaceKeys.LPS)


def _as_tensor(array: NDArray[Any]) -> torch.Tensor:
    """A copy that torch can compute with: native byte order, a type that torch has."""
    wanted = _TORCH_TYPES.get(array.dtype.name, array.dtype.newbyteorder("="))
    return torch.from_numpy(np.array(array, dtype=wanted, order="C"))


def _known(value: object, choices: tuple[str, ...]) -> Any:
    return value if value in choices else "unknown"


def _axis_along(geometry: Geometry, direction: Any) -> int | None:
    """The array axis that runs along a direction in LPS, or None where none does."""
    if direction is None:
        return None
    cosines = np.abs(np.asarray(direction, dtype=np.float64) @ geometry.direction)
    axis = int(np.argmax(cosines))
    return axis if cast("float", cosines[axis]) > 0.999 else None
