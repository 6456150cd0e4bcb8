r"""Every case of Panoptica, surface-distance and picai_eval: what they expect, what medseg gives.

    python benchmarks/evaluating_references.py [--shared FOLDER]
        [--panoptica PYTHON] [--surface-distance PYTHON]

- Panoptica's unit cases: matched at IoU 0.5; the Dice of a case is that of the class's union.
- surface-distance's unit cases in 3D; where its rule for empty masks is another, that is said.
- picai_eval's ten cases: lesion by lesion, AP with every score as a point, AUROC of cases.

Where an interpreter with a peer is given, random scenes are put to it too (see
`evaluating_speed.py`; `pip install surface-distance==0.1`). Ends with exit status 1 where a value
differs and no difference in rule is named.
"""

from __future__ import annotations

import argparse
import json
import math
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK
from checking import SHARED, Check, Difference, present, print_checks, print_differences
from evaluating_peers import PANOPTICA, SURFACE_DISTANCE
from numpy.typing import NDArray
from scenes import pair
from timing import Peer

import medseg
from medseg.evaluation.detection import average_precision, case_auroc, detection_scores
from medseg.evaluation.matching import MatchingRule, match
from medseg.evaluation.surface import (
    average_distances_mm,
    hausdorff_mm,
    surface_dice,
    surface_distances,
)
from medseg.measurement import split_components
from medseg.types import Geometry, Instance, InstanceClass, Instances

ROUNDING = 1e-6
PICAI = MatchingRule("iou", 0.1, "optimal", many_to_one=True)
LESION = InstanceClass("lesion", "lesion", 1)
SCENES = ((1.0, 1.0, 1.0), (3.0, 1.0, 0.8), (5.0, 0.7, 0.7))
"""Spacings (z, y, x) in mm of the random scenes."""


def panoptica_side(regions: dict[str, list[list[int]]]) -> Instances:
    """Rectangles of a case as instances of one slice."""
    items = []
    for number, (rows, columns) in enumerate(regions.values(), start=1):
        mask = np.zeros((1, 50, 50), dtype=bool)
        mask[0, slice(*rows), slice(*columns)] = True
        item = Instance.from_mask(mask, id=number, class_name=LESION.name, kind=LESION.kind)
        items += [] if item is None else [item]
    return Instances(Geometry.identity((1, 50, 50)), items, (LESION,))


def panoptica_cases(file: Path) -> tuple[list[Check], list[Difference]]:
    """The unit cases, from a file of facts."""
    checks, differences = [], []
    for n, case in enumerate(json.loads(file.read_text())["cases"], start=1):
        name = f"case {n}"
        found = medseg.evaluate(panoptica_side(case["pred"]), panoptica_side(case["ref"]))
        checks += [
            Check(name, metric, case[metric], ROUNDING, found.value(metric))
            for metric in ("tp", "fp", "fn", "sq", "rq", "pq")
            if metric in case and (metric != "sq" or case["tp"])
        ]
        if "sq" in case and not case["tp"]:
            why = "SQ is a mean over matched pairs: empty without a pair, Panoptica's 0"
            differences.append(Difference(name, "SQ", why))
        if "dsc" in case:
            got = found.value("class_dice")
            checks.append(Check(name, "global Dice", case["dsc"], ROUNDING, got))
        if "assd" in case:
            why = "ASSD is a mean over matched pairs: empty without a pair, Panoptica's infinite"
            differences.append(Difference(name, "ASSD", why))
    return checks, differences


def surface_values(
    pred: NDArray[np.bool_], ref: NDArray[np.bool_], spacing_mm: tuple[float, float, float]
) -> dict[str, float]:
    """What surface-distance computes of two masks, by medseg."""
    found = surface_distances(pred, ref, spacing_mm)
    to_ref, to_pred = average_distances_mm(found)
    return {
        "average, ref to pred": to_pred,
        "average, pred to ref": to_ref,
        "HD": hausdorff_mm(found, 100),
        "HD95": hausdorff_mm(found),
        "surface Dice": surface_dice(found, 1.0),
    }


