"""3D instance segmentation for CT and MR: every organ and lesion as an instance of its own.

Names load on first use, so `import medseg` costs neither torch nor pandas.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from medseg.errors import InputRefused, MedsegError
    from medseg.evaluation import evaluate
    from medseg.inference.estimate import estimate
    from medseg.inference.segmentation import segment
    from medseg.io import read, read_instances, read_volumes, write
    from medseg.measurement import measure
    from medseg.models.loading import Model, load_model
    from medseg.types import Geometry, Instance, InstanceClass, Instances, Volume

_LAZY = {
    "Geometry": "medseg.types",
    "InputRefused": "medseg.errors",
    "Instance": "medseg.types",
    "InstanceClass": "medseg.types",
    "Instances": "medseg.types",
    "MedsegError": "medseg.errors",
    "Model": "medseg.models.loading",
    "Volume": "medseg.types",
    "estimate": "medseg.inference.estimate",
    "evaluate": "medseg.evaluation",
    "load_model": "medseg.models.loading",
    "measure": "medseg.measurement",
    "read": "medseg.io",
    "read_instances": "medseg.io",
    "read_volumes": "medseg.io",
    "segment": "medseg.inference.segmentation",
    "write": "medseg.io",
}

__all__ = [
    "Geometry",
    "InputRefused",
    "Instance",
    "InstanceClass",
    "Instances",
    "MedsegError",
    "Model",
    "Volume",
    "estimate",
    "evaluate",
    "load_model",
    "measure",
    "read",
    "read_instances",
    "read_volumes",
    "segment",
    "write",
]


_MODULES = ("phantom", "samples")


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return import_module(f"medseg.{name}")
    if name == "__version__":
        from importlib.metadata import version

        return version("medseg")
    if name not in _LAZY:
        msg = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(msg)
    return getattr(import_module(_LAZY[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
