"""`show --columns` on the console: the requested columns."""

from __future__ import annotations

from collections.abc import Sequence

from attn_bench.model.row import Row
from attn_bench.view.console.plain import print_aligned
from attn_bench.view.sheets import show_cell


def show_columns(rows: Sequence[Row], columns: Sequence[str]) -> None:
    """Show `columns` of every row, one line each, without cutting; numbers are right-aligned."""
    numeric = [not any(isinstance(getattr(r, c), str) for r in rows) for c in columns]
    cells = [[show_cell(row, name) for name in columns] for row in rows]
    print_aligned([list(columns), *cells], numeric)
