"""A study to instances: the one line that CLI, plugin and batch share."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import torch

from medseg.card import Card
from medseg.heads.contract import InstanceDecoder
from medseg.inference.aim import Aim, aimed
from medseg.inference.calibration import calibrated
from medseg.inference.dense import blended_slabs
from medseg.inference.domain import domain_warnings, modality_warnings
from medseg.inference.engines import (
    InstanceEngine,
    TorchEngine,
    choose_device,
    window_runner,
)
from medseg.inference.instances import find_instances
from medseg.inference.region import only_meant, segment_aimed
from medseg.inference.results import versions, volume_sha256
from medseg.inference.sides import beyond_a_crop, segment_sides
from medseg.inference.windows import WindowPlan, plan_windows
from medseg.measurement.parts import labelled_parts
from medseg.models.loading import Model
from medseg.transforms.grids import GridMap
from medseg.transforms.pipeline import Prepared, preprocess
from medseg.types import Box, InputWarning, Instance, Instances, Volume, reoriented_array

CAVEAT = "model-caveat"
WHOLE = 0.9
"""An object whose largest part holds this share of it counts as whole."""


def segment(
    volumes: Volume | Mapping[str, Volume],
    model: Model,
    *,
    at: Sequence[float] | None = None,
    box: Sequence[float] | None = None,
    device: str = "auto",
    progress: Callable[[int, int], None] | None = None,
) -> Instances:
    """Find every organ and lesion that `model` knows, as instances on the image's own grid.

    With `at` (x, y, z) or `box` (x0, y0, z0, x1, y1, z1), LPS millimetres, the one object that is
    meant, or none and a warning: `segment_aimed` says which.

    Several channels are given by name; the first of the card gives the grid. `device` is auto,
    cpu or cuda. `progress(done, total)` counts windows and may raise to cancel. A model of crops
    with a localiser searches larger images: `segment_sides` says how.

    Raises:
        InputRefused: the input is of another modality, lacks a channel, is constant, or else does
            not suit the model.
    """
    _check_call(volumes, model)
    aim = aimed(volumes, model.card, at=at, box=box)
    if beyond_a_crop(volumes, model.card):
        sides = segment_sides(
            volumes, model.card, partial(segment, model=model, device=device), progress
        )
        sides = sides if aim is None else only_meant(sides, aim, model.card)
        foreign = modality_warnings(volumes, model.card)
        said = dict.fromkeys((*sides.warnings, *foreign, *fragment_warnings(sides.items)))
        return replace(sides, warnings=tuple(said))
    if aim is not None:
        one = _aimed(volumes, model, aim, choose_device(device), progress)
        foreign = modality_warnings(volumes, model.card)
        said = dict.fromkeys((*one.warnings, *foreign, *fragment_warnings(one.items)))
        return replace(one, warnings=tuple(said))
    prepared = preprocess(volumes, model.card)
    plan = plan_windows(
        prepared.geometry.shape,
        model.card.window_shape,
        overlap=model.card.window_overlap,
        multiple=model.network.multiple,
    )
    chosen = choose_device(device)
    found = _segmented(volumes, prepared, plan, model=model, device=chosen, progress=progress)
    return replace(found, warnings=(*found.warnings, *fragment_warnings(found.items)))


def _aimed(
    volumes: Volume | Mapping[str, Volume],
    model: Model,
    aim: Aim,
    device: torch.device,
    progress: Callable[[int, int], None] | None,
) -> Instances:
    """The one object that is meant."""
    given = {model.card.channels[0].name: volumes} if isinstance(volumes, Volume) else volumes
    run = partial(_segmented, model=model, device=device, progress=progress)
    nothing = Instances(
        given[model.card.channels[0].name].geometry,
        [],
        model.card.instance_classes,
        (),
        _provenance({}, model, (), device),
    )
    return segment_aimed(given, model.card, aim, run, nothing, multiple=model.network.multiple)


def _segmented(
    volumes: Volume | Mapping[str, Volume],
    prepared: Prepared,
    plan: WindowPlan,
    *,
    model: Model,
    device: torch.device,
    progress: Callable[[int, int], None] | None,
) -> Instances:
    """Every object that a plan's windows show, of volumes that are prepared."""
    items, limits = _found(model, prepared, plan, device, progress)
    items = calibrated(items, model.card)
    unlike = domain_warnings(volumes, model.card)
    warnings = (*caveat_of(model.card), *prepared.warnings, *unlike, *limits)
    return Instances(
        prepared.image_geometry,
        [turned_back(item, prepared) for item in items],
        model.card.instance_classes,
        warnings,
        {**_provenance(volumes, model, prepared.defaults, device), "windows": _said(plan)},
    )


