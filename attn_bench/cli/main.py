"""Words in, exit status out. Each command hands its words on and shows what comes back."""

from __future__ import annotations

import io
import os
import signal
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from attn_bench import __version__
from attn_bench.cli.options import (
    POSITIVE,
    WHERE,
    Finite,
    Wanted,
    check_writable,
    choosing,
    measuring,
    question_of,
    request_of,
    strictness,
    wanted_of,
)
from attn_bench.model.axes import DEVICE_CHOICES
from attn_bench.model.errors import AttnBenchError, RequestError, nearest
from attn_bench.model.row import COLUMNS
from attn_bench.view.console import console

if TYPE_CHECKING:
    from attn_bench.engine.run import Finished
    from attn_bench.jobs.check.answer import Answer

INTERRUPTED = 130
SHOWN_BY_DEFAULT = [
    *("variant", "channels", "height", "latency_us", "ratio", "ratio_lo", "ratio_hi", "params"),
    "peak_memory_bytes",
]


class _Commands(click.Group):
    """Click's group, whose unknown commands name the nearest."""

    def get_command(self, context: click.Context, name: str) -> click.Command | None:
        found = super().get_command(context, name)
        if found is None and not context.resilient_parsing:
            raise RequestError(f"unknown command {name!r}{nearest(name, self.commands)}")
        return found


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="attn-bench")
@click.option("--debug", is_flag=True, help="Show a traceback with an error.")
def commands(debug: bool) -> None:
    """Which attention module, with which extent, at which stage, and what it costs here."""


@commands.command("list")
@click.argument("what", type=click.Choice(["modules", "suites", "metrics"]), default="modules")
@click.option("--modules-from", multiple=True, metavar="FILE.py", help="Also list its modules.")
@click.option("--json", "as_json", is_flag=True, help="For programs.")
def list_(what: str, modules_from: tuple[str, ...], as_json: bool) -> None:
    """What there is: modules, suites or metrics, a line each."""
    if what == "modules":
        items, columns = _modules(modules_from), ["name", "extents", "paper", "summary"]
    elif what == "suites":
        from attn_bench.plan import suite_file

        items = [{"name": name, "title": title} for name, title in suite_file.available().items()]
        columns = ["name", "title"]
    else:
        items, columns = console.metrics(), ["name", "unit", "about"]
    if as_json:
        import json

        console.text(json.dumps(items, indent=2, ensure_ascii=False) + "\n")
    else:
        console.listing(items, columns)


def _modules(modules_from: tuple[str, ...]) -> list[dict[str, Any]]:
    from attn_bench.catalog import registry

    if modules_from:
        from attn_bench.engine.progress import Unseen
        from attn_bench.engine.session import open_session
        from attn_bench.model.request import RunRequest

        request = RunRequest("", device="cpu", modules_from=modules_from)
        with open_session(request, Unseen()) as session:
            known = session.modules
    else:
        known = registry.builtin()
    items = [
        {
            "name": entry.name,
            "extents": entry.extents_in_words(),
            "paper": entry.paper,
            "summary": entry.summary,
            "origin": entry.origin,
        }
        for entry in known
    ]
    if not modules_from:
        # Their code is a worker's to load; what they declare is known without it.
        items += [
            {
                "name": point.name,
                "extents": "",
                "paper": None,
                "summary": f"declared by package {point.dist.name if point.dist else '?'}",
                "origin": point.value,
            }
            for point in registry.entry_points()
        ]
    return items


