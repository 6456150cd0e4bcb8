"""`hippocampus-mr` on whole heads: both sides found, measured and, with an atlas, compared.

    python benchmarks/model_hippocampus_head.py [--data FOLDER] [--atlas FOLDER] [--turns]

The T1 brains of `ms_lesion_mr` are laid under a template made without them, and their sites are
taken from the other brains. ch2, a whole head with skull, and ch2bet, its brain, come from the
Debian package mricron-data with the AAL atlas, in which 37 and 38 are the left and right
hippocampus of that very head: the template knows nothing of them. AAL draws the hippocampus wider
than the training's labels do, with the fimbria, alveus and parts of the subiculum, so the best
Dice that a mask of its size can reach stands beside it. With `--turns` each head comes back turned,
stored otherwise, in thicker slices, cut, noisy and with a bias field: what its volumes change by.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from checking import SHARED, present
from head_template import averaged, brains, sites
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

import medseg
from medseg.inference.localise import Template
from medseg.inference.sides import segment_sides
from medseg.io.preview import write_preview
from medseg.models import Model
from medseg.transforms.channels import resample_to
from medseg.types import Geometry, Instances, Volume

MODEL = "hippocampus-mr"
DATA = SHARED / "data" / "ms_lesion_mr"
ATLAS = Path("/usr/share/mricron/templates")
AAL = {"left": 37, "right": 38}
SIDES = ("left", "right")

Row = dict[str, Any]


class Head(NamedTuple):
    """A head with the model that is fair to it, and its template (None is the shipped one)."""

    name: str
    volume: Volume
    model: Model
    template: Template | None


def heads(data: Path, atlas: Path, model: Model) -> Iterator[Head]:
    """The brains, each under a template of the others, and the atlas's head where it is there."""
    all_brains = brains(data)
    for name, volume in all_brains.items():
        others = [one for other, one in all_brains.items() if other != name]
        values, geometry = averaged(others)
        left_mm = tuple(sites(others).mean(axis=0).round(1).tolist())
        localiser = model.card.localiser.model_copy(update={"left_mm": left_mm})
        card = model.card.model_copy(update={"localiser": localiser})
        fair = Model(card, model.network, model.decoder)
        yield Head(f"ms_{name}", volume, fair, Template.of(Volume(values, geometry, "MR")))
    for name in ("ch2", "ch2bet"):
        if (path := atlas / f"{name}.nii.gz").is_file():
            volume = medseg.read(path, modality="MR")
            yield Head(name, volume.reoriented(*volume.geometry.closest_axes()), model, None)


def found_in(volume: Volume, model: Model, template: Template | None) -> tuple[Instances, float]:
    """What `medseg.segment` finds, and its seconds."""
    start = time.perf_counter()
    run = partial(medseg.segment, model=model, device="cpu")
    found = segment_sides(volume, model.card, run, template=template)
    return found, time.perf_counter() - start


def mask_of(found: Instances, side: str) -> NDArray[np.bool_]:
    """All of a side, on the head's grid."""
    mask = np.zeros(found.geometry.shape, dtype=np.bool_)
    for item in found.items:
        if item.class_name.endswith(side):
            mask[item.box] |= item.mask
    return mask


def centre_mm(mask: NDArray[np.bool_], geometry: Geometry) -> NDArray[np.float64]:
    """Centroid of a mask, LPS mm."""
    return geometry.index_to_world(np.argwhere(mask).mean(axis=0))


def side_row(name: str, found: Instances, seconds: float, side: str) -> Row:
    """Volumes of a side and what was said of it."""
    sizes = {
        item.class_name: item.voxel_count * found.geometry.voxel_ml
        for item in found.items
        if item.class_name.endswith(side)
    }
    return {
        "head": name,
        "side": side,
        "anterior ml": sizes.get(f"hippocampus_anterior_{side}", 0.0),
        "posterior ml": sizes.get(f"hippocampus_posterior_{side}", 0.0),
        "both ml": sum(sizes.values()),
        "likeness": found.provenance["localiser"]["likeness"],
        "seconds": seconds,
        "warnings": len([one for one in found.warnings if one.code != "modality-assumed"]),
    }


