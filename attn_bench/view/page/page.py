"""A run as HTML: what the templates are filled with. Jinja escapes every word that is put in."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from attn_bench._version import __version__
from attn_bench.model import units
from attn_bench.model.axes import AXES, AXIS_NAMES
from attn_bench.model.metrics import Metric
from attn_bench.model.row import ABOUT, COLUMNS, UNIT, Row
from attn_bench.model.run import Rates
from attn_bench.store.info import RunInfo
from attn_bench.store.runs import StoredRun
from attn_bench.view import remarks
from attn_bench.view.page.drawing import PALETTE, Picture, svg
from attn_bench.view.summary import DEVICE, RATIO, SHOWN, Line, Summary, legends, summaries

TEMPLATES = Path(__file__).parent / "templates"
FILTERED = ("module", "extent", "shape", *AXIS_NAMES, "status")
SHAPE = "input, N×C×H×W"


@dataclass(frozen=True, slots=True)
class Column:
    """A column of the page's table; `shown` at first or on request.

    metric: that the console shows; None for a column of table.csv.
    """

    key: str
    heading: str
    about: str
    numeric: bool
    shown: bool
    metric: Metric | None = None


@dataclass(frozen=True, slots=True)
class TableCell:
    """Text, what it is sorted by, and whether it is the best of its column and shape."""

    text: str
    value: str | float | None
    best: bool = False


def render(run: StoredRun, pictures: Sequence[Picture]) -> str:
    """The whole page: one text that needs nothing beside it, and asks nobody for anything."""
    baseline = run.info.suite.baseline
    columns, body = _table(run.rows, baseline)
    script = (TEMPLATES / "report.js").read_text(encoding="utf-8")
    return (
        _templates()
        .get_template("report.html")
        .render(
            run=run,
            info=run.info,
            version=__version__,
            machine=remarks.machine(run.info),
            warnings=remarks.warnings(run.info),
            remarks=remarks.below(run.rows, run.info),
            counts=_counts(run.rows),
            figures=[(picture, _panels(picture)) for picture in pictures],
            legend=" ".join(legends(run.rows)),
            columns=columns,
            body=body,
            filters=_filters(columns, body),
            facts=list(_facts(run.info)),
            palette=PALETTE,
            style=Markup((TEMPLATES / "report.css").read_text(encoding="utf-8")),
            script=Markup(script),
            script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
        )
    )


def fragment(run: StoredRun) -> str:
    """The console's tables and words as HTML without scripts, for a notebook's cell."""
    baseline = run.info.suite.baseline
    return (
        _templates()
        .get_template("fragment.html")
        .render(
            info=run.info,
            machine=remarks.machine(run.info),
            warnings=remarks.warnings(run.info),
            remarks=remarks.below(run.rows, run.info),
            summaries=list(summaries(run.rows, baseline)),
            baseline=baseline,
            legend=" ".join(legends(run.rows)),
            path=run.path,
        )
    )


@cache
def _templates() -> Environment:
    return Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def _panels(picture: Picture) -> list[tuple[str, Markup]]:
    """Title and SVG of each panel; `svg` has escaped what it holds."""
    return [
        (panel.title, Markup(svg(panel, f"{picture.name}-{number}")))
        for number, panel in enumerate(picture.panels)
    ]


def _counts(rows: Sequence[Row]) -> str:
    """
    >>> _counts([Row(status="ok"), Row(status="failed"), Row(status="ok")])
    '3 cases: 2 ok, 1 failed'
    """
    found: dict[str, int] = {}
    for row in rows:
        found[row.status] = found.get(row.status, 0) + 1
    return f"{len(rows)} cases: " + ", ".join(f"{n} {status}" for status, n in found.items())


# --- the table ------------------------------------------------------------------------------------


def _table(rows: Sequence[Row], baseline: str) -> tuple[list[Column], list[list[TableCell]]]:
    """The columns and, row by row, their cells: the console's first, then all of table.csv."""
    lines: dict[str, tuple[Summary, Line]] = {
        line.row.case_id: (summary, line)
        for summary in summaries(rows, baseline)
        for line in summary.lines
    }
    columns = [
        Column("name", "module", ABOUT["variant"], numeric=False, shown=True),
        Column("at_extent", "extent", ABOUT["extent"], numeric=True, shown=True),
        Column("shape", "shape", SHAPE, numeric=False, shown=True),
        *_conditions(rows),
        *(_console_column(m, rows, baseline) for m in SHOWN if m is not DEVICE or _has(rows, m)),
    ]
    shown = {column.key for column in columns}
    columns += [_raw_column(name, rows) for name in COLUMNS if name not in shown]
    body = [[_cell(column, row, lines.get(row.case_id)) for column in columns] for row in rows]
    return columns, body


def _has(rows: Sequence[Row], metric: Metric) -> bool:
    return any(getattr(row, metric.name) is not None for row in rows)


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
    """The columns that tell cases of one shape apart, where there is more than one value."""
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
    unit = f" {summary.unit}" if metric.unit == "µs" and cell.text != units.UNKNOWN else ""
    return TableCell(cell.text + unit, _sorted_by(row, metric), cell.best)


def _sorted_by(row: Row, metric: Metric) -> float | None:
    value: float | None = getattr(row, metric.name)
    return value / row.input_bytes if metric.per_input and value is not None else value


def _extent(row: Row) -> TableCell:
    """The global extent is larger than any other."""
    value = float(row.extent) if isinstance(row.extent, int) else 1e9 if row.extent else None
    return TableCell(units.plain(row.extent), value)


def _filters(
    columns: Sequence[Column], body: Sequence[Sequence[TableCell]]
) -> list[tuple[str, list[str]]]:
    """The columns to choose rows by, with their values; those with one value are none."""
    keys = [column.key for column in columns]
    found = []
    for name in FILTERED:
        place = keys.index(name)
        values = list(dict.fromkeys(cells[place].text for cells in body if cells[place].text))
        if len(values) > 1:
            found.append((name, values))
    return found


# --- run.json -------------------------------------------------------------------------------------


def _facts(info: RunInfo) -> Iterator[tuple[str, list[tuple[str, str]]]]:
    """What run.json says of the run and its machine, under headings."""
    environment = asdict(info.environment)
    nested = {name: value for name, value in environment.items() if isinstance(value, dict)}
    flat = {name: value for name, value in environment.items() if name not in nested}
    run = {name: getattr(info, name) for name in ("start", "end", "state", "calling_share")}
    run["command"] = " ".join(info.command)
    rates = {
        f"{dtype} {name}": value
        for dtype, measured in info.rates.items()
        for name, value in _rates(measured).items()
    }
    uncounted = {
        name: "an operator that nobody counts"
        for operators in info.uncounted_operators.values()
        for name in operators
    }
    sections = {
        "Run": run,
        "Settings": asdict(info.settings),
        "Machine": flat,
        **{name.replace("_", " ").capitalize(): value for name, value in nested.items()},
        "Rates measured for the bound": rates,
        "Not counted": uncounted,
        "Notes": {note: "" for many in info.notes.values() for note in many},
    }
    for heading, values in sections.items():
        if values:
            yield heading, [(str(name), _value(value)) for name, value in values.items()]


def _rates(measured: Rates) -> dict[str, str]:
    copies = {
        f"copy of {units.bytes_(size)}": f"{units.bytes_(rate)}/s" for size, rate in measured.copy
    }
    return {**copies, "matrix product": f"{units.count(measured.macs_per_s)} MACs/s"}


def _value(value: Any) -> str:
    return units.UNKNOWN if value is None else units.plain(value)
