"""The one object that a point, a box or the middle of a crop means, from a region around it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from medseg.card import Card
from medseg.inference.aim import Aim, corners_of
from medseg.inference.domain import modality_warnings
from medseg.inference.results import volume_sha256
from medseg.inference.windows import WindowPlan
from medseg.io import check_values
from medseg.transforms.grids import GridMap
from medseg.transforms.pipeline import Prepared, preprocess, turn_to_spl
from medseg.types import Box, Geometry, InputWarning, Instance, Instances, Shape, Volume

REACH_MM = 5.0
"""An object this near to a point is meant by it where none contains it."""

GROWTH = (1.0, 1.5, 2.0)
"""Lengths of the region, in those of the card's window: the next where the object is cut."""

TIE = 1e-4
"""Voxels by which a window's middle may miss a half and still be rounded up."""

LOCAL = ("ct_window", "suv")
"""Kinds of normalisation that ask nothing of the rest of the image."""

_CUT = InputWarning(
    "object-cut", "the object reaches the end of the region that was looked at: it may be larger"
)

Run = Callable[[Mapping[str, Volume], Prepared, WindowPlan], Instances]
"""Segments one window that is prepared, of the channels given."""


def segment_aimed(
    given: Mapping[str, Volume],
    card: Card,
    aim: Aim,
    run: Run,
    nothing: Instances,
    *,
    multiple: int,
) -> Instances:
    """The object that is meant, on the image's own grid; none, and a warning, where none is there.

    Only a region around it is looked at: one window, in whose middle it is; beyond the image its
    border is repeated. Where the object reaches the region's end, a larger one is taken, unless
    that shows none: then the object stays, and is said to be cut. Of several objects the one that
    contains the point is meant, else the nearest within `REACH_MM`; or the one with the most voxels
    in the box. `nothing` is the result of a region with one value alone; `multiple` divides the
    lengths of windows. Whether values are of the card's modality is for the caller to say, of the
    whole image.

    Raises InputRefused as `preprocess` does.
    """
    with ThreadPoolExecutor(1) as aside:  # the network leaves time for it
        hashes = aside.submit(lambda: {name: volume_sha256(one) for name, one in given.items()})
        found, items, cut = nothing, list[Instance](), False
        for shape in region_shapes(aim, nothing.geometry, card, multiple):
            region = _Region.around(given, card, aim, shape)
            if region is None:
                break
            seen = run(region.channels, region.prepared, one_window(shape))
            # A region inside an organ lacks the air that its whole image has.
            foreign = modality_warnings(region.channels, card)
            seen = replace(seen, warnings=tuple(w for w in seen.warnings if w not in foreign))
            item = meant(seen, aim)
            if item is None and items:
                break
            found, items = seen, [] if item is None else [_moved(item, region.inner)]
            cut = item is not None and _is_cut(item, region.inner, nothing.geometry)
            if not cut:
                break
    if cut:
        found = replace(found, warnings=(*found.warnings, _CUT))
    if not items:
        found = replace(found, warnings=(*found.warnings, _nothing_found(aim, card)))
    said = {**aim.provenance, "meant": aim.means, "reach_mm": REACH_MM}
    provenance = {**found.provenance, "input_sha256": hashes.result(), "region": said}
    return replace(nothing, items=items, warnings=found.warnings, provenance=provenance)


def only_meant(found: Instances, aim: Aim, card: Card) -> Instances:
    """A result on the whole image with the object alone that is meant; else none, and a warning."""
    item = meant(found, aim)
    missing = () if item is not None else (_nothing_found(aim, card),)
    said = {**aim.provenance, "meant": aim.means, "reach_mm": REACH_MM}
    return replace(
        found,
        items=[] if item is None else [item],
        warnings=(*found.warnings, *missing),
        provenance={**found.provenance, "region": said},
    )


