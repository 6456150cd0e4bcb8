"""The rows of the table of cases that one series with a fault cannot show: folders, files, bits.

What `dicom_odd_series` holds is taken in by the number that its names start with.
"""

from __future__ import annotations

import io
import os
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pytest
from dicom_builders import (
    COLUMN_MM,
    COLUMNS,
    ENCODERS,
    ORIGIN,
    ROW_MM,
    ROWS,
    SLICES,
    STEP_MM,
    Slices,
    enhanced,
    file_bytes,
    pixels,
    plane,
    ramp,
    ramp_error,
    save,
    series,
    set_pixels,
    write,
    write_in,
)
from dicom_odd_series import READ, REFUSED, every, phases
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    JPEGLSNearLossless,
    MediaStorageDirectoryStorage,
    RLELossless,
)

from medseg.types import Volume

X, Y, Z = np.eye(3)
PADDED = (slice(None), 0, slice(0, 3))


def is_ramp(volume: Volume, *, off: float = 1e-3, slope: float = 0.1, slices: int = SLICES) -> None:
    """Every voxel holds the value of its place, on the grid that the positions give."""
    assert ramp_error(volume, slope) < off
    assert volume.geometry.shape == (slices, ROWS, COLUMNS)
    index = np.array([[0, 0, 0], [slices - 1, ROWS - 1, COLUMNS - 1]])
    ends = ORIGIN + index[:, ::-1] * [COLUMN_MM, ROW_MM, STEP_MM]
    assert np.abs(volume.geometry.index_to_world(index) - ends).max() < 0.01


@dataclass(frozen=True)
class Case:
    """How to make the files; the code of the refusal, or what is true of the volume and told."""

    build: Callable[[Path], object]
    code: str = ""
    judge: Callable[[Volume], None] = is_ramp
    warning: str = ""


def of(slices: Slices) -> Callable[[Path], Path]:
    return partial(write, slices)


def bare(folder: Path, *, group_2: bool) -> None:
    for n, ds in enumerate(series()):
        whole = file_bytes(ds)
        start = 132 if group_2 else 144 + int.from_bytes(whole[140:144], "little")
        (folder / f"{n}").write_bytes(whole[start:])


def with_junk(folder: Path) -> None:
    write(series(), folder)
    (folder / "notes.txt").write_text("a note that is longer than a preamble " * 10)
    (folder / "empty.dcm").touch()
    (folder / "random.dcm").write_bytes(np.random.default_rng(0).bytes(5000))
    (folder / "fake.dcm").write_bytes(bytes(128) + b"DICM" + b"nothing of the kind")


def with_directory(folder: Path) -> None:
    write(series(), folder / "tree")
    ds = Dataset()
    ds.FileSetID, ds.DirectoryRecordSequence = "DISC", []
    ds.SOPClassUID = MediaStorageDirectoryStorage  # for the builder; the file goes without
    path = save(ds, folder / "DICOMDIR")
    del ds.SOPClassUID
    buffer = io.BytesIO()
    ds.save_as(buffer, enforce_file_format=True)
    path.write_bytes(buffer.getvalue())


def with_archive(folder: Path) -> None:
    write(series(), folder)
    with zipfile.ZipFile(folder / "more.zip", "w") as archive:
        archive.writestr("a", "b")


def with_links(folder: Path) -> None:
    write(series(), folder)
    try:
        (folder / "itself").symlink_to(folder)
        (folder / "system.dcm").symlink_to(Path(os.__file__))
    except (OSError, NotImplementedError):
        pytest.skip("this system makes no symbolic links")


def unknown_character_set(folder: Path) -> None:
    for n, ds in enumerate(series()):
        ds["PixelData"].VR = "OB"
        whole = file_bytes(ds)
        start = 144 + int.from_bytes(whole[140:144], "little")
        words = b"\x08\0\x05\0CS\x0a\0ISO_IR 999"
        (folder / f"{n}").write_bytes(whole[:start] + words + whole[start:])


def shuffled_numbers() -> Slices:
    slices = series()
    for ds, number in zip(slices, np.random.default_rng(1).permutation(SLICES), strict=True):
        ds.InstanceNumber = int(number)
    return slices


def stored_with(slope: float, intercept: float, slices: Slices | None = None) -> Slices:
    """The ramp in other stored values."""
    found = series() if slices is None else slices
    for k, ds in enumerate(found):
        ds.RescaleSlope, ds.RescaleIntercept = slope, intercept
        set_pixels(ds, plane(ORIGIN + k * STEP_MM * Z, X, Y, slope, intercept))
    return found


def own_slopes(modality: str) -> Slices:
    slices = series(modality)
    for k, ds in enumerate(slices):
        ds.RescaleSlope = 0.1 * (1 + k / 10)
        set_pixels(
            ds, plane(ORIGIN + k * STEP_MM * Z, X, Y, float(ds.RescaleSlope), ds.RescaleIntercept)
        )
    return slices


