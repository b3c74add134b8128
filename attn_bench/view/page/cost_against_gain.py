"""The figure of measured cost against published gain, with its Pareto front."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING

from attn_bench.model import units
from attn_bench.model.row import Row
from attn_bench.papers.gains import Paper
from attn_bench.view.page.drawing import (
    HEIGHT,
    MUTED,
    PAPER,
    SERIES,
    Panel,
    Picture,
    plain_numbers,
    short,
    spread,
    styles,
)
from attn_bench.view.page.points import Point, find_front, find_points

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.typing import FillStyleType

    from attn_bench.papers.published import Provenance

NAME, TITLE = "cost-against-gain", "Measured cost against published gain"
FILL: Mapping[Provenance, FillStyleType] = {
    "read": "full",
    "secondary": "left",
    "recalled": "none",
}
MARKED: Mapping[Provenance, str] = {
    "read": "Filled markers: the gain was read in the paper.",
    "secondary": "Half-filled markers: the gain is quoted by a secondary source.",
    "recalled": "Hollow markers: the gain was recalled from memory.",
}


def make_picture(rows: Sequence[Row], baseline: str) -> Picture:
    return draw_points(find_points(rows, baseline))


def draw_points(points: Sequence[Point]) -> Picture:
    """A panel for each paper (and condition) with two points or more, and its Pareto front."""
    groups: dict[tuple[Paper, str], list[Point]] = defaultdict(list)
    for point in points:
        groups[point.gain.paper, point.condition].append(point)
    groups = {key: members for key, members in groups.items() if len(members) > 1}
    if not groups:
        return Picture(
            NAME,
            TITLE,
            missing="No paper gives gains for two variants that were measured at the same shape.",
        )
    has_several = len({point.condition for point in points}) > 1
    panels = [
        _gain_panel(paper, condition if has_several else "", members)
        for (paper, condition), members in groups.items()
    ]
    shown = {point.gain.provenance for members in groups.values() for point in members}
    caption = (
        "Gains are the papers' and were not measured here: points of top-1 over the plain network "
        "of the same paper. Compare them only within a panel. Cost is the ratio to the baseline, "
        f"as geometric mean over {', '.join(points[0].shapes)}, with its 95 % interval. The line "
        "is the Pareto front: no cheaper module has a higher gain. "
        + " ".join(words for kind, words in MARKED.items() if kind in shown)
    )
    return Picture(NAME, TITLE, caption, panels)


def _gain_panel(paper: Paper, condition: str, points: Sequence[Point]) -> Panel:
    words = "; ".join(
        f"{p.name} {p.gain.points:+.2f} points at {units.with_interval(p.cost.times(1))} ×"
        for p in points
    )
    front = ", ".join(p.name for p in find_front(points))
    return Panel(
        f"{paper}, {condition}" if condition else str(paper),
        f"Cost against gain, {paper}: {words}. On the Pareto front: {front}.",
        HEIGHT + 40,
        partial(_draw_gain, points=points),
    )


def _draw_gain(axes: Axes, points: Sequence[Point]) -> None:
    looks = styles([p.module for p in points])
    front = find_front(points)
    axes.plot(
        [p.cost.value for p in front],
        [p.gain.points for p in front],
        color=MUTED,
        ls="--",
        lw=1,
        zorder=1,
    )
    for p in points:
        axes.errorbar(
            p.cost.value,
            p.gain.points,
            xerr=[[p.cost.value - p.cost.lo], [p.cost.hi - p.cost.value]],
            color=SERIES[0],
            marker=looks[p.module].marker,
            markersize=7,
            markerfacecoloralt=PAPER,
            fillstyle=FILL[p.gain.provenance],
            capsize=2,
            elinewidth=1,
            ls="none",
            zorder=2,
        )
    _set_limits(axes, points)
    axes.set_xlabel("measured cost, × baseline")
    axes.set_ylabel("published top-1 gain, points")
    plain_numbers(axes.xaxis)
    _label_points(axes, points)


def _set_limits(axes: Axes, points: Sequence[Point]) -> None:
    """Set the limits so that all intervals are inside, with some room around them."""
    axes.set_xscale("log")
    low = min(p.cost.lo for p in points)
    high = max(p.cost.hi for p in points)
    margin = max(1.01, (high / low) ** 0.08)
    axes.set_xlim(low / margin, high * margin)
    gains = [p.gain.points for p in points]
    room = 0.12 * (max(gains) - min(gains) or 1)
    axes.set_ylim(min(gains) - room, max(gains) + room)


def _label_points(axes: Axes, points: Sequence[Point]) -> None:
    """Write the names beside the axes, in the order of the gains, each joined to its point."""
    low, high = axes.get_ylim()
    places = [(p.gain.points - low) / (high - low) for p in points]
    for place, p in zip(spread(places, 0.056), points, strict=True):
        axes.annotate(
            short(p.name),
            (p.cost.value, p.gain.points),
            (1.05, place),
            textcoords="axes fraction",
            va="center",
            fontsize=10,
            annotation_clip=False,
            arrowprops={"arrowstyle": "-", "lw": 0.5, "color": MUTED, "shrinkA": 1, "shrinkB": 5},
        )
