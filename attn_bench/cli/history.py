"""`history`: the course of a figure over commits."""

from __future__ import annotations

from contextlib import closing
from typing import Any

import click

from attn_bench.cli.options import Offer, request_of, run_option
from attn_bench.model.errors import RequestError
from attn_bench.model.status import Exit
from attn_bench.view.console import plain

TABLE = "table"
MEASURING = ("modules_from", "budget", "sessions", "device", "threads", "wait")  # options of --fill


@click.command()
@click.option("--suite", metavar="GLOB,…", help="Only runs of these suites; --fill measures one.")
@click.option("--modules", metavar="GLOB,…", help="Only these modules.")
@click.option(
    "--metric",
    metavar="NAME",
    default="ratio",
    help="The figure: ratio (the default), latency_us, peak_memory_bytes or another of "
    "`attn-bench list metrics`.",
)
@click.option("--since", metavar="REV", help="Only runs of this commit and of later ones.")
@click.option(
    "--fill",
    metavar="OLD..NEW",
    help="First measure each commit beside the one before it, in the same processes.",
)
@click.option(
    "--every", metavar="N", type=click.IntRange(1), default=1, help="Of --fill: one commit in N."
)
@run_option("modules_from")
@run_option("budget", help="Of --fill: the time for each pair of commits.")
@run_option("sessions", help="Of --fill: the worker processes of a pair, 8 by default.")
@run_option("device")
@run_option("threads")
@run_option("wait")
@click.option(
    "--format",
    "format_",
    type=Offer([TABLE, "md", "csv", "json"]),
    default=TABLE,
    help="The format; csv has a line for each run of each case.",
)
def command(**options: Any) -> int:
    """Show at which commit a figure changed.

    The runs are those in ./results/. Runs of one machine are compared with each other, in the order
    of their commits. Where the software changed, the course begins anew.
    """
    from attn_bench.jobs.history.history import HistoryRequest, make_history
    from attn_bench.view.history import FORMATS

    if options["fill"] is not None:
        _fill(options)
    asked = (options[name] for name in ("suite", "modules", "metric", "since"))
    found = make_history(HistoryRequest(*asked))
    if options["format_"] != TABLE:
        plain.text(FORMATS[options["format_"]](found))
        return Exit.GOOD
    from attn_bench.view.console.history import show

    show(found)
    return Exit.GOOD


def _fill(options: dict[str, Any]) -> None:
    from attn_bench.jobs.history.fill import fill
    from attn_bench.view.console.progress import LiveProgress
    from attn_bench.view.console.terminal import warn

    if options["suite"] is None:
        raise RequestError("--fill needs --suite NAME")
    names = ("suite", "modules", *MEASURING)
    request = request_of({name: options[name] for name in names})
    with closing(LiveProgress()) as progress:
        filled = fill(request, options["fill"], options["every"], progress)
    for commit, reason in filled.skipped:
        warn(f"{commit[:10]} left out: {reason}")
