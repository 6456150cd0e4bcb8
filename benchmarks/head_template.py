"""The template by which `hippocampus-mr` finds its way in a whole head, and the sites in it.

    python benchmarks/head_template.py [--data FOLDER] [--without ID] [--out FILE]

Averages the T1 brains of `ms_lesion_mr`, which lie in MNI space already, and their mirror images,
at 2 mm: symmetric, so that a side is known by place alone. Then finds both hippocampi in each brain
with the shipped model, from a start that is right to a centimetre, and prints where their boxes lie
on average, mirrored onto the left: the site that the card states. With `--without` a brain is left
out, for tables on that brain. The same files give the same bytes.
"""

from __future__ import annotations

import argparse
import gzip
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
from checking import SHARED, present
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

import medseg
from medseg.inference.localise import Pose
from medseg.inference.sides import find_side
from medseg.io.atomic import atomic_path
from medseg.io.bridges import to_nibabel
from medseg.models.packages import template_path
from medseg.types import Geometry, Volume

MODEL = "hippocampus-mr"
DATA = SHARED / "data" / "ms_lesion_mr"
START_MM = np.array([25.0, 21.0, -8.0])
"""LPS millimetres of MNI space: about where textbooks place the middle of a left hippocampus."""

SPACING_MM = 2
FWHM_MM = 3.0


def brains(data: Path, without: Sequence[str] = ()) -> dict[str, Volume]:
    """The T1 brains by patient, axes turned to S, P, L."""
    found = {}
    for path in sorted((data / "images").glob("ms_*_t1.nii.gz")):
        if (name := path.name.split("_")[1]) not in without:
            volume = medseg.read(path, modality="MR")
            found[name] = volume.reoriented(*volume.geometry.closest_axes())
    return found


def scaled(volume: Volume) -> NDArray[np.float32]:
    """Values over their median in the brain; 0 outside, where the source has one constant."""
    array = volume.array.astype(np.float32)
    outside = array == array.min()
    array -= array.min()
    array /= np.median(array[~outside])
    array[outside] = 0.0
    return array


def averaged(volumes: Sequence[Volume]) -> tuple[NDArray[np.uint8], Geometry]:
    """Mean over brains and their mirror images at 2 mm, and its grid, centred on x = 0."""
    total = sum(scaled(one) for one in volumes) / len(volumes)
    smooth = gaussian_filter(total, FWHM_MM / np.sqrt(8 * np.log(2)))
    geometry = volumes[0].geometry
    middle = geometry.world_to_index((0.0, 0.0, 0.0))[2]
    reach = int(min(middle, geometry.shape[2] - 1 - middle)) // SPACING_MM * SPACING_MM
    first = round(middle) - reach
    cut = smooth[::SPACING_MM, ::SPACING_MM, first : first + 2 * reach + 1 : SPACING_MM]
    both = (cut + cut[..., ::-1]) / 2
    step = np.diag([SPACING_MM] * 3 + [1.0])
    step[2, 3] = first
    values = np.clip(np.rint(both * 128), 0, 255).astype(np.uint8)
    return values, Geometry(values.shape, geometry.affine @ step)


def write_template(values: NDArray[np.uint8], geometry: Geometry, path: Path) -> None:
    """Write it as NIfTI; without a time in the gzip header, so that bytes do not change."""
    image = to_nibabel(Volume(values, geometry))
    with atomic_path(path) as temporary:
        temporary.write_bytes(gzip.compress(image.to_bytes(), compresslevel=9, mtime=0))


def sites(volumes: Sequence[Volume]) -> NDArray[np.float64]:
    """Middle of each hippocampus, (N, 3) LPS mm, right ones mirrored onto the left."""
    model = medseg.load_model(MODEL)
    run = partial(medseg.segment, model=model, device="cpu")
    found = []
    for volume in volumes:
        for sign in (1.0, -1.0):
            mirror = np.array([sign, 1.0, 1.0])
            channels = {model.card.channels[0].name: volume}
            side = find_side(channels, model.card, Pose.identity(), START_MM * mirror, run)
            found.append(side.centre_mm * mirror)
    return np.array(found)


def main() -> int:
    """Write the template and print the site."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=DATA, help="holds images/ms_*_t1.nii.gz")
    parser.add_argument("--without", nargs="*", default=[], help="patients to leave out")
    parser.add_argument("--out", type=Path, default=template_path("head-t1"))
    arguments = parser.parse_args()
    volumes = list(brains(present(arguments.data, "--data"), arguments.without).values())
    values, geometry = averaged(volumes)
    write_template(values, geometry, arguments.out)
    print(f"{arguments.out}: {len(volumes)} brains, {arguments.out.stat().st_size / 1e6:.2f} MB")
    where = sites(volumes)
    mean, spread = where.mean(axis=0), where.std(axis=0, ddof=1)
    print("left site, LPS mm:", ", ".join(f"{mm:.1f}" for mm in mean))
    print("standard deviation:", ", ".join(f"{mm:.1f}" for mm in spread))
    return 0


if __name__ == "__main__":
    sys.exit(main())
