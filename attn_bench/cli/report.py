"""`report`: write the page of a run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click

from attn_bench.model.errors import RequestError
from attn_bench.model.request import WHERE
from attn_bench.model.status import Exit
from attn_bench.view.console import plain

FIGURES = ("png", "svg", "pdf")  # options that write each figure of a run


@click.command()
@click.argument("runs", metavar="RUN…", nargs=-1)
@click.option(
    "--history",
    metavar="METRIC",
    is_flag=False,
    flag_value="ratio",
    help="Instead, the page of all runs in ./results/: a metric over commits, by default ratio.",
)
@click.option(
    "--out", metavar="FILE", help="The file of the page, instead of report.html in the run folder."
)
@click.option("--png", metavar="DIR", help="Also write each figure as a PNG into this folder.")
@click.option("--svg", metavar="DIR", help="As SVG, light or dark as the reader likes it.")
@click.option("--pdf", metavar="DIR", help="As PDF, for one column of a paper.")
@click.option("--where", metavar="EXPR", help=f"Only these cases: {WHERE}.")
@click.option("--modules", metavar="GLOB,…", help="Only these modules.")
@click.option(
    "--gain", metavar="FILE.csv", help="Gains that you measured: the columns variant and gain."
)
def command(
    runs: tuple[str, ...], history: str | None, out: str | None, **options: str | None
) -> int:
    """Write one HTML page of runs, or of their history.

    It is self-contained, and fetches nothing.

    The page has the answer, a table and figures. Of several runs, it also has what changed from the
    first to the last.

    RUN is a folder, its name under ./results/, the beginning of its name, or 'latest'. Or it is the
    STORE of a fleet, whose page is an atlas: modules beside devices, in atlas.html and
    atlas.parquet.
    """
    from attn_bench.jobs.history.history import HistoryRequest
    from attn_bench.view.page import report as job

    if history is not None:
        asked = HistoryRequest(modules=options["modules"], metric=history)
        plain.line(f"written: {job.report_history(asked, out)}")
        return Exit.GOOD
    if not runs:
        raise RequestError("report needs a RUN, or --history")
    if _is_store(runs[0]):
        files = _write_atlas(runs, out, options)
    else:
        files = job.report(runs, out, **options)
    for file in files:
        plain.line(f"written: {file}")
    return Exit.GOOD


def _is_store(name: str) -> bool:
    """Whether RUN is the store of a fleet: a URL, or a folder with a plan."""
    from attn_bench.store.fleet import PLAN
    from attn_bench.store.places import HALF_URL

    return (
        "://" in name
        or HALF_URL.match(name) is not None
        or any(found for at in (PLAN, f"*/{PLAN}") for found in Path(name).glob(at))
    )


def _write_atlas(
    stores: Sequence[str], out: str | None, options: dict[str, str | None]
) -> list[Path]:
    from attn_bench.view.page import report as job

    if len(stores) > 1:
        raise RequestError(f"an atlas is of one store, but {len(stores)} are given")
    for name in FIGURES:
        if options.pop(name) is not None:
            raise RequestError(f"--{name} is for runs: an atlas has its figures in its page alone")
    return job.report_atlas(stores[0], out, **options)
