"""Where a head lies: a template of the brain laid over a T1 image, by similarity and then affinely.

The template is tried at every place of the image at once, in many turns and sizes, by masked
correlation in Fourier space (Padfield, "Masked object registration in the Fourier domain", IEEE
TIP 2012): nothing is asked of where the image begins or ends. SimpleITK refines the best ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from itertools import product
from typing import TYPE_CHECKING, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.fft import irfftn, next_fast_len, rfftn
from scipy.ndimage import binary_dilation, binary_erosion, gaussian_filter, map_coordinates
from scipy.spatial.transform import Rotation

from medseg.io import read
from medseg.io.bridges import to_simpleitk
from medseg.models.packages import template_path
from medseg.transforms.channels import resample_to
from medseg.transforms.grids import GridMap, interpolate_at
from medseg.transforms.resampling import resample_linear, spacing_grid
from medseg.types import Geometry, Volume

if TYPE_CHECKING:
    import SimpleITK

FINE_MM, COARSE_MM = 2.0, 8.0
BRAIN, RIM_MM, EDGE_MM = 0.25, 6.0, 4.0
"""From which part of its maximum on the template is brain; how far around it the images are laid
over each other (there it is dark, skull or none), and how far inside it likeness begins."""

PITCHES, TURNS = (-45.0, -30.0, -15.0, 0.0, 15.0, 30.0, 45.0), (-20.0, 0.0, 20.0)
SCALES = (0.9, 1.02, 1.15)
"""Degrees about x, then about y and z; sizes against the template, whose brain is of usual size."""

LEAST_OVERLAP = 0.5
"""The share of the template that must lie in the image's field of view."""

STARTS = 3
BINS, STEPS, SEED = 32, 100, 1
SHARE_OF_FINE = 0.2
HIGH_PERCENTILE = 99.5


@dataclass(frozen=True, eq=False)
class Pose:
    """Takes points of the template's world to the image's: `matrix` is 4x4 over LPS mm.

    `likeness` is the correlation of the two inside the template's brain, at most 1: of the tissues'
    contrast, that is, and not of the outline, in which heads of other contrasts are alike too.
    """

    matrix: NDArray[np.float64]
    likeness: float = 1.0

    @classmethod
    def identity(cls) -> Self:
        """The pose of an image in the template's own world."""
        return cls(np.eye(4))

    @property
    def rotation(self) -> NDArray[np.float64]:
        """(3, 3): the rotation nearest to the linear part."""
        left, _, right = np.linalg.svd(self.matrix[:3, :3])
        return np.asarray(left @ right, dtype=np.float64)

    def moved(self, point_lps_mm: ArrayLike) -> NDArray[np.float64]:
        """A point (x, y, z) of the template in the image's world."""
        moved = self.matrix[:3, :3] @ np.asarray(point_lps_mm) + self.matrix[:3, 3]
        return np.asarray(moved, dtype=np.float64)


