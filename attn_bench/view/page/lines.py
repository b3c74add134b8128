"""Draws panels that are a list: a labelled line for each row, with its figure at the right."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from attn_bench.model import units
from attn_bench.model.row import Row
from attn_bench.view.page.drawing import INK, MUTED, SERIES, plain_numbers, short
from attn_bench.view.page.shown import Role

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# The colour and the marker of a row.
LOOKS: Mapping[Role, tuple[str, str]] = {
    "usual": (SERIES[0], "o"),
    "own": (SERIES[1], "s"),
    "chosen": (SERIES[2], "D"),
    "baseline": (MUTED, "o"),
}
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


@dataclass(frozen=True, slots=True)
class Mark:
    """A labelled line of a panel.

    interval: (value, lo, hi) on the axis.
    figure: the value in words.
    is_known: whether the value is precise enough for a marker; else the bar stands alone.
    """

    name: str
    interval: tuple[float, float, float]
    figure: str
    role: Role = "usual"
    is_known: bool = True


def draw_intervals(
    axes: Axes,
    marks: Sequence[Mark],
    axis: str,
    *,
    log: bool = True,
    limit: float | None = None,
) -> None:
    """Draw a line for each mark: its name, a dot with its interval, and the figure.

    axis: the title of the axis.
    limit: where a dashed line stands.
    """
    for place, mark in enumerate(marks):
        if mark.figure == units.UNCLEAR:
            continue  # its bar would hide all others
        value, lo, hi = mark.interval
        colour, marker = LOOKS[mark.role]
        axes.errorbar(
            value,
            place,
            xerr=[[value - lo], [hi - value]],
            color=colour,
            marker=marker if mark.is_known else "",
            capsize=2,
        )
    if limit is not None:
        axes.axvline(limit, color=INK, ls="--", lw=1, zorder=0)
    if log:
        axes.set_xscale("log")
        if any(mark.figure != units.UNCLEAR for mark in marks):
            plain_numbers(axes.xaxis)
    else:
        axes.axvline(0, color=MUTED, lw=0.8, zorder=0)
    axes.set_xlabel(axis)
    label_lines(axes, [mark.name for mark in marks], [mark.figure for mark in marks])


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
