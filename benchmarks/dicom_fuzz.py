r"""Mutated DICOM files: whatever is broken, nothing but a refusal leaves, within time and memory.

    python benchmarks/dicom_fuzz.py [--mutants 10000] [--seed 0] [--size 48]

In a series of four slices one file is mutated: bytes of its header, of its pixels or of either
changed, cut, or bytes put in; plain and in each kind of compression. Each series is scanned,
checked and read. Batches run in processes of their own, with 4 GB of address space, so that a crash
of a decoder would be seen as one. A mutant that is still read is no fault: most bytes of a header
mean nothing for the image, and changed pixels are pixels. Doubtful frames are decoded in yet
another process, see `medseg.io.dicom.child`; "apart" counts those.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from dicom_series import SYNTAXES, body, write_series
from timing import in_fresh_process, resident_mb, verdict

from medseg.errors import InputRefused
from medseg.io.dicom import describe_dicom, read_dicom
from medseg.io.dicom.child import LIMIT_S, Child
from medseg.io.dicom.streams import Kind, Size, Stored

ADDRESS_SPACE_BYTES = 4 * 1024**3
SLOWEST_S = LIMIT_S
MOST_MB = 1024
BATCH = 500
MUTATIONS = ("header", "pixels", "anywhere", "cut", "insertion")

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
    slowest = 0.0
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
            began = time.perf_counter()
            outcomes[_outcome(Path(name), file)] += 1
            slowest = max(slowest, time.perf_counter() - began)
    used = resident_mb()[1] - before
    return {"outcomes": outcomes, "slowest": slowest, "apart": len(apart), "memory": used}


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
    slowest_s: float
    apart: int
    memory_mb: float
    crashes: int


def fate(syntax: str, seed: int, mutants: int, size: int) -> Fate:
    """Run the batches of one transfer syntax; a batch that ends without an answer is a crash."""
    outcomes: Counter[str] = Counter()
    slowest, apart, memory, crashes = 0.0, 0, 0.0, 0
    for number, start in enumerate(range(0, mutants, BATCH)):
        count = min(BATCH, mutants - start)
        numbers = map(str, (seed + number, count, size))
        try:
            found = in_fresh_process(SCRIPT, syntax, *numbers)
        except (subprocess.CalledProcessError, IndexError, json.JSONDecodeError):
            crashes += 1
            continue
        outcomes.update(found["outcomes"])
        slowest, memory = max(slowest, found["slowest"]), max(memory, found["memory"])
        apart += found["apart"]
    return Fate(outcomes, slowest, apart, memory, crashes)


def print_fates(fates: dict[str, Fate]) -> bool:
    """The table, the refusals by code, the bars; whether all are met."""
    print(f"\n{'':<16}{'read':>8}{'refused':>9}{'raised':>8}{'crashes':>9}{'apart':>7}", end="")
    print(f"{'slowest s':>11}{'memory MB':>11}")
    codes: Counter[str] = Counter()
    for syntax, one in fates.items():
        raised = sum(n for name, n in one.outcomes.items() if name.startswith("RAISED"))
        refused = one.outcomes.total() - raised - one.outcomes["read"]
        print(f"{syntax:<16}{one.outcomes['read']:>8}{refused:>9}{raised:>8}", end="")
        print(f"{one.crashes:>9}{one.apart:>7}{one.slowest_s:>11.2f}{one.memory_mb:>11.0f}")
        codes.update(one.outcomes)
    print()
    for code, count in codes.most_common():
        print(f"{count:>7} {code}")
    wrong = sum(one.crashes for one in fates.values())
    wrong += sum(count for code, count in codes.items() if code.startswith("RAISED"))
    slowest = max(one.slowest_s for one in fates.values())
    memory = max(one.memory_mb for one in fates.values())
    print(f"\nraised or crashed: {wrong}", verdict(wrong, 0, at_least=False))
    print(f"slowest: {slowest:.2f} s", verdict(slowest, SLOWEST_S, at_least=False))
    print(
        f"memory beyond a sound series: {memory:.0f} MB", verdict(memory, MOST_MB, at_least=False)
    )
    return wrong == 0 and slowest <= SLOWEST_S and memory <= MOST_MB


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
