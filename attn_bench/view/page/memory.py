"""The figure of peak memory: a multiple of the input, a panel for each shape and condition."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from itertools import groupby
from typing import TYPE_CHECKING

from attn_bench.model import units
from attn_bench.model.row import Row
from attn_bench.view.page.drawing import SERIES, Panel, Picture
from attn_bench.view.page.lines import height_of, label_lines, name_row
from attn_bench.view.summary import group_title

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def make_picture(rows: Sequence[Row]) -> Picture:
    """A bar for each case."""
    known = [row for row in rows if row.peak_memory_bytes is not None]
    if not known:
        return Picture("memory", "Memory", missing="No case has a known peak memory.")
    return Picture(
        "memory",
        "Peak memory, shape by shape",
        "The most memory allocated at once during a call, beyond input and parameters, as a "
        "multiple of the input.",
        [_memory_panel(title, list(group)) for title, group in groupby(known, group_title)],
    )


def _memory_panel(title: str, rows: Sequence[Row]) -> Panel:
    found = [(name_row(row), row.memory_multiple or 0.0) for row in rows]
    words = "; ".join(f"{name} {units.multiple(value)}" for name, value in found)
    return Panel(
        title,
        f"Peak memory at {title}, × input: {words}.",
        height_of(len(found)),
        partial(_draw_bars, found=found),
    )


def _draw_bars(axes: Axes, found: Sequence[tuple[str, float]]) -> None:
    axes.barh(range(len(found)), [value for _, value in found], color=SERIES[0], height=0.62)
    axes.set_xlim(0, max(1.05 * max(value for _, value in found), 1))
    axes.set_xlabel("peak memory, × input")
    label_lines(axes, [name for name, _ in found], [units.multiple(value) for _, value in found])
