"""`run`: measure a suite, or resume an interrupted run."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from typing import TYPE_CHECKING, Any

import click

from attn_bench.cli.options import Offer, measuring_options, request_of, typed_options, write_inside
from attn_bench.model.errors import RequestError
from attn_bench.model.request import RunRequest
from attn_bench.model.status import Exit
from attn_bench.view.console import plain
from attn_bench.view.run_formats import OF_PROGRAMS

if TYPE_CHECKING:
    from attn_bench.engine.progress import Progress
    from attn_bench.engine.run import Finished


@click.command()
@measuring_options("run")
@click.option(
    "--resume",
    metavar="RUN",
    help="Resume an interrupted run; name its --modules-from again.",
)
@click.option("--dry-run", is_flag=True, help="List what would be measured, and measure nothing.")
@click.option(
    "--format",
    "format_",
    type=Offer([*OF_PROGRAMS]),
    help="Also write the run in this format into its folder.",
)
@click.pass_context
def command(
    context: click.Context,
    /,
    resume: str | None,
    dry_run: bool,
    format_: str | None,
    **options: Any,
) -> int:
    """Measure a suite: live progress, a summary, and a run folder."""
    from attn_bench.jobs import run as job

    if options["suite"] and resume:
        raise RequestError("give --suite NAME for a new run or --resume RUN, not both")
    if options["suite"] is None and resume is None:
        raise RequestError("run needs --suite NAME, or --resume RUN for an interrupted run")
    if resume is not None:
        _refuse_other_settings(context)
        files, wait = options["modules_from"], options["wait"]
        return _show(
            lambda progress: job.resume(resume, progress, modules_from=files, wait=wait), format_
        )
    request = request_of(options)
    if dry_run:
        return _show_plan(request)
    return _show(lambda progress: job.run(request, progress), format_)


def _refuse_other_settings(context: click.Context) -> None:
    for name in sorted(typed_options(context) - {"resume", "format_", "wait", "modules_from"}):
        option = name.replace("_", "-")
        raise RequestError(f"--resume uses the settings of the run itself: drop --{option}")


def _show_plan(request: RunRequest) -> int:
    from attn_bench.jobs import run as job
    from attn_bench.view.console import run as view
    from attn_bench.view.console.progress import LiveProgress

    with closing(LiveProgress()) as progress:
        planned = job.plan(request, progress)
    view.show_plan(planned)
    return Exit.GOOD


def _show(job: Callable[[Progress], Finished], format_: str | None) -> int:
    """Do the job with a progress line, and show the result. Returns the exit status."""
    from attn_bench.store.runs import StoredRun
    from attn_bench.view.console import run as view
    from attn_bench.view.console.progress import LiveProgress

    with closing(LiveProgress()) as progress:
        finished = job(progress)
    view.show(StoredRun(finished.path, finished.info, finished.rows))
    if format_ is not None:
        from attn_bench.store import runs

        content = OF_PROGRAMS[format_](runs.load(finished.path), ())
        file = finished.path / f"{format_}.json"
        write_inside(file, content)
        plain.line(f"{format_}: {file}")
    if finished.trouble:
        plain.error(finished.trouble)
    return finished.exit_status
