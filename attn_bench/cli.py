"""Words in, exit status out. Each command hands its words on and shows what comes back."""

from __future__ import annotations

import io
import math
import os
import signal
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from attn_bench import __version__, console
from attn_bench.errors import AttnBenchError, RequestError, nearest
from attn_bench.record import COLUMNS, TOLERABLE, Row, Tolerance

if TYPE_CHECKING:
    from attn_bench.ci import Answer
    from attn_bench.measure import Finished, Request

INTERRUPTED = 130
SHOWN_BY_DEFAULT = [
    *("variant", "channels", "height", "latency_us", "ratio", "ratio_lo", "ratio_hi", "params"),
    "peak_memory_bytes",
]
WHERE = "comparisons of columns, as in \"channels >= 256 and module in ['se', 'cbam']\""


class _Finite(click.FloatRange):
    """A range of numbers that inf and nan are not in."""

    def convert(
        self, value: Any, parameter: click.Parameter | None, context: click.Context | None
    ) -> float:
        number = float(super().convert(value, parameter, context))
        if not math.isfinite(number):
            self.fail(f"{value} is no finite number.", parameter, context)
        return number


POSITIVE = _Finite(0, 1e7, min_open=True)
PERCENT = _Finite(0, 100, min_open=True)


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
        from attn_bench import suite

        items = [{"name": name, "title": title} for name, title in suite.available().items()]
        columns = ["name", "title"]
    else:
        items, columns = console.metrics(), ["name", "unit", "about"]
    if as_json:
        import json

        console.text(json.dumps(items, indent=2, ensure_ascii=False) + "\n")
    else:
        console.listing(items, columns)


def _modules(modules_from: tuple[str, ...]) -> list[dict[str, Any]]:
    from attn_bench import registry

    if modules_from:
        from attn_bench.measure import describe_all

        known = describe_all(modules_from)
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


def _measuring(command: Callable[..., int]) -> Callable[..., int]:
    """The options of every command that measures a suite."""
    options = [
        click.option("--suite", metavar="NAME", help="A suite's name, or a TOML file."),
        click.option(
            "--device",
            type=click.Choice(["cpu", "cuda", "auto"]),
            default="auto",
            help="auto takes a GPU where there is one.",
        ),
        click.option(
            "--modules",
            metavar="GLOB,…",
            help="Only these modules (and their anchors): 'ge_*,se'.",
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
            type=_Finite(0.25, 1e6),
            metavar="GIB",
            help="The most memory that a worker may take; nine tenths of what is free.",
        ),
    ]
    for option in reversed(options):
        command = option(command)
    return command


