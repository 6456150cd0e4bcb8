"""The coarse masks that points refine: of a window at stride 4, of a region in 7³ cells.

For each: the same model without its points, what the mask's grid can keep of exact shapes, and the
multiplications of the points beside those of full resolution.
"""

from __future__ import annotations

import copy
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
import torch
from heads_ceilings import roi
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from medseg.heads.mask_rcnn.regions import Regions, RegionStage
from medseg.models import Model
from medseg.models.network import InstanceNetwork
from medseg.networks.point_refinement import VolumeRefinement, interpolated
from medseg.networks.refinement import Refinement, crop_around
from medseg.types import Instances

STRIDE, CELLS = 4, 7
CORNERS, WEIGHT_PRODUCTS = 8, 12
"""Trilinear: eight values are read, and the eight weights take four products and eight more."""


@dataclass
class Spent:
    """What segmenting took: windows; voxels that full resolution would have predicted; points.

    `voxels` are those of the windows, or of the boxes of regions; `boxed` those around what was
    found, where a mask is of the whole window; `doubled` the cells of all doublings.
    """

    windows: int = 0
    voxels: int = 0
    boxed: int = 0
    points: int = 0
    doubled: float = 0.0


class CoarseMask(ABC):
    """A form of mask that points start from, with the head that has it."""

    head: ClassVar[str]
    network: ClassVar[Mapping[str, Any]]
    """The head's arguments in a recipe."""
    lesions_alone: ClassVar[bool] = False
    """Whether the head learns no organs."""
    title: ClassVar[str]
    full: ClassVar[Mapping[str, str]]
    """What full resolution is, by the name of its cost; the first two are judged."""
    most: ClassVar[int]
    """Points predicted at most in a doubling, unless told otherwise."""

    @abstractmethod
    def coarse_of(self, model: Model) -> Model:
        """The model without its points."""

    @abstractmethod
    def refinement(self, network: InstanceNetwork) -> VolumeRefinement | RegionStage:
        """The part of a network that has the points, with its `most` and `limit`."""

    @abstractmethod
    def kept(self, truth: Instances, name: str) -> NDArray[np.bool_]:
        """What the grid keeps of a class's exact shapes (Z, Y, X)."""

    @abstractmethod
    def counting(self, network: InstanceNetwork, spent: Spent) -> AbstractContextManager[None]:
        """A context in which `spent` grows by what the network does."""

    @abstractmethod
    def costs(self, network: InstanceNetwork, image: int, spent: Spent) -> dict[str, float]:
        """Multiplications a window of points ("refined") and of each of `full`.

        `image` is the number of channels of the image. Points pay for reading image, features and
        logits, and for every doubling of the logits.
        """


class WindowMask(CoarseMask):
    """Class logits of a whole window at `STRIDE`."""

    head = "center_offset"
    network: ClassVar[Mapping[str, Any]] = {"refine": "pointrend", "coarse_stride": STRIDE}
    title = f"a grid of stride {STRIDE}"
    full: ClassVar[Mapping[str, str]] = {
        "convolved": "convolutions at every voxel",
        "perceptron": "the points' perceptron at every voxel",
        "boxed": "convolutions around what was found",
    }
    most = VolumeRefinement.most

    def coarse_of(self, model: Model) -> Model:
        """The same backbone and head, with logits interpolated and left so."""
        return replace(model, network=CoarseNetwork(model.network.backbone, model.network.head))

    def refinement(self, network: InstanceNetwork) -> VolumeRefinement:
        """Of a window's logits."""
        points: VolumeRefinement = network.head.points
        return points

    def kept(self, truth: Instances, name: str) -> NDArray[np.bool_]:
        """Shares of cells, interpolated."""
        return quartered(union(truth, name))

    @contextmanager
    def counting(self, network: InstanceNetwork, spent: Spent) -> Iterator[None]:
        """Windows, voxels and doublings, boxes around what was found, points."""
        head = network.head

        def window(_part: nn.Module, seen: tuple[Tensor, ...]) -> None:
            voxels = seen[0][:, 0].numel()
            spent.windows += len(seen[0])
            spent.voxels += voxels
            spent.doubled += sum(voxels / 8**n for n in range(round(math.log2(STRIDE))))

        def found(_part: nn.Module, _seen: Any, raw: Any) -> None:
            spent.boxed += boxed_voxels(head, raw)

        handles = [
            network.backbone.register_forward_pre_hook(window),
            head.register_forward_hook(found),
            head.points.refine.register_forward_hook(_counted(spent)),
        ]
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()

    def costs(self, network: InstanceNetwork, image: int, spent: Spent) -> dict[str, float]:
        """Convolutions are those that `refine = "convolution"` has."""
        head, features = network.head, network.backbone.channels[0]
        logits = head.logit_count
        each = point_cost(head.points.refine, image + features, logits)
        fine, half = (4, 4, 4), (2, 2, 2)
        shapes = ((1, image, *fine), (1, features, *half), (1, logits, *half))
        convolved = multiplications(Refinement(image, features, logits), *shapes) / math.prod(fine)
        return _a_window(spent, each, convolved, logits) | {
            "boxed": spent.boxed * convolved / spent.windows
        }


