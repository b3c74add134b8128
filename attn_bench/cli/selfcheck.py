"""`selfcheck`: measure the error rates of this tool on this machine."""

from __future__ import annotations

import sys
from contextlib import closing

import click

from attn_bench.cli.options import FiniteRange, run_option
from attn_bench.view.console import plain


@click.command()
@click.option(
    "--minutes",
    type=FiniteRange(0, 1e7, min_open=True),
    default=5.0,
    metavar="N",
    help="How long to measure; a longer time gives narrower intervals.  [5]",
)
@run_option("device")
@run_option("wait")
def command(minutes: float, device: str, wait: bool) -> int:
    """Measure the error rates of this tool on this machine.

    It also finds the smallest slowdown that the tool sees here.
    """
    from attn_bench.jobs import selfcheck as job
    from attn_bench.view.console import selfcheck as view
    from attn_bench.view.console.progress import LiveProgress

    request = job.SelfcheckRequest(minutes, device, command=tuple(sys.argv[1:]), wait=wait)
    with closing(LiveProgress()) as progress:
        finished, _ = job.selfcheck(request, progress)
    view.show(finished.info)
    plain.line(f"run folder: {finished.path}")
    if finished.trouble:
        plain.error(finished.trouble)
    return finished.exit_status
