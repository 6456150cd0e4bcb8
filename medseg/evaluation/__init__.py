"""How good a segmentation is, object by object."""

from medseg.evaluation.detection import (
    AveragePrecision,
    CountError,
    DetectionScores,
    average_precision,
    count_error,
    detection_scores,
)
from medseg.evaluation.matching import Matching, match_greedy
from medseg.evaluation.overlap import PairOverlaps, class_dice, pair_overlaps, volume_error

__all__ = [
    "AveragePrecision",
    "CountError",
    "DetectionScores",
    "Matching",
    "PairOverlaps",
    "average_precision",
    "class_dice",
    "count_error",
    "detection_scores",
    "match_greedy",
    "pair_overlaps",
    "volume_error",
]
