"""`history`: a figure over commits."""

from __future__ import annotations

from contextlib import closing, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from attn_bench.cli.options import Offer, WholeRange, request_of, run_option
from attn_bench.model import units
from attn_bench.model.errors import RequestError
from attn_bench.model.status import Exit
from attn_bench.store.runs import RESULTS
from attn_bench.view.console import plain

if TYPE_CHECKING:
    from attn_bench.jobs.history.history import History

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
    "--every", metavar="N", type=WholeRange(1), default=1, help="Of --fill: one commit in N."
)
@click.option(
    "--store",
    metavar="DIR|git:BRANCH",
    help="Keep the runs in a folder, or in a branch of this repository, and show those kept there.",
)
@click.option(
    "--keep",
    metavar="N",
    type=WholeRange(1),
    default=500,
    help="Of --store: the runs of a suite on a machine that stay, the newest; 500 by default.",
)
@click.option(
    "--push",
    metavar="REMOTE",
    help="Of --store git:BRANCH: fetch the branch of this remote before, and push it after.",
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
    of their commits. Where the software changed, the series begins anew.
    """
    from attn_bench.view.history import FORMATS

    if options["store"] is not None:
        found = _show_store(options)
    elif options["push"] is not None:
        raise RequestError("--push needs --store git:BRANCH")
    else:
        if options["fill"] is not None:
            _fill(options)
        found = _make(options, Path(RESULTS))
    if options["format_"] != TABLE:
        plain.text(FORMATS[options["format_"]](found))
        return Exit.GOOD
    from attn_bench.view.console.history import show

    show(found)
    return Exit.GOOD


def _note(sentence: str) -> None:
    """Print a sentence beside the answer, which may be JSON."""
    click.echo(sentence, err=True)


def _make(options: dict[str, Any], results: Path) -> History:
    from attn_bench.jobs.history.history import HistoryRequest, make_history

    suite, modules, metric, since = (options[n] for n in ("suite", "modules", "metric", "since"))
    return make_history(HistoryRequest(suite, modules, metric, since, results))


def _show_store(options: dict[str, Any]) -> History:
    from attn_bench.jobs.history.kept import StoreRequest, open_store
    from attn_bench.view.history import MOST_SKIPPED

    place = options["store"]
    with open_store(StoreRequest(place, options["keep"], options["push"])) as store:
        try:
            if options["fill"] is not None:
                _fill(options, store.folder)
        except BaseException:
            with suppress(RequestError):  # what was measured is kept
                store.update()
            raise
        change = store.update()
        for sentence in change.skipped[:MOST_SKIPPED]:
            _note(f"warning: not kept: {sentence}")
        if (more := len(change.skipped) - MOST_SKIPPED) > 0:
            _note(f"warning: not kept: {units.number(more, 'run')} more")
        added, removed = (units.number(n, "run") for n in (change.added, change.removed))
        _note(f"{place}: {added} added, {removed} removed")
        return _make(options, store.folder)


def _fill(options: dict[str, Any], store: Path | None = None) -> None:
    from attn_bench.jobs.history.fill import fill
    from attn_bench.view.console.progress import LiveProgress

    if options["suite"] is None:
        raise RequestError("--fill needs --suite NAME")
    names = ("suite", "modules", *MEASURING)
    request = request_of({name: options[name] for name in names})
    with closing(LiveProgress()) as progress:
        filled = fill(request, options["fill"], options["every"], progress, store)
    for commit, reason in filled.skipped:
        _note(f"warning: {commit[:10]} left out: {reason}")