def surface_case(name: str, case: dict[str, Any]) -> list[Check]:
    """One of the 3D cases: two voxels, or two slabs."""
    masks = []
    for side in ("pred", "gt"):
        mask = np.zeros(case["shape"], dtype=bool)
        if f"{side}_voxel" in case:
            mask[tuple(case[f"{side}_voxel"])] = True
        else:
            start, stop = case[side].strip("[]").split(",")[0].split(":")
            mask[int(start) : int(stop)] = True
        masks.append(mask)
    got = surface_values(masks[0], masks[1], tuple(case["spacing"]))
    expected = dict(zip(("average, ref to pred", "average, pred to ref"), case["avg"], strict=True))
    expected |= {"HD": case["hd100"], "surface Dice": case["surface_dice1mm"]}
    expected |= {"HD95": case["hd95"]} if "hd95" in case else {}
    digits = 0.5 * 10.0 ** -case["places"] if "places" in case else ROUNDING
    return [Check(name, what, value, digits, got[what]) for what, value in expected.items()]


def surface_cases(file: Path) -> tuple[list[Check], list[Difference]]:
    """The unit cases, from a file of facts."""
    checks: list[Check] = []
    differences: list[Difference] = []
    empty, full = np.zeros((4, 4, 4), dtype=bool), np.ones((4, 4, 4), dtype=bool)
    sides = {
        "empty prediction": (empty, full),
        "empty reference": (full, empty),
        "both empty": (empty, empty),
    }
    for n, case in enumerate(json.loads(file.read_text())["cases"], start=1):
        name = case.get("case", f"case {n}")
        if name in sides:
            got = surface_values(*sides[name], (1.0, 1.0, 1.0))
            averages = [float(one) for one in case["avg"]]
            wanted = dict(zip(list(got)[:2], averages, strict=True))
            wanted["surface Dice"] = float(case["surface_dice1mm"])
            checks += [Check(name, what, value, 0, got[what]) for what, value in wanted.items()]
            if math.isnan(got["HD"]):
                why = "there is no distance between nothing and nothing; there infinite"
                differences.append(Difference(name, "HD", why))
            else:
                checks.append(Check(name, "HD", float(case["hd100"]), 0, got["HD"]))
        elif len(case["shape"]) == 3:
            checks += surface_case(name, case)
        else:
            why = "a contour in 2D; medseg's masks are 3D, a single slice has faces too"
            differences.append(Difference(name, "all", why))
    return checks, differences


def picai_side(file: Path) -> Instances:
    """26-connected components of a file; a component's score is its value."""
    array = SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(str(file)))
    whole = Instances.from_labelmap(array, Geometry.identity(array.shape), classes=(LESION,))
    scored = [replace(item, score=float(item.id)) for item in whole]
    return split_components(replace(whole, items=scored), connectivity=26)


def picai_cases(folder: Path) -> tuple[list[Check], list[Difference]]:
    """Each lesion and candidate of the ten cases, then the figures of all."""
    maps, expected = folder / "test-maps", folder / "output-expected"
    lists = json.loads((expected / "metrics-expected.json").read_text())
    cases = [
        (
            picai_side(maps / f"case-{n}_detection_map.nii.gz"),
            picai_side(maps / f"case-{n}_label.nii.gz"),
        )
        for n in range(10)
    ]
    checks = []
    for n, (pred, ref) in enumerate(cases):
        wanted = sorted(tuple(row) for row in lists["lesion_results"][f"case-{n}"])
        got = sorted(_picai_rows(pred, ref))
        checks.append(Check(f"case {n}", "rows", len(wanted), 0, len(got)))
        for row, other in zip(wanted, got, strict=False):
            for what, value, ours in zip(("is lesion", "score", "IoU"), row, other, strict=True):
                checks.append(Check(f"case {n}", what, value, ROUNDING, ours))
    scores = detection_scores(cases, PICAI)
    whole = {"TP": (5, scores.tp), "FP": (4, scores.fp), "FN": (5, scores.fn)}
    checks += [Check("all", what, value, 0, got) for what, (value, got) in whole.items()]
    precision = average_precision(cases, PICAI, points="every")["pooled"]
    checks.append(Check("all", "AP, every score", lists["AP"], ROUNDING, precision))
    checks.append(Check("all", "AUROC of cases", lists["auroc"], ROUNDING, case_auroc(cases)))
    coco = average_precision(cases, 0.1)["pooled"]
    why = f"one to one, 101 recalls: {coco:.6f}; picai_eval takes every score and drops doubles"
    return checks, [Difference("all", "AP, COCO at IoU 0.1", why)]


