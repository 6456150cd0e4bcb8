"""`medseg batch`: two workers beside one, what a study costs beside its work, a loop, very many.

    python benchmarks/batch.py [--parts workers loop scale] [--busy-studies 40] [--busy 0.5]
        [--studies 40] [--starts 4] [--rounds 2] [--sizes 10000 100000] [--dicom-sizes 1000 10000]
        [--scale-rounds 5] [--folder /somewhere]

workers: studies a second with one and two workers, in turn, on work that keeps one core busy
(`--busy` seconds of the processor) and on small DICOM studies with `phantom-lesions`, from a
quarter of the studies until the last are handed out. Beside the clock stand the processor's seconds
of a study, of children and of all else (workers, scheduler, this process), how many cores the batch
got, and how many other programs took. A child that waits for a core is told apart from one that has
nothing to do (/proc/PID/schedstat): so a busy machine does not hide what free cores would give,
which is never more than the processor's seconds of all allow. Overhead is the seconds between two
ends with one worker less those that `record.json` says of the study: to hand it out, to flush its
results to the disk, to see that it has ended.

loop: the commands `medseg batch` and `medseg segment` on the same small studies. Studies an hour of
the batch are those of an hour that holds its start and its end too.

scale: all studies are there as files and are looked into; results are made by hand, the tables of
20 phantoms in turn. Each round measures all sizes in turn, and growth is told of each round, since
a shared machine's speed changes by the minute. Memory is that over a process that has loaded
medseg (Linux).
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

import psutil
from batch_scale import MODEL, Cost, costs, make_studies
from batch_work import BUSY_S
from medseg_workflows import BatchOptions, Local, run_batch
from medseg_workflows.ledger import AUDIT, read_records
from medseg_workflows.progress import Screen, Tally
from medseg_workflows.run import WINDOW
from timing import BENCHMARKS, machine, ratios, spread, verdict

PARTS = ("workers", "loop", "scale")
LEAST_GAIN, MOST_OVERHEAD_S, LEAST_LOOPS, MOST_GROWTH = 1.8, 0.15, 5.0, 1.2

CHILD = "medseg_workflows.work"
HOUR_S = 3600.0


class Sample(NamedTuple):
    """Seconds when so many studies were finished: by the clock, and of processors since a start."""

    finished: int
    clock_s: float
    children_s: float
    others_s: float
    queued_s: float
    machine_s: float


class Steady(NamedTuple):
    """A batch between two samples: seconds a study, and processors' by who had them.

    `free_s` is what the seconds would be if no child had to wait for a core.
    """

    study_s: float
    free_s: float
    children_s: float
    others_s: float
    cores: float
    elsewhere_cores: float


class Sampler:
    """Takes a sample whenever a study has ended; shows nothing."""

    def __init__(self) -> None:
        self.samples: list[Sample] = []

    def show(self, tally: Tally) -> None:
        """Called by a batch, often."""
        if not self.samples or tally.finished > self.samples[-1].finished:
            self.samples.append(sample(tally.finished))


def sample(finished: int) -> Sample:
    """The processors' seconds of this process and all below it, and of the machine."""
    here = psutil.Process()
    children_s = others_s = queued_s = 0.0
    for process in [here, *here.children(recursive=True)]:
        try:
            times, is_child = process.cpu_times(), CHILD in process.cmdline()
        except psutil.Error:
            continue
        if is_child:
            children_s += times.user + times.system
            queued_s += waited_s(process.pid)
        else:
            others_s += times.user + times.system
    whole = psutil.cpu_times()
    machine_s = whole.user + getattr(whole, "nice", 0.0) + whole.system
    return Sample(finished, time.monotonic(), children_s, others_s, queued_s, machine_s)


def waited_s(pid: int) -> float:
    """How long a process's first thread could have run and had no core (Linux, else 0)."""
    try:
        said = Path(f"/proc/{pid}/schedstat").read_text(encoding="ascii").split()
    except OSError:
        return 0.0
    return int(said[1]) / 1e9


