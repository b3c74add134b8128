"""A run as tables of words, for the formats that people read: Markdown and LaTeX."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from attn_bench.model import units
from attn_bench.model.metrics import METRICS
from attn_bench.model.row import Row
from attn_bench.store.runs import StoredRun
from attn_bench.view.remarks import name_baseline
from attn_bench.view.summary import Cell, summarise

# The metric of each column that is an estimate, or an end of its interval.
_OF = {end: m for m in METRICS if m.lo and m.hi for end in (m.name, m.lo, m.hi)}
DERIVED = ("bound_us", "bound_fraction")  # of measured rates: two digits are known


@dataclass(frozen=True, slots=True)
class Sheet:
    """A table.

    words: how many of the first columns are words.
    """

    title: str
    headings: Sequence[str]
    lines: Sequence[Sequence[Cell]]
    words: int


def make_sheets(run: StoredRun, columns: Sequence[str]) -> Iterator[Sheet]:
    """The tables of the console; with `columns`, one table of these."""
    if columns:
        cells = [[Cell(show_cell(row, name)) for name in columns] for row in run.rows]
        yield Sheet("", list(columns), cells, words=1)
        return
    baseline = name_baseline(run.rows, run.info)
    for summary in summarise(run.rows, baseline):
        lines = [
            (*map(Cell, summary.words(line)), *(line.cells or (Cell(line.row.status),)))
            for line in summary.lines
        ]
        headings = summary.headings(baseline)
        words = len(headings) - len(summary.columns)
        yield Sheet(summary.title, headings, lines, words)


def show_cell(row: Row, column: str) -> str:
    """A column of a row for people, with the digits that its interval supports.

    An estimate has its interval beside it. Empty if it is unknown.

    >>> row = Row(latency_us=2.377, latency_lo_us=1.84, latency_hi_us=3.06)
    >>> show_cell(row, "latency_us"), show_cell(row, "latency_hi_us"), show_cell(row, "params")
    ('1.8 … 3.1', '3.1', '')
    """
    value, metric = getattr(row, column), _OF.get(column)
    if value is None:
        return ""
    if metric is not None and column == metric.name:
        interval = row.interval(column)
        return units.with_interval(interval.times(1) if interval else None)
    if metric is not None or column in DERIVED:
        return units.significant(value, 2)
    return units.plain(value)
