"""Frames that are not built as they should be are decoded apart, with limits, and cannot harm."""

from __future__ import annotations

import importlib
import io
import struct
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from dicom_builders import ENCODERS, pixels, ramp_error, save, series, write_in
from numpy.typing import NDArray
from pydicom.encaps import encapsulate
from pydicom.uid import (
    UID,
    JPEG2000Lossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    RLELossless,
)

from medseg.errors import InputRefused
from medseg.io.dicom import child, codecs, decoder_process, read_dicom, streams
from medseg.io.dicom import pixels as pixels_module
from medseg.io.dicom.soundness import is_sound

KINDS = {UID(syntax): kind for syntax, kind in codecs.COMPRESSED.items()}
COMMENT = {"jpeg": b"\xff\xfe\x00\x04hi", "jpeg-ls": b"\xff\xfe\x00\x04hi"}
ODD_SEGMENT = b"\xff\xbf\x00\x04hi"  # a marker that no standard has


def frame_in(syntax: UID, size: tuple[int, int] = (10, 9)) -> tuple[bytes, NDArray[np.uint16]]:
    noise = np.random.default_rng(5).integers(0, 9, size)
    values = (np.add.outer(np.arange(size[0]) * 90, np.arange(size[1]) * 70) + noise).astype("u2")
    return ENCODERS[syntax](values), values


def odd(syntax: UID) -> bytes:
    """A frame that decodes, with something in it that should not be there."""
    frame, _ = frame_in(syntax)
    if KINDS[syntax] == "jpeg-2000":
        return frame[:-2] + b"\xff\xff" + frame[-2:]
    return frame[:2] + ODD_SEGMENT + frame[2:]


@pytest.mark.parametrize("syntax", ENCODERS, ids=lambda syntax: syntax.name[:40])
def test_frames_of_encoders_are_sound(syntax: UID) -> None:
    for size in ((10, 9), (64, 300), (1, 1)):
        assert is_sound(frame_in(syntax, size)[0], KINDS[syntax])
    assert is_sound(frame_in(syntax)[0] + b"\0", KINDS[syntax])


@pytest.mark.parametrize("syntax", ENCODERS, ids=lambda syntax: syntax.name[:40])
def test_a_frame_that_is_cut_or_has_more_is_not_sound(syntax: UID) -> None:
    frame, _ = frame_in(syntax)
    for wrong in (b"", frame[:1], frame[:40], frame[:-2], frame[2:], odd(syntax)):
        assert not is_sound(wrong, KINDS[syntax])
    assert not is_sound(frame + frame, KINDS[syntax])


def test_a_comment_is_nothing_odd() -> None:
    for syntax in (JPEGLSLossless, JPEGLosslessSV1):
        frame, _ = frame_in(syntax)
        assert is_sound(frame[:2] + COMMENT[KINDS[syntax]] + frame[2:], KINDS[syntax])


@pytest.mark.parametrize(("place", "value"), [(24, 1), (24, 0), (8, 0), (12, 2**31)])
def test_tiles_that_make_no_sense_are_not_sound(place: int, value: int) -> None:
    """Width and height of the image stand at 8 and 12, of a tile at 24 and 28."""
    frame = bytearray(frame_in(JPEG2000Lossless, (200, 2000))[0])
    struct.pack_into(">I", frame, place, value)
    assert not is_sound(bytes(frame), "jpeg-2000")


@pytest.mark.parametrize(
    "syntax", [JPEGLosslessSV1, JPEGLSLossless, JPEG2000Lossless], ids=lambda s: s.name[:40]
)
def test_the_child_decodes_as_the_parent_does(syntax: UID) -> None:
    with child.Child() as other:
        for size in ((10, 9), (64, 300)):
            frame, values = frame_in(syntax, size)
            assert np.array_equal(other.decode(frame, KINDS[syntax], size, 2), values)
            with pytest.raises(ValueError, match="cannot be decoded"):
                other.decode(frame[:-2], KINDS[syntax], size, 2)
            with pytest.raises(ValueError, match="cannot be decoded"):
                other.decode(frame, KINDS[syntax], (size[0], size[1] + 1), 2)


