"""The tables of `lung-nodule-ct`: crops, clicks off the centre, a click in a whole CT, a threshold.

    python benchmarks/model_nodules.py [--data FOLDER] [--packages FOLDER] [--part PART]

`--data` holds `lung_nodule_ct`. The shipped package is judged, or `lung-nodule-ct` in the folder of
`--packages`, on the recipe's held-out patients; `--part validation` judges those that choices are
made by. Every nodule is segmented three times: its crop as the whole image; with a click in the
middle of the true mask's box; and with clicks half a radius away from there, in random directions,
where the radius is that of a ball of the nodule's volume. Beside it stands what a threshold gives
whose value was chosen on the training part: the connected part nearest to the middle. Last, every
tenth crop is pasted into a CT of 512 × 512 × 300 voxels, and the seconds and the memory of a click
are taken.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from checking import SHARED, present
from folds import patient_of
from model_sarcoma import print_table, shipped_recipe
from numpy.typing import NDArray
from scipy.ndimage import label
from timing import in_fresh_process

import medseg
from medseg.evaluation.bootstrap import case_weights, interval, medians
from medseg.models import Model
from medseg.models.packages import package_folder
from medseg.training.datasets import LoadedCase, list_cases, load_case, split_cases
from medseg.types import Geometry, Instances, Volume

Row = dict[str, Any]
Mask = NDArray[np.bool_]

MODEL, FOLDER = "lung-nodule-ct", "lung_nodule_ct"
DICE_BAR, VOLUME_BAR, CLICK_BAR = 0.82, 0.12, 0.02
SECONDS_BAR, MEGABYTES_BAR = 1.0, 1000.0
SMALL_MM3 = 100.0
CLICKS = 3
THRESHOLDS_HU = (-700, -600, -500, -400, -300, -200)
TRAINING_CASES = 150
CT_SHAPE = (300, 512, 512)
LUNG_HU, LUNG_SD_HU = -850.0, 30.0
ROUNDS, EVERY = 3, 10


def truth_mask(case: LoadedCase) -> Mask:
    """The true mask, (z, y, x)."""
    return np.asarray(case.truth.to_labelmap() > 0)


def middle_of(mask: Mask, geometry: Geometry) -> NDArray[np.float64]:
    """The middle of a mask's box, LPS mm."""
    where = np.argwhere(mask)
    return geometry.index_to_world((where.min(axis=0) + where.max(axis=0)) / 2)


def off_the_middle(
    mask: Mask, geometry: Geometry, rng: np.random.Generator
) -> list[NDArray[np.float64]]:
    """Points half a radius from the middle of a nodule, LPS mm, inside the image."""
    radius_mm = (3 * np.count_nonzero(mask) * geometry.voxel_ml * 1000 / (4 * np.pi)) ** (1 / 3)
    middle, last = middle_of(mask, geometry), np.array(geometry.shape) - 1
    found = []
    for _ in range(CLICKS):
        direction = rng.normal(size=3)
        direction *= radius_mm / 2 / np.linalg.norm(direction)
        inside = np.clip(geometry.world_to_index(middle + direction), 0, last)
        found.append(geometry.index_to_world(inside))
    return found


def compared(case: LoadedCase, found: Mask) -> Row:
    """The figures of one mask."""
    wanted, voxel_mm3 = truth_mask(case), case.truth.geometry.voxel_ml * 1000
    both, count = np.count_nonzero(found & wanted), np.count_nonzero(wanted)
    return {
        "case": case.id,
        "mm3": count * voxel_mm3,
        "touches": touches(wanted),
        "dice": 2 * both / (np.count_nonzero(found) + count),
        "error": np.count_nonzero(found) / count - 1,
    }


def touches(mask: Mask) -> bool:
    """Whether a mask reaches the border of its image."""
    faces = [mask.take(end, axis=axis) for axis in range(3) for end in (0, -1)]
    return any(bool(face.any()) for face in faces)


def as_mask(found: Instances) -> Mask:
    """What was found, on the image's grid."""
    return np.asarray(found.to_labelmap("higher_score") > 0)