def caveat_of(card: Card) -> tuple[InputWarning, ...]:
    """What a card wants told with every result: a warning, or none."""
    return () if card.caveat is None else (InputWarning(CAVEAT, card.caveat),)


def _found(
    model: Model,
    prepared: Prepared,
    plan: WindowPlan,
    device: torch.device,
    progress: Callable[[int, int], None] | None,
) -> tuple[list[Instance], tuple[InputWarning, ...]]:
    """Instances on the image's grid turned to S, P, L, and what is doubtful about them."""
    network, mirrored = model.network.to(device).eval(), model.card.mirror_axes
    if isinstance(model.decoder, InstanceDecoder):
        found_whole = InstanceEngine(network, model.decoder, device)
        return find_instances(found_whole, prepared, plan, model.card.classes, progress)
    axes = tuple("zyx".index(axis) for axis in mirrored)
    engine = TorchEngine(network, model.decoder.maps, device, axes)
    slabs = blended_slabs(
        window_runner(prepared.image, plan.window, engine.maps),
        model.decoder.maps,
        plan,
        prepared.turned_geometry.shape,
        GridMap.between(prepared.turned_geometry, prepared.geometry),
        progress,
    )
    return model.decoder.group(slabs, prepared.geometry.spacing_mm), ()


def fragment_warnings(items: Sequence[Instance]) -> list[InputWarning]:
    """A warning for each object of which a tenth or more lies apart from its largest part.

    An organ in pieces is most often a result on an image that the model does not suit.
    """
    found = []
    for item in items:
        parts, _ = labelled_parts(item.mask)
        sizes = np.bincount(parts.ravel())[1:]
        if sizes.max() < WHOLE * sizes.sum():
            detail = (
                f"object {item.id} ({item.class_name}) lies in {sizes.size} parts, "
                f"the largest {sizes.max() / sizes.sum():.0%} of it: look at the picture"
            )
            found.append(InputWarning("object-in-parts", detail))
    return found


def _check_call(volumes: object, model: object) -> None:
    given = volumes.values() if isinstance(volumes, Mapping) else [volumes]
    if not all(isinstance(one, Volume) for one in given):
        msg = "segment wants a Volume, or a mapping of channel names to Volumes: see medseg.read"
        raise TypeError(msg)
    if not hasattr(model, "card"):
        msg = f"segment wants a loaded model: see medseg.load_model; got {type(model).__name__}"
        raise TypeError(msg)


def turned_back(item: Instance, prepared: Prepared) -> Instance:
    """An instance from the grid turned to S, P, L on the image's own axes."""
    back = (prepared.axes.index(0), prepared.axes.index(1), prepared.axes.index(2))
    flips = (prepared.flips[back[0]], prepared.flips[back[1]], prepared.flips[back[2]])

    def box_back(box: Box) -> Box:
        parts = []
        for old, flip in zip(back, flips, strict=True):
            part, length = box[old], prepared.turned_geometry.shape[old]
            parts.append(slice(length - part.stop, length - part.start) if flip else part)
        z, y, x = parts
        return z, y, x

    crop, wider = item.probability, item.probability_box
    return replace(
        item,
        box=box_back(item.box),
        mask=reoriented_array(item.mask, back, flips),
        probability=None if crop is None else reoriented_array(crop, back, flips),
        probability_box=None if wider is None else box_back(wider),
    )


def _provenance(
    volumes: Volume | Mapping[str, Volume],
    model: Model,
    defaults: Sequence[str],
    device: torch.device,
) -> dict[str, Any]:
    card = model.card
    given = {card.channels[0].name: volumes} if isinstance(volumes, Volume) else volumes
    return {
        "versions": dict(versions()),
        "model": {
            "name": card.name,
            "version": card.version,
            "weights_sha256": card.weights_sha256,
            "licence": card.licence.weights,
        },
        "input_sha256": {name: volume_sha256(one) for name, one in given.items()},
        "device": str(device),
        "precision": "float32",
        "decoder": model.decoder.settings,
        "mirror_axes": list(card.mirror_axes),
        "defaults": list(defaults),
        "score_is_probability_of": {one.class_name: one.criterion for one in card.calibration},
    }


def _said(plan: WindowPlan) -> dict[str, Any]:
    return {"shape_zyx": list(plan.window), "count": plan.count}