def philips_scale() -> Slices:
    slices = series("MR")
    for ds in slices:
        block = ds.private_block(0x2005, "Philips MR Imaging DD 001", create=True)
        block.add_new(0x0E, "FL", 0.0123)
    return slices


def signs_mixed() -> Slices:
    slices = series()
    for ds in slices[::2]:
        ds.PixelRepresentation, ds.RescaleIntercept = 0, -3000
        set_pixels(ds, pixels(ds) + 19760)
    return slices


def padded(modality: str) -> Slices:
    slices = series(modality)
    for ds in slices:
        values = pixels(ds).copy()
        values[PADDED[1:]] = -2000
        set_pixels(ds, values)
        ds.PixelPaddingValue = -2000
        ds["PixelPaddingValue"].VR = "SS"
    return slices


def is_padded(volume: Volume, *, outside: float) -> None:
    index = np.stack(np.indices(volume.geometry.shape), axis=-1)
    wanted = ramp(volume.geometry.index_to_world(index))
    wanted[PADDED] = outside
    assert np.abs(volume.array - wanted).max() < 0.051
    assert volume.meta["padding_voxels"] == 3 * SLICES


def overlay_bits() -> Slices:
    slices = stored_with(0.1, -100)
    for ds in slices:
        ds.PixelRepresentation, ds.BitsStored, ds.HighBit = 0, 12, 11
        set_pixels(ds, pixels(ds).view(np.uint16) | 0xA000)
    return slices


def sign_not_extended() -> Slices:
    slices = stored_with(0.1, 20)
    for ds in slices:
        ds.PixelRepresentation, ds.BitsStored, ds.HighBit = 1, 12, 11
        set_pixels(ds, pixels(ds).view(np.uint16) & 0x0FFF)
    return slices


def cut(folder: Path) -> None:
    write(series(), folder)
    file = folder / "011.dcm"
    file.write_bytes(file.read_bytes()[:-100])


def enhanced_file(folder: Path, slices: Slices, *, shared: bool = True) -> None:
    save(enhanced(slices, shared=shared), folder / "one.dcm")


def without_positions(folder: Path) -> None:
    ds = enhanced(series())
    for group in ds.PerFrameFunctionalGroupsSequence:
        del group.PlanePositionSequence
    save(ds, folder / "one.dcm")


def shuffled() -> Slices:
    slices = series()
    return [slices[k] for k in np.random.default_rng(3).permutation(SLICES)]


def coded(folder: Path, syntax: UID) -> None:
    write_in(series(), folder, syntax)


def several_syntaxes(folder: Path) -> None:
    syntaxes = [ImplicitVRLittleEndian, ExplicitVRBigEndian, RLELossless, *ENCODERS]
    for n, ds in enumerate(series()):
        part = write_in([ds], folder / "part", syntaxes[n % len(syntaxes)])
        (part / "000.dcm").rename(folder / f"{n}.dcm")
    (folder / "part").rmdir()


def lossy(folder: Path, syntax: UID) -> None:
    """The ramp in 8 bits a HU each, or in 12 bits of 0.1 HU; no tag says that anything is lost."""
    bits = 8 if syntax == JPEGBaseline8Bit else 12
    for n, ds in enumerate(stored_with(1 if bits == 8 else 0.1, -100)):
        ds.PixelRepresentation, ds.BitsStored, ds.HighBit = 0, bits, bits - 1
        ds.BitsAllocated = 8 if bits == 8 else 16
        values = pixels(ds).astype(np.uint8 if bits == 8 else np.uint16)
        encode: dict[UID, Callable[[], Any]] = {
            JPEGLSNearLossless: lambda values=values: imagecodecs.jpegls_encode(values, level=2),
            JPEGExtended12Bit: lambda values=values: imagecodecs.jpeg8_encode(
                values, level=100, bitspersample=12
            ),
            JPEGBaseline8Bit: lambda values=values: imagecodecs.jpeg8_encode(values, level=100),
        }
        ds.PixelData = encapsulate([bytes(encode[syntax]())])
        ds["PixelData"].VR = "OB"
        ds["PixelData"].is_undefined_length = True
        save(ds, folder / f"{n}.dcm", syntax)


def sound(build: Callable[[Path], object], **more: Any) -> Case:
    return Case(build, **more)


def near(build: Callable[[Path], object], off: float, slope: float = 0.1) -> Case:
    return Case(build, judge=partial(is_ramp, off=off, slope=slope), warning="lossy-compression")


WARNED = {
    "A16 the same file twice": "copies-dropped",
    "A22 scout marked LOCALIZER": "localizers-dropped",
    "A28 positions off by 0.05 mm": "slices-off-grid",
    "A30 SpacingBetweenSlices 5": "spacing-tag-differs",
    "A69 derived, MPR": "derived-image",
}
JUDGED = {
    "A19 last slice missing": partial(is_ramp, slices=SLICES - 1),
    "A28 positions off by 0.05 mm": partial(is_ramp, off=0.36),  # 7 HU a mm
    "A42 orientation jitter of 1e-4": partial(is_ramp, off=0.01),
}

