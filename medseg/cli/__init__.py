"""The command line: one file a command, each of which reads arguments, calls and reports."""

from medseg.cli.app import main

__all__ = ["main"]