def _request(suite: str, options: Mapping[str, Any], *, quick: bool = False) -> Request:
    """What `_measuring` has read, as the program takes it."""
    from attn_bench.measure import Request

    precision = options["precision"]
    return Request(
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


@commands.command()
@_measuring
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
    from attn_bench import measure as job

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
    request = _request(suite, options, quick=quick)
    if not dry_run:
        return _shown(lambda: job.run(request, progress), progress, format_)
    try:
        prepared = job.prepare(request, progress)
    finally:
        progress.close()
    prepared.worker.end()
    console.planned(prepared.plan, prepared.settings)
    return 0


def _shown(job: Callable[[], Finished], progress: console.LiveProgress, format_: str | None) -> int:
    """Do the job under the progress line, show what it found, and say how it ended."""
    try:
        finished = job()
    finally:
        progress.close()
    console.finished(finished.path, finished.rows, finished.info)
    if format_ is not None:
        from attn_bench import pytest_json, store

        content = pytest_json.from_run(store.load(finished.path))
        console.line(f"{format_}: {_write(finished.path / 'pytest-benchmark.json', content)}")
    if finished.trouble:
        console.error(finished.trouble)
    return finished.exit_status


def _strictness(command: Callable[..., int]) -> Callable[..., int]:
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


@commands.command()
@_measuring
@click.option("--against", metavar="REV", help="The modules as they are in this git revision.")
@click.option("--against-modules", metavar="FILE.py", help="The modules of this file.")
@click.option(
    "--against-python", metavar="PATH", help="The same modules under another interpreter."
)
@click.option("--baseline", metavar="RUN", help="A stored run.")
@_strictness
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
    from attn_bench import check as job

    others = {
        "--against": against,
        "--against-modules": against_modules,
        "--against-python": against_python,
        "--baseline": baseline,
    }
    if suite is None:
        raise RequestError("check takes --suite NAME")
    wanted = _wanted(options)
    if sum(value is not None for value in others.values()) != 1:
        raise RequestError(f"check takes exactly one of {', '.join(others)}")
    question = job.Question(
        _request(suite, options),
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
@click.argument("glob", metavar="[GLOB]", default="*")
@click.option("--modules-from", multiple=True, metavar="FILE.py", help="Modules of your own.")
@click.option("--device", type=click.Choice(["cpu", "cuda", "auto"]), default="cpu")
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
    type=_Finite(0.25, 1e6),
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
    from attn_bench import verify as job

    _writable([json_] if json_ else [])
    progress = console.LiveProgress()
    try:
        answer = job.verify(
            job.Request(glob, device, modules_from, timeout, memory),
            progress,
        )
    finally:
        progress.close()
    console.verified([(row.variant, row.checked) for row in answer.rows])
    if json_ is not None:
        _write(Path(json_), job.as_json(answer))
    if answer.state == "interrupted":
        console.error("interrupted")
    return answer.exit_status


@commands.command()
@click.argument("old", metavar="OLD")
@click.argument("new", metavar="NEW")
@_strictness
def compare(old: str, new: str, **options: Any) -> int:
    """Two stored runs: what has changed from OLD to NEW, with verdicts where they are warranted."""
    from attn_bench import check as job

    wanted = _wanted(options)
    answer = job.compare(
        old,
        new,
        wanted.tolerances,
        allow_undecided=wanted.allow_undecided,
        must_see=wanted.must_see,
    )
    return _answered(answer, wanted)


@dataclass(frozen=True)
class _Wanted:
    """What `_strictness` has read. files: where to write the answer, by the name of its format."""

    tolerances: tuple[Tolerance, ...]
    allow_undecided: bool
    must_see: float | None
    files: Mapping[str, str]


def _wanted(options: Mapping[str, Any]) -> _Wanted:
    files = {name: options[name] for name in ("markdown", "junit", "json_") if options[name]}
    _writable(files.values())
    must_see = options["must_see"]
    return _Wanted(
        _tolerances(options["tolerance"], options["warn"]),
        options["allow_undecided"],
        None if must_see is None else must_see / 100,
        files,
    )


def _writable(files: Iterable[str]) -> None:
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


def _answered(answer: Answer, wanted: _Wanted) -> int:
    """Show a check's answer to the person, and to the programs that asked for it."""
    from attn_bench import ci

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
    from attn_bench import store

    stored = store.load(store.find(run))
    rows = _selected(stored.rows, where, sort)
    if not rows:
        raise RequestError(f"--where {where!r}: no row of {stored.path.name} is like that")
    wanted = _columns(columns)
    if format_ == "table":
        if wanted or sort:
            console.wide_table(rows, wanted or SHOWN_BY_DEFAULT)
        else:
            console.finished(stored.path, rows, stored.info)
    else:
        if format_ == "pytest-benchmark":
            from attn_bench import pytest_json

            console.text(pytest_json.from_run(replace(stored, rows=rows)))
            return 0
        writer = {"md": store.as_markdown, "csv": store.as_csv, "json": store.as_json}[format_]
        console.text(writer(rows, wanted or COLUMNS))
    return 0


@commands.command()
@click.argument("run", metavar="RUN")
@click.option("--out", metavar="FILE", help="The page, instead of report.html in the run folder.")
@click.option("--png", metavar="DIR", help="Also write the figures as pictures into this folder.")
def report(run: str, out: str | None, png: str | None) -> int:
    """One HTML page of a run, figures and table, that needs nothing beside it.

    RUN is a folder, its name under ./results/, the beginning of its name, or 'latest'.
    """
    from attn_bench import report as job

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
@click.option("--device", type=click.Choice(["cpu", "cuda", "auto"]), default="auto")
def selfcheck(minutes: float, device: str) -> int:
    """How often this tool is wrong on this machine, and how small a slowdown it sees."""
    from attn_bench import selfcheck as job

    progress = console.LiveProgress()
    try:
        finished, _ = job.selfcheck(minutes, device, progress, command=sys.argv[1:])
    finally:
        progress.close()
    console.selfcheck(finished.info["selfcheck"])
    console.line(f"run folder: {finished.path}")
    return finished.exit_status


def _selected(rows: Sequence[Row], where: str | None, sort: str | None) -> list[Row]:
    from attn_bench.where import Condition

    chosen = list(rows)
    if where:
        condition = Condition(where, COLUMNS)
        chosen = [row for row in chosen if condition({c: getattr(row, c) for c in COLUMNS})]
    if sort:
        column = sort.removeprefix("-")
        if column not in COLUMNS:
            raise RequestError(f"--sort: unknown column {column!r}{nearest(column, COLUMNS)}")
        known = [row for row in chosen if getattr(row, column) is not None]
        words = any(isinstance(getattr(row, column), str) for row in known)
        known.sort(
            key=lambda row: str(getattr(row, column)) if words else getattr(row, column),
            reverse=sort.startswith("-"),
        )
        chosen = known + [row for row in chosen if getattr(row, column) is None]
    return chosen


def _columns(words: str | None) -> list[str]:
    """Checked column names; empty where none were given."""
    if not words:
        return []
    names = list(COLUMNS) if words == "all" else [word.strip() for word in words.split(",")]
    for name in names:
        if name not in COLUMNS:
            raise RequestError(f"unknown column {name!r}{nearest(name, COLUMNS)}")
    return names


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
