"""The parent's side of a guarded child: one process that takes study after study, within limits.

The child keeps its model loaded from study to study. Whatever hangs, crashes or asks for too much
memory ends the child alone, and the next study gets a new one.
"""

from __future__ import annotations

import json
import os
import queue
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Literal, NoReturn

import psutil

POLL_S = 0.2
END_S = 5.0
LEAK_MB = 512
"""A child that idles at twice the memory of its first study, and this much more, is replaced."""

THREADS = (
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "NUMBA_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
)
_CRASH = re.compile(r'^  File "([^"]+)", line (\d+) in ', re.MULTILINE)
_MB = 2**20


class ChildError(Exception):
    """The child could not answer: a limit, a death, no start, or it was stopped from outside.

    `detail` tells exit codes, signals and places in code; never what a library printed.
    """

    def __init__(
        self, why: Literal["timeout", "memory", "died", "no-start", "stopped"], detail: str
    ) -> None:
        super().__init__(why, detail)
        self.why, self.detail = why, detail


@dataclass(frozen=True, slots=True)
class Limits:
    """What one study may take; memory is that of the child and all its own children.

    Without `memory_mb` it is nine tenths of the machine's.
    """

    seconds: float
    memory_mb: float | None = None

    @property
    def most_mb(self) -> float:
        """The limit of memory in MB (of 2**20 bytes)."""
        return self.memory_mb or 0.9 * psutil.virtual_memory().total / _MB


