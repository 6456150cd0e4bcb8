"""The figures of an evaluation: name, unit, definition and how objects were pooled for them."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Literal, NamedTuple

from medseg.evaluation.bootstrap import LEAST_PATIENTS
from medseg.evaluation.evaluation import EvaluationSettings
from medseg.evaluation.terms import ALL
from medseg.measurement.selection import several

Basis = Literal["objects", "iou curve", "rule curve", "cases"]


class Figure(NamedTuple):
    """One metric of the summary; `basis` is what is pooled for it and how it was matched."""

    unit: str
    definition: str
    basis: Basis


_FITS = "mean over matched pairs"

FIGURES: Mapping[str, Figure] = MappingProxyType(
    {
        "tp": Figure("objects", "matched reference objects", "objects"),
        "fp": Figure("objects", "predicted objects that match none", "objects"),
        "fn": Figure("objects", "reference objects that none matches", "objects"),
        "precision": Figure("share", "tp / (tp + fp)", "objects"),
        "recall": Figure("share", "tp / (tp + fn)", "objects"),
        "f1": Figure("share", "2 tp / (2 tp + fp + fn)", "objects"),
        "pq": Figure("share", "sum of IoU over matched pairs / (tp + fp / 2 + fn / 2)", "objects"),
        "sq": Figure("share", f"IoU, {_FITS}", "objects"),
        "rq": Figure("share", "tp / (tp + fp / 2 + fn / 2)", "objects"),
        "dice": Figure("share", f"Dice, {_FITS}", "objects"),
        "dice_all_objects": Figure(
            "share", "sum of Dice over matched pairs / (tp + fp + fn)", "objects"
        ),
        "volume_error": Figure(
            "share", "pred / ref - 1 of the volumes, median over matched pairs", "objects"
        ),
        "volume_error_absolute": Figure(
            "share", "size of pred / ref - 1 of the volumes, median over matched pairs", "objects"
        ),
        "surface_dice": Figure(
            "share", f"share of both surfaces within the tolerance, {_FITS}", "objects"
        ),
        "hd95_mm": Figure("mm", f"95th percentile of surface distances, {_FITS}", "objects"),
        "assd_mm": Figure("mm", f"mean distance of both surfaces, {_FITS}", "objects"),
        "ap": Figure("share", "average precision over 101 recalls", "iou curve"),
        "map": Figure("share", "mean of the average precisions at all IoU", "iou curve"),
        "map_of_classes": Figure(
            "share", "mean of the classes' map, without classes that lack references", "iou curve"
        ),
        "sensitivity": Figure(
            "share", "highest recall at that many false alarms a case, a step curve", "rule curve"
        ),
        "cpm": Figure("share", "mean of the sensitivities at all rates", "rule curve"),
        "case_auroc": Figure(
            "share",
            "area under the ROC curve of cases with and without a reference object, by the "
            "highest score in the case (one without a prediction ranks below all)",
            "cases",
        ),
        "splits": Figure("objects", "reference objects that several predicted ones share", "cases"),
        "merges": Figure("objects", "predicted objects that several reference ones share", "cases"),
        "count_error": Figure("share", "sum of counts, pred / ref - 1", "cases"),
        "count_error_absolute": Figure(
            "share", "sum over cases of the size of pred - ref / sum of ref counts", "cases"
        ),
        "class_dice": Figure(
            "share", "Dice of the class's union in a case, mean over cases", "cases"
        ),
        "volume_bias_ml": Figure("mL", "volume a case, mean of pred - ref", "cases"),
        "volume_limit_low_ml": Figure(
            "mL", "bias - 1.96 SD of the volume differences (Bland-Altman)", "cases"
        ),
        "volume_limit_high_ml": Figure(
            "mL", "bias + 1.96 SD of the volume differences (Bland-Altman)", "cases"
        ),
        "volume_ccc": Figure("", "concordance correlation of the volumes a case", "cases"),
        "count_bias": Figure("objects", "count a case, mean of pred - ref", "cases"),
        "count_limit_low": Figure(
            "objects", "bias - 1.96 SD of the count differences (Bland-Altman)", "cases"
        ),
        "count_limit_high": Figure(
            "objects", "bias + 1.96 SD of the count differences (Bland-Altman)", "cases"
        ),
        "count_ccc": Figure("", "concordance correlation of the counts a case", "cases"),
    }
)
"""Every metric of the summary; those of a curve are named with their point, see `figure`."""

SURFACE_FIGURES = ("surface_dice", "hd95_mm", "assd_mm")
_POINTS = {"ap_iou_": "ap", "sensitivity_at_": "sensitivity"}


def ap_name(iou: float) -> str:
    """Name of the average precision at one IoU, such as ap_iou_0.50."""
    return f"ap_iou_{iou:.2f}" if round(iou, 2) == iou else f"ap_iou_{iou:g}"


def sensitivity_name(fp_per_case: float) -> str:
    """Name of the sensitivity at a rate of false alarms, such as sensitivity_at_0.125_fp."""
    return f"sensitivity_at_{fp_per_case:g}_fp"


def figure(metric: str) -> Figure:
    """What a metric of the summary is; KeyError for a name that is none."""
    for start, name in _POINTS.items():
        if metric.startswith(start):
            return FIGURES[name]
    return FIGURES[metric]


class Pooled(NamedTuple):
    """What a summary was made of: patients, and objects that were too small on each side."""

    cases: int
    patients: int
    too_small_ref: int
    too_small_pred: int


def conditions(
    metric: str, class_name: str, size: str, *, settings: EvaluationSettings, pooled: Pooled
) -> str:
    """Under which conditions a figure holds, as one line that needs no other text beside it."""
    parts = [
        "objects are masks",
        _connectivity(settings),
        _least_size(settings, pooled),
        *_matched(figure(metric).basis, metric, settings),
    ]
    if untold_across_classes(metric, class_name, settings):
        parts.append("empty: a curve across classes is one of all classes together")
    if metric == "surface_dice":
        parts.append(f"tolerance {settings.tolerance_mm:g} mm")
    if metric in ("splits", "merges"):
        parts.append(f"a part has at least {settings.split_share:g} of its voxels in the whole")
    if size != ALL:
        parts.append("size by the reference object's volume, a false alarm's by its own")
    return "; ".join([*parts, _interval(settings, pooled)])


def _connectivity(settings: EvaluationSettings) -> str:
    if settings.connectivity is None:
        return "taken as given"
    return f"{settings.connectivity}-connected components"


def _least_size(settings: EvaluationSettings, pooled: Pooled) -> str:
    if settings.min_volume_ml == 0:
        return "of every size"
    left_out = f"{pooled.too_small_ref} reference, {pooled.too_small_pred} predicted"
    return f"those below {settings.min_volume_ml:g} mL left out on both sides ({left_out})"


def _matched(basis: Basis, metric: str, settings: EvaluationSettings) -> tuple[str, ...]:
    sure = f"scores of at least {settings.score_threshold:g}"
    rule = f"matched by {settings.rule.in_words()}"
    if basis == "objects":
        return rule, sure, "objects of all cases pooled"
    if basis == "rule curve":
        return rule, "every score", "objects of all cases pooled"
    if basis == "cases":
        scores = "every score" if metric == "case_auroc" else sure
        return scores, "a value a case"
    named = {ap_name(rule.threshold): rule.in_words() for rule in settings.ap_rules}
    by = named.get(metric) or _at_every_iou(settings)
    return f"matched by {by}", "every score", "objects of all cases pooled"


def _at_every_iou(settings: EvaluationSettings) -> str:
    _, rest = settings.ap_rules[0].in_words().split("; ", 1)
    return f"IoU of at least {', '.join(f'{iou:g}' for iou in settings.iou_thresholds)}; {rest}"


def untold_across_classes(metric: str, class_name: str, settings: EvaluationSettings) -> bool:
    """Whether a figure is empty because classes may differ in a pair.

    A prediction then has no class of its own to be ranked in, so curves are of all classes only.
    """
    of_classes = class_name != ALL or metric == "map_of_classes"
    curves = ("iou curve", "rule curve")
    return of_classes and figure(metric).basis in curves and not settings.rule.within_class


def intervals_in_words(settings: EvaluationSettings, patients: int) -> str:
    """How the intervals of the summary were taken, or why there are none."""
    if settings.bootstrap_samples == 0:
        return "none"
    if patients < LEAST_PATIENTS:
        return f"none, since resampling tells too little of fewer than {LEAST_PATIENTS} patients"
    return (
        f"{100 * settings.confidence:g} %, percentiles of {settings.bootstrap_samples} resamples "
        f"of patients (seed {settings.seed})"
    )


def _interval(settings: EvaluationSettings, pooled: Pooled) -> str:
    of = f"{several(pooled.cases, 'case')} of {several(pooled.patients, 'patient')}"
    return f"{of}; interval: {intervals_in_words(settings, pooled.patients)}"
