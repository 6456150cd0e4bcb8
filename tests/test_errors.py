"""Errors: one line that names the thing, the code and the way out."""

from __future__ import annotations

import copy
import json
import re

import pytest

from medseg.errors import (
    REFUSAL_CODES,
    InputRefused,
    MedsegError,
    MissingExtraError,
    ModelError,
    OutputError,
)

PARTS = ("not-3d", "scan.nii.gz", "the image has 2 dimensions", "give a volume")


def test_the_text_is_one_line_with_thing_finding_code_and_way_out() -> None:
    text = str(InputRefused(*PARTS))
    assert text == "scan.nii.gz: the image has 2 dimensions [not-3d]; give a volume"


def test_as_dict_holds_the_four_parts_and_goes_into_json() -> None:
    parts = InputRefused(*PARTS).as_dict()
    assert parts == dict(zip(("code", "subject", "detail", "remedy"), PARTS, strict=True))
    assert json.loads(json.dumps(parts)) == parts


@pytest.mark.parametrize("kind", [InputRefused, ModelError])
def test_a_refusal_with_a_code_outside_the_vocabulary_is_a_mistake(kind) -> None:
    with pytest.raises(ValueError, match="'no-such-code' is not one of the refusal codes"):
        kind("no-such-code", *PARTS[1:])


@pytest.mark.parametrize("code", sorted(REFUSAL_CODES))
def test_every_refusal_code_is_a_lower_case_name_with_a_meaning(code: str) -> None:
    assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", code)
    assert REFUSAL_CODES[code].strip()
    assert "\n" not in REFUSAL_CODES[code]
    assert InputRefused(code, *PARTS[1:]).code == code


def test_the_vocabulary_cannot_be_changed_at_run_time() -> None:
    with pytest.raises(TypeError, match="does not support item assignment"):
        REFUSAL_CODES["mine"] = "whatever"  # type: ignore[index]


@pytest.mark.parametrize(
    ("error", "exit_code"),
    [
        (InputRefused(*PARTS), 3),
        (ModelError("model-unknown", "nothing", "no such model", "see the list"), 3),
        (OutputError("not-writable", "out", "no permission", "choose another folder"), 1),
        (MissingExtraError("batch", "medseg batch"), 1),
    ],
)
def test_each_error_ends_the_program_with_its_own_code(error: MedsegError, exit_code: int) -> None:
    assert error.exit_code == exit_code
    assert isinstance(error, MedsegError)


@pytest.mark.parametrize("kind", [InputRefused, OutputError, MedsegError])
def test_an_error_survives_the_way_to_another_process(kind: type[MedsegError]) -> None:
    arrived = copy.copy(kind(*PARTS))  # by the same protocol as pickling
    assert type(arrived) is kind
    assert arrived.as_dict() == kind(*PARTS).as_dict()


def test_a_missing_extra_says_what_to_install() -> None:
    text = str(MissingExtraError("batch", "medseg batch"))
    assert text == (
        "medseg batch: needs the extra 'batch' [extra-missing]; "
        "pip install 'medseg[batch]' (in a checkout: pip install -e '.[batch]')"
    )


def test_errors_cross_process_borders_and_stay_one_line() -> None:
    for error in (
        MissingExtraError("train", "training"),
        InputRefused("file-corrupt", "a\nb", "c\n\nd", "e"),
    ):
        again = copy.copy(error)
        assert type(again) is type(error) and str(again) == str(error) and "\n" not in str(again)
