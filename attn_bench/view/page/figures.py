"""The figures of a run, as pictures: latency, cost against published gain, the bound, memory."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from functools import partial
from itertools import groupby
from math import log
from typing import TYPE_CHECKING

from attn_bench.model import units
from attn_bench.model.case import Extent
from attn_bench.model.metrics import Interval
from attn_bench.model.row import Row
from attn_bench.papers.gains import find_points
from attn_bench.view.page.drawing import (
    HEIGHT,
    INK,
    MARKERS,
    MUTED,
    PAPER,
    SERIES,
    Panel,
    Picture,
    Style,
    plain_numbers,
    short,
    spread,
    styles,
)
from attn_bench.view.page.gain_figure import cost_against_gain
from attn_bench.view.summary import group_title

if TYPE_CHECKING:
    from matplotlib.axes import Axes

LINE_HEIGHT, MARGIN = 16, 54  # points: of a labelled row, and of the axis below it


def pictures(rows: Sequence[Row], baseline: str) -> list[Picture]:
    """All figures of a run; one that cannot be drawn says why."""
    return [
        latency(rows),
        cost_against_gain(find_points(rows, baseline)),
        bound(rows),
        memory(rows),
    ]


# --- latency --------------------------------------------------------------------------------------


def latency(rows: Sequence[Row]) -> Picture:
    """A panel for each shape and condition: over the extent where modules have several, else a line
    for each variant."""
    timed = [row for row in rows if row.latency_us is not None]
    if not timed:
        return Picture("latency", "Latency", missing="No case was timed.")
    looks = styles([row.name for row in timed])
    panels = []
    over_extent = False
    for title, group in groupby(timed, group_title):
        members = list(group)
        several = members[0].backbone is None and _has_several_extents(members)
        over_extent |= several
        panels.append(
            _extent_panel(title, members, looks) if several else _time_panel(title, members)
        )
    title = "Latency against extent, stage by stage" if over_extent else "Latency, shape by shape"
    caption = "Time of one call, with its 95 % interval, on a logarithmic axis. "
    if over_extent:
        caption += (
            "Markers joined by a line are one module at several extents; a line across is a module "
            "that has none."
        )
    return Picture("latency", title, caption, panels)


def _has_several_extents(rows: Sequence[Row]) -> bool:
    return any(len(points) > 1 for points in _series(rows).values())


def _series(rows: Sequence[Row]) -> dict[str, dict[Extent | str | None, Row]]:
    """By name, the rows of each extent."""
    found: dict[str, dict[Extent | str | None, Row]] = defaultdict(dict)
    for row in rows:
        found[row.name][row.extent] = row
    return found


def _extent_panel(title: str, rows: Sequence[Row], looks: dict[str, Style]) -> Panel:
    unit, scale = _unit(rows)
    return Panel(
        title,
        f"Latency at {title}: {_in_words(rows, scale, unit)}.",
        HEIGHT,
        partial(_draw_extents, rows=rows, looks=looks, unit=unit, scale=scale),
    )


def _draw_extents(
    axes: Axes, rows: Sequence[Row], looks: dict[str, Style], unit: str, scale: float
) -> None:
    extents = sorted({r.extent for r in rows if r.extent is not None}, key=_extent_order)
    at = {extent: place for place, extent in enumerate(extents)}
    right = len(extents) - 0.6
    labels = []
    for name, points in _series(rows).items():
        look = looks[name]
        intervals = [i.times(scale) for row in points.values() if (i := row.interval("latency_us"))]
        values, lows, highs = zip(*intervals, strict=True)
        if None in points:
            axes.fill_between([-0.4, right], lows[0], highs[0], color=look.colour, alpha=0.18, lw=0)
            axes.plot([-0.4, right], [values[0]] * 2, color=look.colour, ls=look.dashes, lw=1.2)
            labels.append((right, values[0], name, look))
            continue
        places = [at[extent] for extent in points if extent is not None]
        ends = [
            [v - lo for v, lo in zip(values, lows, strict=True)],
            [hi - v for v, hi in zip(values, highs, strict=True)],
        ]
        axes.errorbar(
            places,
            values,
            yerr=ends,
            color=look.colour,
            marker=look.marker,
            ls=look.dashes,
            markerfacecolor=PAPER,
            capsize=2,
            elinewidth=1,
        )
        labels.append((places[-1], values[-1], name, look))
    axes.set_yscale("log")
    axes.set_xlim(-0.4, right)
    axes.set_xticks(range(len(extents)), [str(extent) for extent in extents])
    axes.grid(axis="x", visible=False)
    axes.set_xlabel("extent")
    axes.set_ylabel(f"latency, {unit}")
    plain_numbers(axes.yaxis)
    _label_at_right(axes, labels)


def _label_at_right(axes: Axes, labels: Sequence[tuple[float, float, str, Style]]) -> None:
    """A name for each line beside the axes, none upon another, tied to the line's end."""
    low, high = map(log, axes.get_ylim())
    wanted = [(log(value) - low) / (high - low) for _, value, _, _ in labels]
    for place, (x, value, name, look) in zip(spread(wanted, 0.068), labels, strict=True):
        axes.annotate(
            short(name),
            (x, value),
            (1.06, place),
            textcoords="axes fraction",
            va="center",
            fontsize=10,
            color=look.colour,
            annotation_clip=False,
            arrowprops={"arrowstyle": "-", "lw": 0.6, "color": MUTED, "shrinkA": 1, "shrinkB": 4},
        )


