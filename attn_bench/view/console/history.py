"""`history` on the console: what changed, then every series."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from attn_bench.jobs.history.history import History
from attn_bench.view.console.tables import Column, print_table
from attn_bench.view.console.terminal import open_stdout, paragraph
from attn_bench.view.history import (
    CHANGES,
    SERIES,
    list_remarks,
    make_series,
    summarise,
    tell_changes,
)
from attn_bench.view.markup import escape

if TYPE_CHECKING:
    from rich.console import Console

WORDS = ("change", "case", "series")  # columns of words, which are aligned to the left


def show(history: History) -> None:
    console = open_stdout()
    console.print(escape(summarise(history)), style="bold")
    console.print()
    changes = [told.cells for told in tell_changes(history)]
    _show(console, CHANGES, changes, repeated=2)
    _show(console, SERIES, make_series(history), repeated=1)
    for remark in list_remarks(history):
        paragraph(remark)


def _show(
    console: Console, headings: Sequence[str], lines: Sequence[Sequence[str]], *, repeated: int
) -> None:
    if lines:
        columns = [Column(name, "left" if name in WORDS else "right") for name in headings]
        body = [list(map(escape, line)) for line in lines]
        print_table(console, columns, body, repeated=repeated)