def summary(what: str, rows: Sequence[Row]) -> Row:
    """Figures over nodules; intervals are a bootstrap's over patients."""
    if not rows:
        return {"what": what, "nodules": 0}
    dice = np.array([row["dice"] for row in rows])
    error = np.abs([row["error"] for row in rows])
    weights = case_weights([patient_of(MODEL, row["case"]) for row in rows], 2000, 0)
    low, high = interval(weights @ dice / weights.sum(axis=1), 0.95)
    least, most = interval(medians(error, np.arange(len(rows)), weights), 0.95)
    return {
        "what": what,
        "nodules": len(rows),
        "patients": len({patient_of(MODEL, row["case"]) for row in rows}),
        "mean Dice": float(dice.mean()),
        "95 % interval": f"{low:.3f} to {high:.3f}",
        "median Dice": float(np.median(dice)),
        "Dice below 0.6": int((dice < 0.6).sum()),
        "median absolute volume error": float(np.median(error)),
        "its 95 % interval": f"{least:.3f} to {most:.3f}",
        "mean volume error": float(np.mean([row["error"] for row in rows])),
    }


def by_threshold(case: LoadedCase, threshold_hu: float) -> Mask:
    """What is brighter than a threshold and hangs together (26), nearest to the crop's middle."""
    (volume,) = case.volumes.values()
    parts, count = label(volume.array > threshold_hu, np.ones((3, 3, 3)))
    if not count:
        return np.zeros(volume.array.shape, dtype=np.bool_)
    where = np.argwhere(parts)
    middle = (np.array(parts.shape) - 1) / 2
    away = np.linalg.norm((where - middle) * volume.geometry.spacing_mm, axis=1)
    return np.asarray(parts == parts[tuple(where[away.argmin()])])


def best_threshold(cases: Sequence[LoadedCase]) -> float:
    """The threshold with the highest mean Dice on the cases."""
    means = {
        hu: np.mean([compared(case, by_threshold(case, hu))["dice"] for case in cases])
        for hu in THRESHOLDS_HU
    }
    return max(means, key=lambda hu: means[hu])


def crop_tables(model: Model, cases: Sequence[LoadedCase]) -> dict[str, list[Row]]:
    """The figures of crops as whole images, and of clicks in and off the middle."""
    rng = np.random.default_rng(0)
    whole, centred, off = [], [], []
    for case in cases:
        wanted, geometry = truth_mask(case), case.truth.geometry
        whole.append(compared(case, as_mask(medseg.segment(case.volumes, model, device="cpu"))))
        middle = middle_of(wanted, geometry)
        centred.append(clicked(case, model, middle))
        off += [clicked(case, model, point) for point in off_the_middle(wanted, geometry, rng)]
    small = [row for row in whole if row["mm3"] < SMALL_MM3]
    crops = [
        summary("all", whole),
        summary("touches the crop's border", [row for row in whole if row["touches"]]),
        summary("inside the crop", [row for row in whole if not row["touches"]]),
        summary(f"under {SMALL_MM3:g} mm³", small),
        summary(f"{SMALL_MM3:g} mm³ and more", [one for one in whole if one not in small]),
    ]
    clicks = [summary("in the middle", centred), summary("half a radius off", off)]
    return {"crops": crops, "clicks": clicks}


def clicked(case: LoadedCase, model: Model, point: NDArray[np.float64]) -> Row:
    """The figures of a click."""
    found = medseg.segment(case.volumes, model, at=point.tolist(), device="cpu")
    return compared(case, as_mask(found))


