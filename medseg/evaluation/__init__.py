"""How good a segmentation is, object by object: `evaluate` is the one door."""

from medseg.evaluation.agreement import BlandAltman, Concordance, bland_altman, concordance
from medseg.evaluation.compare import evaluate
from medseg.evaluation.detection import (
    AveragePrecision,
    CountError,
    DetectionScores,
    MeanAveragePrecision,
    average_precision,
    case_auroc,
    count_error,
    detection_scores,
    mean_average_precision,
)
from medseg.evaluation.evaluation import Evaluation, EvaluationSettings
from medseg.evaluation.froc import Froc, froc
from medseg.evaluation.kappa import CohenKappa, FleissKappa, cohen_kappa, fleiss_kappa
from medseg.evaluation.matching import Matching, MatchingRule, match, match_greedy
from medseg.evaluation.overlap import PairOverlaps, class_dice, pair_overlaps, volume_error
from medseg.evaluation.panoptic import PanopticQuality, Quality, panoptic_quality
from medseg.evaluation.splits import SplitsMerges, splits_and_merges
from medseg.evaluation.surface import (
    SurfaceDistances,
    average_distances_mm,
    average_symmetric_mm,
    hausdorff_mm,
    instance_surface_distances,
    surface_dice,
    surface_distances,
)

__all__ = [
    "AveragePrecision",
    "BlandAltman",
    "CohenKappa",
    "Concordance",
    "CountError",
    "DetectionScores",
    "Evaluation",
    "EvaluationSettings",
    "FleissKappa",
    "Froc",
    "Matching",
    "MatchingRule",
    "MeanAveragePrecision",
    "PairOverlaps",
    "PanopticQuality",
    "Quality",
    "SplitsMerges",
    "SurfaceDistances",
    "average_distances_mm",
    "average_precision",
    "average_symmetric_mm",
    "bland_altman",
    "case_auroc",
    "class_dice",
    "cohen_kappa",
    "concordance",
    "count_error",
    "detection_scores",
    "evaluate",
    "fleiss_kappa",
    "froc",
    "hausdorff_mm",
    "instance_surface_distances",
    "match",
    "match_greedy",
    "mean_average_precision",
    "pair_overlaps",
    "panoptic_quality",
    "splits_and_merges",
    "surface_dice",
    "surface_distances",
    "volume_error",
]
