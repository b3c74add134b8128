"""The live table of a fleet on standard error, or a line for each change if it is a pipe."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from rich import box
from rich.live import Live
from rich.table import Table

from attn_bench.jobs.fleet.start import Seen
from attn_bench.model import units
from attn_bench.model.fleet import Shard
from attn_bench.view.console.terminal import open_stderr
from attn_bench.view.markup import escape

HEADINGS = ("host", "device", "state", "case", "done", "time left")
LINE_EVERY_S = 60.0  # in a pipe, if only the progress changes


class Line(NamedTuple):
    """The cells of a shard, or of a `work` without one."""

    host: str
    device: str
    state: str
    doing: str = ""
    done: str = ""
    left: str = ""


class FleetTable:
    """Shows what each host does, and how long it will take."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._live: Live | None = None
        self._printed: dict[str, tuple[str, float]] = {}

    def show(self, seen: Seen) -> None:
        lines = {shard.name: _describe_shard(shard) for shard in seen.shards}
        lines |= _describe_works(seen)
        if not sys.stderr.isatty():
            self._print(lines)
            return
        if self._live is None:
            self._live = Live(console=open_stderr(), auto_refresh=False)
            self._live.start()
        self._live.update(_make_table([*lines.values()]), refresh=True)

    def close(self) -> None:
        if self._live is not None:
            self._live.stop()
            self._live = None

    def _print(self, lines: Mapping[str, Line]) -> None:
        now_s = self._clock()
        for name, line in lines.items():
            state, printed_s = self._printed.get(name, ("", now_s))
            if line.state != state or now_s - printed_s >= LINE_EVERY_S:
                self._printed[name] = (line.state, now_s)
                words = ", ".join(filter(None, line))
                open_stderr().print(escape(words), soft_wrap=True)


def _describe_shard(shard: Shard) -> Line:
    done = f"{shard.done} of {shard.total}" if shard.total else ""
    if shard.state == "held":
        left = "" if shard.left_s is None else units.seconds(shard.left_s)
        return Line(shard.host, shard.device, "measuring", shard.doing, done, left)
    state = "lost: its owner is silent" if shard.state == "lost" else shard.state
    return Line(shard.host, shard.device, state, "", done)


def _describe_works(seen: Seen) -> dict[str, Line]:
    """Those that measure no shard, and those that went wrong."""
    owners = {shard.host for shard in seen.shards if shard.state == "held"}
    found = {}
    for number, work in enumerate(seen.works):
        if work.state == "lost":
            state = f"lost: {work.last_line}"
        elif work.status:
            state = f"ended with status {work.status}: {work.last_line}"
        elif work.state == "waiting":
            state = "waiting for a host"
        elif work.state == "running" and work.host not in owners:
            state = "without a shard"
        else:
            continue
        found[f"work {number}"] = Line(work.host, work.kind, state)
    return found


def _make_table(lines: Sequence[Line]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False)
    for heading in HEADINGS:
        is_figure = heading in ("done", "time left")
        table.add_column(heading, justify="right" if is_figure else "left")
    for line in lines:
        table.add_row(*map(escape, line))
    return table