def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, body: str) -> None:
    """Let another program take the place of the decoding process."""
    folder = Path(child.__file__).parent
    script = tmp_path / "decoder_process.py"
    script.write_text(
        "import os, struct, sys, time\n"
        f"READ = sys.stdin.buffer.read\nFOLDER = {str(folder)!r}\n{body}\n"
    )
    monkeypatch.setattr(child, "__file__", str(tmp_path / "child.py"))


@pytest.mark.parametrize(
    "body",
    [
        "os.abort()",
        "READ(10); os._exit(3)",
        "sys.stdout.buffer.write(struct.pack('<4sQ', b'<u2', 180) + bytes(90))",
        "sys.stdout.buffer.write(struct.pack('<4sQ', b'<f8', 720) + bytes(720))",
        "sys.stdout.buffer.write(struct.pack('<4sQ', b'<u2', 178) + bytes(178))",
        "sys.stdout.buffer.write(struct.pack('<4sQ', b'?!', 180) + bytes(180))",
    ],
)
def test_a_child_that_ends_or_talks_nonsense_refuses_the_frame(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, body: str
) -> None:
    program(tmp_path, monkeypatch, body)
    frame, _ = frame_in(JPEGLSLossless)
    with child.Child() as other:
        for _ in range(2):
            with pytest.raises((ValueError, TypeError)):
                other.decode(frame, "jpeg-ls", (10, 9), 2)


def test_a_child_that_hangs_is_ended_after_its_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program(tmp_path, monkeypatch, "time.sleep(600)")
    frame, _ = frame_in(JPEGLSLossless)
    began = time.perf_counter()
    with (
        child.Child(limit_s=0.5) as other,
        pytest.raises(ValueError, match="decoding process ended"),
    ):
        other.decode(frame, "jpeg-ls", (10, 9), 2)
    assert time.perf_counter() - began < 20


@pytest.mark.skipif(sys.platform != "linux", reason="memory is limited by RLIMIT_AS on Linux alone")
def test_a_child_gets_no_more_memory_than_its_limit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program(
        tmp_path,
        monkeypatch,
        "sys.path[:] = [FOLDER, *sys.argv[2:]]\n"
        "import resource\n"
        "limit = int(sys.argv[1])\n"
        "resource.setrlimit(resource.RLIMIT_AS, (limit, limit))\n"
        "READ(10)\n"
        "try:\n"
        "    bytearray(2 * limit)\n"
        "except MemoryError:\n"
        "    sys.stdout.buffer.write(struct.pack('<4sQ', b'none', 0))\n",
    )
    with child.Child() as other, pytest.raises(ValueError, match="cannot be decoded"):
        other.decode(b"12345678901", "jpeg-ls", (10, 9), 2)


LIMITED = """
sys.path[:] = [FOLDER, *sys.argv[2:]]
import decoder_process
class Streams:
    DECODE_ERRORS = ()
    class imagecodecs:
        jpeg8_decode = jpegls_decode = jpeg2k_decode = None
    def spin(*_):
        while True: pass
    def crash(*_):
        import resource
        with open(OUT, "w") as file:
            file.write(str(resource.getrlimit(resource.RLIMIT_CORE)))
        os.abort()
    DECODERS = {"jpeg": spin, "jpeg-ls": crash}
decoder_process._streams = lambda: Streams
decoder_process.main()
"""


