"""3D Slicer's segmentation format (.seg.nrrd): segments with names and colours, in layers.

Format: Slicer developer guide, "Segmentation labelmap file format". Overlapping segments lie in
different layers of a leading list axis. What Slicer has no field for is kept in the segment's
tags (which Slicer keeps when it saves again) and, for the list of classes, in keys of our own.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast
from urllib.parse import quote, unquote

import numpy as np
from numpy.typing import NDArray

from medseg.errors import InputRefused
from medseg.io.checks import corrupt
from medseg.io.colors import class_colors
from medseg.io.nrrd_image import (
    NrrdHeader,
    parse_nrrd,
    read_nrrd_values,
    unescaped,
    write_nrrd,
)
from medseg.types import (
    Box,
    InputWarning,
    Instance,
    InstanceClass,
    Instances,
    Kind,
    as_labels,
    label_boxes,
)

_SEGMENT = re.compile(r"^Segment(\d+)_(\w+)$")


@dataclass(frozen=True)
class _Segment:
    """One segment of a file, as its fields say."""

    number: int
    name: str
    layer: int
    label: int
    color: tuple[int, int, int] | None
    tags: Mapping[str, str]


def has_segments(header: NrrdHeader) -> bool:
    """Whether a NRRD header has Slicer's fields for segments."""
    return any(key.startswith(("Segmentation_", "Segment0_")) for key in header.fields)


def write_seg_nrrd(instances: Instances, path: Path) -> None:
    """Write every mask exactly, in as many layers as overlaps need; the label value is the id.

    Class, kind, score, warnings and provenance are kept; probabilities are not.
    """
    layers, layer_of = layered(instances)
    write_nrrd(layers, instances.geometry, path, _keys(instances, layer_of))


def layered(instances: Instances) -> tuple[list[NDArray[np.unsignedinteger[Any]]], list[int]]:
    """Label maps (z, y, x) of ids in which nothing overlaps, and each item's layer.

    Each instance goes into the first layer where its mask is free; at least one layer is made.
    """
    largest = max((item.id for item in instances.items), default=0)
    dtype = np.min_scalar_type(largest)
    layers = [np.zeros(instances.geometry.shape, dtype=dtype)]
    layer_of = []
    for item in instances.items:
        chosen = next(
            (n for n, one in enumerate(layers) if not one[item.box][item.mask].any()), len(layers)
        )
        if chosen == len(layers):
            layers.append(np.zeros(instances.geometry.shape, dtype=dtype))
        layers[chosen][item.box][item.mask] = item.id
        layer_of.append(chosen)
    return layers, layer_of


def read_seg_nrrd(path: Path, kind: Kind) -> Instances:
    """Read the segments of a .seg.nrrd file.

    A file of ours gives the same ids, masks, classes, kinds and scores. A segment without our
    tags is of the given kind and of the class that its name says; its id is its label value where
    all segments lie in one layer, else a running number. A name changed in Slicer changes the
    class. Empty segments and voxels of no segment are reported as warnings.

    Raises InputRefused (`file-corrupt`, `labels-not-integer`, and those of the NRRD reader).
    """
    name = path.name
    header = parse_nrrd(path)
    representation = header.fields.get(
        "Segmentation_SourceRepresentation", header.fields.get("Segmentation_MasterRepresentation")
    )
    if representation is not None and "binary" not in str(representation).lower():
        raise InputRefused(
            code="labels-not-integer",
            subject=name,
            detail=f"holds a {str(representation).lower()}, not masks",
            remedy="export it from 3D Slicer as a binary labelmap",
        )
    values = read_nrrd_values(header, name)
    layers = values if values.ndim == 4 else values[None]
    segments = _segments(header, len(layers), name)
    items, classes, warnings = _items(segments, layers, kind, name)
    stored = _stored(header, name)
    return Instances(
        header.geometry,
        items,
        _ordered(classes, stored.get("classes", []), stored.get("nodes", [])),
        (*(InputWarning(*pair) for pair in stored.get("warnings", [])), *warnings),
        stored.get("provenance", {}),
    )


