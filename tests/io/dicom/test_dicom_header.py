"""Headers read with and without group 2 hold the same elements and the same place of the pixels."""

from __future__ import annotations

import zlib
from pathlib import Path

import pytest
from dicom_builders import ENCODERS, enhanced, file_bytes, save, series, write_in
from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    RLELossless,
)

from medseg.errors import InputRefused
from medseg.io.dicom import header as module
from medseg.io.dicom import read_dicom
from medseg.io.dicom.header import Header, read_header
from medseg.io.dicom.tags import quiet_pydicom, texts

SYNTAXES = [
    ImplicitVRLittleEndian,
    ExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    DeflatedExplicitVRLittleEndian,
    RLELossless,
    *ENCODERS,
]


def same(path: Path) -> bool:
    """Whether both ways agree; False where the file is no image."""
    size = path.stat().st_size
    with quiet_pydicom():
        whole, short = read_header(path, size), read_header(path, size, whole=False)
    if not isinstance(whole, Header) or not isinstance(short, Header):
        assert whole == short
        return False
    assert whole.tags.raw.keys() == short.tags.raw.keys()
    for tag in whole.tags.raw:
        assert texts(whole.tags, tag) == texts(short.tags, tag)
    pixels = [
        (one.syntax, one.pixel_tag, one.pixel_offset, one.pixel_length) for one in (whole, short)
    ]
    assert pixels[0] == pixels[1]
    return True


@pytest.mark.parametrize("syntax", SYNTAXES, ids=lambda syntax: syntax.name[:40])
def test_both_ways_agree_in_every_syntax(tmp_path: Path, syntax: UID) -> None:
    for path in write_in(series(slices=2), tmp_path, syntax).iterdir():
        assert same(path)


def test_both_ways_agree_on_odd_files(tmp_path: Path) -> None:
    ds = series(slices=1)[0]
    whole = file_bytes(ds)
    start = 144 + int.from_bytes(whole[140:144], "little")
    odd = {
        "bare": whole[start:],
        "group 2": whole[132:],
        "no length of group 2": whole[:132] + whole[144:],
        "wrong length of group 2": whole[:140] + b"\xff\xff\0\0" + whole[144:],
        "text": b"no DICOM " * 100,
    }
    for name, data in odd.items():
        (tmp_path / name).write_bytes(data)
        same(tmp_path / name)
    assert same(save(enhanced(series()), tmp_path / "enhanced"))


@pytest.mark.parametrize("missing", [-40, -13, -12, -11, -8, -1, 0, 1, 5000])
def test_both_ways_agree_where_the_pixels_start_beyond_what_is_read_at_once(
    tmp_path: Path, missing: int
) -> None:
    """`missing` bytes of the header are not among those of the first read."""
    ds = series(slices=1)[0]
    ds.TextValue = ""
    path = save(ds, tmp_path / "one.dcm")
    found = read_header(path, path.stat().st_size)
    assert isinstance(found, Header) and found.pixel_offset is not None
    ds.TextValue = "x" * (2 * ((module._AT_ONCE_BYTES + missing - found.pixel_offset) // 2))
    assert same(save(ds, path))


@pytest.mark.parametrize("kind", ["no pixels", "cut", "a long element"])
def test_both_ways_agree_where_the_header_ends_otherwise(tmp_path: Path, kind: str) -> None:
    ds = series(slices=1)[0]
    if kind == "a long element":
        ds.TextValue = "y" * 40_000
    elif kind == "no pixels":
        del ds.PixelData
    path = save(ds, tmp_path / "one.dcm")
    if kind == "cut":
        path.write_bytes(path.read_bytes()[:700])
    same(path)


def test_both_ways_agree_on_every_real_file(shared_data: Path) -> None:
    files = [path for path in (shared_data / "dicom").rglob("*") if path.is_file()]
    assert sum(map(same, files)) > 100


def test_deflated_files_with_a_long_group_2_are_not_inflated_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The syntax stands after kilobytes of private information, and the content is a bomb."""
    ds = series(slices=1)[0]
    whole = file_bytes(ds)
    start = 144 + int.from_bytes(whole[140:144], "little")
    packer = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    bomb = packer.compress(whole[start:] + bytes(20_000_000)) + packer.flush()
    syntax = b"\x02\0\x10\0UI\x16\0" + DeflatedExplicitVRLittleEndian.encode()
    private = b"\x02\0\x02\x01OB\0\0" + (9000).to_bytes(4, "little") + bytes(9000)
    group = b"\x02\0\x01\0OB\0\0\x02\0\0\0\0\1" + private + syntax
    length = b"\x02\0\0\0UL\x04\0" + len(group).to_bytes(4, "little")
    (tmp_path / "one.dcm").write_bytes(bytes(128) + b"DICM" + length + group + bomb)
    monkeypatch.setattr(module, "HEADER_BYTES", 100_000)
    inflated: list[int] = []
    inflate = module.inflate

    def noted(path: Path, limit: int) -> bytes:
        inflated.append(limit)
        return inflate(path, limit)

    monkeypatch.setattr(module, "inflate", noted)
    monkeypatch.setattr(zlib, "decompress", None)  # what takes all there is
    with pytest.raises(InputRefused):
        read_dicom(tmp_path)
    assert inflated == [100_000]