def meant(found: Instances, aim: Aim) -> Instance | None:
    """The object among those of a region that is meant, numbered 1; None where none is."""
    ranked = []
    for item in found.items:
        indices = np.argwhere(item.mask) + [part.start for part in item.box]
        world = found.geometry.index_to_world(indices)
        if aim.box_lps_mm is not None:
            low, high = aim.box_lps_mm
            inside = np.count_nonzero(((world >= low) & (world <= high)).all(axis=1))
            if inside:
                ranked.append((-float(inside), -item.score, item))
            continue
        away = np.linalg.norm(world - aim.point_lps_mm, axis=1).min()
        at = np.rint(found.geometry.world_to_index(aim.point_lps_mm))
        away = 0.0 if (indices == at).all(axis=1).any() else away
        if away <= REACH_MM:
            ranked.append((float(away), -item.score, item))
    if not ranked:
        return None
    return replace(min(ranked, key=lambda one: one[:2])[2], id=1)


@dataclass(frozen=True, eq=False)
class _Region:
    """Channels cut around a window, the window as the model sees it, and its box in the image."""

    channels: Mapping[str, Volume]
    prepared: Prepared
    inner: Box

    @classmethod
    def around(
        cls, given: Mapping[str, Volume], card: Card, aim: Aim, shape: Shape
    ) -> _Region | None:
        """The region in whose middle an aim lies; None where the image has one value there."""
        first = card.channels[0].name
        outer = region_box(given[first].geometry, card, aim, shape)
        corners = _corners(given[first].geometry.crop(outer))
        channels = {
            name: one.crop(outer if name == first else _covering(one.geometry, corners))
            for name, one in given.items()
        }
        values = channels[first].array
        if values.min() == values.max():
            check_values(given[first], f"channel {first!r}")
            return None
        prepared = preprocess(channels, card)
        start = _window_start(prepared.geometry, aim, shape)
        window = _placed(prepared.geometry, start, shape)
        turned = _inside(prepared.turned_geometry, window)
        inner = _turned_back(turned, prepared)
        seen = replace(
            prepared,
            image=_cut(prepared.image, start, shape),
            geometry=window,
            image_geometry=prepared.image_geometry.crop(inner),
            turned_geometry=prepared.turned_geometry.crop(turned),
        )
        z, y, x = (
            slice(part.start + whole.start, part.stop + whole.start)
            for part, whole in zip(inner, outer, strict=True)
        )
        shown = {name: one.crop(inner) if name == first else one for name, one in channels.items()}
        return cls(shown, seen, (z, y, x))


def _nothing_found(aim: Aim, card: Card) -> InputWarning:
    names = " or ".join(one.name for one in card.classes)
    where = "in" if aim.means == "box" else f"within {REACH_MM:g} mm of"
    return InputWarning("nothing-at-point", f"no {names} was found {where} {aim.in_words}")


