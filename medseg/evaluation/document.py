"""An evaluation as one JSON document."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict
from importlib.metadata import version
from typing import Any

from medseg.evaluation.agreement import BlandAltman, Concordance, bland_altman, concordance
from medseg.evaluation.evaluation import Evaluation
from medseg.evaluation.wording import About


def document(evaluation: Evaluation, about: About | None = None) -> dict[str, Any]:
    """All of an evaluation, JSON-able: what it is of, settings, tables, agreement, version."""
    said = about or About()
    return {
        "pred": said.pred,
        "ref": said.ref,
        "reading": dict(said.reading),
        "warnings": [one._asdict() for one in said.warnings],
        **evaluation.as_dict(),
        "agreement": {name: _as_dict(both) for name, both in agreement(evaluation).items()},
        "versions": {"medseg": version("medseg")},
    }


def agreement(evaluation: Evaluation) -> dict[str, dict[str, BlandAltman | Concordance]]:
    """Bland-Altman and concordance of the cases' total volumes in ml and numbers of objects.

    The intervals hold for independent cases with normally distributed differences; those of the
    summary, by bootstrap over patients, need neither.
    """
    confidence = evaluation.settings.confidence
    found: dict[str, dict[str, BlandAltman | Concordance]] = {}
    for name, stem, unit in (("volume_ml", "volume", "_ml"), ("count", "count", "")):
        pred, ref = (
            evaluation.cases[f"{stem}_{side}{unit}"].to_numpy(dtype=float)
            for side in ("pred", "ref")
        )
        found[name] = {
            "difference": bland_altman(pred, ref, confidence=confidence),
            "percent": bland_altman(pred, ref, percent=True, confidence=confidence),
            "concordance": concordance(pred, ref, confidence=confidence),
        }
    return found


def _as_dict(statistics: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: {key: _plain(value) for key, value in asdict(one).items()}
        for name, one in statistics.items()
    }


def _plain(value: Any) -> Any:
    """None for what is not finite, which JSON has no word for."""
    return None if isinstance(value, float) and not math.isfinite(value) else value
