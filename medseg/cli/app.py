"""The app of all commands, and the function behind the word `medseg`."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import Annotated

import typer
from typer.main import get_command

from medseg.cli.batch import batch
from medseg.cli.check_data import check_data
from medseg.cli.convert import convert
from medseg.cli.errors import EXIT_CODES, FAILED, Command, reported
from medseg.cli.evaluate import evaluate
from medseg.cli.inspect import inspect
from medseg.cli.measure import measure
from medseg.cli.models import models
from medseg.cli.options import DEBUG
from medseg.cli.phantom import phantom
from medseg.cli.segment import segment
from medseg.cli.train import train
from medseg.cli.view import view
from medseg.cli.watch import watch

app = typer.Typer(
    name="medseg",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog=EXIT_CODES,
)
for command in (
    segment,
    batch,
    watch,
    measure,
    evaluate,
    inspect,
    convert,
    view,
    train,
    check_data,
    phantom,
):
    app.command(cls=Command, no_args_is_help=True, epilog=EXIT_CODES)(command)
app.add_typer(models)


def _version(value: bool) -> None:  # noqa: FBT001 - typer's signature
    if value:
        from importlib.metadata import version

        typer.echo(f"medseg {version('medseg')}")
        raise typer.Exit


@app.callback()
def _options(
    context: typer.Context,
    *,
    debug: Annotated[
        bool, typer.Option("--debug", help="On an error, print the traceback.", show_default=False)
    ] = False,
    version: Annotated[  # noqa: ARG001 - its callback acts
        bool,
        typer.Option(
            "--version", callback=_version, is_eager=True, help="Print the version and stop."
        ),
    ] = False,
) -> None:
    """Find every organ and lesion in CT and MR, each as one object. For research use only."""
    context.meta[DEBUG] = debug


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line (by default the process's own) and give its exit code."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    words = sys.argv[1:] if arguments is None else list(arguments)
    try:
        with reported(debug="--debug" in words):
            get_command(app).main(args=words, prog_name="medseg")
    except typer.Exit as end:
        return _flushed(end.exit_code)
    except SystemExit as end:
        return _flushed(end.code if isinstance(end.code, int) else FAILED)
    return _flushed(0)


def _flushed(code: int) -> int:
    """Write out what is buffered; where nobody reads any more, see that nobody complains."""
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
    return code
