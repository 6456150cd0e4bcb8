"""The child process as the parent holds it: a folder for arrays, requests out, answers in."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
import weakref
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from medseg.errors import MedsegError
from medseg_napari.run.exchange import ENDED, OUT_OF_MEMORY, Message, as_message, out_of_memory

_STDERR = "stderr.txt"
_KILLED = (-9, 137)
_WORDS_OF_MEMORY = ("MemoryError", "bad_alloc", "out of memory", "can't allocate memory")
_LONGEST = 200
_PATIENCE_S = 5.0


class Child:
    """One child process; it ends with `kill`, with this object, or with the parent.

    `command` is what is started, before the folder and the search path; by default `child.py`.
    """

    def __init__(self, command: Sequence[str] | None = None) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="medseg-"))  # for its owner's eyes alone
        script = str(Path(__file__).with_name("child.py"))
        start = [sys.executable, "-I", script] if command is None else [*command]
        with (self.folder / _STDERR).open("wb") as stderr:
            self._process = subprocess.Popen(
                [*start, str(self.folder), *_search_path()],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=stderr,
                cwd=self.folder.parent,  # the parent's own may be gone, and torch wants one
                creationflags=_creation_flags(),
            )
        self._finalizer = weakref.finalize(self, _end, self._process, self.folder)

    @property
    def is_running(self) -> bool:
        """Whether the process is there."""
        return self._process.poll() is None

    @property
    def number(self) -> int:
        """The process's number in the system."""
        return self._process.pid

    def ask(self, request: Message) -> Iterator[dict[str, Any]]:
        """Send a request; every answer as it comes. The iteration has no end of its own.

        Raises MedsegError (`out-of-memory`, `run-ended`) where the process ends, or is ended for it
        no longer answers.
        """
        stdin, stdout = self._process.stdin, self._process.stdout
        failed = None
        try:
            if stdin is not None and stdout is not None:
                stdin.write(as_message(request))
                stdin.flush()
                for line in stdout:
                    yield json.loads(line)
        except json.JSONDecodeError:
            failed = ended("an answer of it makes no sense")
        except OSError:
            failed = None  # what is left of the process says why
        failed = failed or self._failure()
        self.kill()
        raise failed

    def kill(self) -> None:
        """End the process now and remove its folder; once is enough."""
        self._finalizer()

    def _failure(self) -> MedsegError:
        """Why the process ended, in one line."""
        try:
            code = self._process.wait(_PATIENCE_S)
        except subprocess.TimeoutExpired:
            return ended("it gives no more answers")
        return failure(code, self._last_words())

    def _last_words(self) -> str:
        try:
            text = (self.folder / _STDERR).read_text(encoding="utf-8", errors="replace")
        except OSError:
            return ""
        return next((line.strip() for line in reversed(text.splitlines()) if line.strip()), "")


def failure(code: int, last_words: str) -> MedsegError:
    """What is said of a process that ended with an exit code and a last line on stderr."""
    if any(words in last_words for words in _WORDS_OF_MEMORY):
        return out_of_memory()
    if code in _KILLED:
        detail = "the system ended it, most often because memory ran out"
        remedy = "close other programs, choose a smaller region, or another device"
        return MedsegError(OUT_OF_MEMORY, "segmenting", detail, remedy)
    return ended(last_words[:_LONGEST] or f"exit code {code}")


def ended(why: str) -> MedsegError:
    """What is said of a process that can no longer be used."""
    detail = f"the process that does it ended ({why})"
    return MedsegError(ENDED, "segmenting", detail, "start it again")


def _search_path() -> list[str]:
    """Where this process finds modules; what is said from its working directory, as whole paths."""
    try:
        here = Path.cwd()
    except OSError:  # deleted since
        return [one for one in sys.path if Path(one).is_absolute()]
    return [str(here / one) for one in sys.path if one]


def _creation_flags() -> int:
    """On Windows: no console window, and below the interface where both want the processor."""
    return getattr(subprocess, "CREATE_NO_WINDOW", 0) | getattr(
        subprocess, "BELOW_NORMAL_PRIORITY_CLASS", 0
    )


def _end(process: subprocess.Popen[bytes], folder: Path) -> None:
    process.kill()
    process.wait()
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            try:
                pipe.close()
            except OSError:  # what was not flushed is lost on purpose
                continue
    shutil.rmtree(folder, ignore_errors=True)
