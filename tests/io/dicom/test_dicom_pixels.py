"""Stored values: transfer syntaxes, bits and sign, padding, rescale and units."""

from __future__ import annotations

import zlib
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
from dicom_builders import (
    COLUMNS,
    ENCODERS,
    INTERCEPT,
    ROWS,
    SLICES,
    Slices,
    enhanced,
    pixels,
    ramp_error,
    raw,
    save,
    series,
    set_pixels,
    write,
    write_in,
)
from pydicom.encaps import encapsulate
from pydicom.uid import (
    MPEG2MPML,
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    JPEGLSLossless,
    JPEGLSNearLossless,
    RLELossless,
)

from medseg.errors import InputRefused
from medseg.io.dicom import header, read_dicom

LOSSLESS = [
    ImplicitVRLittleEndian,
    ExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    DeflatedExplicitVRLittleEndian,
    RLELossless,
    *ENCODERS,
]


def code_of(folder: Path) -> str:
    with pytest.raises(InputRefused) as caught:
        read_dicom(folder)
    return caught.value.code


def stored_as(values: list[np.ndarray], **tags: object) -> Slices:
    """A CT series with slope 1 and intercept 0 that holds these stored values."""
    slices = series(slices=len(values))
    for ds, one in zip(slices, values, strict=True):
        ds.RescaleSlope, ds.RescaleIntercept = 1, 0
        for name, value in tags.items():
            setattr(ds, name, value)
        set_pixels(ds, one)
    return slices


def flat(value: int, dtype: str = "<u2") -> np.ndarray:
    return np.full((ROWS, COLUMNS), value, dtype=dtype)


@pytest.mark.parametrize("syntax", LOSSLESS, ids=lambda syntax: syntax.name[:40])
def test_each_lossless_syntax_gives_the_same_bytes(tmp_path: Path, syntax: UID) -> None:
    plain = read_dicom(write(series(), tmp_path / "plain"))
    coded = read_dicom(write_in(series(), tmp_path / "coded", syntax))
    assert coded.array.dtype == plain.array.dtype
    assert np.array_equal(coded.array, plain.array)
    assert coded.geometry == plain.geometry


def test_several_syntaxes_in_one_series_are_read(tmp_path: Path) -> None:
    for n, (ds, syntax) in enumerate(zip(series(), LOSSLESS * 2, strict=False)):
        (part,) = (write_in([ds], tmp_path / "parts", syntax),)
        (part / "000.dcm").rename(tmp_path / f"{n}.dcm")
    (tmp_path / "parts").rmdir()
    volume = read_dicom(tmp_path)
    assert ramp_error(volume) < 1e-3
    assert len(volume.meta["transfer_syntaxes"]) == len(LOSSLESS)


@pytest.mark.parametrize(
    ("syntax", "loss"), [(JPEGLSNearLossless, 2), (JPEGExtended12Bit, 3), (JPEGBaseline8Bit, 3)]
)
def test_lossy_syntaxes_stay_within_their_loss_and_are_told(
    tmp_path: Path, syntax: UID, loss: int
) -> None:
    bits = 8 if syntax == JPEGBaseline8Bit else 12
    smooth = np.add.outer(np.arange(ROWS) * 5, np.arange(COLUMNS) * 7) + 20
    values = smooth.astype("u1" if bits == 8 else "<u2")
    encoded = {
        JPEGLSNearLossless: lambda: imagecodecs.jpegls_encode(values, level=2),
        JPEGExtended12Bit: lambda: imagecodecs.jpeg8_encode(values, level=100, bitspersample=12),
        JPEGBaseline8Bit: lambda: imagecodecs.jpeg8_encode(values, level=100),
    }[syntax]()
    slices = stored_as([values] * 3, PixelRepresentation=0, LossyImageCompression="01")
    for n, ds in enumerate(slices):
        ds.BitsAllocated, ds.BitsStored, ds.HighBit = (16 if bits == 12 else 8), bits, bits - 1
        ds.PixelData = encapsulate([encoded])
        ds["PixelData"].is_undefined_length = True
        save(ds, tmp_path / f"{n}.dcm", syntax)
    volume = read_dicom(tmp_path)
    assert np.abs(volume.array - smooth).max() <= loss
    assert "lossy-compression" in dict(volume.warnings)


