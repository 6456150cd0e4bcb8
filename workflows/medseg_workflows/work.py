"""The child's side: `python -m medseg_workflows.work MODULE:FUNCTION PARENT`.

A request is one line of JSON on stdin, an answer one on stdout; what libraries print goes
elsewhere. The process ends with its parent, and before its parent where memory is short.
"""

from __future__ import annotations

import ctypes
import faulthandler
import json
import os
import sys
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import IO, Any

from medseg.errors import MedsegError, OutputError

IDLE_S = 1800.0
"""A child that nobody asks anything for so long ends: its batch is gone, a cluster may go on."""

READY = {"ready": True}
_OUT = Path("OUT")
_PR_SET_PDEATHSIG, _SIGKILL = 1, 9
_SEGMENT = "run medseg segment on this study alone to see the error"

Work = Callable[[Mapping[str, Any]], Any]


def main() -> None:
    """Serve stdin and stdout."""
    name, parent = sys.argv[1], int(sys.argv[2])
    end_with_parent(parent)
    leave_no_dump()
    go_first_when_memory_is_short()
    requests, answers = own_streams()
    faulthandler.enable()
    module, _, function = name.partition(":")
    work = getattr(import_module(module), function)
    send(answers, READY)
    timer = idle_timer()
    for line in requests:
        timer.cancel()
        send(answers, answer(work, json.loads(line)))
        timer = idle_timer()


def answer(work: Work, request: Mapping[str, Any]) -> dict[str, Any]:
    """What a request comes to: `ok`, a `failure` of the study, or an `out` of the folder OUT.

    Of an error that is none of medseg's, only the name of its class is told: its text may hold
    names and paths.
    """
    try:
        return {"ok": work(request)}
    except OutputError as error:
        kind = "failure" if error.code == "probabilities-missing" else "out"
        return {kind: failure(error.code, error.detail, error.remedy)}
    except MedsegError as error:
        return {"failure": failure(error.code, error.detail, error.remedy)}
    except Exception as error:  # noqa: BLE001 - whatever it is, only this study failed
        return _unexpected(error)


def _unexpected(error: Exception) -> dict[str, Any]:
    from medseg.io.atomic import output_error  # NumPy loads here, once the parent is watched

    if isinstance(error, OSError) and (said := output_error(error, _OUT)).code == "disk-full":
        return {"out": failure(said.code, said.detail, said.remedy)}
    if _is_memory(error):
        detail, remedy = "there was not enough memory for it", "run fewer workers"
        return {"failure": failure("memory", detail, remedy)}
    number = f" {error.errno}" if isinstance(error, OSError) else ""
    detail = f"an error of the program ({type(error).__name__}{number})"
    return {"failure": failure("failed", detail, _SEGMENT)}


def _is_memory(error: Exception) -> bool:
    """NumPy raises MemoryError; torch has its own class for a GPU and a RuntimeError for a CPU."""
    return (
        isinstance(error, MemoryError)
        or type(error).__name__ == "OutOfMemoryError"
        or "can't allocate memory" in str(error)
    )


def failure(code: str, detail: str, remedy: str) -> dict[str, str]:
    """The parts of a Failure, for JSON."""
    return {"code": code, "detail": detail, "remedy": remedy}


def end_with_parent(parent: int) -> None:
    """Have the system end this process with the thread that made it; Linux alone knows how."""
    if sys.platform != "linux":
        return
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, _SIGKILL)
    if os.getppid() != parent:  # it was gone before the line above
        os._exit(0)


def leave_no_dump() -> None:
    """Let a crash write no image of the memory to disk: it holds a patient's data."""
    try:
        import resource
    except ImportError:  # Windows
        return
    with suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def go_first_when_memory_is_short() -> None:
    """Offer this process, not the worker or the user's others, to Linux's killer."""
    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000", encoding="ascii")


def own_streams() -> tuple[IO[str], IO[str]]:
    """Requests and answers apart from the stdin and stdout that libraries know."""
    requests = os.fdopen(os.dup(0), "r", encoding="ascii")
    answers = os.fdopen(os.dup(1), "w", encoding="ascii")
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.dup2(2, 1)
    return requests, answers


def send(answers: IO[str], said: Mapping[str, Any]) -> None:
    """Write one line, at once."""
    answers.write(json.dumps(said) + "\n")
    answers.flush()


def idle_timer() -> threading.Timer:
    """A clock that ends this process unless it is cancelled."""
    timer = threading.Timer(IDLE_S, os._exit, (0,))
    timer.daemon = True
    timer.start()
    return timer


if __name__ == "__main__":
    main()
