"""All tables of modules against one condition."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from attn_bench.model.row import Row
from attn_bench.view.crossed import batches, runtimes
from attn_bench.view.crossed.table import Crossed


def cross(rows: Sequence[Row], baseline: str) -> Iterator[Crossed]:
    """The tables of the runtimes, then those of the batch sizes."""
    yield from runtimes.cross(rows, baseline)
    yield from batches.cross(rows, baseline)
