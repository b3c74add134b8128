"""Rows -> the tables that people read: one for each shape, the best of each column marked."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Literal

from rich import box
from rich.markup import escape
from rich.table import Table

from attn_bench import units
from attn_bench.record import ITEM_BYTES, Interval, Row

LEGEND = (
    "* the best of its column at this shape, the anchor aside; where times are not known well "
    "enough to tell, several. ± 95 % interval. memory: peak of a call × its input."
)
TIMED = ("latency", "device", "ratio")


@dataclass(frozen=True, slots=True)
class Cell:
    """A figure as people read it; `best` where no other of its column and shape beats it."""

    text: str
    best: bool = False


@dataclass(frozen=True, slots=True)
class Line:
    """A row with its figures, one for each of the summary's columns; none unless it is ok."""

    row: Row
    name: str
    cells: tuple[Cell, ...] = ()


@dataclass(frozen=True, slots=True)
class Summary:
    """The lines of one shape and condition; `unit` is that of its latencies."""

    title: str
    unit: Literal["µs", "ms"]
    columns: tuple[str, ...]
    lines: tuple[Line, ...]

    def heading(self, column: str, anchor: str) -> str:
        """`column` as people call it."""
        if column in ("latency", "device"):
            return f"{column} {self.unit}"
        named = {"ratio": f"× {anchor}", "macs": "MACs", "peak_memory_bytes": "memory"}
        return named.get(column, column)


def summaries(rows: Sequence[Row], anchor: str) -> Iterator[Summary]:
    """One for each shape and condition, in the order of `rows`; unsupported cases left out."""
    for title, group in groupby((row for row in rows if row.status != "unsupported"), group_title):
        yield _summary(title, list(group), anchor)


def shape_tables(rows: Sequence[Row], anchor: str) -> Iterator[Table]:
    """The summaries as the console shows them."""
    for summary in summaries(rows, anchor):
        yield _shape_table(summary, anchor)


def interval_of(row: Row, metric: str) -> Interval | None:
    """`metric` ("latency", "device" or "ratio") of a row with its interval, if it has one."""
    unit = "" if metric == "ratio" else "_us"
    value, lo, hi = (getattr(row, f"{metric}{end}{unit}") for end in ("", "_lo", "_hi"))
    return None if value is None else Interval(value, lo, hi)


def memory_multiple(row: Row) -> float | None:
    """Peak memory as a multiple of the input."""
    if row.peak_memory_bytes is None:
        return None
    elements = row.batch * row.channels * row.height * row.width
    return row.peak_memory_bytes / (elements * ITEM_BYTES[row.dtype])


def group_title(row: Row) -> str:
    """What stands above a table: the shape, and what is not as it usually is."""
    usual = ("float32", "contiguous", "inference", "cpu")
    conditions = (row.dtype, row.memory_format, row.mode, row.device)
    return " ".join([shape_in_words(row), *(word for word in conditions if word not in usual)])


def shape_in_words(row: Row) -> str:
    return f"{row.batch}×{row.channels}×{row.height}×{row.width}"


def name_of(row: Row) -> str:
    """The variant without its extent, which has a column of its own."""
    label = row.variant.replace(f"extent={row.extent}, ", "").replace(f"(extent={row.extent})", "")
    return f"{label} compiled" if row.execution == "compile" else label


def _summary(title: str, rows: Sequence[Row], anchor: str) -> Summary:
    longest_us = max((row.latency_us or 0.0 for row in rows), default=0.0)
    unit: Literal["µs", "ms"] = "ms" if longest_us >= 1000 else "µs"
    timed = [m for m in TIMED if m != "device" or any(row.device_us is not None for row in rows)]
    competitors = [row for row in rows if row.variant != anchor and row.status == "ok"]

    def line(row: Row) -> Line:
        if row.status != "ok":
            return Line(row, name_of(row))
        cells = []
        for metric in timed:
            interval = interval_of(row, metric)
            factor = 1e-3 if metric != "ratio" and unit == "ms" else 1.0
            shown = units.with_interval(interval.times(factor) if interval else None)
            cells.append(Cell(shown, _is_fastest(row, metric, competitors)))
        for column, shown in (
            ("params", units.count(row.params)),
            ("macs", units.count(row.macs)),
            ("peak_memory_bytes", units.multiple(memory_multiple(row))),
        ):
            cells.append(Cell(shown, _is_least(row, column, competitors)))
        return Line(row, name_of(row), tuple(cells))

    columns = (*timed, "params", "macs", "peak_memory_bytes")
    return Summary(title, unit, columns, tuple(map(line, rows)))


def _shape_table(summary: Summary, anchor: str) -> Table:
    table = Table(
        title=summary.title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD
    )
    table.add_column("module", no_wrap=True)
    for heading in ["extent", *(summary.heading(column, anchor) for column in summary.columns)]:
        table.add_column(heading, justify="right", no_wrap=True)
    for line in summary.lines:
        extent = "" if line.row.extent is None else str(line.row.extent)
        cells = map(_marked, line.cells) if line.cells else [f"[dim]{line.row.status}[/]"]
        table.add_row(escape(line.name), extent, *cells)
    return table


def _is_fastest(row: Row, metric: str, competitors: Sequence[Row]) -> bool:
    """No slower than the fastest by more than the intervals tell."""
    mine = interval_of(row, metric)
    intervals = [i for other in competitors if (i := interval_of(other, metric)) is not None]
    if row not in competitors or mine is None or len(intervals) < 2:
        return False
    return mine.lo <= min(intervals, key=lambda interval: interval.value).hi


def _is_least(row: Row, column: str, competitors: Sequence[Row]) -> bool:
    """The smallest, unless all are alike."""
    values = [v for other in competitors if (v := getattr(other, column)) is not None]
    return row in competitors and bool(values) and getattr(row, column) == min(values) < max(values)


def _marked(cell: Cell) -> str:
    return f"[bold green]{cell.text}*[/]" if cell.best else f"{cell.text} "