@dataclass(frozen=True, eq=False)
class Aligned:
    """An image on a grid along x, y, z of the world; `inside` is where its field of view reaches.

    Shapes: values (Z, Y, X) float32, inside (Z, Y, X); both on `geometry`.
    """

    values: NDArray[np.float32]
    inside: NDArray[np.bool_]
    geometry: Geometry

    @classmethod
    def of(cls, volume: Volume) -> Self:
        """A volume at 2 mm, its brightest values clipped."""
        geometry = _straight_grid(volume.geometry, FINE_MM)
        moved = resample_to(_reduced(volume, FINE_MM), geometry).as_tensor().numpy()[0]
        inside = _inside(volume.geometry, geometry)
        bright = moved[inside & (moved > moved[inside].min(initial=np.inf))]
        high = np.percentile(bright, HIGH_PERCENTILE) if bright.size else np.inf
        return cls(np.minimum(moved, high).astype(np.float32), inside, geometry)

    def coarse(self, step: int) -> Aligned:
        """Every `step`-th voxel, after smoothing to that width; one at least along each axis."""
        sigma = np.sqrt((step**2 - 1) / (8 * np.log(2)))
        first = [min(step // 2, length - 1) for length in self.values.shape]
        taken = tuple(slice(start, None, step) for start in first)
        affine = self.geometry.affine @ np.diag([step] * 3 + [1.0])
        affine[:3, 3] = self.geometry.index_to_world(first)
        values = gaussian_filter(self.values, sigma)[taken]
        return Aligned(values, self.inside[taken], Geometry(values.shape, affine))


@dataclass(frozen=True, eq=False)
class Template:
    """A brain to be laid over heads, axes to S, P, L at 2 mm.

    Shapes: all (Z, Y, X) on `geometry`. `mask` is the brain and a rim around it, where images are
    laid over each other; `brain` is its inside, where likeness is asked for.
    """

    values: NDArray[np.float32]
    mask: NDArray[np.bool_]
    brain: NDArray[np.bool_]
    geometry: Geometry

    @classmethod
    def of(cls, volume: Volume) -> Self:
        """The template of a brain on a background of 0, without a skull, at 2 mm.

        Raises ValueError for another spacing.
        """
        turned = volume.reoriented(*volume.geometry.closest_axes())
        if not np.allclose(turned.geometry.spacing_mm, FINE_MM, rtol=1e-3):
            msg = f"a template has voxels of {FINE_MM:g} mm; got {turned.geometry!r}"
            raise ValueError(msg)
        values = turned.array.astype(np.float32)
        brain = values > BRAIN * values.max()
        rim, inside = binary_dilation(brain, _ball(RIM_MM)), binary_erosion(brain, _ball(EDGE_MM))
        return cls(values, rim, inside, turned.geometry)


@cache
def shipped_template(name: str) -> Template:
    """A template that comes with medseg."""
    return Template.of(read(template_path(name), modality="MR"))


def find_head(volume: Volume, template: Template) -> Pose:
    """The pose of a T1 head under a template; it is only as good as its `likeness`.

    The same image gives the same pose. Heads may lie anywhere, with neck or without, turned by
    some 45 degrees up or down and 30 to a side, and be cut where half of the brain is left.
    """
    head = Aligned.of(volume)
    starts = [
        Pose(matrix, likeness(head, template, template.mask, matrix))
        for matrix in _starts(head, template)
    ]
    poses = [_refined(head, template, start, fine=False) for start in starts]
    best = max(poses, key=lambda pose: pose.likeness)
    found = _refined(head, template, best, fine=True)
    return replace(found, likeness=likeness(head, template, template.brain, found.matrix))


def _ball(radius_mm: float) -> NDArray[np.bool_]:
    """Voxels of a template within a distance of the middle one."""
    reach_mm = np.indices([2 * int(radius_mm / FINE_MM) + 1] * 3) * FINE_MM
    return np.asarray(((reach_mm - reach_mm.max() / 2) ** 2).sum(axis=0) <= radius_mm**2)


def _reduced(volume: Volume, spacing_mm: float) -> Volume:
    """The volume with no axis sampled more finely than `spacing_mm`."""
    import torch

    source = volume.geometry
    wanted = [max(mm, spacing_mm) for mm in source.spacing_mm]
    geometry = spacing_grid(source, wanted)
    values = torch.from_numpy(np.ascontiguousarray(volume.array, dtype=np.float32))[None]
    moved = resample_linear(values, GridMap.between(geometry, source), geometry.shape)
    return Volume(moved.numpy()[0], geometry, volume.modality, volume.unit)


def _straight_grid(source: Geometry, spacing_mm: float) -> Geometry:
    """The grid along the world's axes that holds all of another grid's voxels."""
    ends = np.array([[-0.5, n - 0.5] for n in source.shape])
    corners = np.stack(np.meshgrid(*ends, indexing="ij"), axis=-1).reshape(-1, 3)
    world = source.index_to_world(corners)
    low, high = world.min(axis=0), world.max(axis=0)
    shape = np.maximum(np.ceil((high - low) / spacing_mm).astype(int), 1)[::-1]
    return Geometry.from_spacing(shape.tolist(), [spacing_mm] * 3, low + spacing_mm / 2)


def _inside(source: Geometry, grid: Geometry) -> NDArray[np.bool_]:
    """Which voxels of `grid` have their centres in a voxel of `source`."""
    index = np.stack(np.meshgrid(*map(np.arange, grid.shape), indexing="ij"), axis=-1)
    seen = source.world_to_index(grid.index_to_world(index))
    return np.asarray(((seen > -0.5) & (seen < np.array(source.shape) - 0.5)).all(axis=-1))


def _starts(head: Aligned, template: Template) -> list[NDArray[np.float64]]:
    """The best similarities by correlation at 8 mm: pitch and size, then turns to a side."""
    search = _Search(head.coarse(round(COARSE_MM / FINE_MM)), template)
    first = sorted(search.tried(PITCHES, (0.0,), (0.0,)), key=lambda one: -one[0])[:STARTS]
    found = list(first)
    for _, (pitch, _, _), _, _ in first:
        found += search.tried((pitch,), TURNS, TURNS)
    found.sort(key=lambda one: -one[0])
    chosen: list[NDArray[np.float64]] = []
    for one in found:
        if len(chosen) < STARTS and not any(np.array_equal(one[3], kept) for kept in chosen):
            chosen.append(one[3])
    return chosen


Tried = tuple[float, tuple[float, float, float], float, NDArray[np.float64]]
"""Correlation, degrees about (x, y, z), size, and the matrix of a similarity."""


class _Search:
    """Correlates a turned template with an image at every shift."""

    def __init__(self, head: Aligned, template: Template) -> None:
        self.head, self.mask = head, template.mask.astype(np.float32)
        self.geometry = template.geometry
        width = COARSE_MM / FINE_MM / np.sqrt(8 * np.log(2))
        self.smooth = gaussian_filter(template.values, width)
        where = template.geometry.index_to_world(np.argwhere(template.mask))
        self.centre = (where.min(axis=0) + where.max(axis=0)) / 2
        reach = np.linalg.norm(where - self.centre, axis=1).max() * max(SCALES)
        self.half = int(np.ceil(reach / COARSE_MM))
        size = [n + 2 * self.half for n in head.values.shape]
        self.size = tuple(next_fast_len(n, real=True) for n in size)
        inside = head.inside.astype(np.float64)
        # Correlation does not ask for the level; near 0 the squares lose nothing.
        level = head.values[head.inside].mean() if head.inside.any() else 0.0
        values = np.where(head.inside, head.values - level, 0.0)
        values /= max(float(values.std()), 1e-12)
        self.image = [rfftn(one, self.size) for one in (inside, values, values**2)]

    def tried(
        self, pitches: Sequence[float], rolls: Sequence[float], yaws: Sequence[float]
    ) -> list[Tried]:
        """The best shift of each turn and size."""
        return [
            self._best_shift(degrees, scale)
            for *degrees, scale in product(pitches, rolls, yaws, SCALES)
        ]

    def _best_shift(self, degrees: Sequence[float], scale: float) -> Tried:
        turn = Rotation.from_euler("xyz", degrees, degrees=True).as_matrix()
        values, mask = self._turned(turn, scale)
        found, enough = _correlation(self.image, values, mask, self.size)
        place = np.unravel_index(int(np.argmax(np.where(enough, found, -1.0))), found.shape)
        best = float(found[place]) if enough[place] else -1.0
        middle = np.array(place) + self.half
        middle = np.where(middle >= self.size, middle - self.size, middle)
        matrix = np.eye(4)
        matrix[:3, :3] = scale * turn
        world = self.head.geometry.index_to_world(middle)
        matrix[:3, 3] = world - matrix[:3, :3] @ self.centre
        x, y, z = degrees
        return best, (x, y, z), scale, matrix

    def _turned(
        self, turn: NDArray[np.float64], scale: float
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Template and mask on a cube of the image's grid, the template's middle in its middle."""
        axis = np.arange(-self.half, self.half + 1) * COARSE_MM
        z, y, x = np.meshgrid(axis, axis, axis, indexing="ij")
        world = np.stack([x, y, z], axis=-1) @ turn / scale + self.centre  # the inverse turn
        index = np.moveaxis(self.geometry.world_to_index(world), -1, 0)
        mask = map_coordinates(self.mask, index, order=1) > 0.5
        values = map_coordinates(self.smooth, index, order=1) * mask
        mean, std = values[mask].mean(), values[mask].std()
        return np.where(mask, (values - mean) / max(std, 1e-12), 0.0), mask.astype(np.float64)


def _correlation(
    image: Sequence[NDArray[np.complex128]],
    values: NDArray[np.float64],
    mask: NDArray[np.float64],
    size: Sequence[int],
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Correlation over what both masks hold, at every shift of the template's corner.

    `image` are the spectra of its mask, values and squares. Also where enough of the template is
    in the field of view.
    """
    kernel = [np.conj(rfftn(one, size)) for one in (mask, values, values**2)]

    def at_shifts(a: int, b: int) -> NDArray[np.float64]:
        return np.asarray(irfftn(image[a] * kernel[b], size), dtype=np.float64)

    count = at_shifts(0, 0)
    enough = count >= LEAST_OVERLAP * mask.sum()
    count = np.maximum(count, 1.0)
    mean_image, mean_kernel = at_shifts(1, 0) / count, at_shifts(0, 1) / count
    product_ = at_shifts(1, 1) / count - mean_image * mean_kernel
    spread = (at_shifts(2, 0) / count - mean_image**2) * (at_shifts(0, 2) / count - mean_kernel**2)
    return product_ / np.sqrt(np.maximum(spread, 1e-6)), enough


def _refined(head: Aligned, template: Template, start: Pose, *, fine: bool) -> Pose:
    """The affine pose that SimpleITK finds from another, at 2 mm or, before that, at 4 mm."""
    import SimpleITK

    moved = _as_transform(start, template.geometry)
    method = SimpleITK.ImageRegistrationMethod()
    method.SetNumberOfThreads(1)  # sums in one order: the same image gives the same pose
    method.SetMetricAsMattesMutualInformation(BINS)
    method.SetMetricFixedMask(_itk(template.mask.astype(np.uint8), template.geometry))
    method.SetMetricMovingMask(_itk(head.inside.astype(np.uint8), head.geometry))
    method.SetMetricSamplingStrategy(method.REGULAR)
    method.SetMetricSamplingPercentage(SHARE_OF_FINE if fine else 1.0, SEED)
    method.SetInterpolator(SimpleITK.sitkLinear)
    method.SetShrinkFactorsPerLevel([1 if fine else 2])
    method.SetSmoothingSigmasPerLevel([0.0 if fine else FINE_MM])
    method.SmoothingSigmasAreSpecifiedInPhysicalUnitsOn()
    method.SetOptimizerAsRegularStepGradientDescent(
        learningRate=0.5 if fine else 2.0,
        minStep=0.01,
        numberOfIterations=STEPS,
        relaxationFactor=0.6,
    )
    method.SetOptimizerScalesFromPhysicalShift()
    method.SetInitialTransform(moved, inPlace=True)
    try:
        method.Execute(_itk(template.values, template.geometry), _itk(head.values, head.geometry))
    except RuntimeError:  # ITK's word for images that slid off each other
        return start
    matrix = np.eye(4)
    matrix[:3, :3] = np.reshape(moved.GetMatrix(), (3, 3))
    matrix[:3, 3] = moved.TransformPoint((0.0, 0.0, 0.0))
    return Pose(matrix, likeness(head, template, template.mask, matrix))


def _as_transform(pose: Pose, grid: Geometry) -> SimpleITK.AffineTransform:
    """A pose as ITK has it, about the middle of a grid."""
    import SimpleITK

    middle = grid.index_to_world((np.array(grid.shape) - 1) / 2)
    transform = SimpleITK.AffineTransform(3)
    transform.SetCenter(middle.tolist())
    transform.SetMatrix(pose.matrix[:3, :3].ravel().tolist())
    transform.SetTranslation((pose.moved(middle) - middle).tolist())
    return transform


def likeness(
    head: Aligned, template: Template, mask: NDArray[np.bool_], matrix: NDArray[np.float64]
) -> float:
    """Correlation of template and image under a pose, in `mask` where both reach; else -1."""
    points = np.argwhere(mask)
    world = template.geometry.index_to_world(points) @ matrix[:3, :3].T + matrix[:3, 3]
    index = head.geometry.world_to_index(world)
    near = np.rint(index).astype(np.int64)
    held = np.asarray(((near >= 0) & (near < head.values.shape)).all(axis=1))
    held[held] = head.inside[tuple(near[held].T)]
    if held.sum() < LEAST_OVERLAP * len(points):
        return -1.0
    here = interpolate_at(head.values[None], *np.ascontiguousarray(index[held].T))[0]
    there = template.values[mask][held]
    if here.std() == 0:
        return -1.0
    return float(np.corrcoef(here, there)[0, 1])


def _itk(array: NDArray[np.generic], geometry: Geometry) -> SimpleITK.Image:
    return to_simpleitk(Volume(array, geometry))
