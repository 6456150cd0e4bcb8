"""Segmenting a part of an image: what goes in, and the objects back on the whole grid."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from medseg.types import Box, Geometry, InputWarning, Instance, Instances, Volume

REGION, CUT = "region-only", "cut-by-region"


def cropped(volumes: Mapping[str, Volume], box: Box) -> dict[str, Volume]:
    """The volumes by channel, the first of them cropped to a box of its grid; it gives the grid."""
    first, *others = volumes
    return {first: volumes[first].crop(box), **{name: volumes[name] for name in others}}


def on_whole_grid(found: Instances, geometry: Geometry, box: Box) -> Instances:
    """What was found in a box of an image, on the image's grid.

    Warnings say that only the box was looked at, and which objects its faces cut.
    """
    corner = [part.start for part in box]
    items = [_moved(item, corner) for item in found.items]
    ends = ", ".join(
        f"{axis} {part.start}-{part.stop - 1}" for axis, part in zip("zyx", box, strict=True)
    )
    detail = f"only a part of the image was segmented, {ends}: what lies outside was not looked for"
    warnings = [*found.warnings, InputWarning(REGION, detail)]
    cut = [str(item.id) for item in items if _is_cut(item, box, geometry)]
    if cut:
        detail = f"the region's faces cut {len(cut)} objects, of which a part is missing: "
        warnings.append(InputWarning(CUT, detail + ", ".join(cut)))
    region = [[part.start, part.stop] for part in box]
    return Instances(
        geometry, items, found.classes, tuple(warnings), {**found.provenance, "region_zyx": region}
    )


def _moved(item: Instance, corner: list[int]) -> Instance:
    wider = item.probability_box
    return replace(
        item,
        box=_shifted(item.box, corner),
        probability_box=None if wider is None else _shifted(wider, corner),
    )


def _shifted(box: Box, corner: list[int]) -> Box:
    z, y, x = (
        slice(part.start + start, part.stop + start)
        for part, start in zip(box, corner, strict=True)
    )
    return z, y, x


def _is_cut(item: Instance, box: Box, geometry: Geometry) -> bool:
    """Whether an object touches a face of the box that lies inside the image."""
    return any(
        (mine.start == part.start > 0) or (mine.stop == part.stop < length)
        for mine, part, length in zip(item.box, box, geometry.shape, strict=True)
    )
