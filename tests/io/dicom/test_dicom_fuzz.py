"""Damaged bytes: whatever is broken, only a refusal leaves, quickly; nothing else does."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest
from dicom_builders import enhanced, file_bytes, save, series, write_in
from pydicom.uid import (
    UID,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    RLELossless,
)

from medseg.errors import InputRefused
from medseg.io.dicom import describe_dicom, read_dicom

MUTANTS = 150
SLOWEST_S = 20.0
SYNTAXES = (ExplicitVRLittleEndian, ImplicitVRLittleEndian, RLELossless, JPEGLSLossless)


def mutant(whole: bytes, rng: np.random.Generator) -> bytes:
    """Up to eight bytes changed, most of them in the header; or cut; or bytes put in."""
    data = bytearray(whole)
    kind = rng.integers(0, 4)
    if kind == 0:
        return bytes(data[: rng.integers(0, len(data))])
    if kind == 1:
        place = int(rng.integers(0, len(data)))
        return bytes(data[:place] + rng.bytes(int(rng.integers(1, 20))) + data[place:])
    end = len(data) if kind == 2 else min(len(data), 1600)
    for _ in range(rng.integers(1, 9)):
        data[rng.integers(132, end)] = rng.integers(0, 256)
    return bytes(data)


def survive(folder: Path) -> bool:
    """Whether the folder is read; a refusal is fine, everything else fails the test."""
    started = time.perf_counter()
    try:
        volume = read_dicom(folder)
    except InputRefused:
        return False
    finally:
        assert time.perf_counter() - started < SLOWEST_S
    assert np.isfinite(volume.array).all()
    return True


@pytest.mark.parametrize(
    "syntax", [*SYNTAXES, JPEG2000Lossless, JPEGLosslessSV1], ids=lambda syntax: syntax.name[:40]
)
def test_a_mutated_slice_is_refused_or_read(tmp_path: Path, syntax: UID) -> None:
    write_in(series(slices=4), tmp_path, syntax)
    file = tmp_path / "002.dcm"
    whole = file.read_bytes()
    rng = np.random.default_rng(20 + len(syntax))
    read = 0
    for _ in range(MUTANTS):
        file.write_bytes(mutant(whole, rng))
        read += survive(tmp_path)
        describe_dicom(file)
    assert 0 < read < MUTANTS


def test_a_mutated_enhanced_object_is_refused_or_read(tmp_path: Path) -> None:
    file = save(enhanced(series()), tmp_path / "one.dcm")
    whole = file.read_bytes()
    rng = np.random.default_rng(7)
    read = 0
    for _ in range(MUTANTS):
        file.write_bytes(mutant(whole, rng))
        read += survive(tmp_path)
    assert 0 < read < MUTANTS


def test_a_length_beyond_the_file_is_not_allocated(tmp_path: Path) -> None:
    whole = file_bytes(series()[0])
    place = whole.index(b"\x08\x00\x80\x00LO")  # InstitutionName, made an OB of 4 GB
    long = b"\x08\x00\x80\x00OB\0\0\xf0\xff\xff\xff"
    (tmp_path / "one.dcm").write_bytes(whole[:place] + long + whole[place + 8 :])
    started = time.perf_counter()
    with pytest.raises(InputRefused) as caught:
        read_dicom(tmp_path)
    assert caught.value.code == "file-corrupt"
    assert time.perf_counter() - started < SLOWEST_S
