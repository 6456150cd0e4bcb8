"""Instances as a DICOM SEG: one segment each, overlaps and all (PS3.3 A.51)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from itertools import groupby

import numpy as np
from highdicom import AlgorithmIdentificationSequence
from highdicom.color import CIELabColor
from highdicom.seg import Segmentation as SegmentationBase
from highdicom.seg import SegmentationTypeValues, SegmentDescription
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes as concepts
from pydicom.sr.coding import Code

from medseg.io.colors import class_colors
from medseg.io.dicom.tags import quiet_pydicom
from medseg.io.dicom_out.codes import ClassCodes, Term
from medseg.io.dicom_out.frames import (
    FULL,
    FramePacker,
    SegmentFrame,
    mask_frames,
    probability_frames,
)
from medseg.io.dicom_out.headers import refer, slice_headers, take_over
from medseg.io.dicom_out.identity import PLACEHOLDER, Algorithm, SegKind, identify, is_stated, uid
from medseg.io.dicom_out.source import Source
from medseg.io.seg_nrrd import display_name
from medseg.types import Instance, Instances

MOST_SEGMENTS = 65535
"""SegmentNumber is an unsigned integer of 16 bits (PS3.3 C.8.20.2)."""
MANUFACTURER = "medseg"
SEG_NUMBER, SR_NUMBER, FRACTIONAL_NUMBER = 900, 901, 902
_LABEL_CHARACTERS = 64
_FRAMES: dict[str, Callable[[Sequence[Instance]], Iterator[SegmentFrame]]] = {
    "BINARY": mask_frames,
    "FRACTIONAL": probability_frames,
}


def segmentation_dataset(
    instances: Instances,
    source: Source,
    *,
    codes: Mapping[str, ClassCodes],
    algorithm: Algorithm,
    moment: datetime,
    kind: SegKind = "BINARY",
) -> Dataset:
    """A SEG of instances on the grid of `source`; segment n is the n-th instance.

    BINARY holds every mask whole, FRACTIONAL the probabilities in steps of 1/255. `codes` has
    every class. Frames are written for the slices that a segment uses, and no array larger than
    one slice is made.

    Raises ValueError where there is no instance, none with a probability, or more than 65,535.
    """
    items = instances.items
    if not 0 < len(items) <= MOST_SEGMENTS:
        msg = f"a SEG holds 1 to {MOST_SEGMENTS} segments; got {len(items)}"
        raise ValueError(msg)
    used = {frame.z for frame in _FRAMES[kind](items)}
    if not used:
        msg = "no instance has a probability"
        raise ValueError(msg)
    with quiet_pydicom():
        described = _descriptions(instances, source, codes, algorithm)
        ds = _framed(source, described, sorted(used), kind)
        _put_frames(ds, items, kind)
        _finish(ds, instances, source, algorithm, kind)
        identify(ds, "SEG" if kind == "BINARY" else "SEG fractional", moment)
    return ds


def tracking_id(item: Instance) -> str:
    """How an instance is called in SEG, SR and RTSTRUCT."""
    return display_name(item.class_name, item.id)


def tracking_uid(item: Instance, source: Source, algorithm: Algorithm) -> str:
    """The UID of one finding, the same in SEG and SR: from source, model, class, id and mask."""
    box = ",".join(f"{part.start}:{part.stop}" for part in item.box)
    mask = np.packbits(item.mask).tobytes().hex()
    parts = (source.series_uid, source.stack.label, algorithm.name, algorithm.version)
    return uid("finding", *parts, item.class_name, str(item.id), box, mask)


def code_of(term: Term) -> Code:
    """A term as pydicom and highdicom take it."""
    return Code(term.value, term.scheme, term.meaning)


def _descriptions(
    instances: Instances, source: Source, codes: Mapping[str, ClassCodes], algorithm: Algorithm
) -> list[SegmentDescription]:
    colors = class_colors(instances.classes)
    said = None
    if algorithm.type != "MANUAL":
        said = AlgorithmIdentificationSequence(
            algorithm.name[:_LABEL_CHARACTERS],
            concepts.DCM.ArtificialIntelligence,
            algorithm.version[:_LABEL_CHARACTERS],
            source=MANUFACTURER if is_stated(algorithm) else None,
        )
    found = []
    for number, item in enumerate(instances.items, start=1):
        mine = codes[item.class_name]
        one = SegmentDescription(
            segment_number=number,
            segment_label=_label(item),
            segmented_property_category=code_of(mine.category),
            segmented_property_type=code_of(mine.type),
            algorithm_type=algorithm.type,
            algorithm_identification=said,
            tracking_uid=tracking_uid(item, source, algorithm),
            tracking_id=tracking_id(item),
            anatomic_regions=[code_of(mine.site)] if mine.site else None,
            display_color=CIELabColor.from_rgb(*colors[item.class_name]),
        )
        if mine.modifiers:
            kind = one.SegmentedPropertyTypeCodeSequence[0]
            kind.SegmentedPropertyTypeModifierCodeSequence = list(map(_code_item, mine.modifiers))
        found.append(one)
    return found


def _label(item: Instance) -> str:
    """The tracking id within 64 characters; a long class name is cut, its number never."""
    whole = tracking_id(item).replace("\\", "/")
    if len(whole) <= _LABEL_CHARACTERS:
        return whole
    number = f" {item.id}"
    return whole[: _LABEL_CHARACTERS - len(number)].rstrip() + number


def _code_item(term: Term) -> Dataset:
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = (
        term.value,
        term.scheme,
        term.meaning,
    )
    return item


def _framed(
    source: Source, described: Sequence[SegmentDescription], used: Sequence[int], kind: str
) -> Dataset:
    """The object with one frame for each slice of `used`, whose pixels are still to come."""
    headers, stands_for = slice_headers(source)
    marks = np.zeros((len(headers), *source.geometry.shape[1:]), dtype=bool)
    marks[list(used), 0, 0] = True
    ds = SegmentationBase(
        source_images=headers,
        pixel_array=marks,
        segmentation_type=SegmentationTypeValues(kind),
        segment_descriptions=described,
        series_instance_uid=PLACEHOLDER,
        series_number=SEG_NUMBER if kind == "BINARY" else FRACTIONAL_NUMBER,
        sop_instance_uid=PLACEHOLDER,
        instance_number=1,
        manufacturer=MANUFACTURER,
        manufacturer_model_name=MANUFACTURER,
        software_versions=_version(),
        device_serial_number="none",
        max_fractional_value=FULL,
        content_label="MEDSEG",
        omit_empty_frames=True,
    )
    plain = Dataset()
    plain.update(ds)
    plain.file_meta = ds.file_meta
    refer(plain, stands_for)
    for frame in plain.PerFrameFunctionalGroupsSequence:
        refer(frame, stands_for)
    return plain


def _put_frames(ds: Dataset, items: Sequence[Instance], kind: str) -> None:
    """Replace the frame of each slice by those of the segments that use it."""
    shape = (ds.NumberOfFrames, ds.Rows, ds.Columns)
    packer = FramePacker(shape, 1 if kind == "BINARY" else 8)
    used = sorted({frame.z for frame in _FRAMES[kind](items)})
    templates = dict(zip(used, _by_slice(ds), strict=True))
    groups = []
    for _, frames in groupby(_FRAMES[kind](items), key=lambda frame: frame.segment):
        for frame in sorted(frames, key=lambda one: _place(templates[one.z])):
            groups.append(_group(templates[frame.z], frame.segment))
            packer.add(frame)
    ds.PerFrameFunctionalGroupsSequence = groups
    ds.NumberOfFrames = len(groups)
    ds.PixelData = packer.pixel_data()


def _place(template: Dataset) -> int:
    """The place of a slice among those that are used, in the order of the dimension index."""
    return int(template.FrameContentSequence[0].DimensionIndexValues[-1])


def _by_slice(ds: Dataset) -> list[Dataset]:
    """The frames in the order of the slices along the normal of row and column vectors."""
    shared = ds.SharedFunctionalGroupsSequence[0]
    cosines = np.asarray(shared.PlaneOrientationSequence[0].ImageOrientationPatient, dtype=float)
    normal = np.cross(cosines[:3], cosines[3:])

    def along(frame: Dataset) -> float:
        place = frame.PlanePositionSequence[0].ImagePositionPatient
        return float(np.dot(normal, np.asarray(place, dtype=float)))

    return sorted(ds.PerFrameFunctionalGroupsSequence, key=along)


def _group(template: Dataset, segment: int) -> Dataset:
    """The functional groups of a frame like `template`, of another segment."""
    ds = Dataset()
    ds.update(template)  # position and source are shared, which costs neither time nor memory
    content, which = Dataset(), Dataset()
    content.DimensionIndexValues = [
        segment,
        *template.FrameContentSequence[0].DimensionIndexValues[1:],
    ]
    which.ReferencedSegmentNumber = segment
    for keyword, item in (
        ("FrameContentSequence", content),
        ("SegmentIdentificationSequence", which),
    ):
        if keyword in ds:  # of a single segment all frames are, which is said once for all
            del ds[keyword]  # or the value of the shared element would be set
            setattr(ds, keyword, [item])
    return ds


def _finish(
    ds: Dataset, instances: Instances, source: Source, algorithm: Algorithm, kind: str
) -> None:
    take_over(ds, source)
    ds.SeriesDescription = series_description(algorithm)
    if kind == "BINARY":
        ds.SegmentsOverlap = "YES" if instances.overlap_voxels() else "NO"
    else:
        ds.SegmentsOverlap = "UNDEFINED"
    frames = uid("dimensions", source.series_uid)
    for item in (*ds.DimensionOrganizationSequence, *ds.DimensionIndexSequence):
        item.DimensionOrganizationUID = frames


def series_description(algorithm: Algorithm) -> str:
    """How a viewer lists the series: what found the objects, nothing of the patient."""
    name = f"{algorithm.name} {algorithm.version}" if is_stated(algorithm) else "segmentation"
    return f"medseg: {name}"[:_LABEL_CHARACTERS]


def _version() -> str:
    from importlib.metadata import version

    return version("medseg")
