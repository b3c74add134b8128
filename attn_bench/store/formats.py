"""The table of the formats of `show --format`: a format is one entry."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from attn_bench.store import pytest_benchmark, tables
from attn_bench.store.runs import StoredRun

# From a run and the selected columns to text.
Format = Callable[[StoredRun, Sequence[str]], str]
FORMATS: Mapping[str, Format] = {
    "md": lambda run, columns: tables.as_markdown(run.rows, columns),
    "csv": lambda run, columns: tables.as_csv(run.rows, columns),
    "json": lambda run, columns: tables.as_json(run.rows, columns),
    "pytest-benchmark": lambda run, columns: pytest_benchmark.from_run(run),
}
