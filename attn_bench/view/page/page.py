"""A run as HTML: the values for the templates. Jinja escapes each value."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from attn_bench._version import __version__
from attn_bench.model import units
from attn_bench.model.row import Row
from attn_bench.model.run import Rates
from attn_bench.store.info import RunInfo
from attn_bench.store.runs import StoredRun
from attn_bench.view import remarks
from attn_bench.view.answer import find_answer
from attn_bench.view.page.drawing import PALETTE, Picture, svg
from attn_bench.view.page.table import find_filters, make_table
from attn_bench.view.summary import make_legends, summarise

TEMPLATES = Path(__file__).parent / "templates"


def render(run: StoredRun, pictures: Sequence[Picture]) -> str:
    """The whole page as one text, which loads no other file."""
    baseline = remarks.name_baseline(run.rows, run.info)
    columns, body = make_table(run.rows, baseline)
    script = (TEMPLATES / "report.js").read_text(encoding="utf-8")
    return (
        _templates()
        .get_template("report.html")
        .render(
            run=run,
            info=run.info,
            version=__version__,
            machine=remarks.name_machine(run.info),
            answer=find_answer(run),
            warnings=remarks.list_warnings(run.info),
            remarks=_remarks(run),
            counts=_counts(run.rows),
            figures=[(picture, _panels(picture)) for picture in pictures],
            legend=" ".join(make_legends(run.rows)),
            columns=columns,
            body=body,
            filters=find_filters(columns, body),
            facts=list(_facts(run.info)),
            palette=PALETTE,
            style=Markup((TEMPLATES / "report.css").read_text(encoding="utf-8")),
            script=Markup(script),
            script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
        )
    )


def fragment(run: StoredRun) -> str:
    """The tables and remarks of the console as HTML without scripts, for a notebook."""
    baseline = remarks.name_baseline(run.rows, run.info)
    return (
        _templates()
        .get_template("fragment.html")
        .render(
            info=run.info,
            machine=remarks.name_machine(run.info),
            answer=find_answer(run),
            warnings=remarks.list_warnings(run.info),
            remarks=_remarks(run),
            summaries=list(summarise(run.rows, baseline)),
            baseline=baseline,
            legend=" ".join(make_legends(run.rows)),
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
    """The title and the SVG of each panel; `svg` has escaped the content."""
    return [
        (panel.title, Markup(svg(panel, f"{picture.name}-{number}")))
        for number, panel in enumerate(picture.panels)
    ]


def _remarks(run: StoredRun) -> list[str]:
    """The sentences around the table, as the console has them."""
    found = remarks.list_remarks(run.rows, run.info)
    return [*found, *remarks.list_notes(run.rows, run.info)]


def _counts(rows: Sequence[Row]) -> str:
    """The number of cases with each status.

    >>> _counts([Row(status="ok"), Row(status="failed"), Row(status="ok")])
    '3 cases: 2 ok, 1 failed'
    """
    found: dict[str, int] = {}
    for row in rows:
        found[row.status] = found.get(row.status, 0) + 1
    return f"{len(rows)} cases: " + ", ".join(f"{n} {status}" for status, n in found.items())


# --- run.json -------------------------------------------------------------------------------------


def _facts(info: RunInfo) -> Iterator[tuple[str, list[tuple[str, str]]]]:
    """The facts of run.json about the run and its machine, under headings."""
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
        name: "an operator without a count"
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
