"""The other end of `child`: decodes frames from stdin to stdout, within a limit of memory.

Run as a file with the limit in bytes and the parent's search path; loads none of medseg but
`streams`, so that it starts in a fraction of a second.
"""

from __future__ import annotations

import importlib.util
import struct
import sys
from pathlib import Path
from typing import Any, BinaryIO

REQUEST = struct.Struct("<16sIIIQ")
"""Kind of compression, rows, columns, bytes a pixel, bytes of the frame, which follows."""

ANSWER = struct.Struct("<4sQ")
"""Type of the values, bytes of them, which follow; type `REFUSED` where there are none."""

REFUSED = b"none"


def limit_memory(most_bytes: int) -> None:
    """Cap the address space of this process where the system can (not on Windows)."""
    try:
        import resource
    except ImportError:
        return
    try:
        resource.setrlimit(resource.RLIMIT_AS, (most_bytes, most_bytes))
    except (OSError, ValueError):  # a lower limit is there, or the system knows none
        return


def _streams() -> Any:
    place = Path(__file__).with_name("streams.py")
    spec = importlib.util.spec_from_file_location("streams", place)
    if spec is None or spec.loader is None:
        msg = "the decoders are not there"
        raise RuntimeError(msg)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def serve(requests: BinaryIO, answers: BinaryIO, streams: Any) -> None:
    """Answer each request until there are no more."""
    while len(head := requests.read(REQUEST.size)) == REQUEST.size:
        kind, rows, columns, bytes_each, length = REQUEST.unpack(head)
        frame = requests.read(length)
        decode = streams.DECODERS[kind.rstrip(b"\0").decode()]
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
    limit_memory(int(sys.argv[1]))
    serve(sys.stdin.buffer, sys.stdout.buffer, streams)


if __name__ == "__main__":
    main()
