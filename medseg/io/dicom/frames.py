"""Facts of one file and its frames, taken from its header."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pydicom.dataset import Dataset

from medseg.io.dicom.classes import CLASSIC, ENHANCED, SUPPORTED
from medseg.io.dicom.header import Header
from medseg.io.dicom.records import Frame, ImageFile, SplitValue, short_hash
from medseg.io.dicom.suv import pet_facts
from medseg.io.dicom.tags import (
    Elements,
    Tags,
    first_item,
    items,
    number,
    numbers,
    raw_bytes,
    text,
    texts,
    whole,
)

PIXEL_DATA = 0x7FE00010
_CODE_STRING = re.compile(r"[A-Z0-9_ ]{1,16}")
_FACTS = {
    "body_part": 0x00180015,
    "burned_in": 0x00280301,
    "biped": 0x00102210,
    "lossy": 0x00282110,
    "units": 0x00541001,
}
_SPLIT_NUMBERS = (
    ("EchoTime", 0x00180081),
    ("EchoNumbers", 0x00180086),
    ("DiffusionBValue", 0x00189087),
    ("DiffusionGradientOrientation", 0x00189089),
    ("TemporalPositionIdentifier", 0x00200100),
    ("TriggerTime", 0x00181060),
    ("InversionTime", 0x00180082),
    ("FlipAngle", 0x00181314),
    ("KVP", 0x00180060),
    ("AcquisitionNumber", 0x00200012),
    ("AcquisitionTime", 0x00080032),
)
_SPLIT_GROUPS = (  # sequence of the functional group, tag in it, name
    (0x00189114, 0x00189082, "EchoTime"),
    (0x00189117, 0x00189087, "DiffusionBValue"),
    (0x00209111, 0x00209128, "TemporalPositionIdentifier"),
    (0x00209111, 0x00209156, "AcquisitionNumber"),
    (0x00189118, 0x00209153, "TriggerTime"),
)
_PRIVATE_B_VALUES = (
    # creator's tag and text, then the tag that holds the b-value
    (0x00190010, "SIEMENS MR HEADER", 0x0019100C),
    (0x00430010, "GEMS_PARM_01", 0x00431039),
)
_GE_B_VALUE_OFFSET = 1e9
_FRAMES_A_FILE = 1e6


def image_file(header: Header, path: Path, order: int, file_bytes: int) -> ImageFile:
    """What all frames of the file share."""
    ds = header.tags
    sop_class = text(ds, 0x00080016)
    frame_of_reference = text(ds, 0x00200052)
    facts = {name: code_text(text(ds, tag)) for name, tag in _FACTS.items()}
    facts["suv_type"] = _kind_text(text(ds, 0x00541006))
    facts["manufacturer"] = text(ds, 0x00080070)[:64]
    study = text(ds, 0x0020000D)
    facts["study"] = short_hash(study) if study else ""
    if SUPPORTED.get(sop_class) == "PT":
        facts |= pet_facts(header.dataset)
    return ImageFile(
        path=path,
        order=order,
        instance_uid=text(ds, 0x00080018),
        sop_class=sop_class,
        syntax=header.syntax,
        patient=short_hash("\\".join(texts(ds, 0x00100020))),
        frame_of_reference=short_hash(frame_of_reference) if frame_of_reference else "",
        image_type=texts(ds, 0x00080008),
        rows=whole(ds, 0x00280010),
        columns=whole(ds, 0x00280011),
        frames=whole(ds, 0x00280008, absent=1),
        groups=len(items(ds, 0x52009230)) if sop_class in ENHANCED else 1,
        samples=whole(ds, 0x00280002, absent=1),
        photometric=text(ds, 0x00280004),
        bits=(whole(ds, 0x00280100), whole(ds, 0x00280101), whole(ds, 0x00280102)),
        signed=whole(ds, 0x00280103, absent=-1),
        float_pixels=header.pixel_tag in (0x7FE00008, 0x7FE00009),
        pixel_offset=header.pixel_offset if header.pixel_tag == PIXEL_DATA else None,
        pixel_length=header.pixel_length,
        file_bytes=file_bytes,
        changed_ns=header.changed_ns,
        padding=_padding(ds),
        facts=facts,
        announced_slices=number(ds, 0x00540081),
        announced_images=number(ds, 0x00201002),
    )


def code_text(value: str) -> str:
    """The value if it is a code string as PS3.5 6.2 has it, else "": free text is not passed on."""
    return value if _CODE_STRING.fullmatch(value) else ""


def _kind_text(value: str) -> str:
    """The code that says what values are; "OTHER" for free text, since "" stands for the default.

    RescaleType may be any text ("mg/ml"), and files break the rules of SUVType: taken as absent,
    they would make such values HU or SUV by body weight.
    """
    return code_text(value.upper()) or ("OTHER" if value else "")


def _padding(ds: Elements) -> tuple[int, int] | None:
    """Lowest and highest stored value that mark padding, as unsigned bits."""
    ends = []
    for tag in (0x00280120, 0x00280121):
        found = raw_bytes(ds, tag)
        if found is not None and len(found[0]) >= 2:
            ends.append(int.from_bytes(found[0][:2], "little" if found[2] else "big"))
    return (ends[0], ends[-1]) if ends and raw_bytes(ds, 0x00280120) else None


def frames_of(header: Header, file: ImageFile) -> tuple[Frame, ...]:
    """The frames of a file: the one of a classic object, or one a functional group."""
    if file.sop_class in ENHANCED:
        return tuple(_enhanced_frames(header.tags, file))
    return (_classic_frame(header.tags, file),)


def _classic_frame(ds: Elements, file: ImageFile) -> Frame:
    return Frame(
        file=file,
        index=0,
        position=numbers(ds, 0x00200032),
        orientation=numbers(ds, 0x00200037),
        spacing=numbers(ds, 0x00280030),
        slope=number(ds, 0x00281053),
        intercept=number(ds, 0x00281052),
        modality_lut=bool(items(ds, 0x00283000)),
        rescale_type=_kind_text(text(ds, 0x00281054)),
        thickness=number(ds, 0x00180050),
        spacing_between=number(ds, 0x00180088),
        frame_type=file.image_type,
        instance_number=number(ds, 0x00200013),
        split=_split_values(ds, file.image_type) if file.sop_class in CLASSIC else {},
    )


def _split_values(ds: Tags, frame_type: tuple[str, ...]) -> dict[str, SplitValue]:
    """The tags of a data set that may set volumes apart; absent ones are left out."""
    values: dict[str, SplitValue] = {"ImageType": frame_type}
    for name, tag in _SPLIT_NUMBERS:
        _add(values, name, numbers(ds, tag))
    for name, tag in (("ConvolutionKernel", 0x00181210), ("StackID", 0x00209056)):
        if found := texts(ds, tag):
            values[name] = found
    for creator_tag, creator, tag in _PRIVATE_B_VALUES:
        b_value = number(ds, tag) if text(ds, creator_tag) == creator else None
        if "DiffusionBValue" not in values and b_value is not None:
            _add(values, "DiffusionBValue", (b_value % _GE_B_VALUE_OFFSET,))
    return values


def _add(values: dict[str, SplitValue], name: str, found: tuple[float, ...] | None) -> None:
    if found is not None and not any(math.isnan(value) for value in found):
        values[name] = found


@dataclass(frozen=True, slots=True)
class _Groups:
    """The functional groups of one frame: its own come first, then those that all share."""

    own: Dataset
    shared: Dataset | None

    def find(self, sequence: int) -> Dataset:
        found = first_item(self.own, sequence)
        if found is None and self.shared is not None:
            found = first_item(self.shared, sequence)
        return Dataset() if found is None else found


def _enhanced_frames(ds: Elements, file: ImageFile) -> Iterator[Frame]:
    """One frame for each item of PerFrameFunctionalGroupsSequence (PS3.3 C.7.6.16)."""
    shared = first_item(ds, 0x52009229)
    common = _split_values(ds, file.image_type)
    first_number = (number(ds, 0x00200013) or 0.0) * _FRAMES_A_FILE
    for index, own in enumerate(items(ds, 0x52009230)):
        groups = _Groups(own, shared)
        measures = groups.find(0x00289110)
        rescale = groups.find(0x00289145)
        frame_type = _frame_type(groups) or file.image_type
        yield Frame(
            file=file,
            index=index,
            position=numbers(groups.find(0x00209113), 0x00200032),
            orientation=numbers(groups.find(0x00209116), 0x00200037),
            spacing=numbers(measures, 0x00280030),
            slope=number(rescale, 0x00281053),
            intercept=number(rescale, 0x00281052),
            modality_lut=bool(items(ds, 0x00283000)),
            rescale_type=_kind_text(text(rescale, 0x00281054)),
            thickness=number(measures, 0x00180050),
            spacing_between=number(measures, 0x00180088),
            frame_type=frame_type,
            instance_number=first_number + index,
            split={**common, **_group_splits(groups), "ImageType": frame_type},
        )


def _frame_type(groups: _Groups) -> tuple[str, ...]:
    for sequence in (0x00189226, 0x00189329, 0x00189751):  # MR, CT, PET image frame type
        if found := texts(groups.find(sequence), 0x00089007):
            return found
    return ()


def _group_splits(groups: _Groups) -> dict[str, SplitValue]:
    values: dict[str, SplitValue] = {}
    for sequence, tag, name in _SPLIT_GROUPS:
        _add(values, name, numbers(groups.find(sequence), tag))
    direction = first_item(groups.find(0x00189117), 0x00189076)
    if direction is not None:
        _add(values, "DiffusionGradientOrientation", numbers(direction, 0x00189089))
    if stack := texts(groups.find(0x00209111), 0x00209056):
        values["StackID"] = stack
    return values
