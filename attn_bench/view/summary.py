"""Rows -> the tables that people read: one for each shape, the best of each column marked; one for
each backbone, everything beside the plain one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from rich import box
from rich.markup import escape
from rich.table import Table

from attn_bench.model import units
from attn_bench.model.record import ITEM_BYTES, PLAIN, USUAL_PLACE, Interval, Row

LEGEND = (
    "* the best of its column at this shape, the anchor aside; where times are not known well "
    "enough to tell, several. ± 95 % interval. memory: peak of a call × its input."
)
NETWORK_LEGEND = (
    "Changes are against the plain backbone, latency's in pairs. ± 95 % interval. memory: peak of "
    "a call, beyond input and parameters."
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
        over = "latency" if self.lines[0].row.backbone else f"× {anchor}"
        named = {"ratio": over, "macs": "MACs", "peak_memory_bytes": "memory"}
        return named.get(column, column)


def summaries(rows: Sequence[Row], anchor: str) -> Iterator[Summary]:
    """One for each shape (and backbone) and condition, in the order of `rows`; unsupported cases
    left out."""
    groups: dict[str, list[Row]] = {}
    for row in rows:
        if row.status != "unsupported":
            groups.setdefault(group_title(row), []).append(row)
    for title, group in groups.items():
        of_networks = group[0].backbone is not None
        yield _network_summary(title, group) if of_networks else _summary(title, group, anchor)


def shape_tables(rows: Sequence[Row], anchor: str) -> Iterator[Table]:
    """The summaries as the console shows them."""
    for summary in summaries(rows, anchor):
        yield _shape_table(summary, anchor)


def legends(rows: Sequence[Row]) -> list[str]:
    """What the tables of `rows` need said."""
    has_networks = {row.backbone is not None for row in rows}
    return [NETWORK_LEGEND if networks else LEGEND for networks in sorted(has_networks)]


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
    """What stands above a table: backbone, shape, and what is not as it usually is."""
    usual = ("float32", "contiguous", "inference", "cpu")
    conditions = (row.dtype, row.memory_format, row.mode, row.device)
    words = [row.backbone, shape_in_words(row), *(c for c in conditions if c not in usual)]
    return " ".join(word for word in words if word)


def shape_in_words(row: Row) -> str:
    return f"{row.batch}×{row.channels}×{row.height}×{row.width}"


def name_of(row: Row) -> str:
    """The variant without its extent, which has a column of its own."""
    label = row.variant.replace(f"extent={row.extent}, ", "").replace(f"(extent={row.extent})", "")
    words = [label]
    if row.place not in (None, USUAL_PLACE):
        words.append(f"at {row.place}")
    if row.execution == "compile":
        words.append("compiled")
    return " ".join(words)


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


def _network_summary(title: str, rows: Sequence[Row]) -> Summary:
    """The plain backbone in its units, the others as changes of it."""
    plain = next((row for row in rows if row.variant == PLAIN and row.status == "ok"), None)

    def line(row: Row) -> Line:
        if row.status != "ok":
            return Line(row, name_of(row))
        latency, ratio = interval_of(row, "latency"), interval_of(row, "ratio")
        shown = [units.with_interval(latency.times(1e-3) if latency else None)]
        if row is plain:
            shown += ["", units.count(row.params), units.count(row.macs)]
            shown.append(units.bytes_(row.peak_memory_bytes))
        else:
            shown.append(units.change_with_interval(ratio.times(1.0) if ratio else None))
            shown += [
                units.change(_over(row, plain, column))
                for column in ("params", "macs", "peak_memory_bytes")
            ]
        return Line(row, name_of(row), tuple(Cell(text) for text in shown))

    columns = ("latency", "ratio", "params", "macs", "peak_memory_bytes")
    ordered = sorted(rows, key=lambda row: row is not plain)
    return Summary(title, "ms", columns, tuple(line(row) for row in ordered))


def _over(row: Row, plain: Row | None, column: str) -> float | None:
    value, of = getattr(row, column), getattr(plain, column, None)
    return value / of if value is not None and of else None


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