@commands.command()
@measuring
@click.option("--quick", is_flag=True, help="A fifth of the time, for a first look.")
@click.option("--resume", metavar="RUN", help="Go on with a run that was cut off.")
@click.option("--dry-run", is_flag=True, help="Say what would be measured, and measure nothing.")
@click.option(
    "--format",
    "format_",
    type=click.Choice(["pytest-benchmark"]),
    help="Also write the run in this format, into its folder.",
)
@click.pass_context
def run(
    context: click.Context,
    /,
    suite: str | None,
    quick: bool,
    resume: str | None,
    dry_run: bool,
    format_: str | None,
    **options: Any,
) -> int:
    """Measure a suite: live progress, a summary, and a run folder."""
    from attn_bench.jobs import run as job

    if (suite is None) == (resume is None):
        raise RequestError("run takes --suite NAME, or --resume RUN for one that was cut off")
    progress = console.LiveProgress()
    if resume is not None:
        for name in context.params.keys() - {"resume", "format_"}:
            if context.get_parameter_source(name) is ParameterSource.COMMANDLINE:
                other = name.replace("_", "-")
                raise RequestError(f"--resume goes on with the run's own settings: drop --{other}")
        return _shown(lambda: job.resume(resume, progress), progress, format_)
    assert suite is not None
    request = request_of(suite, options, quick=quick)
    if not dry_run:
        return _shown(lambda: job.run(request, progress), progress, format_)
    try:
        plan, settings = job.plan(request, progress)
    finally:
        progress.close()
    console.planned(plan, settings)
    return 0


def _shown(job: Callable[[], Finished], progress: console.LiveProgress, format_: str | None) -> int:
    """Do the job under the progress line, show what it found, and say how it ended."""
    try:
        finished = job()
    finally:
        progress.close()
    console.finished(finished.path, finished.rows, finished.info)
    if format_ is not None:
        from attn_bench.store import pytest_benchmark, runs

        content = pytest_benchmark.from_run(runs.load(finished.path))
        console.line(f"{format_}: {_write(finished.path / 'pytest-benchmark.json', content)}")
    if finished.trouble:
        console.error(finished.trouble)
    return finished.exit_status


@commands.command()
@measuring
@click.option("--against", metavar="REV", help="The modules as they are in this git revision.")
@click.option("--against-modules", metavar="FILE.py", help="The modules of this file.")
@click.option(
    "--against-python", metavar="PATH", help="The same modules under another interpreter."
)
@click.option("--baseline", metavar="RUN", help="A stored run.")
@strictness
def check(
    suite: str | None,
    against: str | None,
    against_modules: str | None,
    against_python: str | None,
    baseline: str | None,
    **options: Any,
) -> int:
    """The CI gate: is a module slower, heavier, broken or gone?

    Status 0: no. 1: slower, heavier or missing. 3: something could not be measured. 4: undecided,
    or there was nothing to compare.
    """
    from attn_bench.jobs.check import check as job
    from attn_bench.jobs.check.answer import CheckRequest

    others = {
        "--against": against,
        "--against-modules": against_modules,
        "--against-python": against_python,
        "--baseline": baseline,
    }
    if suite is None:
        raise RequestError("check takes --suite NAME")
    wanted = wanted_of(options)
    if sum(value is not None for value in others.values()) != 1:
        raise RequestError(f"check takes exactly one of {', '.join(others)}")
    question = CheckRequest(
        request_of(suite, options),
        against,
        against_modules,
        against_python,
        baseline,
        wanted.tolerances,
        wanted.allow_undecided,
        wanted.must_see,
    )
    progress = console.LiveProgress()
    try:
        answer = job.check(question, progress)
    finally:
        progress.close()
    return _answered(answer, wanted)


@commands.command()
@measuring
@choosing
@click.option("--json", "json_", metavar="FILE", help="Write the answer as JSON.")
@click.pass_context
def recommend(
    context: click.Context, /, suite: str | None, json_: str | None, **options: Any
) -> int:
    """Which module to take: what fits the limits, what it costs here, what papers say it gains.

    Figures of earlier runs are reused where machine, software and code are the same. The
    candidates are those of the suite 'choose', or of --suite. A limit is +10%, 1.1x, or an amount
    (80ms, 30M, 512MiB). Status 0: something is recommended. 1: nothing keeps the limits. 3: some
    candidate could not be measured. 4: nothing surely keeps them, and something may.
    """
    from attn_bench.jobs.recommend import recommend as job
    from attn_bench.view import recommendation as words

    given = {
        name
        for name in context.params
        if context.get_parameter_source(name) is ParameterSource.COMMANDLINE
    }
    question = question_of(request_of(suite or "choose", options), options, given)
    check_writable([json_] if json_ else [])
    progress = console.LiveProgress()
    try:
        answer = job.recommend(question, progress)
    finally:
        progress.close()
    console.recommended(answer)
    if json_ is not None:
        _write(Path(json_), words.as_json(answer))
    if answer.measured and answer.measured.trouble:
        console.error(answer.measured.trouble)
    return answer.exit_status


