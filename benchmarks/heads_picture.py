"""One slice of one phantom through several heads: image, truth, and what each found, outlined.

    python benchmarks/heads_picture.py FOLDER... [-o heads.png] [--seed 73] [--slice Z]

FOLDER is a run of `heads.py`; an object counts from the score of its row on. A found object has the
colour of the true one that it is (mask IoU 0.5, same class); one that is none is dashed and white.
Objects of the first class have thick lines. Titles count objects of the whole phantom.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from pathlib import Path

import numpy as np
from heads import ROW, SCENES
from heads_figures import DOUBTFUL, with_doubtful
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray

import medseg
from medseg.evaluation import match_greedy
from medseg.io.colors import PALETTE
from medseg.phantom import Phantom
from medseg.types import Instance, Instances

PANEL_INCHES, DPI, COLUMNS = 2.4, 110, 4
THICK, THIN, WHITE = 2.0, 1.0, (255, 255, 255)
MARGIN = 5
"""Voxels that a panel shows around the true objects of the slice."""
DIM = 1.5
"""The brightest value over the brightest of the image: outlines are to stand out."""


def main() -> int:
    """Segment the phantom with every head and write the picture."""
    asked = arguments_of()
    rows = [json.loads((folder / ROW).read_text(encoding="utf-8")) for folder in asked.folders]
    if len({(row["phantom"], *row["shape"]) for row in rows}) > 1:
        msg = "the runs are of different phantoms"
        raise SystemExit(msg)
    phantom = SCENES[rows[0]["phantom"]].make(asked.seed, shape=tuple(rows[0]["shape"]))
    z = fullest_slice(phantom.truth) if asked.slice is None else asked.slice
    panels = [("image", None), ("truth", phantom.truth)]
    for folder, row in zip(asked.folders, rows, strict=True):
        panels.append((row["head"], counted(folder, row["score"], phantom)))
    figure = drawn(panels, phantom, z)
    figure.savefig(asked.out, dpi=DPI)
    print(f"{asked.out}: slice {z} of seed {asked.seed}, {asked.out.stat().st_size / 1000:.0f} kB")
    return 0


def counted(folder: Path, score: float, phantom: Phantom) -> Instances:
    """What a run's model finds in the phantom, from the score on that its row counts from."""
    (card,) = folder.glob("*/card.toml")
    model = with_doubtful(medseg.load_model(card.parent))
    found = medseg.segment(phantom.volume, model, device="cpu")
    return found.filter(lambda one: one.score >= max(score, DOUBTFUL))


def fullest_slice(truth: Instances) -> int:
    """The slice that meets most objects, the first of equals."""
    meets = np.zeros(truth.geometry.shape[0], dtype=np.int64)
    for item in truth:
        meets[item.box[0]] += item.mask.any(axis=(1, 2))
    return int(meets.argmax())


def drawn(panels: list[tuple[str, Instances | None]], phantom: Phantom, z: int) -> Figure:
    """A panel for each name: the slice, and outlines where there are objects."""
    rows = math.ceil(len(panels) / COLUMNS)
    size = (PANEL_INCHES * COLUMNS, (PANEL_INCHES + 0.3) * rows)
    figure = Figure(figsize=size, layout="constrained", facecolor="black")
    FigureCanvasAgg(figure)
    axes = figure.subplots(rows, COLUMNS, squeeze=False).ravel()
    grey = phantom.volume.array[z]
    low, high = np.percentile(grey, (1, 99.5))
    top, bottom, left, right = around(phantom.truth, z)
    for panel in axes:
        panel.set_axis_off()
    for panel, (name, found) in zip(axes, panels, strict=False):
        brightest = low + DIM * (high - low)
        panel.imshow(grey, cmap="gray", vmin=low, vmax=brightest, interpolation="nearest")
        panel.set(xlim=(left, right), ylim=(bottom, top))
        title = name
        if found is not None:
            hits = outlined(panel, found, phantom.truth, z)
            if found is not phantom.truth:
                title = f"{name}: {hits} of {len(phantom.truth)}, {len(found) - hits} false"
        panel.set_title(title, color="white", fontsize=9)
    return figure


def around(truth: Instances, z: int) -> tuple[float, float, float, float]:
    """Top, bottom, left and right of a square that holds the true objects of a slice."""
    planes = [plane(item, truth.geometry.shape, z) for item in truth]
    where = np.argwhere(np.sum([one for one in planes if one is not None], axis=0))
    if not len(where):
        where = np.argwhere(np.ones(truth.geometry.shape[1:]))
    low, high = where.min(axis=0) - MARGIN - 0.5, where.max(axis=0) + MARGIN + 0.5
    sides = np.array(truth.geometry.shape[1:])
    side = min(float((high - low).max()), float(sides.min()))
    top, left = np.clip((low + high - side) / 2, -0.5, sides - side - 0.5)
    return float(top), float(top) + side, float(left), float(left) + side


def outlined(panel: Axes, found: Instances, truth: Instances, z: int) -> int:
    """Draw the objects of a slice; how many objects of the whole volume are true ones."""
    pairs = match_greedy(found, truth, 0.5)
    owner = dict(zip(pairs.pred.tolist(), pairs.ref.tolist(), strict=True))
    first = truth.classes[0].name
    shown = [m for m, item in enumerate(truth) if plane(item, truth.geometry.shape, z) is not None]
    colours = {m: PALETTE[place % len(PALETTE)] for place, m in enumerate(shown)}
    for n, item in enumerate(found):
        mask = plane(item, found.geometry.shape, z)
        if mask is None:
            continue
        colour, style = WHITE, "dashed"
        if n in owner:
            colour, style = colours.get(owner[n], PALETTE[-1]), "solid"
        rows, columns = (np.arange(-1, length + 1) for length in found.geometry.shape[1:])
        panel.contour(
            columns,
            rows,
            np.pad(mask, 1),
            levels=[0.5],
            colors=[[part / 255 for part in colour]],
            linestyles=[style],
            linewidths=[THICK if item.class_name == first else THIN],
        )
    return len(owner)


def plane(item: Instance, shape: tuple[int, int, int], z: int) -> NDArray[np.float64] | None:
    """An object's mask (Y, X) in a slice; None where it does not reach there."""
    depth, rows, columns = item.box
    if not depth.start <= z < depth.stop or not item.mask[z - depth.start].any():
        return None
    whole = np.zeros(shape[1:])
    whole[rows, columns] = item.mask[z - depth.start]
    return whole


def arguments_of() -> argparse.Namespace:
    """What was asked for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folders", nargs="+", type=Path, metavar="FOLDER")
    parser.add_argument("-o", "--out", type=Path, default=Path("heads.png"))
    parser.add_argument("--seed", type=int, default=73, help="of the phantom; tests use 0 to 199")
    parser.add_argument("--slice", type=int, help="by default the one that meets most objects")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
