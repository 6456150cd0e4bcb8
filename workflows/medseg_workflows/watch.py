"""`watch_inbox`: a batch that never ends, of studies taken once they have come to rest."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence, Set
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

from medseg.errors import InputRefused, MedsegError
from medseg.io.atomic import writable_folder
from medseg_workflows.api import OPTIONS, SETTINGS, Batch, run_batch
from medseg_workflows.arrivals import Arrivals
from medseg_workflows.cluster import require_closed
from medseg_workflows.options import BatchOptions
from medseg_workflows.owner import WATCH_LOCK, WATCH_OWNER, owned
from medseg_workflows.plan import require_models
from medseg_workflows.receiver import Listen, Receiver
from medseg_workflows.records import Settings

Say = Callable[[str], None]
LONGEST_WAIT_S = 300.0
"""After a round that failed, the next try waits twice as long as the last one did, up to this."""
FOR_GOOD = frozenset({"out-owned", "out-not-empty", "batch-other", "secret-other", "version-other"})
"""What no waiting mends: the folder OUT is not for this command."""


@dataclass(frozen=True, slots=True)
class WatchOptions:
    """When a study is taken, and who may send some.

    A folder of the inbox is taken once it has not changed for `quiet_s` seconds; it is looked at
    every `every_s`. `listen` opens a DICOM receiver that fills the inbox; `peers` are the AE titles
    that may send.
    """

    quiet_s: float = 120.0
    every_s: float = 10.0
    listen: Listen | None = None
    peers: Sequence[str] = ()


WATCH = WatchOptions()


def watch_inbox(  # noqa: PLR0913 - what a batch takes, and whom to tell
    inbox: str | Path,
    out: str | Path,
    models: Sequence[str | Path],
    *,
    settings: Settings = SETTINGS,
    options: BatchOptions = OPTIONS,
    watch: WatchOptions = WATCH,
    say: Say = lambda _line: None,
    warn: Say = lambda _line: None,
) -> None:
    """Run `run_batch` on what is quiet in `inbox` whenever something new is, until interrupted.

    What is done stays done, also over restarts. A study that changes after it was taken is done
    anew, and its older result superseded. A round that fails, for want of room or of workers or as
    the inbox cannot be read, is tried again. `say` is given a line for each round that did
    something, `warn` for each that failed.

    Raises MedsegError and OutputError for what waiting does not mend (`out-owned` where another
    watch fills `out`; a model, rules or a scheduler that are refused, before any folder is made),
    and KeyboardInterrupt.
    """
    require_models(models, options.select)
    require_closed(options.cluster, insecure=options.insecure)
    inbox = Path(inbox)
    if watch.listen is not None or not inbox.is_dir():  # one that is there may be for reading alone
        inbox = writable_folder(inbox)
    arrivals = Arrivals(inbox, watch.quiet_s)
    failures = 0
    with ExitStack() as stack:
        stack.enter_context(owned(writable_folder(Path(out)), WATCH_LOCK, WATCH_OWNER))
        receiver = None
        if watch.listen is not None:
            receiver = stack.enter_context(Receiver(inbox, watch.listen, watch.peers))
            say(f"listening as {watch.listen.title} on {watch.listen.host}:{receiver.port}")
        while True:
            wait_s = watch.every_s
            try:
                quiet = _look(arrivals, receiver)
                if arrivals.is_news(quiet):
                    only = replace(options, only=_names(quiet, inbox))
                    found = run_batch(inbox, out, models, settings=settings, options=only)
                    arrivals.take(quiet)
                    say(_in_words(found, arrivals.waiting(quiet)))
                failures = 0
            except MedsegError as error:
                if error.code in FOR_GOOD:
                    raise
                failures += 1
                wait_s = min(watch.every_s * 2**failures, LONGEST_WAIT_S)
                warn(f"{error}; trying again in {wait_s:.0f} s")
            time.sleep(wait_s)


def _look(arrivals: Arrivals, receiver: Receiver | None) -> set[Path]:
    """What is quiet now; InputRefused where the inbox cannot be read."""
    try:
        return arrivals.look(receiver.unfinished() if receiver else frozenset())
    except OSError as error:
        remedy = "see that its disk or share is there and may be read"
        raise InputRefused("path-unreadable", "INBOX", f"{error.strerror}", remedy) from error


def _names(quiet: Set[Path], inbox: Path) -> frozenset[str]:
    """The folders of the inbox as a plan names them, "" for its own files."""
    return frozenset("" if place == inbox else place.name for place in quiet)


def _in_words(found: Batch, waiting: int) -> str:
    more = f"; {waiting} more still arriving" if waiting else ""
    return f"{found.in_words()}{more}"
