"""Everything that a person sees: progress on standard error, tables and lists on standard output.

On a terminal it is live and in colour; elsewhere plain lines of text that do not change from run
to run but for their figures.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, TaskID, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar
from rich.table import Table

from attn_bench import summary, units
from attn_bench.record import Plan, Row, Settings

PLAIN_WIDTH = 100
REDRAW_S = 0.25


def out() -> Console:
    return Console(
        file=sys.stdout, width=None if sys.stdout.isatty() else PLAIN_WIDTH, highlight=False
    )


def err() -> Console:
    return Console(
        file=sys.stderr, width=None if sys.stderr.isatty() else PLAIN_WIDTH, highlight=False
    )


def error(message: str) -> None:
    err().print(f"[bold red]error:[/] {escape(message)}", soft_wrap=True)


def warning(message: str) -> None:
    err().print(f"[yellow]warning:[/] {escape(message)}", soft_wrap=True)


def note(message: str) -> None:
    err().print(escape(message), soft_wrap=True)


def text(content: str) -> None:
    """To standard output as it is: JSON, CSV, Markdown."""
    sys.stdout.write(content)


class LiveProgress:
    """One line that says what is measured, how much is done and how long it will still take.

    It is drawn between blocks only, and a few times a second, so that it does not compete with
    what is measured. Where standard error is no terminal, a stage is one line when it begins.
    """

    def __init__(self) -> None:
        self._bar = Bar(
            TextColumn("{task.description:>10}"),
            BarColumn(bar_width=24),
            TextColumn("{task.percentage:>3.0f} %"),
            TimeRemainingColumn(),
            TextColumn("[dim]{task.fields[doing]}", markup=True),
            console=err(),
            auto_refresh=False,
            transient=True,
        )
        self._live = sys.stderr.isatty()
        self._task: TaskID | None = None
        self._drawn = 0.0

    def stage(self, title: str, total: float) -> None:
        if not self._live:
            note(f"{title} …")
            return
        if self._task is None:
            self._bar.start()
        else:
            self._bar.remove_task(self._task)
        self._task = self._bar.add_task(title, total=total, doing="")

    def step(self, done: float, doing: str) -> None:
        if self._task is None or time.monotonic() - self._drawn < REDRAW_S:
            return
        self._drawn = time.monotonic()
        self._bar.update(self._task, completed=done, doing=escape(doing))
        self._bar.refresh()

    def close(self) -> None:
        if self._task is not None:
            self._bar.stop()
            self._task = None


# --- lists ----------------------------------------------------------------------------------------


def listing(items: Iterable[Mapping[str, Any]], columns: Sequence[str]) -> None:
    """One line for each item: the first column, and the others as far as they are known."""
    cells = [[str(item[name] or "") for name in columns] for item in items]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    for first, *others in cells:
        rest = "  ".join(cell.ljust(width) for cell, width in zip(others, widths[1:], strict=True))
        out().print(
            f"[bold]{escape(first.ljust(widths[0]))}[/]  {escape(rest.rstrip())}", soft_wrap=True
        )


def metrics() -> list[dict[str, str]]:
    """The columns of the table, with their unit and meaning."""
    return [
        {"name": item.name, "unit": item.metadata["unit"], "about": item.metadata["about"]}
        for item in fields(Row)
    ]


# --- tables ---------------------------------------------------------------------------------------


def wide_table(rows: Iterable[Row], columns: Sequence[str]) -> None:
    """`columns` of every row, as they are."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for name in columns:
        table.add_column(name, overflow="fold")
    for row in rows:
        table.add_row(*(escape(units.plain(getattr(row, name))) for name in columns))
    out().print(table)


def planned(plan: Plan, settings: Settings) -> None:
    """What a run would measure."""
    console = out()
    for case in plan.cases:
        reason = plan.unsupported.get(case.id)
        console.print(
            escape(case.id + (f"  unsupported: {reason}" if reason else "")), soft_wrap=True
        )
    console.print(
        f"{len(plan.measurable)} cases would be measured for {units.seconds(settings.budget_s)}, "
        f"or until every ratio is known to ± {units.percent(settings.precision)}"
    )


def finished(path: Path, rows: Sequence[Row], info: Mapping[str, Any]) -> None:
    """A run: its summary, what could not be measured, how precise it is, and where it lies."""
    console = out()
    title, settings = info["suite"]["title"], info["settings"]
    console.print(f"[bold]{escape(title)}[/]\n{escape(_machine(info))}\n", soft_wrap=True)
    for table in summary.shape_tables(rows, info["suite"]["anchor"]):
        console.print(table)
    console.print(f"[dim]{summary.LEGEND}[/]\n")
    for row in rows:
        if row.status != "ok":
            reason = f"{row.status}: {row.case_id}: {row.error}"
            console.print(escape(reason), soft_wrap=True)
    console.print(_precision(rows, settings["precision"]), soft_wrap=True)
    share = info.get("calling_share")
    if share is not None:
        console.print(
            f"{units.percent(share)} of the measuring time was spent calling the modules."
        )
    for text_ in info["warnings"]:
        warning(text_)
    if info.get("state") == "interrupted":
        warning("interrupted: the table holds what was measured until then")
    console.print(f"run folder: {escape(str(path))}", soft_wrap=True)


def _machine(info: Mapping[str, Any]) -> str:
    environment = info["environment"]
    device = environment["device_facts"].get("gpu") or (
        f"{environment['cpu']}, {environment['threads']} threads"
    )
    return f"{device}; torch {environment['software'].get('torch')}"


def _precision(rows: Sequence[Row], wanted: float) -> str:
    """How many ratios are as precise as was asked."""
    ratios = [i for row in rows if row.status == "ok" and (i := summary.interval_of(row, "ratio"))]
    reached = [i for i in ratios if i.half_width <= wanted * i.value]
    if len(reached) == len(ratios):
        return f"Every ratio is known to ± {units.percent(wanted)} or better."
    widest = max(i.half_width / i.value for i in ratios)
    return (
        f"{len(reached)} of {len(ratios)} ratios are known to ± {units.percent(wanted)}, the "
        f"others to ± {units.percent(widest)} or better: a larger --budget narrows them."
    )
