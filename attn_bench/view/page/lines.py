"""Draws panels that are a list: a labelled line for each row, with its figure at the right."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from attn_bench.model import units
from attn_bench.model.row import Row
from attn_bench.view.page.drawing import INK, SERIES, plain_numbers, short

if TYPE_CHECKING:
    from matplotlib.axes import Axes

LINE_HEIGHT, MARGIN = 16, 54  # points: of a labelled row, and of the axis below it


def height_of(count: int) -> float:
    """The height of a panel with `count` lines, in points."""
    return MARGIN + LINE_HEIGHT * count


def name_fully(row: Row) -> str:
    """The name of the row and its extent."""
    return row.name if row.extent is None else f"{row.name} {row.extent}"


def name_row(row: Row) -> str:
    """The name of the row and its extent, short enough to stand beside an axis."""
    name = short(row.name)
    return name if row.extent is None else f"{name} {row.extent}"


def choose_unit(rows: Sequence[Row]) -> tuple[str, float]:
    """The unit of the latencies, and the factor from µs to it."""
    return ("ms", 1e-3) if max(row.latency_us or 0 for row in rows) >= 1000 else ("µs", 1.0)


def draw_intervals(
    axes: Axes, found: Sequence[tuple[str, tuple[float, float, float]]], axis: str
) -> None:
    """Draw a line for each row: its name, a dot with its interval, and the figure.

    axis: the title of the axis.
    """
    for place, (_, (value, lo, hi)) in enumerate(found):
        axes.errorbar(
            value, place, xerr=[[value - lo], [hi - value]], color=SERIES[0], marker="o", capsize=2
        )
    axes.set_xscale("log")
    axes.set_xlabel(axis)
    plain_numbers(axes.xaxis)
    label_lines(axes, [name for name, _ in found], [units.with_interval(i) for _, i in found])


def label_lines(axes: Axes, names: Sequence[str], figures: Sequence[str]) -> None:
    """Label the lines from top to bottom: names at the left, figures at the right."""
    axes.set_yticks(range(len(names)), list(names), fontsize=10)
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="y", visible=False)
    for place, figure in enumerate(figures):
        axes.text(
            1.02,
            place,
            figure,
            transform=axes.get_yaxis_transform(),
            va="center",
            fontsize=10,
            color=INK,
        )
