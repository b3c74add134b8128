"""The options that several commands have in common, and what was meant by them."""

from __future__ import annotations

import math
import os
import re
import sys
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from attn_bench.model.axes import AUTO, DEVICE_CHOICES
from attn_bench.model.case import LEAST_IMAGE, USUAL_IMAGE, Shape
from attn_bench.model.errors import RequestError, nearest
from attn_bench.model.metrics import LIMITS, TOLERABLE
from attn_bench.model.request import RunRequest
from attn_bench.model.suite import Tolerance

if TYPE_CHECKING:
    from attn_bench.jobs.recommend.answer import RecommendRequest

WHERE = "comparisons of columns, as in \"channels >= 256 and module in ['se', 'cbam']\""


class Finite(click.FloatRange):
    """A range of numbers that inf and nan are not in."""

    def convert(
        self, value: Any, parameter: click.Parameter | None, context: click.Context | None
    ) -> float:
        number = float(super().convert(value, parameter, context))
        if not math.isfinite(number):
            self.fail(f"{value} is no finite number.", parameter, context)
        return number


POSITIVE = Finite(0, 1e7, min_open=True)
PERCENT = Finite(0, 100, min_open=True)


def measuring(command: Callable[..., int]) -> Callable[..., int]:
    """The options of every command that measures a suite."""
    options = [
        click.option("--suite", metavar="NAME", help="A suite's name, or a TOML file."),
        click.option(
            "--device",
            type=click.Choice(DEVICE_CHOICES),
            default=AUTO,
            help="auto takes a GPU where there is one.",
        ),
        click.option(
            "--modules",
            metavar="GLOB,…",
            help="Only these modules (and their baselines): 'ge_*,se'.",
        ),
        click.option("--where", metavar="EXPR", help=f"Only these cases: {WHERE}."),
        click.option(
            "--modules-from", multiple=True, metavar="FILE.py", help="Modules of your own."
        ),
        click.option(
            "--budget",
            type=POSITIVE,
            metavar="SECONDS",
            help="Time to measure; 2 s a case (check: a case and version) by default.",
        ),
        click.option(
            "--precision",
            type=PERCENT,
            metavar="PERCENT",
            help="A case is done when its ratio is known to ± this; 2 by default.",
        ),
        click.option(
            "--sessions",
            type=click.IntRange(1, 100),
            metavar="N",
            help="Worker processes to measure in; 5, or as many as the budget allows.",
        ),
        click.option(
            "--out", metavar="DIR", help="The run folder, instead of a new one under ./results/."
        ),
        click.option(
            "--seed", type=int, default=0, metavar="N", help="Measure in another order; 0."
        ),
        click.option(
            "--threads",
            type=click.IntRange(1, 1024),
            metavar="N",
            help="CPU threads; PyTorch's own default.",
        ),
        click.option(
            "--timeout",
            type=POSITIVE,
            default=60.0,
            metavar="SECONDS",
            help="Give up a case when one step of it takes longer; 60.",
        ),
        click.option(
            "--memory",
            type=Finite(0.25, 1e6),
            metavar="GIB",
            help="The most memory that a worker may take; nine tenths of what is free.",
        ),
    ]
    for option in reversed(options):
        command = option(command)
    return command


def request_of(suite: str, options: Mapping[str, Any], *, quick: bool = False) -> RunRequest:
    """What `measuring` has read, as the program takes it."""

    precision = options["precision"]
    return RunRequest(
        suite=suite,
        device=options["device"],
        modules=options["modules"],
        where=options["where"],
        budget_s=options["budget"],
        precision=None if precision is None else precision / 100,
        sessions=options["sessions"],
        quick=quick,
        out=options["out"],
        seed=options["seed"],
        threads=options["threads"],
        timeout_s=options["timeout"],
        memory_gib=options["memory"],
        modules_from=options["modules_from"],
        command=tuple(sys.argv[1:]),
    )


def strictness(command: Callable[..., int]) -> Callable[..., int]:
    """The options of every command that gives verdicts."""
    options = [
        click.option(
            "--tolerance",
            multiple=True,
            metavar="[GLOB:]METRIC=PERCENT",
            help="How much may be added before it is a failure: latency=5, 'ge_*:params=1'. "
            "Latency 3, params, macs, bytes_min, activations and peak_memory_bytes 0 by default.",
        ),
        click.option(
            "--warn",
            multiple=True,
            metavar="[GLOB:]METRIC=PERCENT",
            help="Likewise, before it is a warning.",
        ),
        click.option(
            "--allow-undecided", is_flag=True, help="End with status 0 where only that is left."
        ),
        click.option(
            "--must-see",
            type=PERCENT,
            metavar="PERCENT",
            help="End with status 4 where a slowdown of this size could have gone unseen.",
        ),
        click.option("--markdown", metavar="FILE", help="Write the answer as Markdown."),
        click.option("--junit", metavar="FILE", help="Write the answer as JUnit XML."),
        click.option("--json", "json_", metavar="FILE", help="Write the answer as JSON."),
    ]
    for option in reversed(options):
        command = option(command)
    return command


@dataclass(frozen=True)
class Wanted:
    """What `strictness` has read. files: where to write the answer, by the name of its format."""

    tolerances: tuple[Tolerance, ...]
    allow_undecided: bool
    must_see: float | None
    files: Mapping[str, str]