@pytest.mark.skipif(
    sys.platform != "linux", reason="processor time is limited by RLIMIT_CPU on Linux alone"
)
def test_a_decoder_that_never_ends_is_ended_after_its_time_of_the_processor(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program(tmp_path, monkeypatch, LIMITED)
    monkeypatch.setattr(child, "PROCESSOR_S", 0.5)
    with child.Child(limit_s=300.0) as other, pytest.raises(ValueError, match="process ended"):
        other.decode(b"", "jpeg", (10, 9), 2)


@pytest.mark.skipif(
    sys.platform != "linux", reason="core files are limited by RLIMIT_CORE on Linux alone"
)
def test_a_decoder_that_crashes_leaves_no_image_of_its_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = tmp_path / "limits"
    program(tmp_path, monkeypatch, f"OUT = {str(seen)!r}\n{LIMITED}")
    with child.Child() as other, pytest.raises(ValueError, match="process ended"):
        other.decode(b"", "jpeg-ls", (10, 9), 2)
    assert seen.read_text() == "(0, 0)"


@pytest.mark.skipif(sys.platform != "linux", reason="memory is limited by RLIMIT_AS on Linux alone")
def test_the_limit_of_memory_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    resource = importlib.import_module("resource")
    limits: list[tuple[int, tuple[int, int]]] = []
    monkeypatch.setattr(resource, "setrlimit", lambda kind, most: limits.append((kind, most)))
    decoder_process.limit_memory(12345)
    assert limits == [(resource.RLIMIT_AS, (12345, 12345))]


def test_requests_are_answered_one_by_one_until_they_end() -> None:
    frame, values = frame_in(JPEGLSLossless)
    ask = decoder_process.REQUEST
    requests = io.BytesIO(
        b"".join(
            ask.pack(b"jpeg-ls", 10, 9, 2, 1.5, len(one)) + one
            for one in (frame, b"\xff\xd8", frame)
        )
    )
    answers = io.BytesIO()
    seconds: list[float] = []
    decoder_process.serve(requests, answers, streams, seconds.append)
    assert seconds == [1.5, 1.5, 1.5]
    whole = decoder_process.ANSWER.pack(b"<u2", 180) + values.tobytes()
    assert answers.getvalue() == whole + decoder_process.ANSWER.pack(b"none", 0) + whole


@pytest.fixture
def apart(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The kinds of the frames that are decoded apart."""
    kinds: list[str] = []
    decode = child.Child.decode

    def noted(
        self: child.Child, frame: bytes, kind: streams.Kind, size: streams.Size, bytes_each: int
    ) -> streams.Stored:
        kinds.append(kind)
        return decode(self, frame, kind, size, bytes_each)

    monkeypatch.setattr(child.Child, "decode", noted)
    return kinds


@pytest.mark.parametrize(
    "syntax",
    [RLELossless, JPEGLosslessSV1, JPEGLSLossless, JPEG2000Lossless],
    ids=lambda s: s.name[:40],
)
def test_sound_series_need_no_child(tmp_path: Path, syntax: UID, apart: list[str]) -> None:
    assert ramp_error(read_dicom(write_in(series(), tmp_path, syntax))) < 1e-3
    assert apart == []


@pytest.mark.parametrize(
    ("syntax", "code"),
    [(JPEGLosslessSV1, ""), (JPEGLSLossless, ""), (JPEG2000Lossless, "pixel-data-corrupt")],
    ids=lambda value: getattr(value, "name", "")[:40],
)
def test_a_doubtful_frame_is_decoded_apart(
    tmp_path: Path, syntax: UID, code: str, apart: list[str]
) -> None:
    """Fill bytes before the end: decoders of JPEG pass over them, that of JPEG 2000 does not."""
    slices = series()
    write_in(slices, tmp_path, syntax)
    frame = ENCODERS[syntax](pixels(series()[4]).view(np.uint16))
    slices[4].PixelData = encapsulate([frame[:-2] + b"\xff\xff" + frame[-2:]])
    slices[4]["PixelData"].is_undefined_length = True
    save(slices[4], tmp_path / "004.dcm", syntax)
    if code:
        with pytest.raises(InputRefused) as caught:
            read_dicom(tmp_path)
        assert caught.value.code == code
    else:
        assert ramp_error(read_dicom(tmp_path)) < 1e-3
    assert apart == [KINDS[syntax]]


def test_large_frames_are_decoded_apart(
    tmp_path: Path, apart: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pixels_module, "LARGEST_HERE_BYTES", 100)
    assert ramp_error(read_dicom(write_in(series(), tmp_path, JPEGLSLossless))) < 1e-3
    assert len(apart) == 12


def test_without_an_interpreter_doubtful_frames_are_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sys, "executable", "/no/such/python")
    with child.Child() as other, pytest.raises(ValueError, match="ended"):
        other.decode(b"", "jpeg-ls", (10, 9), 2)
