"""`report`: write the page of a run."""

from __future__ import annotations

import click

from attn_bench.model.status import Exit
from attn_bench.view.console import plain


@click.command()
@click.argument("run", metavar="RUN")
@click.option(
    "--out", metavar="FILE", help="The file of the page, instead of report.html in the run folder."
)
@click.option("--png", metavar="DIR", help="Also write the figures as pictures into this folder.")
def command(run: str, out: str | None, png: str | None) -> int:
    """Write one self-contained HTML page of a run.

    The page has figures and a table.

    RUN is a folder, its name under ./results/, the beginning of its name, or 'latest'.
    """
    from attn_bench.view.page import report as job

    for file in job.report(run, out, png):
        plain.line(f"written: {file}")
    return Exit.GOOD
