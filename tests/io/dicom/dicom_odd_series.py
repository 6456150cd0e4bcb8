"""Series with one fault each, and sound ones that look odd.

Names start with the row of the table of cases that the reader was designed against.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence

import numpy as np
from dicom_builders import (
    COLUMNS,
    ROOT,
    ROWS,
    SLICES,
    Slices,
    copies,
    move,
    parted,
    pixels,
    place,
    raw,
    series,
    set_pixels,
)
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence as Items
from pydicom.uid import NuclearMedicineImageStorage, SecondaryCaptureImageStorage

DEGREE = np.pi / 180
X, Y, Z = np.eye(3)


def every(slices: Slices, **values: object) -> Slices:
    """The tags set on every slice."""
    for ds in slices:
        for name, value in values.items():
            setattr(ds, name, value)
    return slices


def without(slices: Slices, *names: str) -> Slices:
    for ds in slices:
        for name in names:
            delattr(ds, name)
    return slices


def one(slices: Slices, **values: object) -> Slices:
    """The tags set on the slice before the last."""
    every([slices[-2]], **values)
    return slices


def tilted(degrees: float) -> Slices:
    angle = degrees * DEGREE
    return series(step=(0, 2.5 * np.sin(angle), 2.5 * np.cos(angle)))


def jittered(width: float) -> Slices:
    slices = series()
    for ds, sign in zip(slices[1:-1], [1, -1] * SLICES, strict=False):
        move(ds, (0, 0, sign * width))
    return slices


def spaced(gaps: Sequence[float]) -> Slices:
    slices = series(slices=len(gaps) + 1)
    for ds, z in zip(slices, np.cumsum([0, *gaps]), strict=True):
        place(ds, np.array([-10.0, -20.0, 5.0 + z]))
    return slices


def turned_slice(degrees: float) -> Slices:
    slices = series()
    c, s = np.cos(degrees * DEGREE), np.sin(degrees * DEGREE)
    slices[4].ImageOrientationPatient = [f"{v:.12f}" for v in (c, s, 0, -s, c, 0)]
    return slices


def scout(**values: object) -> Slices:
    slices = series()
    extra = copy.deepcopy(slices[0])
    place(extra, np.array([0.0, -20.0, 40.0]), Y, -Z)
    extra.SOPInstanceUID = f"{ROOT}.9"
    return [*slices, *every([extra], **values)]


def again(*, same_uid: bool, other_pixels: bool = False) -> Slices:
    slices = series()
    twin = copy.deepcopy(slices[5])
    if not same_uid:
        twin.SOPInstanceUID = f"{ROOT}.9"
    if other_pixels:
        set_pixels(twin, pixels(twin) + 1)
    return [*slices, twin]


def with_bytes(tag: int, vr: str, value: bytes, places: slice) -> Slices:
    slices = series()
    for ds in slices[places]:
        raw(ds, tag, vr, value)
    return slices


def modality_lut() -> Slices:
    lut = Dataset()
    lut.LUTDescriptor, lut.ModalityLUTType, lut.LUTData = [1, 0, 16], "HU", [7, 8]
    lut["LUTDescriptor"].VR = lut["LUTData"].VR = "US"
    slices = without(series(), "RescaleSlope", "RescaleIntercept")
    return every(slices, ModalityLUTSequence=Items([lut]))


def other_matrix() -> Slices:
    slices = series()
    every(slices[6:], Rows=ROWS - 1)
    for ds in slices[6:]:
        set_pixels(ds, np.zeros((ROWS - 1, COLUMNS), dtype=np.int16))
    return slices


def shortened(bytes_less: int) -> Slices:
    slices = series()
    slices[3].PixelData = slices[3].PixelData[:-bytes_less]
    slices[3]["PixelData"].VR = "OW"
    return slices


def huge() -> Slices:
    return every(series(), Rows=65535, Columns=65535)


def phases(tag: str | None, values: Sequence[object]) -> Slices:
    slices = copies(series(), len(values))
    for n, value in enumerate(values):
        if tag:
            every(parted(slices, n), **{tag: value})
    return slices


RGB = np.zeros((ROWS, COLUMNS, 3), dtype=np.uint8)


def coloured() -> Slices:
    slices = every(series(), SamplesPerPixel=3, PhotometricInterpretation="RGB")
    every(slices, PlanarConfiguration=0, BitsAllocated=8, BitsStored=8, HighBit=7)
    for ds in slices:
        ds.PixelRepresentation = 0
        set_pixels(ds, RGB)
    return slices


REFUSED: dict[str, tuple[str, Slices]] = {
    "A10 two series": (
        "several-series",
        [*series(), *every(copies(series(), 1), SeriesInstanceUID=f"{ROOT}.8")],
    ),
    "A11 two patients and series": (
        "several-patients",
        [*series(), *every(copies(series(), 1), SeriesInstanceUID=f"{ROOT}.8", PatientID="B")],
    ),
    "A12 two patients in one series": ("several-patients", one(series(), PatientID="B")),
    "A13 a series UID used twice": ("mixed-matrix", other_matrix()),
    "A14 a series UID for every slice": (
        "several-series",
        [every([ds], SeriesInstanceUID=f"{ROOT}.8.{n}")[0] for n, ds in enumerate(series())],
    ),
    "A15 one instance UID for all": ("duplicate-uid", every(series(), SOPInstanceUID=f"{ROOT}.3")),
    "A17 one position twice": ("duplicate-slices", again(same_uid=False)),
    "A17 one position twice, other pixels": (
        "duplicate-slices",
        again(same_uid=False, other_pixels=True),
    ),
    "A17 one instance twice, other pixels": (
        "duplicate-uid",
        again(same_uid=True, other_pixels=True),
    ),
    "A18 a slice missing inside": ("missing-slices", [*series()[:5], *series()[6:]]),
    "A18 two neighbours missing inside": ("missing-slices", [*series()[:5], *series()[7:]]),
    "A21 unmarked scout": ("mixed-orientation", scout()),
    "A23 tilt of 20 degrees": ("gantry-tilt", tilted(20)),
    "A23 tilt of 20 degrees with its tag": (
        "gantry-tilt",
        every(tilted(20), GantryDetectorTilt=20),
    ),
    "A24 tilt of 1 degree": ("gantry-tilt", tilted(1)),
    "A25 tilt of 0.2 degrees": ("gantry-tilt", tilted(0.2)),
    "A26 shear along x": ("gantry-tilt", series(step=(1, 0, 2.5))),
    "A27 2.5 mm, then 5 mm": ("uneven-spacing", spaced([2.5] * 6 + [5.0] * 5)),
    "A27 2.5 mm, then 3 mm": ("uneven-spacing", spaced([2.5] * 6 + [3.0] * 5)),
    "A29 positions off by 0.5 mm": ("uneven-spacing", jittered(0.5)),
    "A32 negative PixelSpacing": ("geometry-invalid", every(series(), PixelSpacing=[-0.8, 0.7])),
    "A33 PixelSpacing 0": ("geometry-invalid", every(series(), PixelSpacing=[0, 0.7])),
    "A34 PixelSpacing absent": ("geometry-missing", without(series(), "PixelSpacing")),
    "A34 only ImagerPixelSpacing": (
        "geometry-missing",
        every(without(series(), "PixelSpacing"), ImagerPixelSpacing=[0.8, 0.7]),
    ),
    "A35 PixelSpacing changes inside": ("mixed-matrix", one(series(), PixelSpacing=[0.8, 0.71])),
    "A36 matrix changes inside": ("mixed-matrix", other_matrix()),
    "A37 decimal comma": (
        "geometry-invalid",
        with_bytes(0x00280030, "DS", b"0,8\\0,7", slice(None)),
    ),
    "A37 one PixelSpacing": ("geometry-invalid", with_bytes(0x00280030, "DS", b"0.8", slice(None))),
    "A38 NaN in a position": (
        "geometry-invalid",
        with_bytes(0x00200032, "DS", b"-10\\nan\\5", slice(2, 3)),
    ),
    "A38 infinite position": (
        "geometry-invalid",
        with_bytes(0x00200032, "DS", b"-10\\1e999\\5", slice(2, 3)),
    ),
    "A39 vectors of length 1.1": (
        "geometry-invalid",
        every(series(), ImageOrientationPatient=[1.1, 0, 0, 0, 1.1, 0]),
    ),
    "A40 row and column at 85 degrees": (
        "geometry-invalid",
        every(
            series(),
            ImageOrientationPatient=[
                1,
                0,
                0,
                f"{np.cos(85 * DEGREE):.10f}",
                f"{np.sin(85 * DEGREE):.10f}",
                0,
            ],
        ),
    ),
    "A41 orientation absent": ("geometry-missing", without(series(), "ImageOrientationPatient")),
    "A41 orientation zero": (
        "geometry-invalid",
        every(series(), ImageOrientationPatient=[0, 0, 0, 0, 0, 0]),
    ),
    "A43 a slice turned by 0.1 degree": ("mixed-orientation", turned_slice(0.1)),
    "A44 positions absent": ("geometry-missing", without(series(), "ImagePositionPatient")),
    "A45 position absent on one slice": (
        "geometry-missing",
        [*without(series()[:1], "ImagePositionPatient"), *series()[1:]],
    ),
    "A46 all positions equal": ("too-few-slices", every(series(), ImagePositionPatient=[0, 0, 0])),
    "A47 frame of reference changes": (
        "mixed-frame-of-reference",
        one(series(), FrameOfReferenceUID=f"{ROOT}.7"),
    ),
    "A50 quadruped": ("not-biped", every(series(), AnatomicalOrientationType="QUADRUPED")),
    "A51 one slice": ("too-few-slices", series(slices=1)),
    "A52 two slices": ("too-few-slices", series(slices=2)),
    "A54 CT without rescale": (
        "rescale-missing",
        without(series(), "RescaleSlope", "RescaleIntercept"),
    ),
    "A54 PET without rescale": (
        "rescale-missing",
        without(series("PT"), "RescaleSlope", "RescaleIntercept"),
    ),
    "A55 rescale absent on one slice": (
        "rescale-invalid",
        [*without(series()[:1], "RescaleSlope", "RescaleIntercept"), *series()[1:]],
    ),
    "A56 slope 0": ("rescale-invalid", every(series(), RescaleSlope=0)),
    "A56 slope is no number": (
        "rescale-invalid",
        with_bytes(0x00281053, "DS", b"0,1", slice(None)),
    ),
    "A57 intercept without slope": ("rescale-invalid", without(series(), "RescaleSlope")),
    "A58 modality LUT": ("rescale-invalid", modality_lut()),
    "A65 MONOCHROME1": (
        "photometric-unsupported",
        every(series(), PhotometricInterpretation="MONOCHROME1"),
    ),
    "A66 RGB": ("color-image", coloured()),
    "A67 palette": ("color-image", every(series(), PhotometricInterpretation="PALETTE COLOR")),
    "A68 secondary capture": (
        "sop-class-unsupported",
        every(series(), SOPClassUID=SecondaryCaptureImageStorage),
    ),
    "A69 maximum projection": (
        "sop-class-unsupported",
        every(series(), ImageType=["DERIVED", "SECONDARY", "MIP"]),
    ),
    "A69 projection image": (
        "sop-class-unsupported",
        every(series(), ImageType=["DERIVED", "SECONDARY", "PROJECTION IMAGE"]),
    ),
    "A71 pixel data short": ("pixel-data-corrupt", shortened(20)),
    "A71 rows fewer than the pixels": ("pixel-data-corrupt", every(series(), Rows=ROWS - 1)),
    "A72 65535 x 65535": ("too-large", huge()),
    "A79 nuclear medicine": (
        "sop-class-unsupported",
        every(series(), SOPClassUID=NuclearMedicineImageStorage),
    ),
    "A80 mosaic": (
        "mosaic",
        every(series("MR"), ImageType=["ORIGINAL", "PRIMARY", "M", "ND", "MOSAIC"]),
    ),
    "A81 time points": ("several-volumes", phases("TemporalPositionIdentifier", [1, 2, 3])),
    "A81 untagged time points": ("several-volumes", phases(None, [1, 2])),
    "A82 echoes": ("several-volumes", phases("EchoTime", [2.4, 4.8])),
    "A83 b values": ("several-volumes", phases("DiffusionBValue", [0.0, 800.0])),
    "A84 magnitude and phase": (
        "several-volumes",
        phases("ImageType", [["ORIGINAL", "PRIMARY", "M"], ["ORIGINAL", "PRIMARY", "P"]]),
    ),
    "A85 phases by acquisition": ("several-volumes", phases("AcquisitionNumber", [1, 2])),
    "A85 phases by time": ("several-volumes", phases("AcquisitionTime", ["101010", "101110"])),
    "all localizers": (
        "localizer",
        every(series(), ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"]),
    ),
    "classic object of several frames": ("pixel-data-corrupt", every(series(), NumberOfFrames=2)),
    "no pixel data": ("pixel-data-corrupt", without(series(), "PixelData")),
    "bits stored above allocated": ("pixel-format-unsupported", every(series(), BitsStored=17)),
    "sign not stated": ("pixel-format-unsupported", without(series(), "PixelRepresentation")),
    "frame of reference absent on some": (
        "mixed-frame-of-reference",
        [*without(series()[:1], "FrameOfReferenceUID"), *series()[1:]],
    ),
    "CT and MR in one series": ("sop-class-unsupported", [*series()[:6], *series("MR")[6:]]),
}

READ: dict[str, Slices] = {
    "A16 the same file twice": again(same_uid=True),
    "A19 last slice missing": series()[:-1],
    "A20 InstanceNumber all 1": every(series(), InstanceNumber=1),
    "A20 InstanceNumber absent": without(series(), "InstanceNumber"),
    "A22 scout marked LOCALIZER": scout(ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"]),
    "A28 positions off by 0.05 mm": jittered(0.05),
    "A30 SpacingBetweenSlices 5": every(series(), SpacingBetweenSlices=5),
    "A30 SpacingBetweenSlices negative": every(series(), SpacingBetweenSlices=-2.5),
    "A31 SliceThickness missing": without(series(), "SliceThickness"),
    "A31 SliceThickness above the step": every(series(), SliceThickness=4),
    "A42 orientation jitter of 1e-4": turned_slice(1e-4 / DEGREE),
    "A48 no frame of reference": without(series(), "FrameOfReferenceUID"),
    "A49 feet first": every(series(), PatientPosition="FFS"),
    "A49 prone": every(series(), PatientPosition="HFP"),
    "A59 MR with public rescale": series("MR"),
    "A69 derived, MPR": every(series(), ImageType=["DERIVED", "SECONDARY", "MPR"]),
    "A92 PET": series("PT"),
    "classic object of one frame": every(series(), NumberOfFrames=1),
}