def _keys(instances: Instances, layer_of: Sequence[int]) -> dict[str, str]:
    keys = {
        "Segmentation_ContainedRepresentationNames": "Binary labelmap|",
        "Segmentation_SourceRepresentation": "Binary labelmap",
        "Segmentation_MasterRepresentation": "Binary labelmap",
        "Segmentation_ReferenceImageExtentOffset": "0 0 0",
        "medseg_classes": json.dumps(
            [[one.name, one.kind, one.label, one.color] for one in instances.classes]
        ),
        "medseg_warnings": json.dumps([list(one) for one in instances.warnings]),
        "medseg_provenance": json.dumps(dict(instances.provenance)),
    }
    nodes = [one.name for one in instances.classes if one.node]
    if nodes:
        keys["medseg_nodes"] = json.dumps(nodes)
    known = {one.name: one for one in instances.classes}
    colors = class_colors(instances.classes)
    for number, (item, layer) in enumerate(zip(instances.items, layer_of, strict=True)):
        fields = {
            "ID": f"Segment_{item.id}",
            "Name": display_name(item.class_name, item.id),
            "NameAutoGenerated": "0",
            "Color": " ".join(f"{channel / 255:.6f}" for channel in colors[item.class_name]),
            "ColorAutoGenerated": "0",
            "LabelValue": str(item.id),
            "Layer": str(layer),
            "Extent": " ".join(f"{one.start} {one.stop - 1}" for one in reversed(item.box)),
            "Tags": _tags_text(item, known[item.class_name]),
        }
        keys.update({f"Segment{number}_{key}": value for key, value in fields.items()})
    return keys


def display_name(class_name: str, number: int) -> str:
    """The name that a segment bears in Slicer: class and id, on one line."""
    return f"{' '.join(class_name.split())} {number}"


def _tags_text(item: Instance, owner: InstanceClass) -> str:
    tags = {
        "medseg.id": str(item.id),
        "medseg.class": quote(item.class_name, safe=" "),
        "medseg.kind": item.kind,
        "medseg.label": str(owner.label),
        "medseg.score": repr(float(item.score)),
    }
    if owner.node:
        tags["medseg.node"] = "1"
    return "".join(f"{key}:{value}|" for key, value in tags.items())


def _segments(header: NrrdHeader, layers: int, name: str) -> list[_Segment]:
    found: dict[int, dict[str, str]] = {}
    for key, value in header.fields.items():
        match = _SEGMENT.match(str(key))
        if match:
            found.setdefault(int(match[1]), {})[match[2]] = unescaped(str(value))
    try:
        segments = [_segment(number, found[number], layers) for number in sorted(found)]
    except ValueError as error:
        raise corrupt(name, "a segment's layer or label value is no whole number") from error
    beyond = [one.name for one in segments if not 0 <= one.layer < layers]
    if beyond:
        raise corrupt(name, f"segment {beyond[0]!r} lies in a layer that is not there")
    return segments


def _segment(number: int, fields: Mapping[str, str], layers: int) -> _Segment:
    # Slicer before 4.11 wrote neither: one segment a list entry, with the value 1.
    layer = int(fields.get("Layer", number if layers > 1 else 0))
    label = int(fields.get("LabelValue", 1))
    pairs = [tag.partition(":") for tag in fields.get("Tags", "").split("|")]
    return _Segment(
        number=number,
        name=fields.get("Name") or fields.get("ID") or f"Segment_{number + 1}",
        layer=layer,
        label=label,
        color=_color(fields.get("Color", "")),
        tags={key: value for key, _, value in pairs},
    )


def _color(text: str) -> tuple[int, int, int] | None:
    try:
        channels = [min(255, max(0, round(255 * float(word)))) for word in text.split()]
    except (ValueError, OverflowError):
        return None
    return (channels[0], channels[1], channels[2]) if len(channels) == 3 else None


def _items(
    segments: list[_Segment], layers: NDArray[Any], kind: Kind, name: str
) -> tuple[list[Instance], dict[str, InstanceClass], list[InputWarning]]:
    boxes = [_boxes(layer, name) for layer in layers]
    ids, warnings = _ids(segments, len(layers))
    items: list[Instance] = []
    classes: dict[str, InstanceClass] = {}
    for segment, number in zip(segments, ids, strict=True):
        owner = _class_of(segment, kind, classes)
        classes.setdefault(owner.name, owner)
        box = boxes[segment.layer].get(segment.label)
        if box is None:
            detail = f"segment {segment.name!r} has no voxel and was left out"
            warnings.append(InputWarning("empty-segment", detail))
            continue
        mask = layers[segment.layer][box] == segment.label
        score = _score(segment.tags.get("medseg.score", "1"))
        items.append(Instance(number, owner.name, classes[owner.name].kind, score, box, mask))
    return items, classes, warnings + _unnamed(segments, boxes)


