"""The figure of latency against the extent, of modules that have several."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from functools import partial
from itertools import groupby
from typing import TYPE_CHECKING

from attn_bench.model import units
from attn_bench.model.case import Extent
from attn_bench.model.metrics import Interval
from attn_bench.model.row import Row
from attn_bench.view.page.drawing import (
    HEIGHT,
    Panel,
    Picture,
    Style,
    plain_numbers,
    styles,
)
from attn_bench.view.page.lines import name_row
from attn_bench.view.page.series import draw_across, draw_series, label_at_right
from attn_bench.view.summary import choose_unit, group_title

if TYPE_CHECKING:
    from matplotlib.axes import Axes

LEFT = -0.4  # of the first extent: where the axes begin


def make_picture(rows: Sequence[Row]) -> Picture:
    """A panel for each shape and condition at which a module has several extents."""
    timed = [row for row in rows if row.latency_us is not None and row.backbone is None]
    looks = styles([row.name for row in timed])
    panels = [
        _extent_panel(title, members, looks)
        for title, group in groupby(timed, group_title)
        if _has_several_extents(members := list(group))
    ]
    caption = (
        "Time of one call, with its 95 % interval, on a logarithmic axis. A line with markers is "
        "one module at several extents; a line across is a module without an extent."
    )
    return Picture("latency", "Latency against extent", caption, panels)


def _has_several_extents(rows: Sequence[Row]) -> bool:
    return any(len(points) > 1 for points in _series(rows).values())


def _series(rows: Sequence[Row]) -> dict[str, dict[Extent | str | None, Row]]:
    """The rows of each extent, by name."""
    found: dict[str, dict[Extent | str | None, Row]] = defaultdict(dict)
    for row in rows:
        found[row.name][row.extent] = row
    return found


def _extent_panel(title: str, rows: Sequence[Row], looks: dict[str, Style]) -> Panel:
    unit = choose_unit(rows)
    scale = 1e-3 if unit == "ms" else 1.0
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
        if None in points:
            draw_across(axes, intervals[0], (LEFT, right), look)
            labels.append((right, intervals[0][0], name, look))
        else:
            places = [at[extent] for extent in points if extent is not None]
            draw_series(axes, places, intervals, look)
            labels.append((places[-1], intervals[-1][0], name, look))
    axes.set_yscale("log")
    axes.set_xlim(LEFT, right)
    axes.set_xticks(range(len(extents)), [str(extent) for extent in extents])
    axes.grid(axis="x", visible=False)
    axes.set_xlabel("extent")
    axes.set_ylabel(f"latency, {unit}")
    plain_numbers(axes.yaxis)
    label_at_right(axes, labels)


def _in_words(rows: Sequence[Row], scale: float, unit: str) -> str:
    def figure(interval: Interval | None) -> str:
        return units.with_interval(interval.times(scale) if interval else None)

    return "; ".join(f"{name_row(row)} {figure(row.interval('latency_us'))} {unit}" for row in rows)


def _extent_order(extent: Extent | str) -> float:
    return float(extent) if isinstance(extent, int) else float("inf")
