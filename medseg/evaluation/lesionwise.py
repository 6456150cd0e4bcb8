"""One case, object by object: what was found, missed and invented, and how well it fits."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from medseg.evaluation.detection import Findings, findings
from medseg.evaluation.evaluation import EvaluationSettings
from medseg.evaluation.matching import Matching, match, scores_of
from medseg.evaluation.overlap import class_names, pair_overlaps
from medseg.evaluation.sizes import size_names, size_positions
from medseg.evaluation.splits import SplitsMerges, splits_and_merges
from medseg.evaluation.surface import (
    average_symmetric_mm,
    hausdorff_mm,
    instance_surface_distances,
    surface_dice,
)
from medseg.evaluation.terms import ALL, refuse_class_named_all
from medseg.evaluation.unions import ClassVoxels, class_voxels
from medseg.io import require_same_grid
from medseg.measurement.selection import large_enough
from medseg.measurement.size import volumes_ml
from medseg.types import Geometry, Instance, Instances

MATCHED, MISSED, FALSE_ALARM, FURTHER = "matched", "missed", "false alarm", "further"

_NAN = float("nan")


@dataclass(frozen=True, eq=False)
class CaseRecord:
    """What one case adds to every figure.

    `objects` and `relations` are rows of the evaluation's tables. `found` is by the settings' rule,
    `at_iou` by each of `settings.ap_rules`, both of predictions of any score; `top_scores` are the
    highest of each class. `voxels` are of the classes' unions; `too_small_pred` and `too_small_ref`
    count the objects of each class that were left out.
    """

    name: str
    classes: tuple[str, ...]
    voxel_ml: float
    voxels: Mapping[str, ClassVoxels]
    too_small_pred: Mapping[str, int]
    too_small_ref: Mapping[str, int]
    objects: list[dict[str, Any]]
    relations: list[dict[str, Any]]
    found: Findings
    at_iou: tuple[Findings, ...]
    top_scores: Mapping[str, float]


def case_record(
    name: str, pred: Instances, ref: Instances, settings: EvaluationSettings
) -> CaseRecord:
    """Compare two sides of one case; either may hold no object.

    Raises InputRefused where the two lie on different grids (`grid-mismatch`) or a class is named
    `all` (`names-invalid`), ValueError for a score that is NaN.
    """
    for side, instances in (("prediction", pred), ("reference", ref)):
        refuse_class_named_all(instances.classes, f"case {name!r}, {side}")
    subject = f"case {name!r}, prediction"
    require_same_grid(pred.geometry, ref.geometry, subject, other="reference")
    found, wanted = _large(pred, settings), _large(ref, settings)
    overlaps = pair_overlaps(found, wanted)
    sure, sure_overlaps = found, overlaps
    if (scores_of(found) < settings.score_threshold).any():
        sure = found.filter(lambda item: item.score >= settings.score_threshold)
        sure_overlaps = pair_overlaps(sure, wanted)
    matching = match(sure, wanted, settings.rule, overlaps=sure_overlaps)
    relations = splits_and_merges(
        sure,
        wanted,
        settings.split_share,
        within_class=settings.rule.within_class,
        overlaps=sure_overlaps,
    )
    return CaseRecord(
        name=name,
        classes=class_names(pred, ref),
        voxel_ml=ref.geometry.voxel_ml,
        voxels=class_voxels(sure, wanted, overlaps=sure_overlaps),
        too_small_pred=_names(pred) - _names(found),
        too_small_ref=_names(ref) - _names(wanted),
        objects=[{"case": name, **row} for row in _object_rows(sure, wanted, matching, settings)],
        relations=[{"case": name, **row} for row in _relation_rows(relations, sure, wanted)],
        found=findings(found, wanted, settings.rule, overlaps=overlaps),
        at_iou=tuple(findings(found, wanted, one, overlaps=overlaps) for one in settings.ap_rules),
        top_scores=_top_scores(found),
    )


def _large(instances: Instances, settings: EvaluationSettings) -> Instances:
    keep = large_enough(volumes_ml(instances), settings.min_volume_ml)
    if keep.all():
        return instances
    items = [item for item, kept in zip(instances, keep, strict=True) if kept]
    return replace(instances, items=items)


def _names(instances: Instances) -> Counter[str]:
    return Counter(item.class_name for item in instances)


def _top_scores(instances: Instances) -> dict[str, float]:
    best: dict[str, float] = {}
    for item in instances:
        best[item.class_name] = max(item.score, best.get(item.class_name, -np.inf))
    return best


def _relation_rows(
    relations: SplitsMerges, pred: Instances, ref: Instances
) -> Iterator[dict[str, Any]]:
    for kind, side, several in (
        ("split", ref, relations.splits),
        ("merge", pred, relations.merges),
    ):
        names = {item.id: item.class_name for item in side}
        for one, parts in several.items():
            listed = " ".join(str(part) for part in parts)
            yield {"kind": kind, "class_name": names[one], "id": one, "parts": listed}


def _object_rows(
    pred: Instances, ref: Instances, matching: Matching, settings: EvaluationSettings
) -> Iterator[dict[str, Any]]:
    found, wanted = _side_rows(pred, "pred", settings), _side_rows(ref, "ref", settings)
    for n, m, iou in zip(
        matching.pred.tolist(), matching.ref.tolist(), matching.iou.tolist(), strict=True
    ):
        yield {
            **found[n],
            **wanted[m],
            "status": MATCHED,
            "iou": iou,
            "dice": 2 * iou / (1 + iou),
            "volume_error": found[n]["volume_pred_ml"] / wanted[m]["volume_ref_ml"] - 1,
            **_surface_figures(pred.items[n], ref.items[m], ref.geometry, settings),
        }
    for m in matching.unmatched_ref.tolist():
        yield {**wanted[m], "status": MISSED}
    for n in matching.unmatched_pred.tolist():
        yield {**found[n], "status": FALSE_ALARM}
    for n, m in zip(matching.further_pred.tolist(), matching.further_ref.tolist(), strict=True):
        yield {**found[n], "status": FURTHER, "ref_id": ref.items[m].id}


def _side_rows(
    instances: Instances, side: Literal["pred", "ref"], settings: EvaluationSettings
) -> list[dict[str, Any]]:
    """What the table says of each object by itself; in a pair the reference's word counts."""
    volumes = volumes_ml(instances)
    names = size_names(settings.size_edges_ml) or (ALL,)
    rows = []
    for item, volume, size in zip(
        instances, volumes.tolist(), size_positions(volumes, settings.size_edges_ml), strict=True
    ):
        row = {
            "class_name": item.class_name,
            "size_class": names[size],
            f"{side}_id": item.id,
            f"volume_{side}_ml": volume,
        }
        if side == "pred":
            row |= {"pred_class_name": item.class_name, "score": item.score}
        rows.append(row)
    return rows


def _surface_figures(
    pred: Instance, ref: Instance, geometry: Geometry, settings: EvaluationSettings
) -> dict[str, float]:
    if not settings.surface:
        return {}
    distances = instance_surface_distances(pred, ref, geometry)
    return {
        "surface_dice": surface_dice(distances, settings.tolerance_mm),
        "hd95_mm": hausdorff_mm(distances),
        "assd_mm": average_symmetric_mm(distances),
    }
