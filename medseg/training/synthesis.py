"""Windows with lesions that no patient had: those of other patients in the cases of a training.

All lie in one space, such as MNI's, so that lesions come to where lesions are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from monai.transforms import Compose
from numpy.typing import NDArray
from scipy import ndimage
from torch import Tensor

from medseg.card import Card
from medseg.errors import InputRefused
from medseg.heads.contract import WindowTarget
from medseg.io import read_instances, require_same_grid
from medseg.measurement.parts import labelled_parts
from medseg.training.datasets import files_by_id
from medseg.training.painting import Region, paint, recolour
from medseg.training.recipe import Recipe
from medseg.training.sections import PhantomData, Synthesis, TrainingSection
from medseg.training.soft_masks import hardened_parts
from medseg.training.tissue import Paintable, paintable
from medseg.training.windows import (
    GridCase,
    GridObject,
    Window,
    cut_image,
    window_middle,
    window_region,
)
from medseg.transforms.labels import resample_labels
from medseg.transforms.pipeline import model_grid, turn_to_spl
from medseg.types import Box, Geometry, reoriented_array, tight_box


@dataclass(frozen=True, eq=False)
class Donor:
    """A patient's lesions on the model's grid: their numbers (Z, Y, X) from voxel `first` on.

    The same lesions as `objects`, whose boxes are of the whole grid. `geometry` is that of the
    file.
    """

    id: str
    labels: Tensor
    first: tuple[int, int, int]
    objects: tuple[GridObject, ...]
    geometry: Geometry


class Painter:
    """Draws windows of cases, some with lesions of donors in them or in new contrasts.

    Cases are prepared once each and kept.
    """

    def __init__(self, donors: Sequence[Donor], recipe: Recipe, settings: Synthesis) -> None:
        self.donors = tuple(donors)
        self.recipe = recipe
        self.settings = settings
        self.kept: dict[str, Paintable] = {}

    def check(self, geometry: Geometry, case: str) -> None:
        """Refuse a case that does not lie where the donors do, with "grid-mismatch"."""
        require_same_grid(geometry, self.donors[0].geometry, case, other="masks to paint")

    def window(
        self, case: GridCase, augment: Compose, *, margin: float, rng: np.random.Generator
    ) -> Window:
        """A window of a case; `margin` and `augment` are as `sample_window` takes them.

        Its middle lies on a lesion with the recipe's probability, a painted one where some are.
        Objects are the connected parts of what is lesion.
        """
        if case.id not in self.kept:
            # The same tissues whenever the case is first asked for.
            own = np.random.default_rng([self.recipe.training.seed, 2])
            self.kept[case.id] = paintable(case, own)
        known, settings = self.kept[case.id], self.settings
        painted = rng.random() < settings.painted
        healed = painted and rng.random() < settings.healed
        donor = self._donor(rng) if painted else None
        low, high, inner = _place(known, donor, self.recipe.training, margin, rng)
        region = _region(known, low, high, healed=healed)
        if donor is not None:
            shift = [a - b for a, b in zip(known.first, donor.first, strict=True)]
            start, stop = ([n + s for n, s in zip(end, shift, strict=True)] for end in (low, high))
            labels = cut_zeros(donor.labels, start, stop).to(region.image.device)
            region = paint(region, labels, known.contrasts, known.host, settings, rng)
        if rng.random() < settings.recoloured:
            usual = np.median(known.contrasts, axis=0)
            region = recolour(region, known.levels, usual, known.host, settings, rng)
        changed: Mapping[str, Tensor] = augment(
            {"image": region.image, "masks": region.lesions[None].float()}
        )
        plain = {key: changed[key].as_subclass(Tensor) for key in ("image", "masks")}
        lesions = hardened_parts(plain["masks"][0].numpy(force=True))
        target = target_of_parts(lesions, inner)
        return Window(plain["image"][:, *inner].float().contiguous(), target)

    def _donor(self, rng: np.random.Generator) -> Donor:
        one = self.donors[int(rng.integers(len(self.donors)))]
        return one if not self.settings.mirror or rng.random() < 0.5 else self._mirrored(one)

    def _mirrored(self, one: Donor) -> Donor:
        length = model_grid(one.geometry, self.recipe.model).shape[2]
        z, y, x = one.first
        objects = []
        for item in one.objects:
            side = slice(length - item.box[2].stop, length - item.box[2].start)
            objects.append(replace(item, box=(*item.box[:2], side), mask=item.mask[:, :, ::-1]))
        first = (z, y, length - x - one.labels.shape[2])
        return replace(one, labels=one.labels.flip(2), first=first, objects=tuple(objects))


def painter_of(recipe: Recipe, root: Path) -> Painter | None:
    """What draws the windows of a recipe with a synthesis; None for one without.

    Raises:
        InputRefused: "dataset-invalid" where there is no mask to paint, what listing and reading
            them raises, and "grid-mismatch" where they do not share a grid.
    """
    settings, data = recipe.synthesis, recipe.data
    if settings is None or isinstance(data, PhantomData):
        return None
    # Whoever is held out takes part in nothing.
    barred = {*data.held_out, *data.validation, *data.exclude}
    files = {
        one: path for one, path in files_by_id(root / settings.masks).items() if one not in barred
    }
    donors = [_read_donor(one, path, recipe.model) for one, path in files.items()]
    donors = [one for one in donors if one.objects]
    if not donors:
        detail, remedy = "no mask of it has a lesion to paint", "bring masks of other patients"
        raise InputRefused("dataset-invalid", settings.masks, detail, remedy)
    for one in donors[1:]:
        require_same_grid(one.geometry, donors[0].geometry, one.id, other="first mask to paint")
    return Painter(donors, recipe, settings)


def target_of_parts(lesions: NDArray[np.bool_], inner: Box) -> WindowTarget:
    """The connected parts (26) of a mask (Z, Y, X) as objects of class 0, as `inner` shows them."""
    labels, count = labelled_parts(lesions)
    shown = labels[inner]
    voxels = np.bincount(labels.ravel(), minlength=count + 1)
    seen = np.bincount(shown.ravel(), minlength=count + 1)
    wholes, parts = ndimage.find_objects(labels), ndimage.find_objects(shown, max_label=count)
    boxes, masks, cut, centres = [], [], [], []
    for n, (whole, part) in enumerate(zip(wholes, parts, strict=True), start=1):
        if part is None:
            continue
        boxes.append([p.start for p in part] + [p.stop for p in part])
        masks.append(shown[part] == n)
        cut.append(seen[n] < voxels[n])
        centres.append(
            [(w.start + w.stop - 1) / 2 - i.start for w, i in zip(whole, inner, strict=True)]
        )
    return WindowTarget(
        class_ids=np.zeros(len(boxes), dtype=np.int64),
        boxes=np.array(boxes, dtype=np.int64).reshape(-1, 6),
        masks=tuple(masks),
        cut=np.array(cut, dtype=bool),
        centres=np.array(centres, dtype=np.float64).reshape(-1, 3),
    )


def cut_zeros(values: Tensor, low: Sequence[int], high: Sequence[int]) -> Tensor:
    """values[..., low:high] along the last three axes; 0 beyond the border."""
    there, here = [], []
    for a, b, length in zip(low, high, values.shape[-3:], strict=True):
        start = min(max(a, 0), length)
        stop = max(min(b, length), start)
        there.append(slice(start, stop))
        here.append(slice(start - a, stop - a))
    shape = [b - a for a, b in zip(low, high, strict=True)]
    out = values.new_zeros((*values.shape[:-3], *shape))
    z, y, x = there
    part = values[..., z, y, x]
    if part.numel():
        z, y, x = here
        out[..., z, y, x] = part
    return out


def _place(
    known: Paintable,
    donor: Donor | None,
    training: TrainingSection,
    margin: float,
    rng: np.random.Generator,
) -> tuple[list[int], list[int], Box]:
    """The region that a window is cut from, and the window in it."""
    case, shape = known.case, training.crop_shape
    if donor is not None:
        case = replace(case, objects=tuple(_shifted(one, known.first) for one in donor.objects))
    middle = window_middle(case, shape, training.foreground_fraction, rng)
    first = [int(m) - length // 2 for m, length in zip(middle, shape, strict=True)]
    low, high = window_region(first, shape, case.image.shape[1:], margin)
    z, y, x = (
        slice(start - a, start - a + length)
        for start, a, length in zip(first, low, shape, strict=True)
    )
    return low, high, (z, y, x)


def _shifted(one: GridObject, first: Sequence[int]) -> GridObject:
    z, y, x = (slice(part.start - a, part.stop - a) for part, a in zip(one.box, first, strict=True))
    return replace(one, box=(z, y, x))


def _region(known: Paintable, low: Sequence[int], high: Sequence[int], *, healed: bool) -> Region:
    image = cut_image(known.healed if healed else known.case.image, low, high)
    lesions = cut_zeros(known.lesions, low, high)
    return Region(
        image=image,
        tissue=cut_zeros(known.tissue, low, high),
        lesions=torch.zeros_like(lesions) if healed else lesions,
        top=known.top,
    )


def _read_donor(name: str, path: Path, card: Card) -> Donor:
    """A file's lesions, whatever their values, as connected parts on the model's grid."""
    found = read_instances(path)
    geometry = found.geometry
    axes, flips = turn_to_spl(geometry)
    mask: NDArray[np.uint8] = (found.to_labelmap("higher_score") > 0).astype(np.uint8)
    turned = np.ascontiguousarray(reoriented_array(mask, axes, flips))
    on_grid = resample_labels(turned, geometry.reoriented(axes, flips), model_grid(geometry, card))
    box = tight_box(on_grid > 0)
    if box is None:
        return Donor(name, torch.zeros(1, 1, 1, dtype=torch.int16), (0, 0, 0), (), geometry)
    labels, _ = labelled_parts(on_grid[box] > 0)
    objects = []
    for n, part in enumerate(ndimage.find_objects(labels), start=1):
        z, y, x = (
            slice(p.start + b.start, p.stop + b.start) for p, b in zip(part, box, strict=True)
        )
        objects.append(GridObject(0, exclusive=False, box=(z, y, x), mask=labels[part] == n))
    first = (box[0].start, box[1].start, box[2].start)
    return Donor(name, torch.from_numpy(labels.astype(np.int16)), first, tuple(objects), geometry)
