"""`recommend`: recommend a module."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import closing, suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, get_args

import click

from attn_bench.cli.options import (
    Offer,
    WholeRange,
    check_writable,
    measuring_options,
    request_of,
    typed_options,
    write_file,
)
from attn_bench.model.axes import Execution, Mode
from attn_bench.model.case import LEAST_IMAGE, USUAL_IMAGE, Shape
from attn_bench.model.errors import RequestError
from attn_bench.model.metrics import LIMITS
from attn_bench.model.status import Exit
from attn_bench.view.console import plain

if TYPE_CHECKING:
    from attn_bench.jobs.recommend.answer import Recommendation, RecommendRequest
    from attn_bench.jobs.recommend.limits import Limit

F = TypeVar("F", bound=Callable[..., Any])
USUAL_STAGE_BATCH = 8


OF_TRAINING = ("latency", "memory")  # the other metrics are those of inference
# The question: for what, and where.
QUESTION = (
    click.option(
        "--backbone",
        metavar="NAME",
        help="Choose for this network: a backbone of timm (resnet50), or yours: "
        "my_net.py:MyNet, my_package.nets:make.",
    ),
    click.option(
        "--shape",
        metavar="CxHxW,…",
        help="Or for single stages: 256x56x56,512x28x28. Each has an answer.",
    ),
    click.option(
        "--share-of",
        metavar="LATENCY",
        help="With --shape: also show each latency as a share of your network's (80ms).",
    ),
    click.option(
        "--input",
        type=WholeRange(LEAST_IMAGE, 4096),
        default=USUAL_IMAGE,
        metavar="N",
        help=f"The side of the backbone's images; {USUAL_IMAGE}.",
    ),
    click.option(
        "--batch",
        metavar="N,…",
        help="The batch size; by default 1 image for a backbone, "
        f"{USUAL_STAGE_BATCH} maps for a stage. Each of several (1,16) has an answer.",
    ),
    click.option(
        "--place",
        multiple=True,
        metavar="PLACE",
        help="Where in the backbone: block, inner, slot, stage, 'block 3,4', or a pattern of "
        "layers ('layer*.conv2'); may be repeated. By default the place of each module's "
        "paper, or instead of the attention that the backbone has.",
    ),
    click.option(
        "--search",
        type=Offer(["places"]),
        help="Also measure each stage alone: what does a module cost where?",
    ),
    click.option(
        "--mode",
        type=Offer([*get_args(Mode), "both"]),
        help="The mode; by default the suite's. Both: choose by inference, and show what a "
        "training step costs.",
    ),
    click.option(
        "--execution",
        type=Offer(get_args(Execution)),
        help="The runtime; by default the suite's, which is PyTorch.",
    ),
)
# For a fleet, instead of measuring here.
STORED = (
    click.option(
        "--store",
        metavar="STORE",
        help="Choose from what a fleet measured (attn-bench work), and measure nothing.",
    ),
    click.option(
        "--devices",
        metavar="GLOB,…",
        help="Of --store: the devices; by default all of them.",
    ),
)
# The other options that mean something with --store.
WITH_STORE = {"store", "devices", "backbone", "modules", "where", "json_file"}
# What a candidate may cost, and how long the answer may take.
LIMITING = (
    *(
        click.option(
            f"--max-{name}",
            metavar="LIMIT",
            help=f"The limit of {name} ({metric.about}): +10%, 1.1x or {metric.example}.",
        )
        for name, metric in LIMITS.items()
    ),
    *(
        click.option(
            f"--max-training-{name}",
            metavar="LIMIT",
            help=f"With --mode both: the limit of {name} in a training step.",
        )
        for name in OF_TRAINING
    ),
    click.option(
        "--minutes",
        type=click.FloatRange(0.05, 24 * 60),
        metavar="N",
        help="Measure for up to N minutes: --budget in minutes.",
    ),
    click.option("--fresh", is_flag=True, help="Measure again, and reuse no earlier run."),
)


def choice_options(function: F) -> F:
    """Add the options for the question and its limits."""
    for option in reversed((*QUESTION, *LIMITING, *STORED)):
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

    With --store, the answer is for all devices of a fleet: the module that keeps the limits on all
    of them, and the best for each.
    """
    from attn_bench.jobs.recommend import recommend as job
    from attn_bench.view.console import recommend as view
    from attn_bench.view.console.progress import LiveProgress
    from attn_bench.view.json_answer import keep
    from attn_bench.view.recommend.json import write_json

    check_writable([json_file])
    if options["store"] is not None:
        return _choose_for_fleet(options, typed_options(context), json_file)
    if options["devices"] is not None:
        raise RequestError("--devices needs --store STORE")
    questions = questions_of(options, typed_options(context))
    answers: list[Recommendation] = []
    for question in questions:
        with closing(LiveProgress()) as progress:
            answer = job.recommend(question, progress)
        if answers:
            plain.line("")
        answers.append(answer)
        view.show(answer)
        if answer.measured is not None:
            with suppress(OSError):  # the page of the run then lacks the answer
                keep(answer.measured.path, write_json([answer]))
        if answer.measured and answer.measured.trouble:
            plain.error(answer.measured.trouble)
        if answer.exit_status == Exit.INTERRUPTED:
            break
    if json_file is not None:
        write_file(Path(json_file), write_json(answers))
    return max(answer.exit_status for answer in answers)


