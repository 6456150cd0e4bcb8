r"""Mutated DICOM files: whatever is broken, nothing but a refusal leaves, within time and memory.

    python benchmarks/dicom_fuzz.py [--mutants 10000] [--seed 0] [--size 48]

In a series of four slices one file is mutated: bytes of its header, of its pixels or of either
changed, cut, or bytes put in; plain and in each kind of compression. Each series is scanned,
checked and read. Batches run in processes of their own, with 4 GB of address space, so that a crash
of a decoder would be seen as one. A mutant that is still read is no fault: most bytes of a header
mean nothing for the image, and changed pixels are pixels. Doubtful frames are decoded in yet
another process, see `medseg.io.dicom.child`; "apart" counts those.

No mutant may take more than 10 of the processor's seconds, in this process and the decoding one,
nor more than 10 s by the clock. A busy machine may hold up anything by the clock: a mutant over its
time is read again, and is over it where each of three readings is. What never ends is stopped
together with its batch, and counts as a hang.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from dicom_series import SYNTAXES, body, write_series
from timing import in_fresh_process, resident_mb, verdict

from medseg.errors import InputRefused
from medseg.io.dicom import describe_dicom, read_dicom
from medseg.io.dicom.child import Child
from medseg.io.dicom.streams import Kind, Size, Stored

ADDRESS_SPACE_BYTES = 4 * 1024**3
SLOWEST_S = 10.0
READINGS = 3
PROCESSOR_GUARD_S = 20.0
CLOCK_GUARD_S = 120.0
MOST_MB = 1024
BATCH = 500
MUTATIONS = ("header", "pixels", "anywhere", "cut", "insertion")

_ENDED_BY_GUARD = {
    -int(getattr(signal, name)) for name in ("SIGPROF", "SIGALRM") if hasattr(signal, name)
}

SCRIPT = """
import json, sys, dicom_fuzz
print(json.dumps(dicom_fuzz.batch(sys.argv[1], *map(int, sys.argv[2:]))))
"""


def mutant(whole: bytes, header: int, kind: str, rng: np.random.Generator) -> bytes:
    """The file with a fault of that kind; its first `header` bytes come before the pixels."""
    data = bytearray(whole)
    if kind == "cut":
        return bytes(data[: rng.integers(0, len(data))])
    if kind == "insertion":
        place = int(rng.integers(0, len(data)))
        return bytes(data[:place] + rng.bytes(int(rng.integers(1, 20))) + data[place:])
    first, last = {"header": (132, header), "pixels": (header, len(data))}.get(
        kind, (132, len(data))
    )
    for _ in range(rng.integers(1, 9)):
        data[rng.integers(first, last)] = rng.integers(0, 256)
    return bytes(data)


def batch(syntax: str, seed: int, mutants: int, size: int) -> dict[str, Any]:
    """What became of the mutants of one transfer syntax; alone in a fresh process."""
    _limit_memory()
    rng = np.random.default_rng([seed, *syntax.encode()])
    outcomes: Counter[str] = Counter()
    slowest = Times(0.0, 0.0)
    apart = _count_apart()
    with tempfile.TemporaryDirectory() as name:
        file = write_series(body(4, size, seed), Path(name), SYNTAXES[syntax])[2]
        whole = file.read_bytes()
        header = whole.index(b"\xe0\x7f\x10\x00")
        read_dicom(name)
        before, _ = resident_mb()
        for number in range(mutants):
            kind = MUTATIONS[number % len(MUTATIONS)]
            file.write_bytes(mutant(whole, header, kind, rng))
            outcome, times = _read_in_time(Path(name), file)
            outcomes[outcome] += 1
            slowest = Times(*map(max, slowest, times))
    used = resident_mb()[1] - before
    return {"outcomes": outcomes, "slowest": slowest, "apart": len(apart), "memory": used}


class Times(NamedTuple):
    """The processor's seconds of this process and those it started, and seconds by the clock."""

    processor_s: float
    clock_s: float


def _read_in_time(folder: Path, file: Path) -> tuple[str, Times]:
    """The outcome, the processor's seconds, and the least seconds by the clock of the readings."""
    outcome, times = _timed(folder, file)
    for _ in range(READINGS - 1):
        if times.clock_s <= SLOWEST_S:
            break
        outcome, again = _timed(folder, file)
        times = Times(max(times.processor_s, again.processor_s), min(times.clock_s, again.clock_s))
    return outcome, times


def _timed(folder: Path, file: Path) -> tuple[str, Times]:
    with stopped_where_it_hangs():
        used, began = _processor_s(), time.perf_counter()
        outcome = _outcome(folder, file)
        return outcome, Times(_processor_s() - used, time.perf_counter() - began)