def atlas_row(mask: NDArray[np.bool_], truth: NDArray[np.bool_], geometry: Geometry) -> Row:
    """A side against the atlas."""
    both = int((mask & truth).sum())
    away = np.linalg.norm(centre_mm(mask, geometry) - centre_mm(truth, geometry))
    return {
        "atlas ml": int(truth.sum()) * geometry.voxel_ml,
        "inside the atlas": both / int(mask.sum()),
        "Dice": 2 * both / int(mask.sum() + truth.sum()),
        "best Dice": 2 * int(mask.sum()) / int(mask.sum() + truth.sum()),
        "centres mm": float(away),
    }


def turned(volume: Volume, degrees: tuple[float, float, float]) -> Volume:
    """The head turned about its middle and sampled anew on a straight 1 mm grid that holds it."""
    turn = np.eye(4)
    turn[:3, :3] = Rotation.from_euler("xyz", degrees, degrees=True).as_matrix()
    middle = volume.geometry.index_to_world((np.array(volume.geometry.shape) - 1) / 2)
    turn[:3, 3] = middle - turn[:3, :3] @ middle
    moved = Volume(volume.array, Geometry(volume.geometry.shape, turn @ volume.geometry.affine))
    reach = int(np.linalg.norm(volume.geometry.shape) / 2) + 1
    grid = Geometry.from_spacing([2 * reach + 1] * 3, (1.0, 1.0, 1.0), middle - reach)
    return sampled(moved, grid)


def sampled(volume: Volume, grid: Geometry) -> Volume:
    """The head on another grid, linear."""
    return Volume(resample_to(volume, grid).as_tensor().numpy()[0], grid, "MR")