def _choose_for_fleet(
    options: Mapping[str, Any], typed: Collection[str], json_file: str | None
) -> int:
    from attn_bench.jobs.recommend.devices import ALL, DevicesRequest, recommend_for_devices
    from attn_bench.store.fleet import read_fleet
    from attn_bench.store.places import without_credentials
    from attn_bench.view.console import recommend as view
    from attn_bench.view.recommend.devices import write_json

    known = WITH_STORE | {f"max_{name}" for name in LIMITS}
    if extra := sorted(name for name in typed if name not in known):
        raise RequestError(
            f"--{extra[0].replace('_', '-')} is for measuring: --store has what was measured"
        )
    question = DevicesRequest(
        without_credentials(options["store"]),
        tuple(_limits(options, is_whole=True)),
        options["devices"] or ALL,
        options["backbone"],
        options["modules"],
        options["where"],
    )
    answers = recommend_for_devices(read_fleet(options["store"]), question)
    for number, answer in enumerate(answers):
        if number:
            plain.line("")
        view.show_devices(answer)
    if json_file is not None:
        write_file(Path(json_file), write_json(answers))
    return max(answer.exit_status for answer in answers)


def questions_of(options: Mapping[str, Any], typed: Collection[str]) -> list[RecommendRequest]:
    """The questions of the options: one for each shape and batch.

    typed: the names of the options on the command line.
    """
    from attn_bench.jobs.recommend.answer import USUAL_SUITE, RecommendRequest

    backbone, shape, side = options["backbone"], options["shape"], options["input"]
    if (backbone is None) == (shape is None):
        raise RequestError(
            "recommend needs --backbone NAME, or --shape CxHxW for a single stage (resnet50? "
            "256x56x56?)"
        )
    only_backbone = ("input", "place", "search")
    if shape is not None and (extra := [name for name in only_backbone if name in typed]):
        raise RequestError(f"--{extra[0]} needs --backbone: --shape describes a stage alone")
    if options["minutes"] and options["budget"]:
        raise RequestError("--minutes and --budget are the same: give one of them")
    budget_s = options["minutes"] * 60 if options["minutes"] else options["budget"]
    batches = _batches(options["batch"] or str(1 if backbone else USUAL_STAGE_BATCH))
    listed = shape.split(",") if shape else []
    shapes = [_stage(text, batch) for text in listed for batch in batches]
    images = [Shape(batch, 3, side, side) for batch in batches] if backbone else []
    if options["out"] and len(shapes or images) > 1:
        raise RequestError("--out is the folder of one run: ask for one shape and batch at a time")
    first = RecommendRequest(
        request_of(options, suite=options["suite"] or USUAL_SUITE, budget=budget_s),
        tuple(_limits(options, is_whole=backbone is not None)),
        backbone,
        None,
        options["place"],
        options["search"] == "places",
        None,
        modes_of(options["mode"]),
        options["fresh"],
        share_of_us=_share_of(options["share_of"], is_whole=backbone is not None),
        execution=options["execution"],
    )
    return [replace(first, shape=one) for one in shapes] + [replace(first, image=i) for i in images]


def modes_of(word: str | None) -> tuple[Mode, ...]:
    """The modes of `--mode`."""
    return get_args(Mode) if word == "both" else () if word is None else (word,)


def _limits(options: Mapping[str, Any], *, is_whole: bool) -> Iterator[Limit]:
    """The limits of `--max-*`.

    is_whole: whether the question is about a whole backbone, not a stage.
    """
    from attn_bench.jobs.recommend.limits import Limit, has_meaning

    for name, of_training in [(n, False) for n in LIMITS] + [(n, True) for n in OF_TRAINING]:
        option = f"max_training_{name}" if of_training else f"max_{name}"
        text = options[option]
        if text is None:
            continue
        if of_training and options["mode"] != "both":
            raise RequestError(f"--max-training-{name} needs --mode both")
        try:
            limit = replace(Limit.read(name, text), of_training=of_training)
        except ValueError as error:
            raise RequestError(f"--{option.replace('_', '-')} {error}") from None
        if not has_meaning(limit, is_network=is_whole):
            raise RequestError(
                f"--max-{name} {text}: a copy of the input has no {name}: give an amount "
                f"({limit.of.example}?)"
            )
        yield limit


def _share_of(text: str | None, *, is_whole: bool) -> float | None:
    """The latency of `--share-of` in µs."""
    from attn_bench.jobs.recommend.limits import Limit

    if text is None:
        return None
    if is_whole:
        raise RequestError("--share-of needs --shape: the costs of a backbone are shares already")
    try:
        limit = Limit.read("latency", text)
    except ValueError as error:
        raise RequestError(f"--share-of {error}") from None
    if limit.is_relative:
        raise RequestError(f"--share-of {text}: must be the latency of your network (80ms)")
    return limit.most


def _batches(text: str) -> list[int]:
    found = [part.strip() for part in text.split(",")]
    if wrong := [part for part in found if not re.fullmatch(r"[1-9]\d{0,5}", part)]:
        raise RequestError(f"--batch {wrong[0]!r}: must be a whole number from 1 to 999999")
    return [int(part) for part in dict.fromkeys(found)]


def _stage(text: str, batch: int) -> Shape:
    found = re.fullmatch(r"\s*(\d{1,6})[x×](\d{1,5})[x×](\d{1,5})\s*", text)
    if found is None or not all(map(int, found.groups())):
        raise RequestError(f"--shape {text!r}: must be channels x height x width (256x56x56)")
    channels, height, width = map(int, found.groups())
    return Shape(batch, channels, height, width)
