"""Rows -> the tables that people read: one for each shape, the best of each column marked; one for
each backbone, everything beside the plain one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich import box
from rich.markup import escape
from rich.table import Table

from attn_bench import units
from attn_bench.record import ITEM_BYTES, PLAIN, USUAL_PLACE, Interval, Row

LEGEND = (
    "* the best of its column at this shape, the anchor aside; where times are not known well "
    "enough to tell, several. ± 95 % interval. memory: peak of a call × its input."
)
NETWORK_LEGEND = (
    "Changes are against the plain backbone, latency's in pairs. ± 95 % interval. memory: peak of "
    "a call, beyond input and parameters."
)
TIMED = ("latency", "device", "ratio")


def shape_tables(rows: Sequence[Row], anchor: str) -> Iterator[Table]:
    """A table for each shape (and backbone) and condition, in the order of `rows`; unsupported
    cases left out."""
    groups: dict[tuple[str | None, str, tuple[str, ...]], list[Row]] = {}
    for row in rows:
        if row.status != "unsupported":
            groups.setdefault(_group(row), []).append(row)
    for (backbone, shape, condition), group in groups.items():
        if backbone is None:
            yield _shape_table(" ".join([shape, *condition]), group, anchor)
        else:
            yield _network_table(" ".join([backbone, shape, *condition]), group)


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


def _group(row: Row) -> tuple[str | None, str, tuple[str, ...]]:
    """What stands above a table: backbone, shape, and what is not as it usually is."""
    usual = ("float32", "contiguous", "inference", "cpu")
    conditions = (row.dtype, row.memory_format, row.mode, row.device)
    shape = f"{row.batch}×{row.channels}×{row.height}×{row.width}"
    return row.backbone, shape, tuple(word for word in conditions if word not in usual)


def _shape_table(title: str, rows: Sequence[Row], anchor: str) -> Table:
    longest_us = max((row.latency_us or 0.0 for row in rows), default=0.0)
    unit, scale = ("ms", 1e-3) if longest_us >= 1000 else ("µs", 1.0)
    headings = {"latency": f"latency {unit}", "device": f"device {unit}", "ratio": f"× {anchor}"}
    timed = [m for m in TIMED if m != "device" or any(row.device_us is not None for row in rows)]
    table = Table(title=title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD)
    table.add_column("module", no_wrap=True)
    for heading in ["extent", *(headings[m] for m in timed), "params", "MACs", "memory"]:
        table.add_column(heading, justify="right", no_wrap=True)
    competitors = [row for row in rows if row.variant != anchor and row.status == "ok"]
    for row in rows:
        extent = "" if row.extent is None else str(row.extent)
        if row.status != "ok":
            table.add_row(_name(row), extent, f"[dim]{row.status}[/]")
            continue
        cells = []
        for metric in timed:
            interval = interval_of(row, metric)
            factor = 1.0 if metric == "ratio" else scale
            shown = units.with_interval(interval.times(factor) if interval else None)
            cells.append(_marked(shown, _is_fastest(row, metric, competitors)))
        for column, shown in (
            ("params", units.count(row.params)),
            ("macs", units.count(row.macs)),
            ("peak_memory_bytes", units.multiple(memory_multiple(row))),
        ):
            cells.append(_marked(shown, _is_least(row, column, competitors)))
        table.add_row(_name(row), extent, *cells)
    return table


def _network_table(title: str, rows: Sequence[Row]) -> Table:
    """The plain backbone in its units, the others as changes of it."""
    plain = next((r for r in rows if r.variant == PLAIN and r.status == "ok"), None)
    table = Table(title=title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD)
    table.add_column("module", no_wrap=True)
    for heading in ("extent", "latency ms", "latency", "params", "MACs", "memory"):
        table.add_column(heading, justify="right", no_wrap=True)
    for row in sorted(rows, key=lambda row: row is not plain):
        extent = "" if row.extent is None else str(row.extent)
        if row.status != "ok":
            table.add_row(_name(row), extent, f"[dim]{row.status}[/]")
            continue
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
        table.add_row(_name(row), extent, *shown)
    return table


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


def _marked(shown: str, best: bool) -> str:
    return f"[bold green]{shown}*[/]" if best else f"{shown} "


def _name(row: Row) -> str:
    """The variant without its extent, which has a column of its own."""
    label = row.variant.replace(f"extent={row.extent}, ", "").replace(f"(extent={row.extent})", "")
    words = [label]
    if row.place not in (None, USUAL_PLACE):
        words.append(f"at {row.place}")
    if row.execution == "compile":
        words.append("compiled")
    return escape(" ".join(words))
