"""The options of the commands that give verdicts, and the output of their answers."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from attn_bench.cli.options import FiniteRange, append_to_file, check_writable, write_file
from attn_bench.model.errors import RequestError, nearest
from attn_bench.model.metrics import GATED, TOLERABLE
from attn_bench.model.suite import LATENCY_TOLERANCE, Tolerance
from attn_bench.view.annotations import write_annotations
from attn_bench.view.console import plain
from attn_bench.view.formats import FORMATS, write_markdown

if TYPE_CHECKING:
    from attn_bench.jobs.check.answer import Answer

F = TypeVar("F", bound=Callable[..., Any])


@dataclass(frozen=True)
class Strictness:
    """The values of the options of `strictness`.

    must_see: a fraction.
    files: where to write the answer, by the name of the format.
    """

    tolerances: tuple[Tolerance, ...]
    allow_undecided: bool
    must_see: float | None
    files: Mapping[str, str]


def strictness(function: F) -> F:
    """Add the options of every command that gives verdicts."""
    options = [
        click.option(
            "--tolerance",
            multiple=True,
            metavar="[GLOB:]METRIC=PERCENT",
            help="The growth above which a case fails: latency=5, 'ge_*:params=1'. By default "
            f"{100 * LATENCY_TOLERANCE:g} for latency, and 0 for {', '.join(GATED)}.",
        ),
        click.option(
            "--warn",
            multiple=True,
            metavar="[GLOB:]METRIC=PERCENT",
            help="The growth above which a case gets a warning; written as for --tolerance.",
        ),
        click.option(
            "--allow-undecided",
            is_flag=True,
            help="End with status 0 where the only trouble is undecided cases.",
        ),
        click.option(
            "--must-see",
            type=FiniteRange(0, 100, min_open=True),
            metavar="PERCENT",
            help="End with status 4 where a slowdown of this size could stay unseen.",
        ),
        *(
            click.option(
                f"--{name}",
                _parameter(name),
                metavar="FILE",
                help=f"Write the answer as {format_.title}.",
            )
            for name, format_ in FORMATS.items()
        ),
    ]
    for option in reversed(options):
        function = option(function)
    return function


def _parameter(name: str) -> str:
    return f"{name.replace('-', '_')}_file"


def strictness_of(options: Mapping[str, Any]) -> Strictness:
    """Read the options of `strictness`. Raises RequestError."""
    files = {name: file for name in FORMATS if (file := options[_parameter(name)])}
    check_writable(files.values())
    if len({Path(file).resolve() for file in files.values()}) < len(files):
        raise RequestError(f"{' and '.join(f'--{name}' for name in files)} name the same file")
    must_see = options["must_see"]
    return Strictness(
        (*_tolerances("fail", options["tolerance"]), *_tolerances("warn", options["warn"])),
        options["allow_undecided"],
        None if must_see is None else must_see / 100,
        files,
    )


def _tolerances(effect: str, words: Sequence[str]) -> list[Tolerance]:
    """Read tolerances like `GLOB:METRIC=PERCENT`.

    effect: the field of `Tolerance` to set.
    """
    option = {"fail": "--tolerance", "warn": "--warn"}[effect]
    found = []
    for word in words:
        where, equals, percent = word.rpartition("=")
        if not equals:
            raise RequestError(f"{option} {word}: must be [GLOB:]METRIC=PERCENT (latency=5)")
        glob, _, metric = where.rpartition(":")
        if metric not in TOLERABLE:
            hint = nearest(metric, TOLERABLE)
            raise RequestError(f"{option} {word}: unknown metric {metric!r}{hint}")
        try:
            fraction = float(percent.removesuffix("%")) / 100
        except ValueError:
            fraction = math.nan
        if not 0 <= fraction < math.inf:
            raise RequestError(
                f"{option} {word}: {percent!r} is not a valid percentage (0 or more)"
            )
        found.append(Tolerance(metric, glob or "*", **{effect: fraction}))
    return found


def show_answer(answer: Answer, rules: Strictness) -> int:
    """Show the answer on the console, and write the requested files."""
    from attn_bench.view.console import check as view

    view.show(answer)
    for name, file in rules.files.items():
        write_file(Path(file), FORMATS[name].write(answer))
    if summary := os.environ.get("GITHUB_STEP_SUMMARY"):
        append_to_file(Path(summary), write_markdown(answer))
    if os.environ.get("GITHUB_ACTIONS") == "true":
        plain.commands(write_annotations(answer))
    if answer.trouble:
        plain.error(answer.trouble)
    return answer.exit_status