def _time_panel(title: str, rows: Sequence[Row]) -> Panel:
    unit, scale = _unit(rows)
    found = [
        (_label(row), interval.times(scale))
        for row in rows
        if (interval := row.interval("latency_us")) is not None
    ]
    return Panel(
        title,
        f"Latency at {title}: {_in_words(rows, scale, unit)}.",
        MARGIN + LINE_HEIGHT * len(found),
        partial(_draw_intervals, found=found, axis=f"latency, {unit}"),
    )


def _draw_intervals(
    axes: Axes, found: Sequence[tuple[str, tuple[float, float, float]]], axis: str
) -> None:
    """A line for each: its name, a dot with its interval, the figure."""
    for place, (_, (value, lo, hi)) in enumerate(found):
        axes.errorbar(
            value, place, xerr=[[value - lo], [hi - value]], color=SERIES[0], marker="o", capsize=2
        )
    axes.set_xscale("log")
    axes.set_xlabel(axis)
    plain_numbers(axes.xaxis)
    _lines(axes, [name for name, _ in found], [units.with_interval(i) for _, i in found])


def _lines(axes: Axes, names: Sequence[str], figures: Sequence[str]) -> None:
    """From top to bottom: names at the left of the axes, figures at its right."""
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


# --- the bound ------------------------------------------------------------------------------------


def bound(rows: Sequence[Row]) -> Picture:
    """The roofline as time: latency over the bound, a panel for each condition; with more modules
    than can be told apart there, a list for each shape of how many times the bound each takes."""
    name, title = "bound", "Latency against bound (roofline)"
    known = [row for row in rows if row.latency_us is not None and row.bound_us]
    if not known:
        return Picture(name, title, missing="No bound is known for this run.")
    names = list(dict.fromkeys(row.name for row in rows if row.latency_us is not None))
    what = (
        "The bound is what the least traffic and the arithmetic of a case take at the rates that "
        "this run measured. "
    )
    if len(names) > len(MARKERS):
        caption = what + "At 1 a case is as fast as can be; at 10 it takes ten times that."
        groups = groupby(known, group_title)
        return Picture(
            name, title, caption, [_times_panel(key, list(group)) for key, group in groups]
        )
    caption = what + (
        "A marker on the line “1 ×” is as fast as can be; one on “10 ×” takes ten times that. A "
        "module with extents has a marker for each."
    )
    looks = styles(names)
    panels: dict[str, list[Row]] = defaultdict(list)
    for row in known:
        condition = group_title(row).removeprefix(row.shape_in_words).strip()
        panels[condition or f"{row.dtype}, {row.mode}"].append(row)
    return Picture(
        name, title, caption, [_bound_panel(key, group, looks) for key, group in panels.items()]
    )


def _times_panel(title: str, rows: Sequence[Row]) -> Panel:
    found = [
        (_label(row), interval.times(1 / row.bound_us))
        for row in rows
        if (interval := row.interval("latency_us")) and row.bound_us
    ]
    words = "; ".join(f"{name} {units.with_interval(times)}" for name, times in found)
    return Panel(
        title,
        f"Latency at {title}, × bound: {words}.",
        MARGIN + LINE_HEIGHT * len(found),
        partial(_draw_intervals, found=found, axis="latency, × bound"),
    )


