"""Rows of `heads.py` as the published tables: mean and range over seeds, bars met or not."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

Row = Mapping[str, Any]
Group = tuple[str, str]
"""Head and backbone."""


class Bar(NamedTuple):
    """A bar for the mean over seeds: at least `low` where given, else |value| at most `high`."""

    figure: str
    low: float | None = None
    high: float | None = None

    def met(self, value: float) -> bool:
        """Whether a mean meets it; NaN does not."""
        if self.low is not None:
            return value >= self.low
        return self.high is not None and abs(value) <= self.high

    def __str__(self) -> str:
        sign = "≥ " if self.low is not None else "within ±" if self.figure in _SIGNED else "≤ "
        value = self.low if self.low is not None else self.high
        return f"{self.figure} {sign}{value:g}"


_SIGNED = ("count", "count_ellipsoid", "count_shell")
BARS = {
    "touching": (
        Bar("ap50", low=0.85),
        Bar("ap75", low=0.55),
        Bar("count", high=0.05),
        Bar("count_ellipsoid", high=0.10),
        Bar("count_shell", high=0.10),
        Bar("count_absolute", high=0.12),
    ),
    "toy": (Bar("ap10", low=0.95),),
}
OVERLAP_BARS = tuple(
    Bar(name, low=0.7) for name in ("both_found", "double_coverage", "covered_recall")
)
MAIN = {
    "ap50": ".3f",
    "ap75": ".3f",
    "pq": ".3f",
    "count": "+.1%",
    "count_absolute": ".1%",
    "surface_dice": ".3f",
}
COST = {
    "seconds": ".3f",
    "parameters": ".3g",
    "peak_mb": ".0f",
    "training_minutes": ".1f",
    "steps": ".0f",
}
LEARNED = {"parameters": ".3g", "steps": ".0f"}
"""Of a run on a GPU: seconds and memory there say nothing of a CPU."""
OVERLAP = {"both_found": ".3f", "double_coverage": ".3f", "covered_recall": ".3f", "twice": ".3f"}
TITLES = {
    "ap10": "AP10",
    "ap50": "AP50",
    "ap75": "AP75",
    "pq": "PQ",
    "count": "total count",
    "count_absolute": "mean absolute count error",
    "surface_dice": "surface Dice, 1 voxel",
    "seconds": "s a window",
    "parameters": "parameters",
    "peak_mb": "peak MB",
    "training_minutes": "minutes",
    "steps": "steps",
    "dice": "Dice of the class",
    "both_found": "pairs both found",
    "double_coverage": "double coverage",
    "covered_recall": "recall where covered > 30 %",
    "twice": "voxels held twice",
    "seed": "seeds",
}
REAL_TITLES = {
    "nodules": {"seconds": "s a case"},
    "ms": {"seconds": "s a case", "seed": "brains left out"},
}
"""Where a set of real images calls a figure otherwise; a case is segmented whole."""


def print_row(row: Row) -> None:
    """One run, figure by figure."""
    where = f"{row['phantom']}, {row['head']} on {row['backbone']}, seed {row['seed']}"
    print(f"{where}: {budget_of(row)}; {row['training_minutes']:.1f} min, {row['steps']} steps")
    for name in _classes(row):
        print(f"  {name}: " + _line(row, {f"ap50_{name}": ".3f", f"count_{name}": "+.1%"}))
    for part in (_main(row["phantom"]), OVERLAP, COST):
        print("  " + _line(row, part))
    if not row["decayed"]:
        print(
            f"  STOPPED at step {row['steps']} of {row['planned_steps']}: the rate had not fallen"
        )


def print_tables(rows: Iterable[Row]) -> None:
    """The tables of each phantom and budget: figures, classes, overlap, cost, bars."""
    tables: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        tables.setdefault((row["phantom"], budget_of(row)), []).append(row)
    for (phantom, budget), found in sorted(tables.items()):
        _print_set(f"{phantom}, {budget}", found)


def _print_set(title: str, rows: Sequence[Row]) -> None:
    groups: dict[Group, list[Row]] = {}
    for row in sorted(rows, key=lambda one: (one["head"], one["backbone"], one["seed"])):
        groups.setdefault((row["head"], row["backbone"]), []).append(row)
    _refuse_mixed(groups)
    phantom, names = rows[0]["phantom"], _classes(rows[0])
    print(f"\n## {title}\n")
    _print_table(groups, _main(phantom))
    if len(names) > 1:
        _print_table(
            groups,
            {f"ap50_{name}": ".3f" for name in names} | {f"count_{name}": "+.1%" for name in names},
        )
    if phantom in ("touching", "nested"):
        _print_table(groups, OVERLAP)
    trained_here = all(row.get("device", "cpu") == "cpu" for row in rows)
    _print_table(groups, COST if trained_here else LEARNED)
    _print_bars(groups, BARS.get(phantom, ()))
    if phantom == "touching":
        _print_overlap_bar(groups)


def _main(phantom: str) -> dict[str, str]:
    """The columns of the first table."""
    if phantom == "toy":
        return {"ap10": ".3f"} | MAIN
    return MAIN if phantom in ("touching", "nested") else {"dice": ".3f"} | MAIN


def budget_of(row: Row) -> str:
    """How long a run was meant to train: minutes of a CPU, or steps, wherever they were taken."""
    if row["minutes"] is None:
        return f"{row['asked_steps']} steps of training"
    return f"{row['minutes']:g} minutes of training"


def mean_and_range(values: Sequence[float], form: str) -> str:
    """`0.862 (0.851 to 0.870)`; one value alone, a dash for none that is defined."""
    known = [value for value in values if not math.isnan(value)]
    if not known:
        return "–"
    mean, low, high = (
        f"{value:{form}}" for value in (statistics.fmean(known), min(known), max(known))
    )
    return mean if low == high else f"{mean} ({low} to {high})"


def unmet(rows: Sequence[Row], bars: Sequence[Bar]) -> list[str]:
    """The bars that the mean over seeds does not meet, with the mean; runs cut short come first."""
    lines = [
        f"seed {row['seed']} stopped before its rate fell" for row in rows if not row["decayed"]
    ]
    for bar in bars:
        mean = statistics.fmean(row[bar.figure] for row in rows)
        if not bar.met(mean):
            lines.append(f"{bar} (is {mean:.3f})")
    return lines


def _refuse_mixed(groups: Mapping[Group, Sequence[Row]]) -> None:
    """Rows of other windows, or of one seed twice, make no mean."""
    rows = [row for group in groups.values() for row in group]
    kinds = {(tuple(row["shape"]), row["windows"], row["threshold_windows"]) for row in rows}
    seeds = [(row["head"], row["backbone"], row["seed"]) for row in rows]
    if len(kinds) > 1 or len(set(seeds)) < len(seeds):
        msg = f"rows of different windows, or one row twice, in one table: {sorted(seeds)}, {kinds}"
        raise SystemExit(msg)


def _print_table(groups: Mapping[Group, Sequence[Row]], columns: Mapping[str, str]) -> None:
    said = TITLES | REAL_TITLES.get(next(iter(groups.values()))[0]["phantom"], {})
    titles = [said.get(name, name.replace("_", " ")) for name in columns]
    print("| " + " | ".join(["head", "backbone", said["seed"], *titles]) + " |")
    print("|" + "---|" * (3 + len(columns)))
    for (head, backbone), rows in groups.items():
        cells = [
            mean_and_range([row[name] for row in rows], form) for name, form in columns.items()
        ]
        print("| " + " | ".join([head, backbone, str(len(rows)), *cells]) + " |")
    print()


def _print_bars(groups: Mapping[Group, Sequence[Row]], bars: Sequence[Bar]) -> None:
    if not bars:
        return
    print("Bars, for the mean over seeds: " + ", ".join(str(bar) for bar in bars) + "\n")
    for (head, backbone), rows in groups.items():
        lines = unmet(rows, bars)
        print(f"- {head} on {backbone}: " + ("NOT MET: " + "; ".join(lines) if lines else "met"))
    print()


def _print_overlap_bar(groups: Mapping[Group, Sequence[Row]]) -> None:
    """The bar is for the best head: one that meets all three is enough."""
    met = [
        f"{head} on {name}"
        for (head, name), rows in groups.items()
        if not unmet(rows, OVERLAP_BARS)
    ]
    bars = ", ".join(str(bar) for bar in OVERLAP_BARS)
    print(
        f"Overlap, for the best head ({bars}): "
        + (f"met by {', '.join(met)}" if met else "NOT MET")
    )


def _line(row: Row, columns: Mapping[str, str]) -> str:
    return "  ".join(
        f"{TITLES.get(name, name.partition('_')[0])} {mean_and_range([row[name]], form)}"
        for name, form in columns.items()
    )


def _classes(row: Row) -> list[str]:
    return [name.removeprefix("ap50_") for name in row if name.startswith("ap50_")]
