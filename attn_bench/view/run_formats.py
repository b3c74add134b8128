"""The table of the formats of `show --format` and `run --format`: a format is one entry.

`show --help` reads it, so what a format needs is imported where it is used.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from attn_bench.store.runs import StoredRun

# From a run and the wanted columns to text; no column stands for the format's own choice.
Format = Callable[["StoredRun", Sequence[str]], str]


def _markdown(run: StoredRun, columns: Sequence[str]) -> str:
    from attn_bench.view.markdown import write

    return write(run, columns)


def _latex(run: StoredRun, columns: Sequence[str]) -> str:
    from attn_bench.view.latex import write

    return write(run, columns)


def _csv(run: StoredRun, columns: Sequence[str]) -> str:
    from attn_bench.model.row import COLUMNS
    from attn_bench.store.tables import as_csv

    return as_csv(run.rows, columns or COLUMNS)


def _json(run: StoredRun, columns: Sequence[str]) -> str:
    from attn_bench.model.row import COLUMNS
    from attn_bench.store.tables import as_json

    return as_json(run.rows, columns or COLUMNS)


def _pytest_benchmark(run: StoredRun, columns: Sequence[str]) -> str:
    from attn_bench.store import pytest_benchmark

    return pytest_benchmark.from_run(run)


def _action_benchmark(run: StoredRun, columns: Sequence[str]) -> str:
    from attn_bench.view import action_benchmark

    return action_benchmark.from_run(run)


# The JSON of other programs, which `run` writes into the run folder.
OF_PROGRAMS: Mapping[str, Format] = {
    "pytest-benchmark": _pytest_benchmark,
    "github-action-benchmark": _action_benchmark,
}
FORMATS: Mapping[str, Format] = {
    "md": _markdown,
    "markdown": _markdown,
    "latex": _latex,
    "csv": _csv,
    "json": _json,
    **OF_PROGRAMS,
}