def region_shapes(aim: Aim, image: Geometry, card: Card, multiple: int) -> list[Shape]:
    """The window's lengths (z, y, x) to try, one after the other; a box fits from the first on."""
    wanted = np.zeros(3)
    if aim.box_lps_mm is not None:
        turned = image.reoriented(*turn_to_spl(image))
        wanted = np.abs(turned.direction.T @ (aim.box_lps_mm[1] - aim.box_lps_mm[0]))
        wanted = wanted / card.spacing_mm
    shapes = []
    for factor in GROWTH:
        lengths = factor * np.asarray(card.window_shape)
        z, y, x = (int(-(-length // multiple) * multiple) for length in lengths)
        if factor == GROWTH[-1] or (wanted <= lengths).all():
            shapes.append((z, y, x))
    return shapes


def one_window(shape: Shape) -> WindowPlan:
    """The plan of a region: a window of that shape, nothing beside it."""
    return WindowPlan(shape, shape, ((0,), (0,), (0,)))


def region_box(image: Geometry, card: Card, aim: Aim, shape: Shape) -> Box:
    """What has to be preprocessed for a window, in voxels of the image: with what smoothing sees.

    All of it where a channel's intensities are scaled by those of the whole image.
    """
    if any(channel.normalisation.kind not in LOCAL for channel in card.channels):
        z, y, x = (slice(0, length) for length in image.shape)
        return z, y, x
    axes, _ = turn_to_spl(image)
    point, parts = image.world_to_index(aim.point_lps_mm), [slice(0, 1)] * 3
    for along, axis in enumerate(axes):
        step = card.spacing_mm[along] / image.spacing_mm[axis]
        reach = shape[along] / 2 * step + 2 * max(step, 1.0) + 2
        low, high = int(np.floor(point[axis] - reach)), int(np.ceil(point[axis] + reach)) + 1
        parts[axis] = slice(max(low, 0), min(high, image.shape[axis]))
    z, y, x = parts
    return z, y, x


def _covering(geometry: Geometry, world: NDArray[np.float64]) -> Box:
    """The box that holds points, a little wider; all of a grid that does not reach there."""
    index = geometry.world_to_index(world)
    low = np.clip(np.floor(index.min(axis=0)).astype(int) - 2, 0, None)
    high = np.minimum(np.ceil(index.max(axis=0)).astype(int) + 3, geometry.shape)
    if (high - low < 2).any():
        low, high = np.zeros(3, dtype=int), np.array(geometry.shape)
    z, y, x = (slice(int(a), int(b)) for a, b in zip(low, high, strict=True))
    return z, y, x


def _corners(geometry: Geometry) -> NDArray[np.float64]:
    """The outer corners of a grid, (8, 3) LPS mm."""
    return geometry.index_to_world(corners_of(geometry.shape))


def _window_start(grid: Geometry, aim: Aim, shape: Shape) -> tuple[int, int, int]:
    """The voxel of the model's grid, perhaps beyond its ends, at which the window begins."""
    middle = grid.world_to_index(aim.point_lps_mm)
    # Half voxels are common: they must not go up here and down there.
    z, y, x = (int(n) for n in np.floor(middle - np.array(shape) / 2 + 1 + TIE))
    return z, y, x


def _placed(grid: Geometry, start: tuple[int, int, int], shape: Shape) -> Geometry:
    affine = grid.affine.copy()
    affine[:3, 3] = grid.index_to_world(start)
    return Geometry(shape, affine)


def _cut(image: Tensor, start: tuple[int, int, int], shape: Shape) -> Tensor:
    """A window of (C, Z, Y, X); beyond the image its outermost voxels are repeated."""
    for axis, (first, length) in enumerate(zip(start, shape, strict=True), start=1):
        index = torch.arange(first, first + length).clamp(0, image.shape[axis] - 1)
        image = image.index_select(axis, index)
    return image


def _inside(turned: Geometry, window: Geometry) -> Box:
    """The voxels of the turned image whose centres lie in the window, one an axis at least."""
    to_window, parts = GridMap.between(turned, window), []
    for axis, length in enumerate(turned.shape):
        place = to_window.coordinates(axis, 0, length)
        held = np.flatnonzero((place >= -0.5) & (place <= window.shape[axis] - 0.5))
        if not held.size:
            held = np.abs(place - (window.shape[axis] - 1) / 2).argsort()[:1]
        parts.append(slice(int(held[0]), int(held[-1]) + 1))
    z, y, x = parts
    return z, y, x


def _turned_back(box: Box, prepared: Prepared) -> Box:
    """A box of the turned image on the image's own axes."""
    parts = [slice(0, 1)] * 3
    for along, axis in enumerate(prepared.axes):
        part, length = box[along], prepared.turned_geometry.shape[along]
        flipped = slice(length - part.stop, length - part.start)
        parts[axis] = flipped if prepared.flips[along] else part
    z, y, x = parts
    return z, y, x


def _is_cut(item: Instance, inner: Box, whole: Geometry) -> bool:
    """Whether an object of a region reaches an end of it at which the image goes on."""
    return any(
        (part.start == 0 and region.start > 0)
        or (part.stop == region.stop - region.start and region.stop < length)
        for part, region, length in zip(item.box, inner, whole.shape, strict=True)
    )


def _moved(item: Instance, inner: Box) -> Instance:
    """An object of a region on the whole image's grid."""

    def moved(box: Box) -> Box:
        z, y, x = (
            slice(part.start + region.start, part.stop + region.start)
            for part, region in zip(box, inner, strict=True)
        )
        return z, y, x

    wider = item.probability_box
    return replace(
        item, box=moved(item.box), probability_box=None if wider is None else moved(wider)
    )
