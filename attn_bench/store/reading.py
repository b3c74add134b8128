"""Reads stored files, which may be damaged or made by others. Nothing in them is executed.

Whatever is read is bounded, is finite where it is a number, and is printable where it is text. What
does not fit its type is a RequestError with the place in the file.
"""

from __future__ import annotations

import json
import math
import os
import stat
from collections.abc import Mapping, Sequence
from dataclasses import asdict, is_dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

from attn_bench.model.bounds import DEEPEST, LONGEST_TEXT, MOST_BYTES
from attn_bench.model.errors import RequestError
from attn_bench.model.text import printable

if TYPE_CHECKING:
    from pydantic import TypeAdapter, ValidationError

T = TypeVar("T")
SHOWN = 60  # characters of a wrong value


def read_bytes(file: Path) -> bytes:
    """The content of a regular file. Raises RequestError for anything else, and for a large one."""
    try:
        return read_regular(file, MOST_BYTES)
    except OSError as error:
        raise RequestError(f"{file}: cannot be read: {error.strerror}") from None


def read_regular(file: Path, most: int) -> bytes:
    """The content of a regular file of at most so many bytes, else RequestError; or OSError."""
    # O_NONBLOCK: a pipe without a writer would block for ever.
    descriptor = os.open(file, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        facts = os.fstat(descriptor)
        if not stat.S_ISREG(facts.st_mode):
            raise RequestError(f"{file}: cannot be read: it is not a regular file")
        if facts.st_size > most:
            raise too_large(f"{file}", most)
        with os.fdopen(descriptor, "rb", closefd=False) as stream:
            return stream.read(most)
    finally:
        os.close(descriptor)


def too_large(name: str, most: int) -> RequestError:
    """The complaint about more than so many bytes."""
    size = "1 GiB" if most == MOST_BYTES else f"{most} bytes"
    return RequestError(f"{name}: cannot be read: it is larger than {size}")


def parse_json(content: bytes) -> Any:
    """The values of a JSON text. Raises RequestError."""
    try:
        raw = json.loads(content, parse_constant=_refuse, parse_float=_finite)
    except (ValueError, RecursionError) as error:
        reason = "it is nested too deeply" if isinstance(error, RecursionError) else error
        if "set_int_max_str_digits" in str(error):
            reason = "a number in it has thousands of digits"
        raise RequestError(f"cannot be read: {printable(str(reason))}") from None
    return clean(raw)


def clean(value: Any, depth: int = 0) -> Any:
    """`value` with printable texts. Raises RequestError if it is too deep or a text is too long."""
    if isinstance(value, str):
        if len(value) > LONGEST_TEXT:
            raise RequestError(
                f"cannot be read: a text is longer than {LONGEST_TEXT} characters: "
                f"{printable(value[:SHOWN])}…"
            )
        return printable(value)
    if depth > DEEPEST:
        raise RequestError(f"cannot be read: it is nested deeper than {DEEPEST} levels")
    if isinstance(value, dict):
        return {clean(key): clean(each, depth + 1) for key, each in value.items()}
    if isinstance(value, list):
        return [clean(each, depth + 1) for each in value]
    return value


def read_record(values: Any, kind: type[T], *, whole: bool = False) -> T:
    """A record of `kind` from JSON values. Raises RequestError if they do not fit.

    whole: refuse keys that `kind` does not have.
    """
    from pydantic import ValidationError

    try:
        # From JSON: there a list may be a tuple, and a quoted number is refused.
        found: T = _adapter(kind).validate_json(json.dumps(values), strict=True)  # type: ignore[arg-type]
    except ValidationError as error:
        raise RequestError(_complain(error, getattr(kind, "__name__", str(kind)))) from None
    except (TypeError, ValueError) as error:  # of json: a column of Parquet has any type
        raise RequestError(printable(str(error))) from None
    if whole and is_dataclass(found) and not isinstance(found, type):
        place = _unknown_key(values, asdict(found))
        if place:
            raise RequestError(f"unknown key {place!r}")
    return found


def _complain(error: ValidationError, name: str) -> str:
    """The first problem in one line: the place, the rule, and the wrong value."""
    first = error.errors(include_url=False)[0]
    place = _place(first["loc"]) or name
    if first["type"] == "missing":
        return f"{place} is missing"
    given = repr(first["input"])
    shown = printable(given if len(given) <= SHOWN else f"{given[:SHOWN]}…")
    reason = first["msg"].removeprefix("Value error, ")
    if reason.startswith("Input should be "):
        reason = f"must be {reason.removeprefix('Input should be ')}"
    else:
        reason = f"cannot be read: {reason[:1].lower()}{reason[1:]}"
    return f"{place} {reason}, not {shown}"


@cache
def _adapter(kind: Any) -> TypeAdapter[Any]:
    from pydantic import TypeAdapter

    return TypeAdapter(kind)


def _place(steps: Sequence[int | str]) -> str:
    return ".".join(str(step) for step in steps)


def _unknown_key(given: Any, known: Any) -> str | None:
    """The first key of `given` that `known` does not have, with its place."""
    if isinstance(given, Mapping) and isinstance(known, Mapping):
        for key, value in given.items():
            if key not in known:
                return str(key)
            if (inside := _unknown_key(value, known[key])) is not None:
                return f"{key}.{inside}"
    elif isinstance(given, Sequence) and isinstance(known, Sequence) and not isinstance(given, str):
        for number, (value, other) in enumerate(zip(given, known, strict=False)):
            if (inside := _unknown_key(value, other)) is not None:
                return f"{number}.{inside}"
    return None


def _refuse(word: str) -> NoReturn:
    raise ValueError(f"{word} is not a number")


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text[:SHOWN]} is too large")
    return number
