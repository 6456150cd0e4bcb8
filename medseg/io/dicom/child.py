"""Doubtful frames decoded in a process of their own, with limits of time and memory.

Decoders of C may crash, hang or ask for any amount of memory on a damaged frame: there that ends
the child, and the file is refused.
"""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np

from medseg.io.dicom.decoder_process import ANSWER, REFUSED, REQUEST
from medseg.io.dicom.streams import Kind, Size, Stored

LIMIT_S = 30.0
"""Seconds by the clock that one frame may take, waiting on a busy machine included."""

PROCESSOR_S = 8.0
SECONDS_A_PIXEL = 0.25e-6
"""The processor's seconds that one frame may take, and more for each pixel, up to `LIMIT_S`.

JPEG 2000, the slowest, needs 0.15 microseconds a pixel: 0.04 s for a slice of 512 x 512."""

BASE_BYTES = 1024**3
BYTES_A_PIXEL = 32
"""What a decoder may take beside `BASE_BYTES`: OpenJPEG needs about 16 bytes a pixel."""


class Child:
    """A decoding process that starts with the first frame and ends with the `with` block."""

    def __init__(self, limit_s: float = LIMIT_S) -> None:
        self._limit_s = limit_s
        self._process: subprocess.Popen[bytes] | None = None
        self._pixels = 0

    def decode(self, frame: bytes, kind: Kind, size: Size, bytes_each: int) -> Stored:
        """The stored values (Y, X).

        Raises ValueError where they cannot be had: damaged, too slow, too large.
        """
        seconds = min(LIMIT_S, PROCESSOR_S + SECONDS_A_PIXEL * size[0] * size[1])
        request = REQUEST.pack(kind.encode(), *size, bytes_each, seconds, len(frame)) + frame
        try:
            process = self._started(size[0] * size[1])
            timer = threading.Timer(self._limit_s, process.kill)
            timer.start()
            try:
                name, data = _asked(process, request)
            finally:
                timer.cancel()
        except OSError as error:
            msg = "the decoding process ended"
            raise ValueError(msg) from error
        if name == REFUSED:
            msg = "the frame cannot be decoded"
            raise ValueError(msg)
        values = np.frombuffer(data, dtype=name.rstrip(b"\0").decode("ascii"))
        if values.dtype.kind not in "iu" or values.dtype.itemsize > bytes_each:
            msg = "the decoding process gives what it should not"
            raise ValueError(msg)
        return values.reshape(size)

    def _started(self, pixels: int) -> subprocess.Popen[bytes]:
        if self._process is not None and (
            pixels > self._pixels or self._process.poll() is not None
        ):
            self._end()
        if self._process is None:
            limit = BASE_BYTES + BYTES_A_PIXEL * pixels
            script = Path(__file__).with_name("decoder_process.py")
            command = [sys.executable, "-I", str(script), str(limit), *filter(None, sys.path)]
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
            )
            self._pixels = pixels
        return self._process

    def _end(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
            self._process = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._end()


def _asked(process: subprocess.Popen[bytes], request: bytes) -> tuple[bytes, bytes]:
    """Type and bytes of the answer; BrokenPipeError where the process ended before it."""
    if process.stdin is None or process.stdout is None:
        msg = "no pipes"
        raise BrokenPipeError(msg)
    process.stdin.write(request)
    process.stdin.flush()
    head = process.stdout.read(ANSWER.size)
    if len(head) < ANSWER.size:
        msg = "no answer"
        raise BrokenPipeError(msg)
    name, length = ANSWER.unpack(head)
    data = process.stdout.read(length)
    if len(data) < length:
        msg = "half an answer"
        raise BrokenPipeError(msg)
    return name, data