class RegionMask(CoarseMask):
    """Masks of `CELLS`³ in the boxes that `pointrend` finds."""

    head = "pointrend"
    network: ClassVar[Mapping[str, Any]] = {"mask_size": CELLS}
    lesions_alone = True
    title = f"boxes of {CELLS}³ cells"
    full: ClassVar[Mapping[str, str]] = {
        "convolved": "the mask branch at every voxel of a region",
        "perceptron": "the points' perceptron at every voxel of a region",
    }
    most = RegionStage.most

    def coarse_of(self, model: Model) -> Model:
        """The same weights, with masks interpolated into their boxes.

        These are not widened to whole voxels: so `pointrend` would be without points.
        """
        network = copy.deepcopy(model.network)
        network.head.regions.points = None
        return replace(model, network=network)

    def refinement(self, network: InstanceNetwork) -> RegionStage:
        """Of the regions' masks."""
        stage: RegionStage = network.head.regions
        return stage

    def kept(self, truth: Instances, name: str) -> NDArray[np.bool_]:
        """Values of cells in a tenth more than the exact box, interpolated.

        The network's boxes are found ones, and those of refined masks end with voxels.
        """
        one_class = truth.filter(lambda item: item.class_name == name)
        return np.logical_or.reduce(roi(one_class, CELLS))

    @contextmanager
    def counting(self, network: InstanceNetwork, spent: Spent) -> Iterator[None]:
        """Windows, voxels and doublings of the regions whose masks are refined, points."""
        stage: RegionStage = network.head.regions
        refined = stage.one_mask

        def window(_part: nn.Module, seen: tuple[Tensor, ...]) -> None:
            spent.windows += len(seen[0])

        def one_mask(seen: Any, covered: Regions, masks: Tensor, channel: int) -> Tensor:
            fine = refined(seen, covered, masks, channel)
            low, high = covered.boxes[0, :3], covered.boxes[0, 3:]
            spent.voxels += round(float((high - low).prod()))
            shape = tuple(masks.shape[2:])
            while shape != tuple(fine.shape):
                shape = tuple(min(2 * n, end) for n, end in zip(shape, fine.shape, strict=True))
                spent.doubled += math.prod(shape)
            return fine

        handles = [
            network.backbone.register_forward_pre_hook(window),
            stage.points.register_forward_hook(_counted(spent)),
        ]
        stage.one_mask = one_mask
        try:
            yield
        finally:
            del stage.one_mask  # again that of the class
            for handle in handles:
                handle.remove()

    def costs(self, network: InstanceNetwork, image: int, spent: Spent) -> dict[str, float]:
        """Convolutions are those of the mask branch, which makes the coarse masks."""
        stage: RegionStage = network.head.regions
        convolutions = [one for one in stage.mask.layers if isinstance(one, nn.Conv3d)]
        features, logits = convolutions[0].in_channels - 3, convolutions[-1].out_channels
        each = point_cost(stage.points, image + features, logits)
        fine = (1, features, 4, 4, 4)
        convolved = multiplications(stage.mask, fine) / math.prod(fine[2:])
        return _a_window(spent, each, convolved, 1)


