"""What is wrong with a settings file, said so that the key and the right one are named."""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, Literal, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

Models = Sequence[type[BaseModel]]


def nearest(name: str, known: Collection[str]) -> str | None:
    """The known name that was probably meant: one spelt alike, or one that begins alike."""
    near = difflib.get_close_matches(name, list(known), n=1, cutoff=0.6)
    alike = [one for one in known if name and (one.startswith(name) or name.startswith(one))]
    return next(iter([*near, *alike]), None)


def closest(name: str, known: Collection[str]) -> str:
    """The end of a line that asks for the nearest known name, or lists all where none is near."""
    near = nearest(name, known)
    return f"; did you mean {near}?" if near else f"; there are {', '.join(sorted(known))}"


def describe(
    error: ValidationError, model: type[BaseModel], *, hidden: Collection[str] = ()
) -> list[str]:
    """One line a problem, unknown keys first; `hidden` fields of `model`'s parts are never named.

    A missing key that an unknown one was meant to be is not a problem of its own.
    """
    found = _innermost(error.errors(include_url=False))
    unknown = [one for one in found if one["type"] == "extra_forbidden"]
    lines, told = [], set()
    for one in unknown:
        line, key = _unknown_key(one, model, hidden)
        lines.append(line)
        told.add(key)
    for one in found:
        path = _path(one, model)
        # A union complains once for each of its types: the first says it.
        repeated = one["type"] != "value_error" and path in told
        if one["type"] != "extra_forbidden" and not repeated:
            lines.append(_wrong_value(one, path))
            told.add(path)
    return lines


def _innermost(found: Sequence[ErrorDetails]) -> list[ErrorDetails]:
    """Without those that only follow from one further in, such as a list short of its bad item."""
    outer = {one["loc"][:n] for one in found for n in range(len(one["loc"]))}
    return [one for one in found if one["loc"] not in outer]


def _unknown_key(
    error: ErrorDetails, model: type[BaseModel], hidden: Collection[str]
) -> tuple[str, str]:
    path = _path(error, model)
    name, parent = str(error["loc"][-1]), path.rpartition(".")[0]
    siblings = [key for key in _keys(_models_at(error["loc"][:-1], model)) if key not in hidden]
    start = f"{path}: unknown key"
    near = nearest(name, siblings)
    if near:
        return f"{start}; did you mean {near}?", f"{parent}.{near}" if parent else near
    elsewhere = [
        f"{section}.{name}"
        for section in model.model_fields
        if name in _keys(_models_at((section,), model)) and name not in hidden
    ]
    if elsewhere:
        return f"{start}; did you mean {elsewhere[0]}?", elsewhere[0]
    return f"{start}; known are {', '.join(siblings)}", ""


def _wrong_value(error: ErrorDetails, path: str) -> str:
    prefix = f"{path}: " if path else ""
    if error["type"] == "missing":
        return f"{prefix}is missing"
    if error["type"] == "value_error":
        return f"{prefix}{error['ctx']['error']}"
    if error["type"].startswith("union_tag"):
        tags = re.findall(r"'([^']*)'", str(error["ctx"].get("expected_tags", "")))
        given = error["input"].get("kind") if isinstance(error["input"], Mapping) else None
        found = "is missing" if given is None else f"unknown kind {given!r}"
        return f"{path}.kind: {found}{closest(str(given), tags) if tags else ''}"
    message = error["msg"].replace("Input should", "should", 1)
    near = ""
    if error["type"] == "literal_error":
        meant = nearest(str(error["input"]), re.findall(r"'([^']*)'", error["ctx"]["expected"]))
        near = f"; did you mean {meant}?" if meant else ""
    return f"{prefix}{_shown(error['input'])} {message}{near}"


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:37]}..."


def _path(error: ErrorDetails, model: type[BaseModel]) -> str:
    """The place as it reads in the file: what pydantic adds for unions is left out."""
    last = len(error["loc"]) - 1
    text = ""
    for n, part in enumerate(error["loc"]):
        models = _models_at(error["loc"][:n], model)
        if isinstance(part, int):
            text += f"[{part}]"
        elif (
            part in _keys(models)
            or _is_open(error["loc"], n, model)
            or (n == last and error["type"] == "extra_forbidden")
        ):
            text += f".{part}" if text else part
    return text


def _is_open(loc: Sequence[int | str], n: int, model: type[BaseModel]) -> bool:
    """Whether part `n` is a key of a table with free keys, such as one of numbers by name."""
    if n == 0 or _models_at(loc[:n], model):
        return False
    name = loc[n - 1]
    fields = [one.model_fields.get(str(name)) for one in _models_at(loc[: n - 1], model)]
    return any(get_origin(one.annotation) is dict for one in fields if one is not None)


def _models_at(loc: Sequence[int | str], model: type[BaseModel]) -> Models:
    """The models that the value at `loc` may be."""
    models: Models = [model]
    for part in loc:
        if isinstance(part, int):
            continue
        fields = [one.model_fields[part] for one in models if part in one.model_fields]
        tagged = [one for one in models if part in _tags(one)]
        models = tagged or [inner for one in fields for inner in _inside(one.annotation)]
    return models


def _tags(model: type[BaseModel]) -> tuple[Any, ...]:
    kind = model.model_fields.get("kind")
    if kind is None or get_origin(kind.annotation) is not Literal:
        return ()
    return get_args(kind.annotation)


def _inside(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in get_args(annotation):
        yield from _inside(argument)


def _keys(models: Models) -> list[str]:
    return list(dict.fromkeys(key for one in models for key in one.model_fields))