def steady(samples: Sequence[Sample], workers: int) -> Steady:
    """From a quarter of the studies, when every child works, until the last are handed out."""
    total = samples[-1].finished
    least = max(workers, total // 4)
    first = next((one for one in samples[:-1] if one.finished >= least), samples[-2])
    most = max(total - WINDOW * workers, first.finished + 1)
    last = next((one for one in samples if one.finished >= most), samples[-1])
    count = last.finished - first.finished
    seconds, children_s, others_s, queued_s, machine_s = (
        after - before for before, after in zip(first[1:], last[1:], strict=True)
    )
    busy_s = children_s + others_s
    free_s = max(seconds - queued_s / workers, busy_s / (psutil.cpu_count() or 1))
    return Steady(
        study_s=seconds / count,
        free_s=free_s / count,
        children_s=children_s / count,
        others_s=others_s / count,
        cores=busy_s / seconds,
        elsewhere_cores=max(0.0, machine_s - busy_s) / seconds,
    )


def run(root: Path, out: Path, workers: int, work: str | None = None) -> Steady:
    """A whole batch; RuntimeError where a study of it fails."""
    given = {} if work is None else {"work": work}
    options = BatchOptions(
        cluster=Local(workers=workers), secret=out.with_name("secret"), reserve_mb=0.0, **given
    )
    sampler = Sampler()
    screen = Screen(show=sampler.show)
    found = run_batch(root, out, [MODEL], options=options, screen=screen)
    if found.exit_code:
        raise RuntimeError(found.in_words())
    return steady(sampler.samples, workers)


def own_seconds(out: Path, step: str | None = None) -> float:
    """The mean of what records say of a step, None for all; the first quarter is left out."""
    places = sorted((out / "done").glob("*/record.json"), key=lambda path: path.stat().st_mtime_ns)
    late = {path.parent.name for path in places[max(1, len(places) // 4) :]}
    return statistics.fmean(
        sum(one.seconds.values()) if step is None else one.seconds.get(step, 0.0)
        for one in read_records(out)
        if one.key in late
    )


def print_workers(title: str, root: Path, folder: Path, rounds: int, work: str | None) -> None:
    """One worker and two, in turn, on the studies in `root`; what a study costs beside its work."""
    found: dict[int, list[Steady]] = {1: [], 2: []}
    beside_s, writing_s = [], []
    for n in range(rounds):
        for workers, mine in found.items():
            out = folder / f"{root.name}-{n}-{workers}"
            mine.append(run(root, out, workers, work))
            if workers == 1:
                beside_s.append(mine[-1].study_s - own_seconds(out))
                writing_s.append(own_seconds(out, "write"))
    print(f"\n{title}")
    heads = ("children", "all else", "cores", "others took")
    print(f"{'':<12}{'seconds a study':<22}{'had cores been free':<22}", end="")
    print(*[f"{name:>11}" for name in heads])
    for workers, mine in found.items():
        clock, free = ([one[n] for one in mine] for n in (0, 1))
        values = [statistics.median(each) for each in zip(*mine, strict=True)][2:]
        print(f"{f'{workers} worker(s)':<12}{spread(clock):<22}{spread(free):<22}", end="")
        print(*[f"{value:>11.3f}" for value in values])
    for n, when in enumerate(("by the clock", "had cores been free")):
        gains = [one[n] / two[n] for one, two in zip(found[1], found[2], strict=True)]
        told = verdict(statistics.median(gains), LEAST_GAIN, at_least=True)
        print(f"two workers over one, {when:<24}{spread(gains, '.2f')}  {told}")
    told = verdict(statistics.median(beside_s), MOST_OVERHEAD_S, at_least=False)
    print(f"seconds a study beside its own steps, one worker  {spread(beside_s)}  {told}")
    print(f"of its own steps, to write its results            {spread(writing_s)}")


def in_an_hour(whole_s: float, studies: int, study_s: float) -> float:
    """Studies of a batch that has an hour with its start and end, from a run and its pace."""
    return (HOUR_S - (whole_s - studies * study_s)) / study_s


def print_loop(root: Path, folder: Path, starts: int) -> None:
    """The command for all studies beside the command for each."""
    places = {name: str(folder / "own") for name in ("XDG_CONFIG_HOME", "XDG_CACHE_HOME")}
    threads = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"), "1")
    environment = {**os.environ, **places, **threads}
    studies = sorted(root.iterdir())

    def command(*arguments: str) -> float:
        began = time.monotonic()
        line = [sys.executable, "-m", "medseg", *arguments, "--model", MODEL, "--quiet"]
        ended = subprocess.run(line, env=environment, capture_output=True, text=True, check=False)
        if ended.returncode:
            raise RuntimeError(ended.stderr)
        return time.monotonic() - began

    def one(n: int) -> float:
        study = studies[n % len(studies)]
        return command("segment", str(study), "-o", str(folder / f"segment-{n}"))

    single_s = [one(n) for n in range(-(-starts // 2))]
    out = folder / "batch"
    whole_s = command("batch", str(root), "-o", str(out), "--workers", "1")
    single_s += [one(n) for n in range(len(single_s), starts)]
    study_s = pace_s(out)
    each = HOUR_S / statistics.fmean(single_s)
    batch = in_an_hour(whole_s, len(studies), study_s)
    print(f"\n{MODEL}, one worker and one thread, by the clock")
    print(f"medseg segment for each study   {spread(single_s, '.2f')} s, {each:.0f} an hour")
    print(f"medseg batch, {len(studies)} studies        {whole_s:.1f} s, of them ", end="")
    print(f"{whole_s - len(studies) * study_s:.1f} s start and end; {batch:.0f} an hour")
    told = verdict(batch / each, LEAST_LOOPS, at_least=True)
    print(f"times the studies an hour       {batch / each:.1f}  {told}")
    print(
        f"times, for these {len(studies)} alone      {len(studies) / whole_s * HOUR_S / each:.1f}"
    )


def pace_s(out: Path) -> float:
    """Seconds between the ends of studies, from the audit log of a batch with one worker."""
    lines = map(json.loads, (out / AUDIT).read_text(encoding="utf-8").splitlines())
    ends = [datetime.fromisoformat(line["time"]) for line in lines if line["event"] == "done"]
    return (ends[-1] - ends[0]).total_seconds() / (len(ends) - 1)


def print_scale(
    sizes: Sequence[int], dicom_sizes: Sequence[int], rounds: int, folder: str | None
) -> None:
    """A row for each kind of studies, step and size; growth from the first size to the last."""
    found: dict[str, dict[int, list[Cost]]] = {}
    for what, counts in (("image files", sizes), ("DICOM", dicom_sizes)):
        with tempfile.TemporaryDirectory(dir=folder) as name:
            for step, mine in costs(what, counts, Path(name), rounds).items():
                found[f"{step}, {what}"] = mine
    heads = ("studies", "clock s", "processor s", "ms a study", "extra MB", "kB a study")
    print(f"\n{f'median of {rounds} rounds':<28}", *[f"{name:>11}" for name in heads])
    for title, mine in found.items():
        for count, samples in mine.items():
            clock_s, processor_s, extra_mb = map(statistics.median, zip(*samples, strict=True))
            each_ms, each_kb = 1e3 * processor_s / count, 1e3 * extra_mb / count
            print(
                f"{title:<28} {count:>11} {clock_s:>11.1f} {processor_s:>11.1f}"
                f" {each_ms:>11.2f} {extra_mb:>11.0f} {each_kb:>11.2f}"
            )
        print_growth(mine)


def print_growth(costs_by_count: dict[int, list[Cost]]) -> None:
    """How many times as much a study takes of the most as of the fewest, round by round."""
    fewest, *_, most = costs_by_count
    for name, field in (("processor's seconds", "processor_s"), ("memory", "extra_mb")):
        of, over = (
            [max(getattr(cost, field), 1e-9) / count for cost in costs_by_count[count]]
            for count in (most, fewest)
        )
        grown = ratios(of, over)
        print(f"  {name}: a study takes {spread(grown, '.2f')} times as much", end="  ")
        print(verdict(statistics.median(grown), MOST_GROWTH, at_least=False))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS)
    parser.add_argument("--busy-studies", type=int, default=40)
    parser.add_argument("--busy", type=float, default=0.5, help="seconds of each of those")
    parser.add_argument("--studies", type=int, default=40, help="for phantom-lesions")
    parser.add_argument("--starts", type=int, default=4, help="of medseg segment")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--sizes", type=int, nargs="+", default=(10_000, 100_000))
    parser.add_argument("--dicom-sizes", type=int, nargs="+", default=(1000, 10_000))
    parser.add_argument("--scale-rounds", type=int, default=5, help="through the sizes, in turn")
    parser.add_argument("--folder", help="where temporary folders are made")
    return parser.parse_args()


def main() -> None:
    """Print the tables of the parts that are asked for."""
    asked = _arguments()
    print(machine("medseg", "distributed", "torch", "pandas"))
    known = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = f"{BENCHMARKS}{os.pathsep}{known}" if known else str(BENCHMARKS)
    os.environ[BUSY_S] = str(asked.busy)
    with tempfile.TemporaryDirectory(dir=asked.folder) as name:
        folder = Path(name)
        root, stubs = folder / "studies", folder / "busy"
        make_studies(root, asked.studies)
        make_studies(stubs, asked.busy_studies)
        if "workers" in asked.parts:
            title = f"{asked.busy_studies} studies of {asked.busy:g} s of one core"
            print_workers(title, stubs, folder, asked.rounds, "batch_work:burn")
            title = f"{asked.studies} DICOM studies with {MODEL}"
            print_workers(title, root, folder, asked.rounds, None)
        if "loop" in asked.parts:
            print_loop(root, folder, asked.starts)
    if "scale" in asked.parts:
        print_scale(asked.sizes, asked.dicom_sizes, asked.scale_rounds, asked.folder)


if __name__ == "__main__":
    main()
