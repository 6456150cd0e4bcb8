"""Slow, obvious references of matching and detection, in fractions, on full arrays."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from evaluation_cases import whole

from medseg.evaluation.matching import MatchingRule
from medseg.types import Instances

Edges = Mapping[tuple[int, int], Fraction]
"""The pairs that a rule allows, with the criterion as a number that is better when larger."""


@dataclass(frozen=True)
class SlowCase:
    """Predictions of one case as (class, score, hit, IoU of the hit), and references by class."""

    found: list[tuple[str, float, bool, Fraction]]
    wanted: list[str]


def voxels(instances: Instances) -> list[frozenset[int]]:
    return [frozenset(np.flatnonzero(whole(instances, item)).tolist()) for item in instances]


def centres_mm(instances: Instances) -> list[np.ndarray]:
    """The mean position of every voxel centre, each taken to the world."""
    affine = instances.geometry.affine
    places = []
    for item in instances:
        index = np.argwhere(whole(instances, item))
        world = [affine[:3, :3] @ one + affine[:3, 3] for one in index]
        places.append(np.mean(world, axis=0))
    return places


def slow_edges(pred: Instances, ref: Instances, rule: MatchingRule) -> Edges:
    """Every allowed pair; a share is compared with the threshold as it is written, exactly."""
    edges: dict[tuple[int, int], Fraction] = {}
    found, wanted = voxels(pred), voxels(ref)
    places = (centres_mm(pred), centres_mm(ref)) if rule.criterion == "centre_mm" else ([], [])
    limit = Fraction(str(rule.threshold))
    for n, one in enumerate(pred):
        for m, other in enumerate(ref):
            if rule.within_class and one.class_name != other.class_name:
                continue
            if rule.criterion == "centre_mm":
                apart = math.dist(places[0][n], places[1][m])
                if apart <= rule.threshold + 1e-6:
                    edges[n, m] = -Fraction(round(apart * 1e6), 10**6)
                continue
            shared = len(found[n] & wanted[m])
            total = len(found[n]) + len(wanted[m])
            iou, dice = Fraction(shared, total - shared), Fraction(2 * shared, total)
            if (iou if rule.criterion == "iou" else dice) >= limit:
                edges[n, m] = iou if rule.criterion == "iou" else dice
    return edges


def slow_greedy(pred: Instances, ref: Instances, edges: Edges) -> dict[int, int]:
    """The loop of COCO's evaluation: every prediction, every reference, best so far."""
    partner: dict[int, int] = {}
    for n in np.argsort([-item.score for item in pred], kind="stable").tolist():
        best: tuple[Fraction, int] | None = None
        for m in range(len(ref)):
            free = m not in partner.values()
            if free and (n, m) in edges and (best is None or edges[n, m] >= best[0]):
                best = edges[n, m], m
        if best is not None:
            partner[n] = best[1]
    return partner


def slow_optimum(edges: Edges) -> tuple[int, Fraction]:
    """The largest number of pairs, and the largest sum with so many, by trying all sets."""
    of_pred: dict[int, list[tuple[int, Fraction]]] = {}
    for (n, m), fit in edges.items():
        of_pred.setdefault(n, []).append((m, fit))

    def best(left: Sequence[int], taken: frozenset[int]) -> tuple[int, Fraction]:
        if not left:
            return 0, Fraction(0)
        options = [best(left[1:], taken)]
        for m, fit in of_pred[left[0]]:
            if m not in taken:
                count, total = best(left[1:], taken | {m})
                options.append((count + 1, total + fit))
        return max(options)

    return best(sorted(of_pred), frozenset())


def slow_case(pred: Instances, ref: Instances, rule: MatchingRule) -> SlowCase:
    """One case by greedy matching; further predictions of a many-to-one rule are left out."""
    edges = slow_edges(pred, ref, rule)
    partner = slow_greedy(pred, ref, edges)
    found, wanted = voxels(pred), voxels(ref)
    rows = []
    for n, item in enumerate(pred):
        if n not in partner:
            could = any((n, m) in edges for m in range(len(ref)))
            if not (rule.many_to_one and could):
                rows.append((item.class_name, item.score, False, Fraction(0)))
            continue
        other = wanted[partner[n]]
        iou = Fraction(len(found[n] & other), len(found[n] | other))
        rows.append((item.class_name, item.score, True, iou))
    return SlowCase(rows, [item.class_name for item in ref])
