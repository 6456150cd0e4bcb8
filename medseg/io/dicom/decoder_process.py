"""The other end of `child`: decodes frames from stdin to stdout, within a limit of memory.

Run as a file with the limit in bytes and the parent's search path; loads none of medseg but
`streams`, so that it starts in a fraction of a second.
"""

from __future__ import annotations

import importlib.util
import math
import struct
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO

try:
    import resource
except ImportError:  # Windows
    resource = None  # type: ignore[assignment]

REQUEST = struct.Struct("<16sIIIdQ")
"""Kind of compression, rows, columns, bytes a pixel, the processor's seconds that decoding may
take, bytes of the frame, which follows."""

ANSWER = struct.Struct("<4sQ")
"""Type of the values, bytes of them, which follow; type `REFUSED` where there are none."""

REFUSED = b"none"


def limit_memory(most_bytes: int) -> None:
    """Cap the address space of this process where the system can (not on Windows)."""
    if resource is not None:
        _set_limit(resource.RLIMIT_AS, most_bytes, most_bytes)


def leave_no_dump() -> None:
    """Let a crash write no image of the memory to disk: it holds a patient's pixels."""
    if resource is not None:
        _set_limit(resource.RLIMIT_CORE, 0, 0)


def limit_time(seconds: float) -> None:
    """End this process after so many more seconds of the processor, to the second above."""
    if resource is not None:
        used = resource.getrusage(resource.RUSAGE_SELF)
        most = math.ceil(used.ru_utime + used.ru_stime + seconds)
        _set_limit(resource.RLIMIT_CPU, most, resource.getrlimit(resource.RLIMIT_CPU)[1])


def _set_limit(kind: int, soft: int, hard: int) -> None:
    if resource is None:
        return
    with suppress(OSError, ValueError):  # a lower limit is there, or the system knows none
        resource.setrlimit(kind, (soft, hard))


def _streams() -> Any:
    place = Path(__file__).with_name("streams.py")
    spec = importlib.util.spec_from_file_location("streams", place)
    if spec is None or spec.loader is None:
        msg = "the decoders are not there"
        raise RuntimeError(msg)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def serve(
    requests: BinaryIO, answers: BinaryIO, streams: Any, limit: Callable[[float], None]
) -> None:
    """Answer each request until there are no more; `limit` is told the seconds of each."""
    while len(head := requests.read(REQUEST.size)) == REQUEST.size:
        kind, rows, columns, bytes_each, seconds, length = REQUEST.unpack(head)
        frame = requests.read(length)
        decode = streams.DECODERS[kind.rstrip(b"\0").decode()]
        limit(seconds)
        try:
            values = decode(frame, (rows, columns), bytes_each)
            data, name = values.tobytes(), values.dtype.str.encode()
        except streams.DECODE_ERRORS:
            data, name = b"", REFUSED
        answers.write(ANSWER.pack(name, len(data)))
        answers.write(data)
        answers.flush()


def main() -> None:
    """Serve stdin and stdout."""
    sys.path[:] = sys.argv[2:]
    streams = _streams()
    for decode in ("jpeg8", "jpegls", "jpeg2k"):  # loaded before the limit counts
        getattr(streams.imagecodecs, f"{decode}_decode")
    leave_no_dump()
    limit_memory(int(sys.argv[1]))
    serve(sys.stdin.buffer, sys.stdout.buffer, streams, limit_time)


if __name__ == "__main__":
    main()
