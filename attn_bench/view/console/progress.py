"""The progress of a command on standard error: a live line, or a line for each stage."""

from __future__ import annotations

import sys
import time

from rich.progress import BarColumn, TaskID, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar
from rich.table import Column

from attn_bench.model import units
from attn_bench.model.environment import Environment, is_short_of_cores
from attn_bench.view.advice import ADVICE
from attn_bench.view.console.terminal import open_stderr, warn
from attn_bench.view.markup import escape

REDRAW_S = 0.25
LINE_S = 30.0  # between the lines of a long stage, where nothing is redrawn


class LiveProgress:
    """A live line: the stage, its progress, the remaining time, and the current case.

    It is drawn only between blocks, a few times a second, so that it does not disturb the
    measurement. If standard error is not a terminal, each stage is a line, and a long one
    has a line twice a minute.
    """

    def __init__(self) -> None:
        self._bar = Bar(
            TextColumn("{task.description}"),
            BarColumn(bar_width=16),
            TextColumn("{task.fields[done]}"),
            TimeRemainingColumn(compact=True),
            TextColumn("[bold]{task.fields[known]}"),
            TextColumn(
                "[dim]{task.fields[doing]}",
                table_column=Column(no_wrap=True, overflow="ellipsis", ratio=1),
            ),
            console=open_stderr(),
            auto_refresh=False,
            transient=True,
            expand=True,
        )
        self._live = sys.stderr.isatty()
        self._pause = REDRAW_S if self._live else LINE_S
        self._task: TaskID | None = None
        self._drawn = 0.0
        self._total, self._unit = 0.0, ""

    def stage(self, title: str, total: float, unit: str) -> None:
        self._total, self._unit = total, unit
        title = escape(title)  # it may name the command of another user
        amount = f"{total:g} {unit if total > 1 else unit.removesuffix('s')}"
        amount = "" if not unit else units.seconds(total) if unit == "s" else amount
        if not self._live:
            limit = "up to " if unit == "s" else ""
            open_stderr().print(f"{title} {limit}{amount} …".replace("  ", " "))
            self._drawn = time.monotonic()
            return
        if self._task is None:
            self._bar.start()
        else:
            self._bar.remove_task(self._task)
        self._task = self._bar.add_task(title, total=total, done=amount, known="", doing="")
        self._bar.refresh()

    def step(self, done: float, doing: str, known: str = "") -> None:
        if time.monotonic() - self._drawn < self._pause:
            return
        self._drawn = time.monotonic()
        amount = f"{done:.0f}/{self._total:.0f} {self._unit}"
        if self._task is None:
            if not self._live:
                open_stderr().print(f"  {amount} {escape(known)} {escape(doing)}")
            return
        self._bar.update(
            self._task, completed=done, done=amount, known=escape(known), doing=escape(doing)
        )
        self._bar.refresh()

    def caution(self, seen: Environment) -> None:
        if is_short_of_cores(seen):
            warn(ADVICE["crowded"](seen))

    def close(self) -> None:
        if self._task is not None:
            self._bar.stop()
            self._task = None
