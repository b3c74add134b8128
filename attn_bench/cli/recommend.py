"""`recommend`: recommend a module."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, get_args

import click

from attn_bench.cli.options import (
    check_writable,
    measuring_options,
    request_of,
    typed_options,
    write_file,
)
from attn_bench.model.axes import Mode
from attn_bench.model.case import LEAST_IMAGE, USUAL_IMAGE, Shape
from attn_bench.model.errors import RequestError
from attn_bench.model.metrics import LIMITS
from attn_bench.view.console import plain

if TYPE_CHECKING:
    from attn_bench.jobs.recommend.answer import RecommendRequest
    from attn_bench.jobs.recommend.limits import Limit

F = TypeVar("F", bound=Callable[..., Any])
USUAL_SUITE = "choose"
USUAL_STAGE_BATCH = 8


def choice_options(function: F) -> F:
    """Add the options for the question and its limits."""
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
            help="The batch size; by default 1 image for a backbone, "
            f"{USUAL_STAGE_BATCH} maps for a stage.",
        ),
        click.option(
            "--place",
            metavar="PLACE",
            help="The place in the backbone, as in a suite; by default the one of each "
            "module's paper.",
        ),
        click.option(
            "--mode",
            type=click.Choice(get_args(Mode)),
            help="The mode; by default the suite's.",
        ),
        *(
            click.option(
                f"--max-{name}",
                metavar="LIMIT",
                help=f"The limit of {name} ({metric.about}): +10%, 1.1x or {metric.example}.",
            )
            for name, metric in LIMITS.items()
        ),
        click.option("--fresh", is_flag=True, help="Measure again, and reuse no earlier run."),
    ]
    for option in reversed(options):
        function = option(function)
    return function


@click.command()
@measuring_options("recommend")
@choice_options
@click.option("--json", "json_file", metavar="FILE", help="Write the answer as JSON.")
@click.pass_context
def command(context: click.Context, /, json_file: str | None, **options: Any) -> int:
    """Recommend a module: what fits, what it costs, what it gains.

    A module fits if it keeps the limits. Costs are measured on this machine. Gains come from
    papers. Figures of earlier runs are reused where machine, software and code are the same. The
    candidates are those of --suite, by default the suite 'choose'. A limit is +10%, 1.1x, or an
    amount (80ms, 30M, 512MiB). Status 0: a module is recommended. 1: none keeps the limits.
    3: some candidates could not be measured. 4: undecided, since a candidate may keep the limits.
    """
    from attn_bench.jobs.recommend import recommend as job
    from attn_bench.view.console import recommend as view
    from attn_bench.view.console.progress import LiveProgress
    from attn_bench.view.recommend.json import write_json

    question = question_of(options, typed_options(context))
    check_writable([json_file])
    with closing(LiveProgress()) as progress:
        answer = job.recommend(question, progress)
    view.show(answer)
    if json_file is not None:
        write_file(Path(json_file), write_json(answer))
    if answer.measured and answer.measured.trouble:
        plain.error(answer.measured.trouble)
    return answer.exit_status


def question_of(options: Mapping[str, Any], typed: Collection[str]) -> RecommendRequest:
    """The question of the options.

    typed: the names of the options on the command line.
    """
    from attn_bench.jobs.recommend.answer import RecommendRequest

    backbone, shape, side = options["backbone"], options["shape"], options["input"]
    if (backbone is None) == (shape is None):
        raise RequestError(
            "recommend needs --backbone NAME, or --shape CxHxW for a single stage (resnet50? "
            "256x56x56?)"
        )
    if shape is not None and (extra := [name for name in ("input", "place") if name in typed]):
        raise RequestError(f"--{extra[0]} needs --backbone: --shape describes a stage alone")
    return RecommendRequest(
        request_of(options, suite=options["suite"] or USUAL_SUITE),
        tuple(_limits(options, is_whole=backbone is not None)),
        backbone,
        Shape(options["batch"] or 1, 3, side, side) if backbone else None,
        options["place"],
        _stage(shape, options["batch"] or USUAL_STAGE_BATCH) if shape else None,
        options["mode"],
        options["fresh"],
    )


def _limits(options: Mapping[str, Any], *, is_whole: bool) -> Iterator[Limit]:
    """The limits of `--max-*`.

    is_whole: whether the question is about a whole backbone, not a stage.
    """
    from attn_bench.jobs.recommend.limits import Limit, has_meaning

    for name in LIMITS:
        text = options[f"max_{name}"]
        if text is None:
            continue
        try:
            limit = Limit.read(name, text)
        except ValueError as error:
            raise RequestError(f"--max-{name} {error}") from None
        if not has_meaning(limit, is_network=is_whole):
            raise RequestError(
                f"--max-{name} {text}: a copy of the input has no {name}: give an amount "
                f"({limit.of.example}?)"
            )
        yield limit


def _stage(text: str, batch: int) -> Shape:
    found = re.fullmatch(r"\s*(\d{1,6})[x×](\d{1,5})[x×](\d{1,5})\s*", text)
    if found is None or not all(map(int, found.groups())):
        raise RequestError(f"--shape {text!r}: must be channels x height x width (256x56x56)")
    channels, height, width = map(int, found.groups())
    return Shape(batch, channels, height, width)
