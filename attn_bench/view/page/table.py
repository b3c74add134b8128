"""The table of the page: the console's columns first, then all of table.csv."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import isfinite

from attn_bench.model import units
from attn_bench.model.axes import AXES, AXIS_NAMES
from attn_bench.model.metrics import Metric
from attn_bench.model.row import ABOUT, COLUMNS, UNIT, Row
from attn_bench.view.page.shown import Role, Shown, all_rows
from attn_bench.view.summary import (
    RATIO,
    SHOWN,
    Line,
    Summary,
    choose_unit,
    is_known,
    summarise,
)

FILTERED = ("run", "module", "extent", "shape", "fits", *AXIS_NAMES, "status")
TWICE = ("module", "extent", "params")  # headings of the console as well
SHAPE = "input, N×C×H×W"
FITS = "whether it keeps the limits that were asked for"


@dataclass(frozen=True, slots=True)
class TableCell:
    """A cell: its text, its sort key, and whether it is the best of its column and shape."""

    text: str
    value: str | float | None
    best: bool = False


@dataclass(frozen=True, slots=True)
class Case:
    """A row of the page's table.

    line: its figures as the console shows them; None for an unsupported case.
    """

    shown: Shown
    row: Row
    place: tuple[Summary, Line] | None

    @property
    def role(self) -> Role:
        return self.shown.role(self.row)

    @property
    def where(self) -> str:
        """What a narrow page shows below the name, in place of columns."""
        words = [self.row.extent, self.row.backbone, self.row.shape_in_words, self.shown.label]
        return " · ".join(str(word) for word in words if word)


@dataclass(frozen=True, slots=True)
class Column:
    """A column of the page's table.

    shown: whether it is visible at first; the reader can show the others.
    wide: whether a narrow page hides it, since the name's cell has its value.
    """

    key: str
    heading: str
    about: str
    numeric: bool
    cell: Callable[[Case], TableCell]
    shown: bool = True
    wide: bool = False


def make_table(shown: Sequence[Shown]) -> tuple[list[Column], list[Case], list[list[TableCell]]]:
    """The columns, the cases, and the cells of each: the console's, then all of table.csv."""
    rows = [row for _, row in all_rows(shown)]
    unit = choose_unit(rows)
    cases = []
    for each in shown:
        places = {
            line.row.case_id: (summary, line)
            for summary in summarise(each.run.rows, each.baseline, unit)
            for line in summary.lines
        }
        cases += [Case(each, row, places.get(row.case_id)) for row in each.run.rows]
    columns = [
        Column("name", "module", ABOUT["variant"], False, _name),
        Column("at_extent", "extent", ABOUT["extent"], True, _extent, wide=True),
        Column("shape", "shape", SHAPE, False, _shape, wide=True),
        *_of_runs(shown, rows),
        *(_console_column(m, rows, shown, unit) for m in SHOWN if is_known(m, rows)),
        *_conditions(rows),
    ]
    keys = {column.key for column in columns}
    columns += [_raw_column(name, rows) for name in COLUMNS if name not in keys]
    return columns, cases, [[column.cell(case) for column in columns] for case in cases]


def _name(case: Case) -> TableCell:
    return TableCell(case.row.name, case.row.variant)


def _shape(case: Case) -> TableCell:
    words = filter(None, [case.row.backbone, case.row.shape_in_words])
    return TableCell(" ".join(words), None)


def _extent(case: Case) -> TableCell:
    """The global extent sorts as the largest."""
    extent = case.row.extent
    value = float(extent) if isinstance(extent, int) else 1e9 if extent else None
    return TableCell(units.plain(extent), value)


def _of_runs(shown: Sequence[Shown], rows: Sequence[Row]) -> list[Column]:
    """The run of each case if there are several; whether it fits if limits were asked for."""
    found = []
    if len(shown) > 1:
        label: Callable[[Case], TableCell] = lambda c: TableCell(c.shown.label, None)  # noqa: E731
        found.append(Column("run", "run", "the run folder", False, label, wide=True))
    if any(each.kept and each.kept.limits for each in shown):
        fits: Callable[[Case], TableCell] = lambda c: TableCell(c.shown.fits(c.row), None)  # noqa: E731
        found.append(Column("fits", "fits", FITS, False, fits))
    return found


def _conditions(rows: Sequence[Row]) -> list[Column]:
    """The columns of the axes with more than one value; they distinguish cases of one shape."""
    return [
        Column(axis.name, axis.name.replace("_", " "), axis.about, False, _plain(axis.name))
        for axis in AXES
        if len({getattr(row, axis.name) for row in rows}) > 1
    ]


def _console_column(
    metric: Metric, rows: Sequence[Row], shown: Sequence[Shown], unit: str
) -> Column:
    """A metric as the console shows it: with its interval, in one unit."""
    heading = str(metric.heading)
    if metric is RATIO:
        baselines = {each.baseline for each in shown}
        of = baselines.pop() if len(baselines) == 1 else "baseline"
        heading = "added latency" if all(row.backbone for row in rows) else f"× {of}"
    elif metric.unit == "µs":
        heading = f"{heading}, {unit}"
    about = f"{metric.about}, × its input" if metric.per_input else metric.about
    about = f"{about}, ± 95 % interval" if metric.lo else about

    def cell(case: Case) -> TableCell:
        if case.place is None or not case.place[1].cells or metric not in case.place[0].columns:
            return TableCell("", None)
        summary, line = case.place
        found = line.cells[summary.columns.index(metric)]
        return TableCell(found.text, _sorted_by(case.row, metric), found.best)

    return Column(f"{metric.name}_shown", heading, about, True, cell)


def _sorted_by(row: Row, metric: Metric) -> float | None:
    value: float | None = getattr(row, metric.name)
    return value / row.input_bytes if metric.per_input and value is not None else value


def _raw_column(name: str, rows: Sequence[Row]) -> Column:
    """A column of table.csv."""
    numeric = not any(isinstance(getattr(row, name), str) for row in rows) or name == "extent"
    faulty = name == "status" and any(row.status != "ok" for row in rows)
    about = f"{ABOUT[name]}, in {UNIT[name]}" if UNIT[name] else ABOUT[name]
    cell = _extent if name == "extent" else _plain(name)
    return Column(name, f"{name} (csv)" if name in TWICE else name, about, numeric, cell, faulty)


def _plain(name: str) -> Callable[[Case], TableCell]:
    def cell(case: Case) -> TableCell:
        value = getattr(case.row, name)
        is_sorted = not isinstance(value, float) or isfinite(value)
        return TableCell(units.plain(value), value if is_sorted else None)

    return cell


def find_filters(
    columns: Sequence[Column], body: Sequence[Sequence[TableCell]]
) -> list[tuple[str, list[str]]]:
    """The columns that filter rows, with their values; a column with one value is left out."""
    keys = [column.key for column in columns]
    found = []
    for name in FILTERED:
        if name not in keys:
            continue
        place = keys.index(name)
        values = list(dict.fromkeys(cells[place].text for cells in body if cells[place].text))
        if len(values) > 1:
            found.append((name, values))
    return found
