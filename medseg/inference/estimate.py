"""What segmenting a study will take, before it is begun: windows, seconds, memory."""

from __future__ import annotations

import math
import time
import weakref
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

import numpy as np
import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from medseg.errors import InputRefused
from medseg.heads.contract import InstanceDecoder, MapSpec
from medseg.inference.aim import Aim, aimed
from medseg.inference.engines import InstanceEngine, TorchEngine, choose_device
from medseg.inference.region import one_window, region_box, region_shapes
from medseg.inference.sides import PASSES, searched
from medseg.inference.windows import WindowPlan, plan_windows
from medseg.models.loading import Model
from medseg.transforms.pipeline import model_grid
from medseg.types import Geometry, Shape, Volume

PREPARING_BYTES = 16
"""Bytes a voxel of the image while its intensities are scaled; measured at 224³."""

OBJECT_BYTES, OBJECT_SHARE = 135, 0.1
"""Bytes a voxel of the objects while they are put together, as measured, and the share of the
image that they are taken to fill."""

REST_SECONDS = 4e-7
"""Seconds a voxel of the image for all but the network; measured on one core."""

SEARCH_SECONDS, SEARCH_SHARE, SEARCH_BYTES = 6.0, 1e-7, 120_000_000
"""What finding a head takes: seconds, more of them a voxel, and bytes beside a copy of the image;
measured on one core at 7 and at 57 million voxels."""

LONG_SECONDS = 5.0
"""A first window that takes longer is not run again without what only the first one costs."""


@dataclass(frozen=True)
class Estimate:
    """What `segment` will take.

    `windows` is exact, but for an object that is pointed at: there it is the one window of the
    region around it, and where the object reaches its end one or two larger ones follow.
    `seconds` is the time of a window, measured on this machine, times their number, and a little
    for the rest of the work. `memory_bytes` is the most that is held at once beyond what the
    process has when model and image are loaded; where objects fill more of the image than a tenth
    it is more. `device_bytes` is memory of the graphics card, weights included, 0 on a CPU. Expect
    seconds within a factor of two, memory within one and a half.
    """

    windows: int
    seconds: float
    memory_bytes: int
    device_bytes: int
    device: str


class Pace(NamedTuple):
    """What one window takes: seconds, and bytes of tensors alive at once."""

    seconds: float
    live_bytes: int


_PACES: WeakKeyDictionary[nn.Module, dict[tuple[Shape, str], Pace]] = WeakKeyDictionary()
"""What was measured, for as long as the network lives: it hangs on nothing else."""


def estimate(
    volumes: Volume | Mapping[str, Volume],
    model: Model,
    *,
    at: Sequence[float] | None = None,
    box: Sequence[float] | None = None,
    device: str = "auto",
) -> Estimate:
    """What `segment` with the same arguments will take, without running it.

    The first call for a model runs its network on one window of noise, once or twice; later ones
    take what was measured. Whether the image suits the model is not asked.

    Raises:
        InputRefused: the first channel is missing, the image is too large for the model, or the
            model wants a point, and that is missing or outside the image.
    """
    geometry = _first_geometry(volumes, model)
    aim = aimed(volumes, model.card, at=at, box=box)
    chosen = choose_device(device)
    if searched(geometry, model.card):
        return _of_sides(geometry, model, chosen)
    if aim is not None:
        return _of_region(geometry, model, aim, chosen)
    grid = model_grid(geometry, model.card)
    plan = plan_windows(
        grid.shape,
        model.card.window_shape,
        overlap=model.card.window_overlap,
        multiple=model.network.multiple,
    )
    return _of_plan(model, plan, grid.shape, math.prod(geometry.shape), chosen)


def _of_region(geometry: Geometry, model: Model, aim: Aim, device: torch.device) -> Estimate:
    """The first region around an object that is pointed at."""
    card = model.card
    shape = region_shapes(aim, geometry, card, model.network.multiple)[0]
    around = region_box(geometry, card, aim, shape)
    voxels = math.prod(part.stop - part.start for part in around)
    return _of_plan(model, one_window(shape), shape, voxels, device)


def _of_plan(
    model: Model, plan: WindowPlan, grid_shape: Shape, voxels: int, chosen: torch.device
) -> Estimate:
    """The windows of a plan on a grid of the model, made from so many voxels of the image."""
    pace = pace_of(model, plan.window, chosen)
    on_card = chosen.type == "cuda"
    weights = sum(one.nbytes for one in model.network.parameters())
    return Estimate(
        plan.count,
        plan.count * pace.seconds + REST_SECONDS * voxels,
        _memory_bytes(model, plan, grid_shape, voxels) + (0 if on_card else pace.live_bytes),
        pace.live_bytes + weights if on_card else 0,
        str(chosen),
    )


