"""How the benchmarks time: in turn, medians with their range, peak memory in a fresh process."""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple, Self

BENCHMARKS = Path(__file__).resolve().parent
REPOSITORY = BENCHMARKS.parent

Samples = list[float]


class Clock(NamedTuple):
    """Which seconds count: by the clock, or the processor's, which a busy machine does not change.

    `answer` is where a peer's answer holds them.
    """

    name: str
    now: Callable[[], float]
    answer: str


BY_THE_CLOCK = Clock("seconds", time.perf_counter, "seconds")
OF_THE_PROCESSOR = Clock("processor's seconds", time.process_time, "busy")


def speed_arguments(about: str, *, objects: int, rounds: int, peer: str) -> argparse.Namespace:
    """What a speed benchmark was asked for: size, objects, rounds, `peer` and `clock`.

    `peer` names the package whose interpreter may be given, None where it was not.
    """
    parser = argparse.ArgumentParser(description=about)
    parser.add_argument("--size", type=int, default=512)
    parser.add_argument("--objects", type=int, default=objects)
    parser.add_argument("--rounds", type=int, default=rounds)
    parser.add_argument(f"--{peer.lower()}", dest="peer", help=f"interpreter that has {peer}")
    parser.add_argument(
        "--processor",
        dest="clock",
        action="store_const",
        const=OF_THE_PROCESSOR,
        default=BY_THE_CLOCK,
        help="count the processor's seconds",
    )
    return parser.parse_args()


def interleaved(
    runs: Mapping[str, Callable[[], float | None]], rounds: int, clock: Clock = BY_THE_CLOCK
) -> dict[str, Samples]:
    """Seconds of each run in each round; in a round all run once, one after the other.

    A run that returns a number was timed elsewhere (in another process), and that counts.
    """
    seconds: dict[str, Samples] = {name: [] for name in runs}
    for _ in range(rounds):
        for name, run in runs.items():
            began = clock.now()
            elsewhere = run()
            here = clock.now() - began
            seconds[name].append(here if elsewhere is None else elsewhere)
    return seconds


def untimed(run: Callable[[], object]) -> Callable[[], None]:
    """The run without its result, so that `interleaved` takes its time here."""

    def alone() -> None:
        run()

    return alone


def spread(samples: Sequence[float], form: str = ".3f") -> str:
    """Median and range: `0.061 [0.056-0.090]`."""
    low, high = min(samples), max(samples)
    return f"{statistics.median(samples):{form}} [{low:{form}}-{high:{form}}]"


def ratios(of: Sequence[float], over: Sequence[float]) -> Samples:
    """The ratio in each round, of two runs that were timed in turn."""
    return [a / b for a, b in zip(of, over, strict=True)]


def print_ratios(
    seconds: Mapping[str, Samples], rows: Sequence[tuple[str, str, str]], clock: Clock
) -> None:
    """A line for each (title, run, run that it is divided by): medians, ranges and ratios."""
    print(f"\n{'':<34}{clock.name:<28}times medseg")
    for title, run, over in rows:
        if run in seconds:
            times = spread(ratios(seconds[run], seconds[over]), ".1f")
            print(f"{title:<34}{spread(seconds[run]):<28}{times}")
        else:
            print(f"{title:<34}not run")


def verdict(value: float, bar: float, *, at_least: bool) -> str:
    """Whether a bar is met, in words."""
    met = value >= bar if at_least else value <= bar
    return f"{'met' if met else 'NOT MET'}: {'at least' if at_least else 'at most'} {bar:g}"


def machine(*packages: str) -> str:
    """One line: processor, cores that this process may use, versions."""
    model = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.is_file():
        names = [line for line in info.read_text().splitlines() if line.startswith("model name")]
        model = names[0].partition(":")[2].strip() if names else model
    affinity = getattr(os, "sched_getaffinity", None)
    cores = len(affinity(0)) if affinity is not None else os.cpu_count()
    versions = ", ".join(f"{name} {version(name)}" for name in packages)
    return f"{model}, {cores} core(s), Python {platform.python_version()}, {versions}"


def resident_mb() -> tuple[float, float]:
    """Resident memory of this process and its highest value so far, in megabytes (Linux)."""
    status = Path("/proc/self/status").read_text()
    fields = dict(line.split(":", 1) for line in status.splitlines() if ":" in line)
    now, highest = (float(fields[key].split()[0]) * 1024 / 1e6 for key in ("VmRSS", "VmHWM"))
    return now, highest


def extra_memory_mb(run: Callable[[], object]) -> float:
    """Highest resident memory while `run` runs, over that before it, in megabytes (Linux).

    Call it in a fresh process: memory that was freed but kept would be used again unseen.
    """
    Path("/proc/self/clear_refs").write_text("5")  # the highest value starts anew
    before, _ = resident_mb()
    result = run()
    _, highest = resident_mb()
    del result
    return highest - before


def in_fresh_process(
    script: str, *arguments: str, env: Mapping[str, str | None] | None = None, **options: Any
) -> dict[str, Any]:
    """What a script of this folder's modules prints as JSON, in a Python process of its own.

    `env` changes the environment; None takes a variable away. Raises CalledProcessError.
    """
    changed = {"PYTHONPATH": str(BENCHMARKS), **(env or {})}
    wanted = {**os.environ, **{key: value for key, value in changed.items() if value is not None}}
    for key in (key for key, value in changed.items() if value is None):
        wanted.pop(key, None)
    command = [sys.executable, "-c", script, *arguments]
    printed = subprocess.run(
        command, env=wanted, stdout=subprocess.PIPE, check=True, text=True, **options
    ).stdout
    answer: dict[str, Any] = json.loads(printed.splitlines()[-1])
    return answer


class Peer:
    """Another interpreter that runs a peer and answers in JSON lines, one for each question.

    `script` is a program that reads a line of JSON from stdin and prints `ANSWER ` and one line of
    JSON for it, until stdin ends; the peer's own output is passed by.
    """

    def __init__(self, python: str, script: str, *arguments: str) -> None:
        environment = {**os.environ, "PYTHONPATH": ""}
        self._process = subprocess.Popen(
            [python, "-c", script, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment,
            text=True,
        )

    def ask(self, question: object = None) -> Any:
        """The answer; RuntimeError where the peer ended before it."""
        if self._process.stdin is None or self._process.stdout is None:
            msg = "the peer has no pipes"
            raise RuntimeError(msg)
        self._process.stdin.write(json.dumps(question) + "\n")
        self._process.stdin.flush()
        for line in self._process.stdout:
            if line.startswith("ANSWER "):
                return json.loads(line.removeprefix("ANSWER "))
        msg = f"the peer ended with exit status {self._process.wait()}"
        raise RuntimeError(msg)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._process.stdin is not None:
            self._process.stdin.close()
        self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()


@contextmanager
def peer_in(python: str | None, script: str, *arguments: str) -> Iterator[Peer | None]:
    """The peer in the interpreter that was given; None where none was."""
    if python is None:
        yield None
    else:
        with Peer(python, script, *arguments) as peer:
            yield peer