@commands.command()
@click.argument("glob", metavar="[GLOB]", default="*")
@click.option("--modules-from", multiple=True, metavar="FILE.py", help="Modules of your own.")
@click.option("--device", type=click.Choice(DEVICE_CHOICES), default="cpu")
@click.option("--json", "json_", metavar="FILE", help="Write the matrix as JSON.")
@click.option(
    "--timeout",
    type=POSITIVE,
    default=60.0,
    metavar="SECONDS",
    help="Give up a check that takes longer (compiling: five times that); 60.",
)
@click.option(
    "--memory",
    type=Finite(0.25, 1e6),
    default=4.0,
    metavar="GIB",
    help="The most memory that a worker may take; 4.",
)
def verify(
    glob: str,
    modules_from: tuple[str, ...],
    device: str,
    json_: str | None,
    timeout: float,
    memory: float,
) -> int:
    """Hold modules to what every attention module must do: a matrix of passes and reasons.

    GLOB chooses modules by name ('ge_*,se'); all by default. Status 0: all pass. 1: a check
    failed. 3: none failed, and a worker died or hung over one.
    """
    from attn_bench.jobs import verify as job
    from attn_bench.view import verification as words

    check_writable([json_] if json_ else [])
    progress = console.LiveProgress()
    try:
        answer = job.verify(
            job.VerifyRequest(glob, device, modules_from, timeout, memory),
            progress,
        )
    finally:
        progress.close()
    console.verified([(row.variant, row.checked) for row in answer.rows])
    if json_ is not None:
        _write(Path(json_), words.as_json(answer))
    if answer.state == "interrupted":
        console.error("interrupted")
    return answer.exit_status


@commands.command()
@click.argument("old", metavar="OLD")
@click.argument("new", metavar="NEW")
@strictness
def compare(old: str, new: str, **options: Any) -> int:
    """Two stored runs: what has changed from OLD to NEW, with verdicts where they are warranted."""
    from attn_bench.jobs.check import check as job

    wanted = wanted_of(options)
    answer = job.compare(
        old,
        new,
        wanted.tolerances,
        allow_undecided=wanted.allow_undecided,
        must_see=wanted.must_see,
    )
    return _answered(answer, wanted)


def _answered(answer: Answer, wanted: Wanted) -> int:
    """Show a check's answer to the person, and to the programs that asked for it."""
    from attn_bench.view import ci

    console.checked(answer)
    writers = {"markdown": ci.markdown, "junit": ci.junit, "json_": ci.as_json}
    for name, file in wanted.files.items():
        _write(Path(file), writers[name](answer))
    if summary := os.environ.get("GITHUB_STEP_SUMMARY"):
        _write(Path(summary), ci.markdown(answer), "a")
    if os.environ.get("GITHUB_ACTIONS") == "true":
        console.text(ci.github(answer))
    if answer.trouble:
        console.error(answer.trouble)
    return answer.exit_status


def _write(file: Path, content: str, mode: str = "w") -> Path:
    try:
        with file.open(mode, encoding="utf-8") as stream:
            stream.write(content)
    except OSError as problem:
        raise RequestError(f"{file}: cannot be written: {problem.strerror}") from None
    return file


