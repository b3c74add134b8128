"""The figure of measured cost against published gain, with its Pareto front."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING

from attn_bench.model import units
from attn_bench.model.row import Row
from attn_bench.papers.gains import Paper, has_gains
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
from attn_bench.view.page.points import NONE, OWN, Point, find_front, find_points

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
MARKED_OWN = "Stars are gains of your own training, which no paper repeats: compare them with care."
MARKED: Mapping[Provenance, str] = {
    "read": "Filled markers: the gain was read in the paper.",
    "secondary": "Half-filled markers: the gain is quoted by a secondary source.",
    "recalled": "Hollow markers: the gain was recalled from memory.",
}


def make_picture(rows: Sequence[Row], baseline: str, own: Mapping[str, float] = NONE) -> Picture:
    """own: gains that the author of modules measured, by variant."""
    return draw_points(find_points(rows, baseline, own))


def draw_points(points: Sequence[Point]) -> Picture:
    """A panel for each paper (and condition) with two points or more, and its Pareto front.

    An author's own points are in each panel; they have a panel where no paper has one.
    """
    groups: dict[tuple[Paper, str], list[Point]] = defaultdict(list)
    for point in points:
        groups[point.gain.paper, point.condition].append(point)
    for (paper, condition), members in list(groups.items()):
        if paper != OWN:
            members += groups.get((OWN, condition), [])
    groups = {key: members for key, members in groups.items() if len(members) > 1}
    if any(paper != OWN for paper, _ in groups):
        groups = {key: members for key, members in groups.items() if key[0] != OWN}
    if not groups:
        return Picture(
            NAME,
            TITLE,
            missing="No paper gives gains for two variants whose cost is known at the same shape.",
        )
    has_several = len({point.condition for point in points}) > 1
    panels = [
        _gain_panel(paper, condition if has_several else "", members)
        for (paper, condition), members in groups.items()
    ]
    drawn = [point for members in groups.values() for point in members]
    return Picture(NAME, TITLE, _caption(drawn), panels)


def _caption(points: Sequence[Point]) -> str:
    """Where gains and costs come from, and what the signs mean."""
    shown = {point.gain.provenance for point in points if point.gain.paper != OWN}
    others = sorted({p.backbone for p in points if p.backbone and not has_gains(p.backbone)})
    borrowed = f"No paper has gains in {', '.join(others)}: those in ResNet-50 are shown."
    is_network = all(point.backbone for point in points)
    cost = "the latency added to the plain network" if is_network else "the ratio to the baseline"
    sentences = [
        *([borrowed] if others else []),
        "Gains are the papers' and were not measured here: points of top-1 over the plain network "
        "of the same paper.",
        "Compare them only within a panel.",
        f"Cost is {cost}, as geometric mean over {', '.join(points[0].shapes)}, with its 95 % "
        "interval.",
        "The line is the Pareto front: no cheaper module has a higher gain.",
        *(words for kind, words in MARKED.items() if kind in shown),
        *([MARKED_OWN] if any(point.gain.paper == OWN for point in points) else []),
    ]
    return " ".join(sentences)


def _gain_panel(paper: Paper, condition: str, points: Sequence[Point]) -> Panel:
    words = "; ".join(f"{p.name} {p.gain.points:+.2f} points at {_say_cost(p)}" for p in points)
    front = ", ".join(p.name for p in find_front(points))
    return Panel(
        f"{paper}, {condition}" if condition else str(paper),
        f"Cost against gain, {paper}: {words}. On the Pareto front: {front}.",
        HEIGHT + 40,
        partial(_draw_gain, points=points),
    )


def _say_cost(point: Point) -> str:
    if point.backbone:
        return units.change_with_interval(point.cost.times(1))
    return f"{units.with_interval(point.cost.times(1))} ×"


def _place(point: Point) -> tuple[float, float, float]:
    """The cost with its interval on the axis: a multiple, or in percent added to a network."""
    value, lo, hi = point.cost.times(1)
    if point.backbone:
        value, lo, hi = (100 * (end - 1) for end in (value, lo, hi))
    return value, lo, hi


def _draw_gain(axes: Axes, points: Sequence[Point]) -> None:
    looks = styles([p.module for p in points])
    front = find_front(points)
    axes.plot(
        [_place(p)[0] for p in front],
        [p.gain.points for p in front],
        color=MUTED,
        ls="--",
        lw=1,
        zorder=1,
    )
    for p in points:
        value, lo, hi = _place(p)
        is_own = p.gain.paper == OWN
        axes.errorbar(
            value,
            p.gain.points,
            xerr=[[value - lo], [hi - value]],
            color=SERIES[1] if is_own else SERIES[0],
            marker="*" if is_own else looks[p.module].marker,
            markersize=11 if is_own else 7,
            markerfacecoloralt=PAPER,
            fillstyle=FILL[p.gain.provenance],
            capsize=2,
            elinewidth=1,
            ls="none",
            zorder=2,
        )
    _set_limits(axes, points)
    is_mixed = any(point.gain.paper == OWN for point in points)
    axes.set_ylabel(f"{'' if is_mixed else 'published '}top-1 gain, points")
    if points[0].backbone:
        axes.set_xlabel("added latency, %")
    else:
        axes.set_xlabel("measured cost, × baseline")
        plain_numbers(axes.xaxis)
    _label_points(axes, points)


def _set_limits(axes: Axes, points: Sequence[Point]) -> None:
    """Set the limits so that all intervals are inside, with some room around them."""
    low = min(_place(p)[1] for p in points)
    high = max(_place(p)[2] for p in points)
    if points[0].backbone:
        room = 0.08 * (high - low or 1)
        axes.set_xlim(low - room, high + room)
    else:
        axes.set_xscale("log")
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
            short(f"{p.name} (yours)" if p.gain.paper == OWN else p.name),
            (_place(p)[0], p.gain.points),
            (1.05, place),
            textcoords="axes fraction",
            va="center",
            fontsize=10,
            annotation_clip=False,
            arrowprops={"arrowstyle": "-", "lw": 0.5, "color": MUTED, "shrinkA": 1, "shrinkB": 5},
        )
