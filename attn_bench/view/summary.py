"""Makes the tables that people read from rows.

A table of one shape marks the best of each column. A table of one backbone shows changes against
the plain backbone.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from attn_bench.jobs.recommend.limits import known_interval
from attn_bench.model import units
from attn_bench.model.axes import unusual_words
from attn_bench.model.case import BASELINE, PLAIN
from attn_bench.model.metrics import EXACT, METRIC, METRICS, Metric
from attn_bench.model.row import Row
from attn_bench.model.status import COUNTED

LEGEND = (
    "* best of its column at this shape, without the baseline; for time, by direct comparison with "
    f"the fastest. ± 95 % interval; unclear: wider than ± {units.percent(units.WIDE)}, or measured "
    "beside too much other work. memory: "
    "peak of a call, as a multiple of its input."
)
NETWORK_LEGEND = (
    "Changes are against the plain backbone; latency is compared in pairs. ± 95 % interval; ? not "
    f"known to ± {units.percent(units.WIDE)}, or measured beside too much other work. "
    "memory: peak of a call, beyond input and parameters."
)
# The metrics with a heading; timed metrics come first.
SHOWN = tuple(sorted((m for m in METRICS if m.heading), key=lambda m: m.kind == "exact"))
Unit = Literal["µs", "ms"]
LATENCY, DEVICE, RATIO = METRIC["latency_us"], METRIC["device_us"], METRIC["ratio"]


@dataclass(frozen=True, slots=True)
class Cell:
    """A figure in words.

    best: whether no other figure of its column and shape is better.
    """

    text: str
    best: bool = False


@dataclass(frozen=True, slots=True)
class Line:
    """A row with a figure for each column; without figures if none of its case is known."""

    row: Row
    name: str
    cells: tuple[Cell, ...] = ()


@dataclass(frozen=True, slots=True)
class Summary:
    """The lines of one shape and condition.

    unit: the unit of its latencies.
    """

    title: str
    unit: Unit
    columns: tuple[Metric, ...]
    lines: tuple[Line, ...]

    def headings(self, baseline: str) -> list[str]:
        """The headings of the whole table: of its words, then of its figures."""
        words = ["module", "extent"] if self._has_extents else ["module"]
        return [*words, *(self.heading(column, baseline) for column in self.columns)]

    def words(self, line: Line) -> list[str]:
        """The first cells of a line: the module, and the extent if any line has one."""
        return [line.name, units.plain(line.row.extent)] if self._has_extents else [line.name]

    @property
    def _has_extents(self) -> bool:
        return any(line.row.extent is not None for line in self.lines)

    def heading(self, metric: Metric, baseline: str) -> str:
        """The heading of `metric`."""
        if metric is RATIO:
            return "latency" if self.lines[0].row.backbone else f"× {baseline}"
        return f"{metric.heading} {self.unit}" if metric.unit == "µs" else str(metric.heading)


def summarise(rows: Sequence[Row], baseline: str, unit: Unit | None = None) -> Iterator[Summary]:
    """A summary for each backbone, shape and condition, in the order of `rows`.

    Unsupported cases are left out.

    unit: of all latencies; None chooses one for each shape.
    """
    groups: dict[str, list[Row]] = {}
    for row in rows:
        if row.status != "unsupported":
            groups.setdefault(group_title(row), []).append(row)
    for title, group in groups.items():
        of_networks = group[0].backbone is not None
        if of_networks:
            yield _network_summary(title, group)
        else:
            yield _summary(title, group, baseline, unit or choose_unit(group))


def choose_unit(rows: Sequence[Row]) -> Unit:
    """The unit of the latencies of `rows`."""
    longest_us = max((row.latency_us or 0.0 for row in rows), default=0.0)
    return "ms" if longest_us >= 1000 or any(row.backbone for row in rows) else "µs"


def make_legends(rows: Sequence[Row]) -> list[str]:
    """The explanations that the tables of `rows` need."""
    has_networks = {row.backbone is not None for row in rows}
    return [NETWORK_LEGEND if networks else LEGEND for networks in sorted(has_networks)]


def group_title(row: Row) -> str:
    """The title of a table: backbone, shape, and unusual conditions."""
    words = [row.backbone, row.shape_in_words]
    words += unusual_words(row)
    return " ".join(word for word in words if word)


def has_figures(row: Row) -> bool:
    """Whether any figure of the case is known: one without a time may have exact metrics."""
    return row.status in COUNTED or any(getattr(row, name) is not None for name in EXACT)


def is_known(metric: Metric, rows: Sequence[Row]) -> bool:
    """Whether any row has a figure of `metric`; a column without figures is not shown."""
    return any(getattr(row, metric.name) is not None for row in rows)


def _summary(title: str, rows: Sequence[Row], baseline: str, unit: Unit) -> Summary:
    has_gaps = any(row.status not in COUNTED for row in rows)
    is_unclear = any(row.status == "unclear" for row in rows)
    gaps = (LATENCY, RATIO) if is_unclear else (LATENCY,) if has_gaps else ()
    columns = tuple(m for m in SHOWN if is_known(m, rows) or m in gaps)
    competitors = {
        id(row): row
        for row in rows
        # versions of a case are compared with each other, not with other cases
        if baseline not in (row.variant, BASELINE) and row.status in COUNTED
    }
    least = {metric.name: _least(metric, competitors.values()) for metric in columns}

    def cell(row: Row, metric: Metric) -> Cell:
        if metric.kind == "exact":
            mine = getattr(row, metric.name)
            is_least = id(row) in competitors and mine is not None and mine == least[metric.name]
            return Cell(_exact(row, metric), is_least)
        if row.status not in COUNTED:
            return Cell(row.status if metric is columns[0] else "")
        interval = row.interval(metric.name)
        factor = 1e-3 if metric.unit == "µs" and unit == "ms" else 1.0
        shown = units.with_interval(interval.times(factor) if interval else None)
        if interval is None and row.status == "unclear":
            return Cell(units.UNCLEAR)
        return Cell(shown, metric is LATENCY and id(row) in competitors and is_among_fastest(row))

    def line(row: Row) -> Line:
        if not has_figures(row):
            return Line(row, row.name)
        return Line(row, row.name, tuple(cell(row, metric) for metric in columns))

    return Summary(title, unit, columns, tuple(map(line, rows)))


def _exact(row: Row, metric: Metric) -> str:
    value = getattr(row, metric.name)
    if not metric.per_input:
        return metric.show(value)
    return units.multiple(None if value is None else value / row.input_bytes)


def _network_summary(title: str, rows: Sequence[Row]) -> Summary:
    """The summary of a backbone: the plain one in units, the others as changes."""
    plain = next((r for r in rows if r.variant == PLAIN and r.status in COUNTED), None)
    columns = tuple(metric for metric in SHOWN if metric is not DEVICE)

    def text(row: Row, metric: Metric) -> str:
        if metric is LATENCY:
            latency = row.interval(metric.name)
            unknown = units.UNCLEAR if row.status == "unclear" else units.UNKNOWN
            return units.with_interval(latency.times(1e-3)) if latency else unknown
        if metric is RATIO:
            return "" if row is plain else show_change(row)
        if row is plain:
            return metric.show(getattr(row, metric.name))
        return units.change(_over(row, plain, metric))

    def line(row: Row) -> Line:
        if row.status not in COUNTED:
            return Line(row, row.name)
        return Line(row, row.name, tuple(Cell(text(row, metric)) for metric in columns))

    ordered = sorted(rows, key=lambda row: row is not plain)
    return Summary(title, "ms", columns, tuple(line(row) for row in ordered))


def show_change(row: Row) -> str:
    """What a module adds to a network's latency; with a ? if it is not known well enough."""
    if (ratio := known_interval(row, "ratio")) is None:
        return units.UNKNOWN
    text = units.change_with_interval(ratio.times(1.0))
    return f"{text}?" if row.ratio is None and text != units.UNCLEAR else text


def _over(row: Row, plain: Row | None, metric: Metric) -> float | None:
    value, of = getattr(row, metric.name), getattr(plain, metric.name, None)
    return value / of if value is not None and of else None


def is_among_fastest(row: Row) -> bool:
    """Whether the interval of the ratio to the fastest case of the shape contains 1 or less."""
    return row.over_fastest_lo is not None and row.over_fastest_lo <= 1


def _least(metric: Metric, competitors: Iterable[Row]) -> float | None:
    """The smallest value of the metric; None if all values are equal."""
    values = [v for row in competitors if (v := getattr(row, metric.name)) is not None]
    return min(values) if values and min(values) < max(values) else None