def thicker(volume: Volume, spacing_mm: tuple[float, float, float]) -> Volume:
    """The head in voxels of that size."""
    shape = [int(n // mm) for n, mm in zip(volume.geometry.shape, spacing_mm, strict=True)]
    return sampled(volume, Geometry.from_spacing(shape, spacing_mm, volume.geometry.origin_mm))


def variants(volume: Volume) -> Iterator[tuple[str, Volume]]:
    """The head as it might have come otherwise."""
    array, geometry = volume.array.astype(np.float32), volume.geometry
    depth, height, width = geometry.shape
    rng, inside = np.random.default_rng(0), array > array.min()
    z, x = np.linspace(-1, 1, depth)[:, None, None], np.linspace(-1, 1, width)
    bias = (array - array.min()) * (1 + 0.3 * x - 0.3 * z)
    noise = rng.normal(0, 0.3 * array[inside].std(), array.shape)
    yield "turned 20° up", turned(volume, (20.0, 0.0, 0.0))
    yield "turned -20°, 10°, 15°", turned(volume, (-20.0, 10.0, 15.0))
    yield "axes and flips of storage", volume.reoriented((2, 0, 1), (True, False, True))
    yield "slices 2 mm", thicker(volume, (2.0, 1.0, 1.0))
    yield "slices 3 mm", thicker(volume, (3.0, 1.0, 1.0))
    yield "coronal slices 3 mm", thicker(volume, (1.0, 3.0, 1.0))
    yield (
        "30 mm cut above and below",
        volume.crop((slice(30, depth - 30), slice(0, height), slice(0, width))),
    )
    yield "noise, 0.3 of the deviation", Volume((array + noise).astype(np.float32), geometry, "MR")
    yield "bias field of ±60 %", Volume(bias.astype(np.float32), geometry, "MR")
    yield "values times 37 plus 1000", Volume(37 * array + 1000, geometry, "MR")


def change_rows(head: Head, found: Instances) -> list[Row]:
    """How the volumes of both sides change when the head comes otherwise, and the seconds."""
    before = found.provenance["localiser"]["volume_ml"]
    changed = []
    for what, other in variants(head.volume):
        again, seconds = found_in(other, head.model, head.template)
        after = again.provenance["localiser"]["volume_ml"]
        change = {f"{side} %": 100 * (after[side] / before[side] - 1) for side in SIDES}
        changed.append({"head": head.name, "as": what, **change, "seconds": seconds})
    return changed


def rows(
    chosen: Sequence[Head], atlas: Path, *, turns: bool = False, pictures: Path | None = None
) -> tuple[list[Row], list[Row], list[Row]]:
    """A row a side; a row a side against the atlas; a row a variant of each head."""
    sides, against, changed = [], [], []
    for head in chosen:
        found, seconds = found_in(head.volume, head.model, head.template)
        sides += [side_row(head.name, found, seconds, side) for side in SIDES]
        if pictures is not None:
            write_preview(head.volume, found, pictures / f"{head.name}.png", title=head.name)
        if head.name.startswith("ch2"):
            labels = medseg.read(atlas / "aal.nii.gz", modality="MR")
            labels = labels.reoriented(*labels.geometry.closest_axes())
            for side in SIDES:
                truth = labels.array == AAL[side]
                row = atlas_row(mask_of(found, side), truth, labels.geometry)
                against.append({"head": head.name, "side": side, **row})
        changed += change_rows(head, found) if turns else []
    return sides, against, changed


def tables(data: Path, _: Path | None) -> dict[str, list[Row]]:
    """Both sides of each head by title; `data` holds `ms_lesion_mr`, and folds there are none."""
    chosen = list(heads(data / DATA.name, ATLAS, medseg.load_model(MODEL)))
    sides, against, _changed = rows(chosen, ATLAS)
    found = {"whole heads": sides, "against the AAL atlas": against}
    return {title: kept for title, kept in found.items() if kept}


def print_rows(title: str, found: list[Row]) -> None:
    """A Markdown table."""
    if not found:
        return
    print(f"\n{title}\n\n| {' | '.join(found[0])} |\n|{' --- |' * len(found[0])}")
    for row in found:
        cells = [f"{one:.3g}" if isinstance(one, float) else str(one) for one in row.values()]
        print(f"| {' | '.join(cells)} |")


def main() -> int:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=DATA, help="holds images/ms_*_t1.nii.gz")
    parser.add_argument("--atlas", type=Path, default=ATLAS, help="holds ch2.nii.gz, aal.nii.gz")
    parser.add_argument("--model", default=MODEL, help="a shipped name or a package's folder")
    parser.add_argument("--turns", action="store_true", help="also turned, cut, noisy, ...")
    parser.add_argument("--pictures", type=Path, help="write a picture a head into this folder")
    parser.add_argument("--only", nargs="*", help="these heads alone: ms_07, ms_19, ch2, ...")
    arguments = parser.parse_args()
    data, model = present(arguments.data, "--data"), medseg.load_model(arguments.model)
    if not (arguments.atlas / "aal.nii.gz").is_file():
        print(f"no aal.nii.gz in {arguments.atlas}: apt-get install mricron-data", file=sys.stderr)
    chosen = [
        one
        for one in heads(data, arguments.atlas, model)
        if arguments.only is None or one.name in arguments.only
    ]
    if arguments.pictures is not None:
        arguments.pictures.mkdir(parents=True, exist_ok=True)
    sides, against, changed = rows(
        chosen, arguments.atlas, turns=arguments.turns, pictures=arguments.pictures
    )
    print_rows(f"{model.card.name} {model.card.version} in whole heads", sides)
    print_rows("Against the AAL atlas", against)
    print_rows("What the volumes change by", changed)
    return 0


if __name__ == "__main__":
    sys.exit(main())
