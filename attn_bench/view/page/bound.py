"""The figure of latency against the bound: a roofline, drawn as time."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from functools import partial
from itertools import groupby
from typing import TYPE_CHECKING

from attn_bench.model import units
from attn_bench.model.row import Row
from attn_bench.view.page.drawing import (
    HEIGHT,
    MARKERS,
    MUTED,
    Panel,
    Picture,
    Style,
    plain_numbers,
    short,
    styles,
)
from attn_bench.view.page.lines import Mark, draw_intervals, height_of, name_row
from attn_bench.view.summary import group_title

if TYPE_CHECKING:
    from matplotlib.axes import Axes

NAME, TITLE = "bound", "Latency against bound (roofline)"
BOUND = (
    "The bound is the time for the least traffic and the arithmetic of a case, at the rates that "
    "this run measured. "
)
MULTIPLES = (1, 10, 100)  # of the bound, drawn as lines


def make_picture(rows: Sequence[Row]) -> Picture:
    """Latency against the bound, with a panel for each condition.

    With more modules than markers, it is a list for each shape, of latencies as multiples of the
    bound.
    """
    known = [row for row in rows if row.bounded is not None and row.bound_us]
    if not known:
        return Picture(NAME, TITLE, missing="No bound is known for this run.")
    names = list(dict.fromkeys(row.name for row in rows if row.bounded is not None))
    if len(names) > len(MARKERS):
        caption = (
            f"{BOUND}A case at 1 is as fast as these rates allow; a case at 10 takes ten times as "
            "long."
        )
        groups = groupby(known, group_title)
        panels = [_list_panel(title, list(group)) for title, group in groups]
        return Picture(NAME, TITLE, caption, panels)
    caption = (
        f"{BOUND}A case on the line “1 ×” is as fast as these rates allow; a case on “10 ×” takes "
        "ten times as long. A module with extents has one marker for each."
    )
    looks = styles(names)
    conditions: dict[str, list[Row]] = defaultdict(list)
    for row in known:
        conditions[_name_condition(row)].append(row)
    panels = [_roofline_panel(title, group, looks) for title, group in conditions.items()]
    return Picture(NAME, TITLE, caption, panels)


def _name_condition(row: Row) -> str:
    """The conditions in the title of the row's table, without the shape."""
    condition = group_title(row).removeprefix(row.shape_in_words).strip()
    return condition or f"{row.dtype}, {row.mode}"


def _list_panel(title: str, rows: Sequence[Row]) -> Panel:
    found = []
    for row in rows:
        if row.bounded and row.bound_us:
            times = row.bounded.times(1 / row.bound_us)
            found.append(Mark(name_row(row), times, units.with_interval(times)))
    words = "; ".join(f"{mark.name} {mark.figure}" for mark in found)
    return Panel(
        title,
        f"{_clock(rows).capitalize()} at {title}, × bound: {words}.",
        height_of(len(found)),
        partial(draw_intervals, marks=found, axis=f"{_clock(rows)}, × bound"),
    )


def _clock(rows: Sequence[Row]) -> str:
    """What is compared with the bound; the rows of a run have one device."""
    return "latency" if all(row.device_us is None for row in rows) else "device time"


def _roofline_panel(title: str, rows: Sequence[Row], looks: dict[str, Style]) -> Panel:
    names = dict.fromkeys(row.name for row in rows)
    fractions = [(row.bound_fraction or 0.0, row) for row in rows]
    near = max(fractions, key=lambda pair: pair[0])
    far = min(fractions, key=lambda pair: pair[0])
    alt = (
        f"{_clock(rows).capitalize()} against bound, {title}: the case nearest to its bound is "
        f"{near[1].variant} at {near[1].shape_in_words}, at {units.percent(near[0])} of the "
        f"attainable speed; the farthest is {far[1].variant} at {far[1].shape_in_words}, "
        f"at {units.percent(far[0])}."
    )
    return Panel(
        title,
        alt,
        HEIGHT + 30 + 14 * -(-len(names) // 3),
        partial(_draw_roofline, rows=rows, looks=looks),
    )


def _draw_roofline(axes: Axes, rows: Sequence[Row], looks: dict[str, Style]) -> None:
    members: dict[str, list[tuple[float, float]]] = defaultdict(list)
    for row in rows:
        if row.bound_us and row.bounded:
            members[row.name].append((row.bound_us, row.bounded.value))
    for name, points in members.items():
        bounds, latencies = zip(*points, strict=True)
        axes.plot(
            bounds,
            latencies,
            color=looks[name].colour,
            marker=looks[name].marker,
            ls="none",
            markerfacecolor="none",
            label=f" {short(name)}",
        )
    _set_limits(axes, [point for points in members.values() for point in points])
    _draw_multiples(axes)
    axes.set_xlabel("bound, µs")
    axes.set_ylabel(f"{_clock(rows)}, µs")
    plain_numbers(axes.xaxis)
    plain_numbers(axes.yaxis)
    axes.legend(
        loc="upper center", bbox_to_anchor=(0.5, -0.13), ncols=3, handletextpad=0.1, columnspacing=1
    )


def _set_limits(axes: Axes, points: Sequence[tuple[float, float]]) -> None:
    """Set the limits so that all points and the line “1 ×” are inside."""
    bounds, latencies = zip(*points, strict=True)
    left = min(bounds) / 1.6
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlim(left, max(bounds) * 1.6)
    axes.set_ylim(min(left, 0.8 * min(latencies)), max(latencies) * 1.6)


def _draw_multiples(axes: Axes) -> None:
    """Draw the lines of MULTIPLES of the bound, each with a label where it leaves the axes."""
    (left, right), (_, top) = axes.get_xlim(), axes.get_ylim()
    for factor in MULTIPLES:
        if factor * left > top:
            break
        axes.plot(
            [left, right],
            [factor * left, factor * right],
            color=MUTED,
            lw=1.2 if factor == 1 else 0.8,
            ls="-" if factor == 1 else (0, (4, 3)),
            zorder=0,
        )
        leaves_top = top < factor * right
        axes.annotate(
            f"{factor} ×",
            (top / factor, top) if leaves_top else (right, factor * right),
            (0, 2) if leaves_top else (3, 0),
            textcoords="offset points",
            fontsize=9.5,
            color=MUTED,
            ha="center" if leaves_top else "left",
            va="bottom" if leaves_top else "center",
            annotation_clip=False,
        )
