"""`list` on the console: one line for each item."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from attn_bench.model import units
from attn_bench.view.console.plain import print_aligned


def show(items: Iterable[Mapping[str, Any]], columns: Sequence[str]) -> None:
    """Show `columns` of each item, aligned."""
    print_aligned([[units.plain(item[name]) for name in columns] for item in items])