def _picai_rows(pred: Instances, ref: Instances) -> Iterator[tuple[int, float, float]]:
    found = match(pred, ref, PICAI)
    for position, iou in zip(found.pred.tolist(), found.iou.tolist(), strict=True):
        yield 1, pred.items[position].score, iou
    for _ in range(found.unmatched_ref.size):
        yield 1, 0.0, 0.0
    for position in found.unmatched_pred.tolist():
        yield 0, pred.items[position].score, 0.0


def saved(folder: Path, seed: int) -> tuple[dict[str, str], list[NDArray[Any]]]:
    """A random scene of prediction and reference, as files and as arrays."""
    arrays = list(pair(8, 64, seed=seed))
    files = {}
    for side, array in zip(("pred", "ref"), arrays, strict=True):
        files[side] = str(folder / f"{side}{seed}.npy")
        np.save(files[side], array)
    return files, arrays


def panoptica_scenes(python: str, folder: Path) -> list[Check]:
    """Random scenes of labelled objects, put to Panoptica itself."""
    checks = []
    with Peer(python, PANOPTICA) as peer:
        for seed, spacing_mm in enumerate(SCENES):
            files, (pred, ref) = saved(folder, seed)
            told = peer.ask({**files, "spacing": spacing_mm, "metrics": ("IOU", "DSC")})
            geometry = Geometry.from_spacing(ref.shape, spacing_mm)
            found = medseg.evaluate(
                *(Instances.from_labelmap(one, geometry) for one in (pred, ref))
            )
            pairs = (
                ("dice", "sq_dsc"),
                *((one, one) for one in ("tp", "fp", "fn", "sq", "rq", "pq")),
            )
            checks += [
                Check(f"scene {seed}", ours, told[theirs], ROUNDING, found.value(ours))
                for ours, theirs in pairs
            ]
    return checks


def surface_scenes(python: str, folder: Path) -> list[Check]:
    """Random scenes as one mask a side, put to surface-distance itself."""
    checks = []
    with Peer(python, SURFACE_DISTANCE) as peer:
        for seed, spacing_mm in enumerate(SCENES):
            files, (pred, ref) = saved(folder, seed)
            told = peer.ask({**files, "spacing": spacing_mm, "tolerance": 1.0})
            got = surface_values(pred > 0, ref > 0, spacing_mm)
            checks += [
                Check(f"scene {seed}", what, told[what], ROUNDING * max(told[what], 1), value)
                for what, value in got.items()
            ]
    return checks


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--shared", type=Path, default=SHARED, help="holds reference/")
    parser.add_argument("--panoptica", help="interpreter that has Panoptica")
    parser.add_argument("--surface-distance", help="interpreter that has surface-distance")
    arguments = parser.parse_args()
    reference = present(arguments.shared / "reference", "--shared")
    outside = 0
    for title, (checks, differences) in (
        ("Panoptica", panoptica_cases(reference / "panoptica_cases" / "cases.json")),
        ("surface-distance", surface_cases(reference / "surface_distance_cases" / "cases.json")),
        ("picai_eval", picai_cases(reference / "picai_eval" / "tests")),
    ):
        outside += print_checks(title, checks)
        print_differences(differences)
    with tempfile.TemporaryDirectory() as folder:
        for title, python, scenes in (
            ("Panoptica, random scenes", arguments.panoptica, panoptica_scenes),
            ("surface-distance, random scenes", arguments.surface_distance, surface_scenes),
        ):
            if python is None:
                print(f"\n{title}: not run")
            else:
                outside += print_checks(title, scenes(python, Path(folder)))
    if outside:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
