"""The table of the page: the console's columns first, then all of table.csv."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from attn_bench.model import units
from attn_bench.model.axes import AXES, AXIS_NAMES
from attn_bench.model.metrics import Metric
from attn_bench.model.row import ABOUT, COLUMNS, UNIT, Row
from attn_bench.view.summary import RATIO, SHOWN, UNCLEAR, Line, Summary, is_known, summarise

FILTERED = ("module", "extent", "shape", *AXIS_NAMES, "status")
SHAPE = "input, N×C×H×W"


@dataclass(frozen=True, slots=True)
class Column:
    """A column of the page's table.

    shown: whether it is visible at first; the reader can show the others.
    metric: the metric of a column of the console; None for a column of table.csv.
    """

    key: str
    heading: str
    about: str
    numeric: bool
    shown: bool
    metric: Metric | None = None


@dataclass(frozen=True, slots=True)
class TableCell:
    """A cell: its text, its sort key, and whether it is the best of its column and shape."""

    text: str
    value: str | float | None
    best: bool = False


def make_table(rows: Sequence[Row], baseline: str) -> tuple[list[Column], list[list[TableCell]]]:
    """The columns and the cells of each row: the console's columns, then all of table.csv."""
    lines: dict[str, tuple[Summary, Line]] = {
        line.row.case_id: (summary, line)
        for summary in summarise(rows, baseline)
        for line in summary.lines
    }
    columns = [
        Column("name", "module", ABOUT["variant"], numeric=False, shown=True),
        Column("at_extent", "extent", ABOUT["extent"], numeric=True, shown=True),
        Column("shape", "shape", SHAPE, numeric=False, shown=True),
        *_conditions(rows),
        *(_console_column(m, rows, baseline) for m in SHOWN if is_known(m, rows)),
    ]
    shown = {column.key for column in columns}
    columns += [_raw_column(name, rows) for name in COLUMNS if name not in shown]
    body = [[_cell(column, row, lines.get(row.case_id)) for column in columns] for row in rows]
    return columns, body


def _console_column(metric: Metric, rows: Sequence[Row], baseline: str) -> Column:
    """A metric as the console shows it: with its interval, in the unit of its table."""
    over = "over plain" if all(row.backbone for row in rows) else f"× {baseline}"
    heading = over if metric is RATIO else str(metric.heading)
    about = f"{metric.about}, × its input" if metric.per_input else metric.about
    about = f"{about}, ± 95 % interval" if metric.lo else about
    return Column(f"{metric.name}_shown", heading, about, True, True, metric)


def _raw_column(name: str, rows: Sequence[Row]) -> Column:
    """A column of table.csv."""
    numeric = not any(isinstance(getattr(row, name), str) for row in rows) or name == "extent"
    faulty = name == "status" and any(row.status != "ok" for row in rows)
    about = f"{ABOUT[name]}, in {UNIT[name]}" if UNIT[name] else ABOUT[name]
    return Column(name, name, about, numeric=numeric, shown=faulty)


def _conditions(rows: Sequence[Row]) -> list[Column]:
    """The columns of the axes with more than one value; they distinguish cases of one shape."""
    return [
        Column(axis.name, axis.name.replace("_", " "), axis.about, numeric=False, shown=True)
        for axis in AXES
        if not axis.beside_name and len({getattr(row, axis.name) for row in rows}) > 1
    ]


def _cell(column: Column, row: Row, place: tuple[Summary, Line] | None) -> TableCell:
    """A cell of the console's table, or of table.csv."""
    if column.key == "name":
        return TableCell(row.name, row.variant)
    if column.key == "shape":
        return TableCell(row.shape_in_words, None)
    if column.key in ("at_extent", "extent"):
        return _extent(row)
    metric = column.metric
    if metric is None:
        value = getattr(row, column.key)
        return TableCell(units.plain(value), value)
    if place is None or not place[1].cells or metric not in place[0].columns:
        return TableCell("", None)
    summary, line = place
    cell = line.cells[summary.columns.index(metric)]
    unit = (
        f" {summary.unit}"
        if metric.unit == "µs" and cell.text not in (units.UNKNOWN, UNCLEAR)
        else ""
    )
    return TableCell(cell.text + unit, _sorted_by(row, metric), cell.best)


def _sorted_by(row: Row, metric: Metric) -> float | None:
    value: float | None = getattr(row, metric.name)
    return value / row.input_bytes if metric.per_input and value is not None else value


def _extent(row: Row) -> TableCell:
    """The cell of the extent; the global extent sorts as the largest."""
    value = float(row.extent) if isinstance(row.extent, int) else 1e9 if row.extent else None
    return TableCell(units.plain(row.extent), value)


def find_filters(
    columns: Sequence[Column], body: Sequence[Sequence[TableCell]]
) -> list[tuple[str, list[str]]]:
    """The columns that filter rows, with their values; a column with one value is left out."""
    keys = [column.key for column in columns]
    found = []
    for name in FILTERED:
        place = keys.index(name)
        values = list(dict.fromkeys(cells[place].text for cells in body if cells[place].text))
        if len(values) > 1:
            found.append((name, values))
    return found