def _bound_panel(title: str, rows: Sequence[Row], looks: dict[str, Style]) -> Panel:
    names = dict.fromkeys(row.name for row in rows)
    fractions = [(row.bound_fraction or 0.0, row) for row in rows]
    near = max(fractions, key=lambda pair: pair[0])
    far = min(fractions, key=lambda pair: pair[0])
    alt = (
        f"Latency against bound, {title}: nearest to its bound is {near[1].variant} at "
        f"{near[1].shape_in_words}, at {units.percent(near[0])} of the speed that can be had; "
        f"farthest {far[1].variant} at {far[1].shape_in_words}, at {units.percent(far[0])}."
    )
    return Panel(
        title,
        alt,
        HEIGHT + 30 + 14 * -(-len(names) // 3),
        partial(_draw_bound, rows=rows, looks=looks),
    )


def _draw_bound(axes: Axes, rows: Sequence[Row], looks: dict[str, Style]) -> None:
    by_name: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        by_name[row.name].append(row)
    for name, members in by_name.items():
        axes.plot(
            [row.bound_us for row in members],  # type: ignore[arg-type]  # `bound` left None out
            [row.latency_us for row in members],  # type: ignore[arg-type]
            color=looks[name].colour,
            marker=looks[name].marker,
            ls="none",
            markerfacecolor="none",
            label=f" {short(name)}",
        )
    bounds = [row.bound_us or 0.0 for row in rows]
    left, right = min(bounds) / 1.6, max(bounds) * 1.6
    slowest = max(row.latency_us or 0.0 for row in rows) * 1.6
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlim(left, right)
    bottom = min([left, *(0.8 * (row.latency_us or left) for row in rows)])
    axes.set_ylim(bottom, slowest)
    for factor in (1, 10, 100):
        if factor * left > slowest:
            break
        axes.plot(
            [left, right],
            [factor * left, factor * right],
            color=MUTED,
            lw=1.2 if factor == 1 else 0.8,
            ls="-" if factor == 1 else (0, (4, 3)),
            zorder=0,
        )
        leaves_top = slowest < factor * right
        axes.annotate(
            f"{factor} ×",
            (slowest / factor, slowest) if leaves_top else (right, factor * right),
            (0, 2) if leaves_top else (3, 0),
            textcoords="offset points",
            fontsize=9.5,
            color=MUTED,
            ha="center" if leaves_top else "left",
            va="bottom" if leaves_top else "center",
            annotation_clip=False,
        )
    axes.set_xlabel("bound, µs")
    axes.set_ylabel("latency, µs")
    plain_numbers(axes.xaxis)
    plain_numbers(axes.yaxis)
    axes.legend(
        loc="upper center", bbox_to_anchor=(0.5, -0.13), ncols=3, handletextpad=0.1, columnspacing=1
    )


# --- memory ---------------------------------------------------------------------------------------


def memory(rows: Sequence[Row]) -> Picture:
    """Peak memory as a multiple of the input, a panel for each shape and condition."""
    known = [row for row in rows if row.peak_memory_bytes is not None]
    if not known:
        return Picture("memory", "Memory", missing="No case has a known peak memory.")
    return Picture(
        "memory",
        "Peak memory, shape by shape",
        "The most that is allocated at once during a call, beyond input and parameters, as a "
        "multiple of the input.",
        [_memory_panel(title, list(group)) for title, group in groupby(known, group_title)],
    )


def _memory_panel(title: str, rows: Sequence[Row]) -> Panel:
    found = [(_label(row), row.memory_multiple or 0.0) for row in rows]
    words = "; ".join(f"{name} {units.multiple(value)}" for name, value in found)
    return Panel(
        title,
        f"Peak memory at {title}, × input: {words}.",
        MARGIN + LINE_HEIGHT * len(found),
        partial(_draw_bars, found=found),
    )


def _draw_bars(axes: Axes, found: Sequence[tuple[str, float]]) -> None:
    axes.barh(range(len(found)), [value for _, value in found], color=SERIES[0], height=0.62)
    axes.set_xlim(0, max(1.05 * max(value for _, value in found), 1))
    axes.set_xlabel("peak memory, × input")
    _lines(axes, [name for name, _ in found], [units.multiple(value) for _, value in found])


# --- what several share ---------------------------------------------------------------------------


def _label(row: Row) -> str:
    name = short(row.name)
    return name if row.extent is None else f"{name} {row.extent}"


def _unit(rows: Sequence[Row]) -> tuple[str, float]:
    return ("ms", 1e-3) if max(row.latency_us or 0 for row in rows) >= 1000 else ("µs", 1.0)


def _in_words(rows: Sequence[Row], scale: float, unit: str) -> str:
    def figure(interval: Interval | None) -> str:
        return units.with_interval(interval.times(scale) if interval else None)

    return "; ".join(f"{_label(row)} {figure(row.interval('latency_us'))} {unit}" for row in rows)


def _extent_order(extent: Extent | str) -> float:
    return float(extent) if isinstance(extent, int) else float("inf")
