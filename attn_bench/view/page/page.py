"""A run as HTML: what the templates are filled with. Jinja escapes every word that is put in."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from attn_bench._version import __version__
from attn_bench.model import units
from attn_bench.model.record import Row
from attn_bench.store.runs import StoredRun
from attn_bench.view import remarks
from attn_bench.view.page.drawing import PALETTE, Picture, svg
from attn_bench.view.summary import Line, Summary, legends, name_of, shape_in_words, summaries

TEMPLATES = Path(__file__).parent / "templates"
FILTERED = (
    *("module", "extent", "shape", "dtype", "memory_format", "mode", "execution"),
    *("device", "status"),
)
ABOUT = {
    "name": "module with its arguments",
    "shape": "input, N×C×H×W",
    "at_extent": "extent ratio of the gather",
    "latency": "time a caller waits for one call, ± 95 % interval",
    "device_time": "time on the device alone, L2 cold, ± 95 % interval",
    "over_anchor": "latency over the anchor's at the same shape, ± 95 % interval",
    "parameters": "learnable parameters",
    "work": "multiply-accumulates of convolutions and matrix products",
    "memory": "peak memory of a call, × its input",
}
# The console's columns, by the names that they have in a `Summary`.
ON_CONSOLE = {
    "latency": "latency",
    "device": "device_time",
    "ratio": "over_anchor",
    "params": "parameters",
    "macs": "work",
    "peak_memory_bytes": "memory",
}


@dataclass(frozen=True, slots=True)
class Column:
    """A column of the page's table; `shown` at first or on request."""

    key: str
    heading: str
    about: str
    numeric: bool
    shown: bool

    @property
    def raw(self) -> bool:
        """Whether it is one of table.csv."""
        return self.key in _RAW


@dataclass(frozen=True, slots=True)
class TableCell:
    """Text, what it is sorted by, and whether it is the best of its column and shape."""

    text: str
    value: str | float | None
    best: bool = False


_RAW = {item.name: item for item in fields(Row)}


def render(run: StoredRun, pictures: Sequence[Picture]) -> str:
    """The whole page: one text that needs nothing beside it, and asks nobody for anything."""
    anchor = str(run.info["suite"]["anchor"])
    columns, body = _table(run.rows, anchor)
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
    anchor = str(run.info["suite"]["anchor"])
    return (
        _templates()
        .get_template("fragment.html")
        .render(
            info=run.info,
            machine=remarks.machine(run.info),
            warnings=remarks.warnings(run.info),
            remarks=remarks.below(run.rows, run.info),
            summaries=list(summaries(run.rows, anchor)),
            anchor=anchor,
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


def _table(rows: Sequence[Row], anchor: str) -> tuple[list[Column], list[list[TableCell]]]:
    """The columns and, row by row, their cells: the console's first, then all of table.csv."""
    lines: dict[str, tuple[Summary, Line]] = {
        line.row.case_id: (summary, line)
        for summary in summaries(rows, anchor)
        for line in summary.lines
    }
    columns = [
        Column("name", "module", ABOUT["name"], numeric=False, shown=True),
        Column("at_extent", "extent", ABOUT["at_extent"], numeric=True, shown=True),
        Column("shape", "shape", ABOUT["shape"], numeric=False, shown=True),
        *_conditions(rows),
    ]
    timed_on_device = any(row.device_us is not None for row in rows)
    for name, key in ON_CONSOLE.items():
        if name != "device" or timed_on_device:
            over = "over plain" if all(row.backbone for row in rows) else f"× {anchor}"
            heading = {"ratio": over, "macs": "MACs", "peak_memory_bytes": "memory"}
            columns.append(
                Column(key, heading.get(name, name), ABOUT[key], numeric=True, shown=True)
            )
    shown = {column.key for column in columns}
    for item in fields(Row):
        if item.name not in shown:
            numeric = any(word in str(item.type) for word in ("int", "float", "Extent"))
            faulty = item.name == "status" and any(r.status != "ok" for r in rows)
            about, unit = item.metadata["about"], item.metadata["unit"]
            about = f"{about}, in {unit}" if unit else about
            columns.append(Column(item.name, item.name, about, numeric=numeric, shown=faulty))
    body = [[_cell(column, row, lines.get(row.case_id)) for column in columns] for row in rows]
    return columns, body


def _conditions(rows: Sequence[Row]) -> list[Column]:
    """The columns that tell cases of one shape apart, where there is more than one value."""
    names = ("dtype", "memory_format", "mode", "device")
    return [
        Column(
            name, name.replace("_", " "), _RAW[name].metadata["about"], numeric=False, shown=True
        )
        for name in names
        if len({getattr(row, name) for row in rows}) > 1
    ]


def _cell(column: Column, row: Row, place: tuple[Summary, Line] | None) -> TableCell:
    """A cell of the console's table, or of table.csv."""
    if column.key == "name":
        return TableCell(name_of(row), row.variant)
    if column.key == "shape":
        return TableCell(shape_in_words(row), None)
    if column.key == "at_extent":
        return _extent(row)
    if column.raw:
        value = getattr(row, column.key)
        return _extent(row) if column.key == "extent" else TableCell(units.plain(value), value)
    name = next(name for name, key in ON_CONSOLE.items() if key == column.key)
    if place is None or not place[1].cells:
        return TableCell("", None)
    summary, line = place
    cell = line.cells[summary.columns.index(name)]
    raw = f"{name}_us" if name in ("latency", "device") else name
    unit = f" {summary.unit}" if raw != name and cell.text != units.UNKNOWN else ""
    return TableCell(cell.text + unit, _sorted_by(row, raw), cell.best)


def _sorted_by(row: Row, name: str) -> float | None:
    value: float | None = getattr(row, name)
    if name != "peak_memory_bytes" or value is None:
        return value
    return value / (row.batch * row.channels * row.height * row.width)


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


def _facts(info: Mapping[str, Any]) -> Iterator[tuple[str, list[tuple[str, str]]]]:
    """What run.json says of the run and its machine, under headings."""
    environment = info["environment"]
    nested = {name: value for name, value in environment.items() if isinstance(value, dict)}
    flat = {name: value for name, value in environment.items() if name not in nested}
    run = {name: info.get(name) for name in ("start", "end", "state", "seed", "calling_share")}
    run["command"] = " ".join(map(str, info.get("command") or []))
    rates = {
        f"{dtype} {name}": value
        for dtype, measured in (info.get("rates") or {}).items()
        for name, value in _rates(measured).items()
    }
    uncounted = {
        name: "an operator that nobody counts"
        for operators in (info.get("uncounted_operators") or {}).values()
        for name in operators
    }
    notes = {note: "" for many in (info.get("notes") or {}).values() for note in many}
    sections = {
        "Run": run,
        "Settings": info["settings"],
        "Machine": flat,
        **{name.replace("_", " ").capitalize(): value for name, value in nested.items()},
        "Rates measured for the bound": rates,
        "Not counted": uncounted,
        "Notes": notes,
    }
    for heading, values in sections.items():
        if values:
            yield heading, [(str(name), _value(value)) for name, value in values.items()]


def _rates(measured: Mapping[str, Any]) -> dict[str, str]:
    copies = {
        f"copy of {units.bytes_(size)}": f"{units.bytes_(rate)}/s"
        for size, rate in measured.get("copy") or []
    }
    return {**copies, "matrix product": f"{units.count(measured.get('macs_per_s'))} MACs/s"}


def _value(value: Any) -> str:
    return units.UNKNOWN if value is None else units.plain(value)