MASKS: dict[str, CoarseMask] = {one.head: one for one in (WindowMask(), RegionMask())}
"""By the name of the head."""


class CoarseNetwork(InstanceNetwork):
    """The same backbone and head, whose coarse class logits are interpolated and left so."""

    def refine_found(self, image: Tensor, raw: Any) -> Any:
        """`coarse`'s output with class logits (B, L, Z, Y, X) at the image's resolution."""
        organ, lesion = self.head.split(interpolated(raw.coarse, image.shape[2:]))
        return raw._replace(organ=organ, lesion=lesion)


def boxed_voxels(head: Any, raw: Any) -> int:
    """The voxels of a window that the convolutions of `center_offset` would be run on."""
    organ, lesion = head.split(raw.coarse)
    likely = torch.zeros(raw.coarse.shape[2:], dtype=torch.bool)
    if organ is not None:
        likely |= torch.softmax(organ[0], dim=0)[0] < 1 - head.interest
    if lesion is not None:
        likely |= (torch.sigmoid(lesion[0]) > head.interest).any(dim=0)
    box = crop_around(likely, margin=math.ceil(Refinement.margin * head.centre_stride / STRIDE))
    return 0 if box is None else math.prod((part.stop - part.start) * STRIDE for part in box)


def multiplications(module: nn.Module, *shapes: Sequence[int]) -> int:
    """Those of the convolutions and linear layers of a module on inputs of these shapes."""
    total = 0

    def count(layer: Any, _seen: Any, out: Tensor) -> None:
        nonlocal total
        total += out.numel() * layer.weight[0].numel()

    shapeless = copy.deepcopy(module).to("meta")
    for layer in shapeless.modules():
        if isinstance(layer, nn.Conv3d | nn.Linear):
            layer.register_forward_hook(count)
    shapeless(*(torch.zeros(tuple(shape), device="meta") for shape in shapes))
    return total


def point_cost(refine: nn.Module, features: int, logits: int) -> int:
    """Multiplications of one point: the perceptron, and reading what it sees."""
    seen = multiplications(refine, (1, features), (1, logits), (1, 3))
    return seen + 3 * WEIGHT_PRODUCTS + CORNERS * (features + logits)


def _a_window(spent: Spent, each: int, convolved: float, logits: int) -> dict[str, float]:
    """Points and doublings, and both ways at every voxel."""
    return {
        "refined": (spent.points * each + spent.doubled * CORNERS * logits) / spent.windows,
        "convolved": spent.voxels * convolved / spent.windows,
        "perceptron": spent.voxels * each / spent.windows,
    }


def _counted(spent: Spent) -> Callable[..., None]:
    def predicted(_part: nn.Module, _seen: Any, logits: Tensor) -> None:
        spent.points += logits[..., 0].numel()

    return predicted


def union(instances: Instances, name: str) -> NDArray[np.bool_]:
    """The voxels (Z, Y, X) of all objects of a class."""
    mask = np.zeros(instances.geometry.shape, dtype=np.bool_)
    for item in instances:
        if item.class_name == name:
            mask[item.box] |= item.mask
    return mask


def quartered(true: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """What a grid of `STRIDE` keeps of a mask: cells' shares of it, interpolated, cut at half."""
    pads = [(0, -length % STRIDE) for length in true.shape]
    exact = torch.from_numpy(np.pad(true, pads).astype(np.float32))
    share = functional.avg_pool3d(exact[None, None], STRIDE)
    again = interpolated(share, exact.shape)[0, 0].numpy() > 0.5
    return np.asarray(again[tuple(slice(0, length) for length in true.shape)])