def test_an_unknown_syntax_is_refused(tmp_path: Path) -> None:
    for n, ds in enumerate(series()):
        ds.PixelData = encapsulate([b"\0\0\1\xb3"])
        ds["PixelData"].is_undefined_length = True
        save(ds, tmp_path / f"{n}.dcm", MPEG2MPML)
    assert code_of(tmp_path) == "transfer-syntax-unsupported"


@pytest.mark.parametrize("syntax", [RLELossless, *ENCODERS], ids=lambda syntax: syntax.name[:40])
def test_a_compressed_file_that_is_cut_is_refused(tmp_path: Path, syntax: UID) -> None:
    write_in(series(), tmp_path, syntax)
    file = tmp_path / "004.dcm"
    whole = file.read_bytes()
    for less in (2, 9, 40):
        file.write_bytes(whole[:-less])
        assert code_of(tmp_path) == "pixel-data-corrupt"


@pytest.mark.parametrize("syntax", list(ENCODERS), ids=lambda syntax: syntax.name[:40])
def test_a_frame_without_its_end_is_refused(tmp_path: Path, syntax: UID) -> None:
    write_in(series(), tmp_path, syntax)
    ds = series()[4]
    frame = ENCODERS[syntax](pixels(ds).view(np.uint16))
    ds.PixelData = encapsulate([frame[: len(frame) // 2]])
    ds["PixelData"].is_undefined_length = True
    save(ds, tmp_path / "004.dcm", syntax)
    assert code_of(tmp_path) == "pixel-data-corrupt"


def test_a_frame_of_another_size_is_refused(tmp_path: Path) -> None:
    slices = series()
    write_in(slices, tmp_path, JPEGLSLossless)
    frame = imagecodecs.jpegls_encode(np.zeros((ROWS, COLUMNS + 1), dtype=np.uint16))
    slices[4].PixelData = encapsulate([frame])
    slices[4]["PixelData"].is_undefined_length = True
    save(slices[4], tmp_path / "004.dcm", JPEGLSLossless)
    assert code_of(tmp_path) == "pixel-data-corrupt"


def test_a_deflated_file_is_never_inflated_beyond_what_it_announces(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write_in(series(), tmp_path / "deflated", DeflatedExplicitVRLittleEndian)
    file = folder / "000.dcm"
    whole = file.read_bytes()
    start = 132 + 12 + int.from_bytes(whole[140:144], "little")
    content = zlib.decompress(whole[start:], -zlib.MAX_WBITS)
    packer = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    bomb = packer.compress(content + bytes(200_000_000)) + packer.flush()
    file.write_bytes(whole[:start] + bomb)
    monkeypatch.setattr(header, "HEADER_BYTES", 100_000)
    assert len(bomb) < 300_000
    assert len(header.inflate(file, 5000)) == 5000
    assert ramp_error(read_dicom(folder)) < 1e-3


def with_tail(folder: Path, tail: bytes, syntax: UID = ExplicitVRLittleEndian) -> Path:
    """A series whose first file goes on after its pixels."""
    write_in(series(), folder, syntax)
    file = folder / "000.dcm"
    file.write_bytes(file.read_bytes() + tail)
    return folder


@pytest.mark.parametrize(
    ("tail", "syntax"),
    [
        (b"\xfc\xff\xfc\xffOB\0\0\x04\0\0\0abcd", ExplicitVRLittleEndian),
        (b"\xe1\x7f\x10\0LO\x04\0MINE", ExplicitVRLittleEndian),
        (b"\xff\xfc\xff\xfcOB\0\0\0\0\0\x04abcd", ExplicitVRBigEndian),
        (b"\xfc\xff\xfc\xff\x04\0\0\0abcd", ImplicitVRLittleEndian),
        (bytes(300), ExplicitVRLittleEndian),
    ],
)
def test_padding_and_elements_may_follow_the_pixels(
    tmp_path: Path, tail: bytes, syntax: UID
) -> None:
    assert ramp_error(read_dicom(with_tail(tmp_path, tail, syntax))) < 1e-3


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, ImplicitVRLittleEndian])
@pytest.mark.parametrize("tail", [b"\x07\x04\x08\x04\x09\x04\x0a\x04", b"\x18\xfc" * 5, b"\1\1"])
def test_pixels_pushed_out_of_their_place_are_refused(
    tmp_path: Path, tail: bytes, syntax: UID
) -> None:
    """Bytes that were put into the pixels leave as many behind them."""
    assert code_of(with_tail(tmp_path, tail, syntax)) == "pixel-data-corrupt"


def test_overlay_bits_above_the_high_bit_are_taken_away(tmp_path: Path) -> None:
    values = [flat(100 + n) | 0xF000 for n in range(3)]
    slices = stored_as(values, PixelRepresentation=0, BitsStored=12, HighBit=11)
    volume = read_dicom(write(slices, tmp_path))
    assert volume.array[:, 0, 0].tolist() == [100, 101, 102]


def test_a_sign_at_bit_12_is_carried_up(tmp_path: Path) -> None:
    slices = stored_as([flat(0x0FFF)] * 3, PixelRepresentation=1, BitsStored=12, HighBit=11)
    volume = read_dicom(write(slices, tmp_path))
    assert set(volume.array.ravel().tolist()) == {-1}


def test_values_stored_at_the_high_end_of_their_bits_are_moved_down(tmp_path: Path) -> None:
    slices = stored_as([flat(77 << 4)] * 3, PixelRepresentation=0, BitsStored=12, HighBit=15)
    volume = read_dicom(write(slices, tmp_path))
    assert set(volume.array.ravel().tolist()) == {77}


def test_negative_values_labelled_unsigned_are_refused(tmp_path: Path) -> None:
    slices = stored_as([flat(65000)] * 3, PixelRepresentation=0)
    assert code_of(write(slices, tmp_path)) == "pixel-format-unsupported"


@pytest.mark.parametrize("stored", [12, 16])
def test_values_beyond_the_bits_that_the_header_states_are_still_looked_at(
    tmp_path: Path, stored: int
) -> None:
    """A decoder gives 16 bits whatever BitsStored says: 30000 + 5000 are no HU."""
    slices = stored_as([flat(100, "<i2")] * 3)
    for ds in slices:
        ds.PixelRepresentation, ds.RescaleIntercept = 1, 5000
        ds.BitsStored, ds.HighBit = stored, stored - 1
        frame = imagecodecs.jpeg2k_encode(
            flat(30000, "<i2"), codecformat="j2k", reversible=True, level=0
        )
        ds.PixelData = encapsulate([bytes(frame)])
        ds["PixelData"].is_undefined_length = True
    for number, ds in enumerate(slices):
        save(ds, tmp_path / f"{number}.dcm", JPEG2000Lossless)
    assert code_of(tmp_path) == "pixel-format-unsupported"


@pytest.mark.parametrize(("intercept", "code"), [(28672, ""), (28673, "pixel-format-unsupported")])
def test_the_largest_value_of_12_bits_fits_up_to_32767(
    tmp_path: Path, intercept: int, code: str
) -> None:
    slices = stored_as([flat(4095)] * 3, BitsStored=12, HighBit=11, PixelRepresentation=0)
    for ds in slices:
        ds.RescaleIntercept = intercept
    folder = write(slices, tmp_path)
    if code:
        assert code_of(folder) == code
    else:
        assert np.all(read_dicom(folder).array == 32767)


def test_signed_and_unsigned_slices_may_be_mixed(tmp_path: Path) -> None:
    slices = series()
    for ds in slices[::2]:
        ds.PixelRepresentation = 0
    assert ramp_error(read_dicom(write(slices, tmp_path))) < 1e-3


def test_whole_slopes_give_int16_and_others_float32(tmp_path: Path) -> None:
    slices = stored_as([flat(n, "<i2") for n in (0, 5, 2000)], RescaleIntercept=-1024)
    volume = read_dicom(write(slices, tmp_path / "whole"))
    assert volume.array.dtype == np.int16
    assert volume.array[:, 0, 0].tolist() == [-1024, -1019, 976]
    assert read_dicom(write(series(), tmp_path / "tenths")).array.dtype == np.float32


def test_an_mr_image_without_rescale_keeps_its_stored_values(tmp_path: Path) -> None:
    slices = series("MR")
    for ds in slices:
        del ds.RescaleSlope, ds.RescaleIntercept
    volume = read_dicom(write(slices, tmp_path))
    assert volume.array.dtype == np.int16
    assert np.array_equal(volume.array, [pixels(ds) for ds in slices])
    assert (volume.modality, volume.unit) == ("MR", "arbitrary")


@pytest.mark.parametrize(("modality", "outside"), [("CT", -1024), ("MR", 0)])
def test_padding_becomes_air_or_nothing_and_is_counted(
    tmp_path: Path, modality: str, outside: int
) -> None:
    slices = series(modality)
    plain = read_dicom(write(slices, tmp_path / "plain")).array
    for ds in slices:
        values = pixels(ds).copy()
        values[0, :3] = -2000
        ds.PixelPaddingValue = -2000
        ds["PixelPaddingValue"].VR = "SS"
        set_pixels(ds, values)
    volume = read_dicom(write(slices, tmp_path / "padded"))
    assert (volume.array[:, 0, :3] == outside).all()
    assert volume.meta["padding_voxels"] == 3 * SLICES
    plain[:, 0, :3] = outside
    assert np.array_equal(volume.array, plain)


def test_a_range_of_padding_values_is_padding(tmp_path: Path) -> None:
    values = [flat(n) for n in (63536, 63540, 63541)]
    slices = stored_as(values, PixelRepresentation=0, RescaleIntercept=-40000)
    for ds in slices:
        ds.PixelPaddingValue, ds.PixelPaddingRangeLimit = 63536, 63540
        ds["PixelPaddingValue"].VR = ds["PixelPaddingRangeLimit"].VR = "US"
    volume = read_dicom(write(slices, tmp_path))
    assert volume.array[:, 0, 0].tolist() == [-1024, -1024, 23541]


@pytest.mark.parametrize(
    ("units", "suv_type", "unit"),
    [
        ("BQML", None, "Bq/ml"),
        ("GML", None, "SUVbw"),
        ("GML", "BW", "SUVbw"),
        ("GML", "bw", "SUVbw"),
        ("GML", "LBM", "unknown"),
        ("GML", "LBM (Janma)", "unknown"),
        ("NONE", None, "unknown"),
    ],
)
def test_the_unit_of_pet_is_what_its_tags_say(
    tmp_path: Path, units: str, suv_type: str | None, unit: str
) -> None:
    slices = series("PT")
    for ds in slices:
        ds.Units = units
        if suv_type:
            raw(ds, 0x00541006, "CS", suv_type.encode())
    volume = read_dicom(write(slices, tmp_path))
    assert (volume.modality, volume.unit) == ("PT", unit)
    assert volume.array.dtype == np.float32


@pytest.mark.parametrize(
    ("kind", "unit"),
    [
        (None, "HU"),
        ("HU", "HU"),
        ("hu", "HU"),
        *((kind, "unknown") for kind in ("Z_EFF", "mg/ml", "%EDW", "1/cm", "ml/100g/min")),
    ],
)
def test_ct_is_in_hounsfield_units_unless_its_rescale_type_says_otherwise(
    tmp_path: Path, kind: str | None, unit: str
) -> None:
    slices = series()
    for ds in slices:
        if kind:
            ds.RescaleType = kind
    assert read_dicom(write(slices, tmp_path / "classic")).unit == unit
    one = enhanced(slices)
    for frame in one.PerFrameFunctionalGroupsSequence:
        frame.PixelValueTransformationSequence[0].RescaleType = kind or ""
    save(one, tmp_path / "enhanced" / "one.dcm")
    assert read_dicom(tmp_path / "enhanced").unit == unit


def test_slice_thickness_is_what_the_tag_says_and_never_the_spacing(tmp_path: Path) -> None:
    slices = series()
    for ds in slices:
        ds.SliceThickness = 4
    assert read_dicom(write(slices, tmp_path / "stated")).slice_thickness_mm == 4
    for ds in slices:
        del ds.SliceThickness
    assert read_dicom(write(slices, tmp_path / "absent")).slice_thickness_mm is None


def test_slopes_of_each_slice_stand_in_the_meta(tmp_path: Path) -> None:
    volume = read_dicom(write(series(), tmp_path))
    assert volume.meta["rescale_slope"] == [0.1, 0.1]
    assert volume.meta["rescale_intercept"] == [INTERCEPT, INTERCEPT]
