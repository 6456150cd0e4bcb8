"""What an error is on the command line: one line on stderr and an exit code."""

from __future__ import annotations

import json
import logging
import sys
import traceback
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import typer
from typer.core import TyperCommand

from medseg.errors import InputRefused, MedsegError

EXIT_CODES = (
    "Exit codes: 0 done, 1 failed, 2 usage, 3 the input was refused, 4 a part of it, "
    "130 interrupted."
)
INTERRUPTED = 130
FAILED = 1


class Command(TyperCommand):
    """A command whose usage errors are in plain words."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Read the words of a call; what pydantic, which typer asks, puts before a reason goes."""
        try:
            return super().parse_args(ctx, args)
        except typer.BadParameter as error:
            error.message = error.message.replace("Value error, ", "")
            raise


@contextmanager
def reported(*, debug: bool, as_json: bool = False) -> Iterator[None]:
    """Turn whatever the block raises into one line on stderr and an exit code.

    With `as_json` stdout also gets `{"error": {...}}`; with `debug` stderr first gets the
    traceback, and what libraries warn of is not held back.

    Raises typer.Exit with the code; a closed pipe is left to `main`.
    """
    try:
        with _quiet_libraries(debug=debug):
            yield
    except (typer.Exit, BrokenPipeError):
        raise
    except (Exception, KeyboardInterrupt) as error:
        if debug:
            traceback.print_exception(error, file=sys.stderr)
        line, facts, code = describe(error)
        typer.echo(line, err=True)
        if as_json:
            typer.echo(json.dumps({"error": facts}, indent=2))
        raise typer.Exit(code) from error


@contextmanager
def about(path: Path) -> Iterator[None]:
    """Name what was typed in refusals that do not: DICOM's leave the path out, as logs must."""
    try:
        yield
    except InputRefused as refused:
        if path.name in refused.subject:
            raise
        subject = f"{path.name or path}: {refused.subject}"
        raise InputRefused(refused.code, subject, refused.detail, refused.remedy) from refused


def describe(error: BaseException) -> tuple[str, dict[str, str], int]:
    """The line, the facts for JSON, and the exit code of an error."""
    if _is_interrupt(error):
        said = str(error) if isinstance(error, KeyboardInterrupt) else ""
        line = f"interrupted: {said}" if said else "interrupted"
        return line, _facts("interrupted", "stopped by the user"), INTERRUPTED
    if isinstance(error, MedsegError):
        return f"error: {one_line(str(error))}", error.as_dict(), error.exit_code
    if _is_memory(error):
        detail = "there is not enough memory"
        remedy = "close other programs, crop the image, or use --device cpu"
        line = f"error: medseg: {detail} [out-of-memory]; {remedy}"
        return line, {**_facts("out-of-memory", detail), "remedy": remedy}, FAILED
    detail = one_line(f"{type(error).__name__}: {error}")
    line = f"unexpected error: {detail}; run again with --debug"
    return line, _facts("unexpected", detail), FAILED


def one_line(text: str) -> str:
    """The text with every run of white space, line ends too, as one blank."""
    return " ".join(text.split())


def _facts(code: str, detail: str) -> dict[str, str]:
    remedy = "run again with --debug" if code == "unexpected" else ""
    return {"code": code, "subject": "medseg", "detail": detail, "remedy": remedy}


def _is_interrupt(error: BaseException | None) -> bool:
    """Whether Ctrl-C is behind it; a compiled module that it hits may raise another error."""
    while error is not None:
        if isinstance(error, KeyboardInterrupt):
            return True
        error = error.__cause__ or error.__context__
    return False


def _is_memory(error: BaseException) -> bool:
    """NumPy raises MemoryError; torch has its own class for a GPU and a RuntimeError for a CPU."""
    return (
        isinstance(error, MemoryError)
        or type(error).__name__ == "OutOfMemoryError"
        or (isinstance(error, RuntimeError) and "can't allocate memory" in str(error))
    )


@contextmanager
def _quiet_libraries(*, debug: bool) -> Iterator[None]:
    """Hold back what libraries warn and log; medseg's own warnings are values, not lines."""
    if debug:
        yield
        return
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            if not sys.warnoptions:
                warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