def _of_sides(geometry: Geometry, model: Model, device: torch.device) -> Estimate:
    """A head in which both sides are found: the search, then a few crops."""
    card = model.card
    crop = Geometry.from_spacing(card.window_shape, card.spacing_mm)
    one = estimate(Volume(np.zeros(crop.shape, np.uint8), crop), model, device=str(device))
    crops, voxels = PASSES * len(card.side_classes) // len(card.classes), math.prod(geometry.shape)
    search = SEARCH_BYTES + 4 * voxels
    return Estimate(
        one.windows * crops,
        one.seconds * crops + SEARCH_SECONDS + SEARCH_SHARE * voxels,
        max(search, one.memory_bytes),
        one.device_bytes,
        one.device,
    )


def pace_of(model: Model, window: Shape, device: torch.device) -> Pace:
    """What a window of that shape takes on a device, measured on the first call for a model."""
    known = _PACES.setdefault(model.network, {})
    key = (window, str(device))
    if key not in known:
        known[key] = _measured(model, window, device)
    return known[key]


def _first_geometry(volumes: Volume | Mapping[str, Volume], model: Model) -> Geometry:
    if isinstance(volumes, Volume):
        return volumes.geometry
    name = model.card.channels[0].name
    if name not in volumes:
        detail = f"model {model.card.name!r} takes its grid from it"
        remedy = "give one image for each required channel"
        raise InputRefused("channel-missing", f"channel {name!r}", detail, remedy)
    return volumes[name].geometry


def _memory_bytes(model: Model, plan: WindowPlan, grid_shape: Shape, voxels: int) -> int:
    """The most that is held at once, but for the network's own tensors."""
    channels = len(model.card.channels)
    image = 4 * channels * math.prod(grid_shape)
    preparing = (PREPARING_BYTES + 4 * (channels - 1)) * voxels + image
    slabs = sum(_slab_bytes(spec, plan) for spec in _specs(model))
    objects = OBJECT_BYTES * OBJECT_SHARE * voxels
    return int(max(preparing, image + slabs + objects))


def _specs(model: Model) -> Sequence[MapSpec]:
    decoder = model.decoder
    if not isinstance(decoder, InstanceDecoder):
        return decoder.maps
    return () if decoder.organs is None else decoder.organs.maps


def _slab_bytes(spec: MapSpec, plan: WindowPlan) -> int:
    """One slab of a map: its sums, their mean, a moved and a handed copy, and two of weights."""
    lengths = (plan.window[0], *plan.padded[1:])
    cells = math.prod(length // spec.stride for length in lengths)
    return 4 * (4 * spec.channels + 2) * cells


def _measured(model: Model, window: Shape, device: torch.device) -> Pace:
    run = _runner(model, device)
    noise = torch.randn(
        len(model.card.channels), *window, generator=torch.Generator().manual_seed(0)
    )
    with _LiveBytes() as live:
        seconds = _seconds(run, noise, device)
    if seconds < LONG_SECONDS:
        seconds = min(seconds, _seconds(run, noise, device))
    return Pace(seconds, live.peak)


def _runner(model: Model, device: torch.device) -> Callable[[Tensor], object]:
    network = model.network.to(device).eval()
    if isinstance(model.decoder, InstanceDecoder):
        return InstanceEngine(network, model.decoder, device).run
    axes = tuple("zyx".index(axis) for axis in model.card.mirror_axes)
    return TorchEngine(network, model.decoder.maps, device, axes).maps


def _seconds(run: Callable[[Tensor], object], window: Tensor, device: torch.device) -> float:
    start = time.perf_counter()
    run(window)
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() - start


class _LiveBytes(TorchFunctionMode):
    """Counts bytes of tensors made inside the context: how many live now, and at most at once.

    What an operation of torch needs for itself alone is not seen.
    """

    def __init__(self) -> None:
        super().__init__()
        self.now = self.peak = 0
        self._known: dict[int, int] = {}

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: object,
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        made = func(*args, **(kwargs or {}))
        for one in made if isinstance(made, tuple | list) else (made,):
            if isinstance(one, Tensor):
                self._add(one.untyped_storage())
        return made

    def _add(self, storage: torch.UntypedStorage) -> None:
        key = storage._cdata
        if key in self._known:
            return
        self._known[key] = storage.nbytes()
        self.now += self._known[key]
        self.peak = max(self.peak, self.now)
        weakref.finalize(storage, self._drop, key)

    def _drop(self, key: int) -> None:
        self.now -= self._known.pop(key)