def _processor_s() -> float:
    """Of all threads of this process, and of the processes that it started and that have ended."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


@contextmanager
def stopped_where_it_hangs() -> Iterator[None]:
    """Let the system end this process where the block takes far too long, even inside C code."""
    guards = (("ITIMER_PROF", PROCESSOR_GUARD_S), ("ITIMER_REAL", CLOCK_GUARD_S))
    timers = [(getattr(signal, name), after) for name, after in guards if hasattr(signal, name)]
    try:
        for timer, after in timers:
            signal.setitimer(timer, after)
        yield
    finally:
        for timer, _ in timers:
            signal.setitimer(timer, 0)


def _outcome(folder: Path, file: Path) -> str:
    """Code of the refusal, "read", or the name of what else was raised."""
    try:
        describe_dicom(file)
        volume = read_dicom(folder)
    except InputRefused as error:
        return error.code
    except BaseException as error:  # noqa: BLE001 - a panic of a decoder is none of Exception
        return f"RAISED {type(error).__name__}"
    return "read" if np.isfinite(volume.array).all() else "RAISED NaN"


def _count_apart() -> list[str]:
    """From now on, the kind of each frame that is decoded in a process of its own."""
    kinds: list[str] = []
    decode = Child.decode

    def noted(child: Child, frame: bytes, kind: Kind, size: Size, bytes_each: int) -> Stored:
        kinds.append(kind)
        return decode(child, frame, kind, size, bytes_each)

    Child.decode = noted  # type: ignore[method-assign]
    return kinds


def _limit_memory() -> None:
    try:
        import resource
    except ImportError:
        return
    resource.setrlimit(resource.RLIMIT_AS, (ADDRESS_SPACE_BYTES, ADDRESS_SPACE_BYTES))


class Fate(NamedTuple):
    """What became of all mutants of one transfer syntax."""

    outcomes: Counter[str]
    slowest: Times
    apart: int
    memory_mb: float
    crashes: int
    hangs: int


def fate(syntax: str, seed: int, mutants: int, size: int) -> Fate:
    """Run the batches of one transfer syntax; one without an answer is a crash or a hang."""
    outcomes: Counter[str] = Counter()
    slowest, apart, memory, crashes, hangs = Times(0.0, 0.0), 0, 0.0, 0, 0
    for number, start in enumerate(range(0, mutants, BATCH)):
        count = min(BATCH, mutants - start)
        numbers = map(str, (seed + number, count, size))
        try:
            with tempfile.TemporaryDirectory() as place:  # a batch that dies leaves its files
                found = in_fresh_process(SCRIPT, syntax, *numbers, env={"TMPDIR": place})
        except (subprocess.CalledProcessError, IndexError, json.JSONDecodeError) as error:
            hung = getattr(error, "returncode", 0) in _ENDED_BY_GUARD
            hangs, crashes = hangs + hung, crashes + (not hung)
            continue
        outcomes.update(found["outcomes"])
        slowest = Times(*map(max, slowest, found["slowest"]))
        memory = max(memory, found["memory"])
        apart += found["apart"]
    return Fate(outcomes, slowest, apart, memory, crashes, hangs)


def print_fates(fates: dict[str, Fate]) -> bool:
    """The table, the refusals by code, the bars; whether all are met."""
    print(f"\n{'':<16}{'read':>8}{'refused':>9}{'raised':>8}{'crashes':>9}{'hangs':>7}", end="")
    print(f"{'apart':>7}{'slowest: processor s, clock s':>31}{'memory MB':>11}")
    codes: Counter[str] = Counter()
    for syntax, one in fates.items():
        raised = sum(n for name, n in one.outcomes.items() if name.startswith("RAISED"))
        refused = one.outcomes.total() - raised - one.outcomes["read"]
        print(f"{syntax:<16}{one.outcomes['read']:>8}{refused:>9}{raised:>8}", end="")
        print(f"{one.crashes:>9}{one.hangs:>7}{one.apart:>7}", end="")
        print(f"{one.slowest.processor_s:>22.2f}{one.slowest.clock_s:>9.2f}{one.memory_mb:>11.0f}")
        codes.update(one.outcomes)
    print()
    for code, count in codes.most_common():
        print(f"{count:>7} {code}")
    wrong = sum(one.crashes for one in fates.values())
    wrong += sum(count for code, count in codes.items() if code.startswith("RAISED"))
    bars = (
        ("raised or crashed", wrong, 0, ""),
        ("batches that hung", sum(one.hangs for one in fates.values()), 0, ""),
        (
            "slowest",
            max(one.slowest.processor_s for one in fates.values()),
            SLOWEST_S,
            " s of the processor",
        ),
        (
            "slowest",
            max(one.slowest.clock_s for one in fates.values()),
            SLOWEST_S,
            " s by the clock",
        ),
        (
            "memory beyond a sound series",
            max(one.memory_mb for one in fates.values()),
            MOST_MB,
            " MB",
        ),
    )
    print()
    for what, value, most, unit in bars:
        print(f"{what}: {value:.4g}{unit}", verdict(value, most, at_least=False))
    return all(value <= most for _, value, most, _ in bars)


def main() -> None:
    """Print the table; exit status 1 where a bar is not met."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--mutants", type=int, default=10000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--size", type=int, default=48)
    arguments = parser.parse_args()
    each = -(-arguments.mutants // len(SYNTAXES))
    print(f"{each} mutants in each of {len(SYNTAXES)} transfer syntaxes, seed {arguments.seed}")
    fates = {one: fate(one, arguments.seed, each, arguments.size) for one in SYNTAXES}
    if not print_fates(fates):
        sys.exit(1)


if __name__ == "__main__":
    main()
