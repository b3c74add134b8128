"""`bisect`: find the commit that changed a figure."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import Any

import click

from attn_bench.cli.options import check_writable, measuring_options, request_of, write_file
from attn_bench.model.errors import RequestError
from attn_bench.view.console import plain


@click.command()
@measuring_options("bisect")
@click.option("--good", metavar="REV", required=True, help="A commit before the change.")
@click.option("--bad", metavar="REV", default="HEAD", help="A commit after it; HEAD by default.")
@click.option(
    "--case", metavar="GLOB", default="*", help="The cases to look at; the one that changed most."
)
@click.option(
    "--metric",
    metavar="NAME",
    default="latency",
    help="latency (the default), or an exact metric: params, macs, peak_memory_bytes, …",
)
@click.option(
    "--least",
    metavar="PERCENT",
    type=click.FloatRange(0, min_open=True),
    default=2.0,
    help="The smallest change of latency that is searched; 2 by default.",
)
@click.option("--json", "json_file", metavar="FILE", help="Also write the answer as JSON.")
def command(
    good: str,
    bad: str,
    case: str,
    metric: str,
    least: float,
    json_file: str | None,
    **options: Any,
) -> int:
    """Find the commit that changed a figure.

    It lies between two others, and made a case slower, faster, heavier or lighter. Each commit is
    compared with the good one in the same processes. What was compared before is read from
    ./results/, so that an interrupted search goes on.

    Status 0: the commit was found, or nothing changed. 3: an end is broken. 4: only a range, or
    undecided.
    """
    from attn_bench.jobs.history.bisect import BisectRequest, bisect
    from attn_bench.view.bisect import as_json, exit_status, list_sentences
    from attn_bench.view.console.progress import LiveProgress

    if options["suite"] is None:
        raise RequestError("bisect needs --suite NAME")
    check_writable([json_file])
    question = BisectRequest(request_of(options), good, bad, case, metric, least / 100)
    with closing(LiveProgress()) as progress:
        found = bisect(question, progress)
    for sentence in list_sentences(found):
        plain.line(sentence)
    if json_file:
        write_file(Path(json_file), as_json(found))
    return exit_status(found)
