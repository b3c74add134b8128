"""`show`: show the table of an earlier run."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from attn_bench.cli.options import Offer
from attn_bench.model.errors import RequestError
from attn_bench.model.request import WHERE
from attn_bench.model.status import Exit
from attn_bench.view.console import plain
from attn_bench.view.run_formats import FORMATS

if TYPE_CHECKING:
    from attn_bench.store.runs import StoredRun

SHOWN_BY_DEFAULT = (
    *("variant", "channels", "height", "latency_us", "ratio", "ratio_lo", "ratio_hi", "params"),
    "peak_memory_bytes",
)
TABLE = "table"


@click.command()
@click.argument("run", metavar="RUN")
@click.option("--where", metavar="EXPR", help=f"Only these rows: {WHERE}.")
@click.option(
    "--sort", metavar="COLUMN", help="Sort by this column; -COLUMN puts the largest first."
)
@click.option("--columns", metavar="A,B,…", help="Only these columns, or 'all'.")
@click.option(
    "--format",
    "format_",
    type=Offer([TABLE, *FORMATS]),
    default=TABLE,
    help="The format; csv and json have all columns unless --columns is given.",
)
def command(
    run: str, where: str | None, sort: str | None, columns: str | None, format_: str
) -> int:
    """Show the table of an earlier run.

    RUN is a folder, its name under ./results/, the beginning of its name, or 'latest'.
    """
    from attn_bench.store import runs
    from attn_bench.store.selection import read_columns, select_rows

    stored = runs.load(runs.find(run))
    rows = select_rows(stored.rows, where, sort)
    if not rows:
        why = f"--where {where!r}: matches no row" if where else "it has no rows"
        raise RequestError(f"{stored.path}: {why}")
    selected, names = stored.select(rows), read_columns(columns)
    if format_ != TABLE:
        plain.text(FORMATS[format_](selected, names))
    else:
        _show_table(selected, names, is_sorted=bool(sort))
    return Exit.GOOD


def _show_table(run: StoredRun, columns: list[str], *, is_sorted: bool) -> None:
    from attn_bench.view.console.run import show
    from attn_bench.view.console.show import show_columns

    if columns or is_sorted:
        show_columns(run.rows, columns or SHOWN_BY_DEFAULT)
    else:
        show(run)