def ct_around(volume: Volume) -> tuple[Volume, NDArray[np.float64]]:
    """A CT of lung and noise with a crop pasted into its middle, and where that lies, LPS mm."""
    rng = np.random.default_rng(0)
    turned = volume.reoriented(*volume.geometry.closest_axes())
    array = np.empty(CT_SHAPE, dtype=np.int16)
    for plane in array:
        plane[...] = rng.normal(LUNG_HU, LUNG_SD_HU, plane.shape)
    first = [(n - m) // 2 for n, m in zip(CT_SHAPE, turned.array.shape, strict=True)]
    place = tuple(slice(a, a + m) for a, m in zip(first, turned.array.shape, strict=True))
    array[place] = turned.array
    geometry = Geometry.from_spacing(CT_SHAPE, turned.geometry.spacing_mm, (-180.0, -180.0, -300.0))
    middle = [a + (m - 1) / 2 for a, m in zip(first, turned.array.shape, strict=True)]
    return Volume(array, geometry, "CT", "HU"), geometry.index_to_world(middle)


CLICK = """
import json, statistics, sys, time
import medseg
from model_nodules import ROUNDS, ct_around
from timing import extra_memory_mb, resident_mb
model, rows = medseg.load_model(sys.argv[1]), []
for image in sys.argv[2:]:
    ct, point = ct_around(medseg.read(image, modality="CT", unit="HU"))
    click = lambda: medseg.segment(ct, model, at=point.tolist(), device="cpu")
    extra = extra_memory_mb(click)
    seconds = []
    for _ in range(ROUNDS):
        began = time.perf_counter()
        found = click()
        seconds.append(time.perf_counter() - began)
    length = found.provenance["windows"]["shape_zyx"][0] * model.card.spacing_mm[0]
    rows.append({
        "region": length,
        "objects": len(found.items),
        "seconds": statistics.median(seconds),
        "extra MB": extra,
        "process MB": resident_mb()[1],
    })
print(json.dumps({"clicks": rows}))
"""


def whole_ct_rows(package: Path, images: Sequence[Path]) -> list[Row]:
    """Clicks in whole CT, in a process of its own: seconds once loaded, and memory.

    All first, then by the length of the region that the nodule asked for.
    """
    answers = in_fresh_process(CLICK, str(package), *map(str, images))["clicks"]
    shape = " × ".join(str(length) for length in reversed(CT_SHAPE))
    memory = {name: max(one[name] for one in answers) for name in ("extra MB", "process MB")}
    rows = [{**clicks_row(f"a click in {shape} voxels", answers), **memory}]
    for length in sorted({one["region"] for one in answers}):
        those = [one for one in answers if one["region"] == length]
        rows.append(clicks_row(f"of them, in a region of {length:.0f} mm", those))
    return rows


def clicks_row(what: str, answers: Sequence[Row]) -> Row:
    """The figures of some clicks."""
    return {
        "what": what,
        "nodules": len(answers),
        "objects": sum(one["objects"] for one in answers),
        "median seconds": statistics.median(one["seconds"] for one in answers),
        "slowest seconds": max(one["seconds"] for one in answers),
    }


def tables(data: Path, packages: Path | None, part: str = "held_out") -> dict[str, list[Row]]:
    """All tables by title; `packages` holds `lung-nodule-ct`, None is the shipped one."""
    package = package_folder(MODEL) if packages is None else packages / MODEL
    recipe, root = shipped_recipe(MODEL), data / FOLDER
    split = split_cases(recipe.data, list_cases(recipe, root))
    cases = [load_case(case, recipe) for case in getattr(split, part)]
    step = max(1, len(split.training) // TRAINING_CASES)
    threshold = best_threshold([load_case(one, recipe) for one in split.training[::step]])
    baseline = [compared(case, by_threshold(case, threshold)) for case in cases]
    found = crop_tables(medseg.load_model(str(package)), cases)
    title = f"above {threshold:g} HU, the part nearest to the middle"
    found["crops"].append(summary(title, baseline))
    every = getattr(split, part)[::EVERY]
    found["whole CT"] = whole_ct_rows(package, [next(iter(one.images.values())) for one in every])
    return found


def missed(found: dict[str, list[Row]]) -> list[str]:
    """The bars that are not met, in words."""
    crops, (middle, off), whole = found["crops"][0], found["clicks"], found["whole CT"][0]
    lost = middle["mean Dice"] - off["mean Dice"]
    judged = [
        ("mean Dice", crops["mean Dice"], DICE_BAR, crops["mean Dice"] >= DICE_BAR),
        (
            "median absolute volume error",
            crops["median absolute volume error"],
            VOLUME_BAR,
            crops["median absolute volume error"] <= VOLUME_BAR,
        ),
        ("Dice lost half a radius off", lost, CLICK_BAR, lost <= CLICK_BAR),
        (
            "seconds of the slowest click",
            whole["slowest seconds"],
            SECONDS_BAR,
            whole["slowest seconds"] <= SECONDS_BAR,
        ),
        ("MB of a click", whole["extra MB"], MEGABYTES_BAR, whole["extra MB"] <= MEGABYTES_BAR),
    ]
    return [f"{name}: {got:.3f}, bar {bar:g}" for name, got, bar, met in judged if not met]


def main() -> int:
    """Print the tables; 0 where every bar is met."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, default=SHARED / "data", help=f"holds {FOLDER}")
    parser.add_argument("--packages", type=Path, help=f"holds {MODEL}; by default what ships")
    parser.add_argument("--part", choices=("held_out", "validation"), default="held_out")
    parser.add_argument("--json", type=Path, help="write the tables here too")
    asked = parser.parse_args()
    data = present(asked.data, "--data")
    packages = None if asked.packages is None else present(asked.packages, "--packages")
    found = tables(data, packages, asked.part)
    for title, rows in found.items():
        print_table(title, rows)
    if asked.json is not None:
        asked.json.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    words = missed(found)
    print("\nall bars met" if not words else "\nNOT MET\n  " + "\n  ".join(words))
    return 1 if words else 0


if __name__ == "__main__":
    sys.exit(main())