def _boxes(layer: NDArray[Any], name: str) -> dict[int, Box]:
    try:
        return label_boxes(as_labels(np.ascontiguousarray(layer)))
    except ValueError as error:
        raise InputRefused(
            code="labels-not-integer",
            subject=name,
            detail=str(error),
            remedy="export it from 3D Slicer as a binary labelmap",
        ) from error


def _ids(segments: list[_Segment], layers: int) -> tuple[list[int], list[InputWarning]]:
    """An id for each segment: its tag, else its label value or a free number."""
    labels = [segment.label for segment in segments]
    by_label = layers == 1 and len(set(labels)) == len(labels) and min(labels, default=1) > 0
    ids: list[int | None] = []
    warnings = []
    for segment in segments:
        number = _whole(segment.tags.get("medseg.id", ""))
        if number is not None and number in ids:
            detail = f"segment {segment.name!r} bears the id {number} of another; it got a new one"
            warnings.append(InputWarning("id-changed", detail))
            number = None
        ids.append(number)
    taken = {number for number in ids if number is not None}
    for position, segment in enumerate(segments):
        if ids[position] is None:
            free = segment.label if by_label and segment.label not in taken else 1
            while free in taken:
                free += 1
            ids[position] = free
            taken.add(free)
    return cast("list[int]", ids), warnings


def _whole(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdigit() and int(text) > 0 else None


def _score(text: str) -> float:
    try:
        score = float(text)
    except ValueError:
        return 1.0
    return score if np.isfinite(score) else 1.0


def _class_of(segment: _Segment, kind: Kind, classes: Mapping[str, InstanceClass]) -> InstanceClass:
    """The class that the tags name, unless the segment was renamed: then its name is the class."""
    tagged = unquote(segment.tags.get("medseg.class", ""))
    number = _whole(segment.tags.get("medseg.id", ""))
    kept = number is not None and segment.name == display_name(tagged, number)
    name = tagged if kept else segment.name
    if name in classes:
        return classes[name]
    said = segment.tags.get("medseg.kind", "")
    own = cast("Kind", said) if said in ("organ", "lesion") else kind
    used = {one.label for one in classes.values()}
    label = _whole(segment.tags.get("medseg.label", "")) if kept else None
    if label is None or label in used:
        label = next(n for n in range(1, len(used) + 2) if n not in used)
    node = kept and segment.tags.get("medseg.node") == "1"
    return InstanceClass(name, own, label, segment.color, node)


def _unnamed(segments: list[_Segment], boxes: list[dict[int, Box]]) -> list[InputWarning]:
    named = {(segment.layer, segment.label) for segment in segments}
    lost = [
        f"{label} in layer {layer}"
        for layer, found in enumerate(boxes)
        for label in found
        if (layer, label) not in named
    ]
    if not lost:
        return []
    detail = f"voxels of no segment were left out: value {', '.join(lost[:5])}"
    return [InputWarning("unnamed-voxels", detail)]


def _stored(header: NrrdHeader, name: str) -> dict[str, Any]:
    """Our own keys, where the file has them."""
    stored = {}
    kinds = {"classes": list, "nodes": list, "warnings": list, "provenance": dict}
    for what, kind in kinds.items():
        text = header.fields.get(f"medseg_{what}")
        if text is None:
            continue
        try:
            stored[what] = json.loads(unescaped(str(text)))
        except json.JSONDecodeError as error:
            raise corrupt(name, f"its key medseg_{what} is no JSON") from error
        if not isinstance(stored[what], kind):
            raise corrupt(name, f"its key medseg_{what} is of another kind")
    return stored


def _ordered(
    classes: dict[str, InstanceClass], stored: list[Any], nodes: list[Any]
) -> tuple[InstanceClass, ...]:
    """The classes as they were written, then those that came with segments of other programs."""
    kept: dict[str, InstanceClass] = {}
    for name, kind, label, color in stored:
        mine = classes.get(name)
        shade = tuple(color) if color else None
        if mine is None or mine.kind == kind:
            kept[name] = InstanceClass(name, kind, label, cast("Any", shade), name in nodes)
    for name, one in classes.items():
        kept.setdefault(name, one)
    return tuple(kept.values())
