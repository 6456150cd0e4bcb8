"""What can go wrong, said in one line: what, where, which code, the way out."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import ClassVar, Self

from medseg.refusal_codes import REFUSALS

REFUSAL_CODES: Mapping[str, str] = MappingProxyType(
    {code: one.meaning for code, one in REFUSALS.items()}
)
"""The closed vocabulary of `InputRefused.code`, with what each code means."""


class MedsegError(Exception):
    """An error whose one line names the thing, what was found, a code, and the way out.

    `subject` is what the error is about (a file, a series, a key), never a patient's name.
    """

    exit_code: ClassVar[int] = 1

    def __init__(self, code: str, subject: str, detail: str, remedy: str) -> None:
        super().__init__(code, subject, detail, remedy)
        self.code = code
        self.subject = subject
        self.detail = detail
        self.remedy = remedy

    def __str__(self) -> str:
        line = f"{self.subject}: {self.detail} [{self.code}]; {self.remedy}"
        return " ".join(line.split())

    def as_dict(self) -> dict[str, str]:
        """The four parts, for JSON."""
        return {
            "code": self.code,
            "subject": self.subject,
            "detail": self.detail,
            "remedy": self.remedy,
        }


class InputRefused(MedsegError):  # noqa: N818 - a refusal is an outcome, not a fault of the program
    """The input is not certain enough to be read; `code` is one of `REFUSAL_CODES`."""

    exit_code: ClassVar[int] = 3

    def __init__(self, code: str, subject: str, detail: str, remedy: str) -> None:
        if code not in REFUSAL_CODES:
            msg = f"{code!r} is not one of the refusal codes"
            raise ValueError(msg)
        super().__init__(code, subject, detail, remedy)


class ModelError(InputRefused):
    """A model package cannot be found, read or trusted."""


class OutputError(MedsegError):
    """A result cannot be written: no permission, no room, something in the way."""


class MissingExtraError(MedsegError):
    """A part of medseg needs packages that the base install leaves out."""

    def __init__(self, extra: str, feature: str) -> None:
        super().__init__(
            "extra-missing",
            feature,
            f"needs the extra {extra!r}",
            f"pip install 'medseg[{extra}]' (in a checkout: pip install -e '.[{extra}]')",
        )
        self.extra, self.feature = extra, feature

    def __reduce__(self) -> tuple[type[Self], tuple[str, str]]:
        return type(self), (self.extra, self.feature)  # errors cross process borders