CASES: dict[str, Case] = {
    **{name: Case(of(slices), code=code) for name, (code, slices) in REFUSED.items()},
    **{
        name: Case(of(slices), judge=JUDGED.get(name, is_ramp), warning=WARNED.get(name, ""))
        for name, slices in READ.items()
    },
    "A1 no suffix": sound(lambda f: write(series(), f, names=[f"IM{n}" for n in range(SLICES)])),
    "A2 no preamble": sound(partial(bare, group_2=True)),
    "A3 no file meta information": sound(partial(bare, group_2=False)),
    "A4 text, empty, random and fake files": sound(with_junk),
    "A5 slices in subfolders": sound(
        lambda f: write(series(), f, names=[f"{n % 3}/er/{n}" for n in range(SLICES)])
    ),
    "A6 DICOMDIR and tree": sound(with_directory),
    "A7 zip in the folder": Case(with_archive, code="archive"),
    "A8 links to itself and out of it": sound(with_links),
    "A9 unknown character set, PixelData OB": sound(unknown_character_set),
    "A19 last slice missing, and the header tells": Case(
        of(every(series(), ImagesInAcquisition=SLICES)[:-1]),
        judge=partial(is_ramp, slices=SLICES - 1),
        warning="fewer-images-than-announced",
    ),
    "A20 InstanceNumber shuffled": sound(of(shuffled_numbers())),
    "A53 slopes of each slice, CT": Case(of(own_slopes("CT")), judge=partial(is_ramp, slope=0.22)),
    "A53 slopes of each slice, PET": Case(of(own_slopes("PT")), judge=partial(is_ramp, slope=0.22)),
    "A60 Philips scale as well": sound(of(philips_scale())),
    "A61 signed and unsigned slices": sound(of(signs_mixed())),
    "A62 padding, CT": Case(of(padded("CT")), judge=partial(is_padded, outside=-1024)),
    "A62 padding, MR": Case(of(padded("MR")), judge=partial(is_padded, outside=0)),
    "A63 overlay bits": sound(of(overlay_bits())),
    "A63 sign not extended": sound(of(sign_not_extended())),
    "A64 negative values labelled unsigned": Case(
        of(every(stored_with(1, 0), PixelRepresentation=0)), code="pixel-format-unsupported"
    ),
    "A70 a file is cut": Case(cut, code="pixel-data-corrupt"),
    "A73 enhanced": sound(lambda f: enhanced_file(f, series())),
    "A74 enhanced, frames not in order": sound(lambda f: enhanced_file(f, shuffled())),
    "A75 enhanced, slope of each frame": Case(
        lambda f: enhanced_file(f, own_slopes("CT")), judge=partial(is_ramp, slope=0.22)
    ),
    "A76 enhanced, two images a position": Case(
        lambda f: enhanced_file(f, phases("TemporalPositionIdentifier", [1, 2])),
        code="several-volumes",
    ),
    "A77 enhanced without positions": Case(without_positions, code="geometry-missing"),
    "A78 enhanced without shared groups": sound(lambda f: enhanced_file(f, series(), shared=False)),
    "A84 DIXON": Case(
        of(
            phases(
                "ImageType",
                [["ORIGINAL", "PRIMARY", "DIXON", one] for one in ("WATER", "FAT", "IN_PHASE")],
            )
        ),
        code="several-volumes",
    ),
    **{
        f"A86 {syntax.name}": sound(partial(coded, syntax=syntax))
        for syntax in (ImplicitVRLittleEndian, ExplicitVRLittleEndian, ExplicitVRBigEndian)
    },
    "A87 deflated": sound(partial(coded, syntax=DeflatedExplicitVRLittleEndian)),
    **{
        f"A88 {syntax.name}": sound(partial(coded, syntax=syntax))
        for syntax in (RLELossless, *ENCODERS)
    },
    "A89 JPEG-LS near lossless": near(partial(lossy, syntax=JPEGLSNearLossless), 0.21),
    "A89 JPEG baseline": near(partial(lossy, syntax=JPEGBaseline8Bit), 2.01, 1),
    "A90 JPEG extended": near(partial(lossy, syntax=JPEGExtended12Bit), 0.21),
    "A91 several syntaxes in one series": sound(several_syntaxes),
}

ELSEWHERE = {
    92: ("test_dicom_suv", "test_suv_is_what_the_tags_come_to_by_hand"),
    93: ("test_dicom_suv", "test_a_real_series_in_suv_is_taken_as_it_is"),
    94: ("test_dicom_suv", "test_counts_become_activity_or_suv_and_stay_counts_on_request"),
}
"""Rows of PET, by the tests that cover them."""


def row_of(name: str) -> int | None:
    """The row of the table that a case belongs to."""
    word = name.partition(" ")[0]
    return int(word[1:]) if word[:1] == "A" and word[1:].isdigit() else None