def wanted_of(options: Mapping[str, Any]) -> Wanted:
    files = {name: options[name] for name in ("markdown", "junit", "json_") if options[name]}
    check_writable(files.values())
    must_see = options["must_see"]
    return Wanted(
        _tolerances(options["tolerance"], options["warn"]),
        options["allow_undecided"],
        None if must_see is None else must_see / 100,
        files,
    )


def check_writable(files: Iterable[str]) -> None:
    """Before anything is measured: what is to be written can be."""
    for file in (*files, os.environ.get("GITHUB_STEP_SUMMARY")):
        if file:
            path = Path(file)
            try:
                was_there = path.exists()
                path.open("a").close()
                if not was_there:
                    path.unlink()
            except OSError as problem:
                raise RequestError(f"{file}: cannot be written: {problem.strerror}") from None


def _tolerances(fail: Sequence[str], warn: Sequence[str]) -> tuple[Tolerance, ...]:
    """`GLOB:METRIC=PERCENT` and the like."""
    found = []
    for option, words in (("--tolerance", fail), ("--warn", warn)):
        for word in words:
            where, equals, percent = word.rpartition("=")
            if not equals:
                raise RequestError(f"{option} {word}: [GLOB:]METRIC=PERCENT is wanted")
            glob, _, metric = where.rpartition(":")
            if metric not in TOLERABLE:
                hint = nearest(metric, TOLERABLE)
                raise RequestError(f"{option} {word}: unknown metric {metric!r}{hint}")
            try:
                fraction = float(percent.removesuffix("%")) / 100
            except ValueError:
                fraction = math.nan
            if not 0 <= fraction < math.inf:
                raise RequestError(f"{option} {word}: {percent!r} is no percentage from 0")
            only = {"fail": fraction} if option == "--tolerance" else {"warn": fraction}
            found.append(Tolerance(metric, glob or "*", **only))
    return tuple(found)


def choosing(command: Callable[..., int]) -> Callable[..., int]:
    """What `recommend` chooses for, and within which limits."""
    options = [
        click.option("--backbone", metavar="NAME", help="Choose for this network: resnet50, …"),
        click.option("--shape", metavar="CxHxW", help="Or for a single stage: 256x56x56."),
        click.option(
            "--input",
            type=click.IntRange(LEAST_IMAGE, 4096),
            default=USUAL_IMAGE,
            metavar="N",
            help=f"The side of the backbone's images; {USUAL_IMAGE}.",
        ),
        click.option(
            "--batch",
            type=click.IntRange(1, 10**6),
            metavar="N",
            help="1 image for a backbone, 8 maps for a stage, unless given.",
        ),
        click.option(
            "--place",
            metavar="PLACE",
            help="Where in the backbone, as in a suite; where each module's paper has it.",
        ),
        click.option(
            "--mode",
            type=click.Choice(["inference", "training"]),
            help="The suite's, if not given.",
        ),
        *(
            click.option(
                f"--max-{name}",
                metavar="LIMIT",
                help=f"A limit of {name}, {metric.about}: +10%, 1.1x, {metric.example}.",
            )
            for name, metric in LIMITS.items()
        ),
        click.option("--fresh", is_flag=True, help="Measure anew, and reuse no earlier run."),
    ]
    for option in reversed(options):
        command = option(command)
    return command


def question_of(
    request: RunRequest, options: Mapping[str, Any], given: Collection[str]
) -> RecommendRequest:
    """What `choosing` has read. given: the options that were on the command line."""
    from attn_bench.jobs.recommend.answer import RecommendRequest
    from attn_bench.jobs.recommend.limits import NAMES, Limit, problem_with

    backbone, shape = options["backbone"], options["shape"]
    if (backbone is None) == (shape is None):
        raise RequestError(
            "recommend takes --backbone NAME, or --shape CxHxW for a single stage (resnet50? "
            "256x56x56?)"
        )
    if shape is not None and (alone := [name for name in ("input", "place") if name in given]):
        raise RequestError(f"--{alone[0]} is of a backbone, and --shape is a stage alone")
    limits = []
    for metric in NAMES:
        text = options[f"max_{metric}"]
        if text is None:
            continue
        try:
            limit = Limit.read(metric, text)
        except ValueError as error:
            raise RequestError(f"--max-{metric} {error}") from None
        if problem := problem_with(limit, backbone is not None):
            raise RequestError(f"--max-{metric} {text}: {problem}")
        limits.append(limit)
    return RecommendRequest(
        request,
        tuple(limits),
        backbone,
        Shape(options["batch"] or 1, 3, options["input"], options["input"]) if backbone else None,
        options["place"],
        _stage(shape, options["batch"] or 8) if shape else None,
        options["mode"],
        options["fresh"],
    )


def _stage(text: str, batch: int) -> Shape:
    found = re.fullmatch(r"\s*(\d{1,6})[x×](\d{1,5})[x×](\d{1,5})\s*", text)
    if found is None or not all(map(int, found.groups())):
        raise RequestError(f"--shape {text!r}: channels, height and width are wanted (256x56x56)")
    channels, height, width = map(int, found.groups())
    return Shape(batch, channels, height, width)
