"""How far a batch is: counts that are kept, and how a terminal or a log shows them."""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

LINE_S = 30.0
_REDRAW_S = 0.25


@dataclass(slots=True)
class Tally:
    """Counts of a run. `before` of `total` jobs were finished when it began.

    `lesions` are those of studies done in this run; `failures` counts them by code, those of
    earlier runs too.
    """

    total: int = 0
    before: int = 0
    done: int = 0
    quarantined: int = 0
    lesions: int = 0
    workers: int = 0
    failures: Counter[str] = field(default_factory=Counter)
    begun_s: float = field(default_factory=time.monotonic)

    @property
    def finished(self) -> int:
        """Jobs that need nothing more."""
        return self.done + self.quarantined

    def left_s(self, now_s: float) -> float | None:
        """Seconds that the rest will take at the pace of this run; None while there is none."""
        here = self.finished - self.before
        return (now_s - self.begun_s) / here * (self.total - self.finished) if here else None

    def as_line(self, now_s: float) -> str:
        """All of it in one line, without any name."""
        left_s = self.left_s(now_s)
        parts = [
            f"{self.finished} of {self.total} studies",
            self.found,
            *([f"{self.quarantined} quarantined ({self.reasons()})"] if self.quarantined else []),
            f"{self.workers} worker{'' if self.workers == 1 else 's'}",
            *([] if left_s is None else [f"{clock(left_s)} left"]),
        ]
        return ", ".join(parts)

    @property
    def found(self) -> str:
        """Lesions, and of which run they are where it goes on with an older one."""
        here = " in this run" if self.before else ""
        return f"{self.lesions} lesion{'' if self.lesions == 1 else 's'}{here}"

    def reasons(self) -> str:
        """The codes of failures, the most frequent first."""
        return ", ".join(f"{code} {count}" for code, count in self.failures.most_common())


Looked = Callable[[int, int], None]
"""Called with the number of files and series that a plan has looked at."""

Show = Callable[[Tally], None]
"""Called whenever the counts may have changed; keeps nothing of them."""


def clock(seconds: float) -> str:
    """Seconds as h:mm:ss."""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02d}:{rest:02d}"


class Screen(NamedTuple):
    """Where a batch shows how far it is; the default shows nothing."""

    looked: Looked = lambda _files, _series: None
    show: Show = lambda _tally: None


NOWHERE = Screen()


@contextmanager
def shown(*, quiet: bool = False) -> Iterator[Screen]:
    """Show progress on stderr: live on a terminal, else a line every half minute at most."""
    if quiet:
        yield NOWHERE
        return
    from rich.console import Console

    console = Console(file=sys.stderr)
    if console.is_terminal:
        with _live(console) as screen:
            yield screen
    else:
        yield _lines()


def _lines() -> Screen:
    shown_s, last = time.monotonic(), ""

    def say(line: str, *, ended: bool) -> None:
        nonlocal shown_s, last
        if line != last and (ended or time.monotonic() - shown_s >= LINE_S):
            shown_s, last = time.monotonic(), line
            sys.stderr.write(f"batch: {line}\n")
            sys.stderr.flush()

    def looked(files: int, series: int) -> None:
        say(f"{files} files, {series} series looked at", ended=False)

    def show(tally: Tally) -> None:
        say(tally.as_line(time.monotonic()), ended=tally.finished == tally.total)

    return Screen(looked, show)


@contextmanager
def _live(console: Console) -> Iterator[Screen]:
    from rich.live import Live

    drawn_s = 0.0
    with Live(console=console, auto_refresh=False, transient=True) as live:

        def draw(what: Callable[[float], RenderableType], *, ended: bool) -> None:
            nonlocal drawn_s
            now_s = time.monotonic()
            if now_s - drawn_s >= _REDRAW_S or ended:
                drawn_s = now_s
                live.update(what(now_s), refresh=True)

        def looked(files: int, series: int) -> None:
            draw(lambda _: f"{files} files, {series} series looked at", ended=False)

        def show(tally: Tally) -> None:
            ended = tally.finished == tally.total
            draw(lambda now_s: _drawn(tally, now_s), ended=ended)

        yield Screen(looked, show)


def _drawn(tally: Tally, now_s: float) -> RenderableType:
    from rich.progress_bar import ProgressBar
    from rich.table import Table

    table = Table.grid(padding=(0, 2))
    left_s = tally.left_s(now_s)
    table.add_row(
        f"{tally.finished} of {tally.total} studies",
        ProgressBar(total=max(tally.total, 1), completed=tally.finished, width=30),
        tally.found,
        "" if left_s is None else f"{clock(left_s)} left",
    )
    for code, count in tally.failures.most_common():
        table.add_row(f"{count} {code}", "quarantined")
    return table
