"""`list` on the console: a heading, and one line for each item."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from attn_bench.model import units
from attn_bench.view.console.plain import print_aligned


def show(items: Iterable[Mapping[str, Any]], columns: Sequence[str]) -> None:
    """Show `columns` of each item, aligned."""
    cells = [[units.plain(item[name]) for name in columns] for item in items]
    print_aligned([list(columns), *cells])