@commands.command()
@click.argument("run", metavar="RUN")
@click.option("--where", metavar="EXPR", help=f"Only these rows: {WHERE}.")
@click.option("--sort", metavar="COLUMN", help="By this column; -COLUMN for the largest first.")
@click.option("--columns", metavar="A,B,…", help="These columns, or 'all'.")
@click.option(
    "--format",
    "format_",
    type=click.Choice(["table", "md", "csv", "json", "pytest-benchmark"]),
    default="table",
    help="csv, md and json give all columns unless --columns says otherwise.",
)
def show(run: str, where: str | None, sort: str | None, columns: str | None, format_: str) -> int:
    """The table of an earlier run.

    RUN is a folder, its name under ./results/, the beginning of its name, or 'latest'.
    """
    from attn_bench.store import runs
    from attn_bench.store.formats import FORMATS
    from attn_bench.store.selection import columns_of, selected

    stored = runs.load(runs.find(run))
    rows = selected(stored.rows, where, sort)
    if not rows:
        raise RequestError(f"--where {where!r}: no row of {stored.path.name} is like that")
    wanted = columns_of(columns)
    if format_ == "table":
        if wanted or sort:
            console.wide_table(rows, wanted or SHOWN_BY_DEFAULT)
        else:
            console.finished(stored.path, rows, stored.info)
    else:
        console.text(FORMATS[format_](replace(stored, rows=rows), wanted or COLUMNS))
    return 0


@commands.command()
@click.argument("run", metavar="RUN")
@click.option("--out", metavar="FILE", help="The page, instead of report.html in the run folder.")
@click.option("--png", metavar="DIR", help="Also write the figures as pictures into this folder.")
def report(run: str, out: str | None, png: str | None) -> int:
    """One HTML page of a run, figures and table, that needs nothing beside it.

    RUN is a folder, its name under ./results/, the beginning of its name, or 'latest'.
    """
    from attn_bench.view.page import report as job

    for file in job.report(run, out, png):
        console.line(f"written: {file}")
    return 0


@commands.command()
@click.option(
    "--minutes",
    type=POSITIVE,
    default=5.0,
    metavar="N",
    help="How long; more narrows the intervals.  [5]",
)
@click.option("--device", type=click.Choice(DEVICE_CHOICES), default="auto")
def selfcheck(minutes: float, device: str) -> int:
    """How often this tool is wrong on this machine, and how small a slowdown it sees."""
    from attn_bench.jobs import selfcheck as job

    asked = job.SelfcheckRequest(minutes, device, command=tuple(sys.argv[1:]))

    progress = console.LiveProgress()
    try:
        finished, _ = job.selfcheck(asked, progress)
    finally:
        progress.close()
    console.selfcheck(finished.info.selfcheck)
    console.line(f"run folder: {finished.path}")
    return finished.exit_status


def _usable_streams() -> None:
    """Streams that were closed lead nowhere; a terminal that has no θ shows another sign."""
    if sys.stdout is None:
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115, PTH123 - for the life of the process
    if sys.stderr is None:
        sys.stderr = open(os.devnull, "w")  # noqa: SIM115, PTH123
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")


def main(arguments: Sequence[str] | None = None) -> int:
    """The program. Returns the exit status; see `attn-bench --help`."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    _usable_streams()
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.default_int_handler)
    try:
        for word in words:
            if not word.isprintable():
                raise RequestError(f"argument {word!r} has characters that cannot be printed")
        status = int(commands.main(words, prog_name="attn-bench", standalone_mode=False) or 0)
        sys.stdout.flush()
        return status
    except click.exceptions.NoArgsIsHelpError as problem:
        console.text(problem.format_message() + "\n")
        return 2
    except click.ClickException as problem:
        console.error(problem.format_message())
        return problem.exit_code
    except AttnBenchError as problem:
        if "--debug" in words:
            raise
        console.error(str(problem))
        return problem.exit_status
    except (BrokenPipeError, SystemExit):  # click makes the one the other
        # The reader of our output, `head` say, has seen enough; nor is there anything to flush to.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as problem:
        console.error(f"the output cannot be written: {problem.strerror}")
        return 3
    except (click.Abort, KeyboardInterrupt):
        console.error("interrupted")
        return INTERRUPTED