class Child:
    """A process that runs the function `work` ("module:function") on one request after another.

    It is started by `begin` or the first request, and replaced after a limit, a death,
    `most_studies`, or when it idles at a multiple of the memory of its first study. Its start has
    a limit of its own.
    """

    def __init__(
        self, work: str, *, threads: int = 1, ready_s: float = 300.0, most_studies: int = 500
    ) -> None:
        self._work, self._ready_s, self._most_studies = work, ready_s, most_studies
        self._environment = {
            **os.environ,
            **dict.fromkeys(THREADS, str(threads)),
            "MPLBACKEND": "agg",
            "PYTHONHASHSEED": "0",
        }
        self._process: subprocess.Popen[str] | None = None
        self._lines: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self._errors: IO[bytes] | None = None
        self._studies, self._first_mb = 0, 0.0
        self._lock = threading.Lock()
        self._stopped = False

    @property
    def pid(self) -> int | None:
        """Of the process that runs now."""
        process = self._process
        return None if process is None or process.poll() is not None else process.pid

    def begin(self) -> None:
        """Start the process unless it runs.

        Raises ChildError (`no-start`, `stopped`).
        """
        if self.pid is None:
            self._start()

    def run(self, request: Mapping[str, Any], limits: Limits) -> Any:
        """The answer to a request, which is one short line of JSON.

        Raises ChildError.
        """
        self.begin()
        process = self._process
        if process is not None and process.stdin is not None:
            with suppress(OSError, ValueError):  # closed: the reply tells how it died
                process.stdin.write(json.dumps(request) + "\n")
                process.stdin.flush()
        answer = self._reply(limits.seconds, limits.most_mb)
        self._tidy()
        return answer

    def stop(self) -> None:
        """End the process for good, from any thread; a request that waits raises `stopped`."""
        with self._lock:
            self._stopped = True
            self._kill()
            if self._errors is not None:
                self._errors.close()

    def _start(self) -> None:
        made, self._lines = threading.Event(), queue.SimpleQueue()
        with self._lock:
            if self._stopped:
                raise ChildError("stopped", "the run was stopped")
            if self._errors is not None:
                self._errors.close()
            self._errors = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as the child
            failed: list[OSError] = []
            # The system ends the child with the thread that made it (PR_SET_PDEATHSIG).
            threading.Thread(
                target=self._own, args=(made, self._lines, failed), daemon=True
            ).start()
            made.wait()
        if failed:
            raise ChildError("no-start", f"the process cannot be made ({failed[0].strerror})")
        self._studies, self._first_mb = 0, 0.0
        try:
            self._reply(self._ready_s, None)
        except ChildError as error:
            if error.why == "stopped":
                raise
            raise ChildError("no-start", error.detail) from error

    def _own(
        self,
        made: threading.Event,
        lines: queue.SimpleQueue[str | None],
        failed: list[OSError],
    ) -> None:
        """Make the process and pass its lines on until it ends; the end of it is None."""
        argv = [sys.executable, "-P", "-m", "medseg_workflows.work", self._work, str(os.getpid())]
        try:
            process = subprocess.Popen(
                argv,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._errors,
                encoding="ascii",
                env=self._environment,
                start_new_session=True,  # Ctrl-C is the parent's
                creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
            )
        except OSError as error:
            failed.append(error)
            made.set()
            return
        self._process = process
        made.set()
        with suppress(OSError), process:  # leaving it waits for the end
            with suppress(ValueError):  # what is no ASCII is no answer
                for line in process.stdout or ():
                    lines.put(line)
            lines.put(None)

    def _reply(self, seconds: float, most_mb: float | None) -> Any:
        deadline, lines = time.monotonic() + seconds, self._lines
        while True:
            try:
                line = lines.get(timeout=POLL_S)
            except queue.Empty:
                if time.monotonic() > deadline:
                    self._break("timeout", f"not done after {seconds:g} s")
                if most_mb is not None and (used := sum(self._memory_mb())) > most_mb:
                    self._break("memory", f"took {used:.0f} MB; {most_mb:.0f} MB are allowed")
                continue
            if line is None:
                self._break("died", self._death())
            try:
                return json.loads(line)
            except ValueError:
                self._break("died", "its process answered what is no answer")

    def _break(self, why: Literal["timeout", "memory", "died"], detail: str) -> NoReturn:
        with self._lock:
            self._kill()
        if self._stopped:
            raise ChildError("stopped", "the run was stopped")
        raise ChildError(why, detail)

    def _death(self) -> str:
        """How the process ended, and where in the code if it said so itself."""
        process = self._process
        if process is None:
            return "its process is not there"
        with suppress(subprocess.TimeoutExpired):
            process.wait(END_S)
        code = process.returncode
        if code is None or code >= 0:
            how = f"its process ended with code {code}"
        else:
            names = {one.value: one.name for one in signal.Signals}
            how = f"its process was ended by signal {-code} ({names.get(-code, 'unknown')})"
        place = self._crash_place()
        return f"{how} in {place}" if place else how

    def _crash_place(self) -> str:
        """File and line of the innermost Python frame that faulthandler wrote down."""
        if self._errors is None or self._errors.closed:
            return ""
        self._errors.seek(0)
        said = self._errors.read(_MB).decode(errors="replace")
        found = _CRASH.search(said, max(0, said.find("Current thread")))
        return f"{Path(found[1]).name}, line {found[2]}" if found else ""

    def _tidy(self) -> None:
        """Forget what was printed; end a process that did enough, or whose memory grows."""
        with self._lock:
            if self._errors is None or self._stopped:
                return
            self._errors.truncate(0)
            self._errors.seek(0)  # it is shared with the child, which goes on writing from there
        self._studies += 1
        idle_mb = sum(self._memory_mb())
        self._first_mb = self._first_mb or idle_mb
        leaks = idle_mb > max(2 * self._first_mb, self._first_mb + LEAK_MB)
        if leaks or self._studies >= self._most_studies:
            with self._lock:
                self._kill()

    def _tree(self) -> list[psutil.Process]:
        with suppress(psutil.Error):
            if self._process is not None:
                root = psutil.Process(self._process.pid)
                return [root, *root.children(recursive=True)]
        return []

    def _memory_mb(self) -> Iterator[float]:
        for process in self._tree():
            with suppress(psutil.Error):
                yield process.memory_info().rss / _MB

    def _kill(self) -> None:
        process = self._process
        if process is None:
            return
        if process.poll() is None:
            for one in self._tree():
                with suppress(psutil.Error):
                    one.kill()
        if hasattr(os, "killpg"):
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signal.SIGKILL)
        with suppress(subprocess.TimeoutExpired):
            process.wait(END_S)
