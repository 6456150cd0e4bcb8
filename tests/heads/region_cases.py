"""Cards, windows and answers by hand that the tests of Mask R-CNN and PointRend share."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from head_cases import SPACING_MM, shuffled, untrained
from modelling import LESIONS, card
from torch import Tensor, nn

from medseg.card import Card
from medseg.heads import HEADS
from medseg.heads.center_offset.network import CenterOffset
from medseg.heads.contract import WindowInstance, WindowTarget
from medseg.heads.mask_rcnn.pasting import window_mask
from medseg.heads.mask_rcnn.raw import FoundRegions, MaskRCNN
from medseg.heads.mask_rcnn.sampling import lesion_objects
from medseg.models import InstanceNetwork
from medseg.networks.point_sampling import sample_crops
from medseg.networks.roi_align import box_points, grid_places, grown
from medseg.phantom import touching_lesions
from medseg.training.datasets import LoadedCase
from medseg.training.grid_cases import on_model_grid
from medseg.training.windows import Window, whole_window

CPU = torch.device("cpu")


def small_card(
    name: str,
    classes: list[dict[str, object]] | None = None,
    channels: tuple[int, ...] = (8, 16),
    **network: Any,
) -> Card:
    """A card of a tiny network with this head."""
    begun = {"width": 8, "region_width": 8, "dense": {"width": 8, "refinement_width": 8}}
    arguments = {"channels": list(channels), "blocks": [1] * len(channels), "stem_stride": 2}
    return card(
        classes or LESIONS,
        head={"name": name, "network": {**begun, **network}},
        backbone={"name": "residual_pyramid", "arguments": arguments},
    )


def lesion_window(seed: int, shape: tuple[int, int, int] = (24, 24, 24)) -> Window:
    """A window of touching lesions."""
    phantom = touching_lesions(seed, shape=shape)
    loaded = LoadedCase("one", {"mr": phantom.volume}, phantom.truth)
    return whole_window(on_model_grid(loaded, card(LESIONS)))


def target_of(*objects: tuple[int, tuple[int, ...], np.ndarray]) -> WindowTarget:
    """A target of objects given by class, first voxel and mask."""
    boxes = [[*low, *(np.array(low) + mask.shape)] for _, low, mask in objects]
    whole = np.array(boxes, dtype=np.int64).reshape(-1, 6)
    return WindowTarget(
        np.array([one[0] for one in objects], dtype=np.int64),
        whole,
        tuple(one[2] for one in objects),
        np.zeros(len(objects), dtype=bool),
        (whole[:, :3] + whole[:, 3:] - 1) / 2,
    )


def permuted(target: WindowTarget, seed: int) -> WindowTarget:
    """The same objects in another order."""
    return shuffled(target, np.random.default_rng(seed).permutation(len(target.class_ids)).tolist())


def loss_of(
    what: Card, network: nn.Module, images: Tensor, targets: list[WindowTarget]
) -> dict[str, Tensor]:
    """The named losses of a batch."""
    raw = network(images, targets)
    return HEADS[what.head.name].loss(raw, targets, what.classes, SPACING_MM)


def eager(what: Card) -> InstanceNetwork:
    """A network that finds something everywhere, for what it finds to be looked at."""
    network = untrained(what)
    with torch.no_grad():
        network.head.propose.objectness.bias.fill_(0.0)
        network.head.propose.change.weight.mul_(20)
        network.head.regions.mask.layers[-1].bias.fill_(0.2)
    return network.eval()


def perfect(targets: list[WindowTarget], shape: tuple[int, int, int], size: int = 14) -> MaskRCNN:
    """What a perfect network would have found in windows of lesions, mask by mask."""
    rows, channels, masks = [], [], []
    for n, target in enumerate(targets):
        objects = lesion_objects(target, (0, 1), CPU)
        covered = grown(objects.boxes)
        points = box_points(covered, grid_places(size, CPU)[None])
        which = torch.arange(len(covered))
        soft = sample_crops(objects.masks, objects.boxes[:, :3], which, points - 0.5)
        logits = torch.logit(soft.clamp(0.01, 0.99)).view(-1, size, size, size)
        masks += [window_mask(one, box, shape) for one, box in zip(logits, covered, strict=True)]
        rows += [n] * len(covered)
        channels.append(objects.channel)
    found = FoundRegions(
        torch.tensor(rows),
        torch.cat(channels),
        torch.full((len(rows),), 0.9),
        torch.tensor([one[0] for one in masks]),
        tuple(torch.from_numpy(one[1]) for one in masks),
        torch.full((len(targets), 200), 0.0),
    )
    full = torch.zeros(len(targets), 2, *shape)
    dense = CenterOffset(None, full, None, None, full, full)
    return MaskRCNN(dense, (), (), (), full, found=found)


def iou_of(item: WindowInstance, target: WindowTarget, n: int, shape: tuple[int, ...]) -> float:
    """IoU of a found object's mask with a true one's."""
    found, true = np.zeros(shape, dtype=bool), np.zeros(shape, dtype=bool)
    found[item.box] = item.probability > 0.5
    box = target.boxes[n]
    true[tuple(slice(a, b) for a, b in zip(box[:3], box[3:], strict=True))] = target.masks[n]
    return float(np.count_nonzero(found & true) / np.count_nonzero(found | true))
