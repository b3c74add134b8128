"""The options that several commands share, made from the facts in `model/request.py`."""

from __future__ import annotations

import difflib
import math
import os
import sys
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import MISSING
from pathlib import Path
from typing import Any, TypeVar, get_args

import click
from click.core import ParameterSource

from attn_bench.model.axes import is_offered
from attn_bench.model.fleet import LEASE_S, Per
from attn_bench.model.request import RUN_OPTIONS, RunOption, RunRequest, make_request
from attn_bench.store import files

F = TypeVar("F", bound=Callable[..., Any])


class WholeRange(click.IntRange):
    """A range of whole numbers; `name` is the word of click's complaint."""

    name = "whole number"


class FiniteRange(click.FloatRange):
    """A range of numbers without inf and nan."""

    name = "number"

    def convert(
        self, value: Any, parameter: click.Parameter | None, context: click.Context | None
    ) -> float:
        number = float(super().convert(value, parameter, context))
        if not math.isfinite(number):
            self.fail(f"{value} is not a finite number.", parameter, context)
        return number


def run_option(name: str, **changes: Any) -> Callable[[F], F]:
    """The option of a run with this name, for one command.

    changes: the attributes that differ for this command.
    """
    fact = RUN_OPTIONS[name]
    attributes: dict[str, Any] = {
        "type": _click_type(fact),
        "default": None if fact.default is MISSING else fact.default,
        "metavar": fact.metavar,
        "help": fact.help,
        "is_flag": fact.kind is bool,
        "multiple": fact.kind is tuple,
    }
    return click.option(f"--{name.replace('_', '-')}", name, **(attributes | changes))


class Offer(click.Choice):  # type: ignore[type-arg]  # click 8.1 takes no argument
    """A choice among words, some of which hold a number; an error names the nearest."""

    def convert(
        self, value: Any, parameter: click.Parameter | None, context: click.Context | None
    ) -> str:
        if not is_offered(value, self.choices):
            words = ", ".join(map(repr, self.choices))
            close = difflib.get_close_matches(str(value), self.choices, n=1)
            hint = f" (did you mean {close[0]!r}?)" if close else ""
            self.fail(f"{value!r} is not one of {words}{hint}.", parameter, context)
        return str(value)


def _click_type(fact: RunOption) -> Any:
    """The click type of this option."""
    if fact.choices:
        return Offer(fact.choices)
    if fact.kind is tuple:
        return str
    low = fact.least if fact.more_than is None else fact.more_than
    is_open = fact.more_than is not None
    if fact.kind is float:
        return FiniteRange(low, fact.most, min_open=is_open)
    if fact.kind is int and (low, fact.most) != (None, None):
        return WholeRange(low, fact.most, min_open=is_open)  # type: ignore[arg-type]
    return fact.kind


def measuring_options(command: str, without: Collection[str] = ()) -> Callable[[F], F]:
    """Add the options of a command that measures a suite."""
    facts = [fact for fact in RUN_OPTIONS.values() if fact.only in (None, command)]
    names = [fact.name for fact in facts if fact.name not in without]

    def decorate(function: F) -> F:
        for name in reversed(names):
            function = run_option(name)(function)
        return function

    return decorate


def request_of(options: Mapping[str, Any], **changes: Any) -> RunRequest:
    """The request of the options of `measuring_options`.

    changes: other values, by the name of the option.
    """
    given = {name: options[name] for name in RUN_OPTIONS if name in options}
    return make_request(given | changes, sys.argv[1:])


def typed_options(context: click.Context) -> set[str]:
    """The names of the parameters that the user typed."""
    return {
        name
        for name in context.params
        if context.get_parameter_source(name) is ParameterSource.COMMANDLINE
    }


def check_writable(wanted: Iterable[str | None]) -> None:
    """Raise RequestError, before measuring, for a file that cannot be written."""
    for file in (*wanted, os.environ.get("GITHUB_STEP_SUMMARY")):
        if file:
            with files.naming(Path(file)):
                files.check_writable(Path(file))


def write_file(file: Path, content: str) -> Path:
    """Write text where the user asked for it. Raises RequestError if that is not possible."""
    with files.naming(file):
        files.write_output(file, content.encode(errors="backslashreplace"))
    return file


def write_inside(file: Path, content: str) -> None:
    """Write a file of a run folder, through no link. Raises RequestError."""
    with files.naming(file):
        files.write_atomically(file, content.encode(errors="backslashreplace"))


def append_to_file(file: Path, content: str) -> None:
    """Append text. Raises RequestError."""
    with files.naming(file), file.open("a", encoding="utf-8", errors="backslashreplace") as stream:
        stream.write(content)


def plan_options(function: F) -> F:
    """The options of a fleet's new plan, besides those of a run."""
    per = click.option(
        "--per",
        type=Offer(get_args(Per)),
        default="device",
        help="Of a new plan: measure each kind of device once, or each host.",
    )
    lease = click.option(
        "--lease",
        metavar="SECONDS",
        type=FiniteRange(0.1, 1e6),
        default=LEASE_S,
        help=f"Of a new plan: a silent host loses its shard after this time; {LEASE_S:g}.",
    )
    return per(lease(function))
