"""The figure of measured cost against published gain, with its Pareto front."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

from attn_bench.model import units
from attn_bench.papers.gains import Point, pareto
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

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.typing import FillStyleType

    from attn_bench.papers.published import Provenance


def cost_against_gain(points: Sequence[Point]) -> Picture:
    """A panel for each paper (and condition) with two points or more, and its Pareto front."""
    name, title = "cost-against-gain", "Measured cost against published gain"
    groups: dict[tuple[str, str], list[Point]] = defaultdict(list)
    for point in points:
        groups[point.gain.paper, point.condition].append(point)
    panels = [
        _gain_panel(paper, condition if len({p.condition for p in points}) > 1 else "", members)
        for (paper, condition), members in groups.items()
        if len(members) > 1
    ]
    if not panels:
        return Picture(
            name,
            title,
            missing="No paper has a published gain for two variants of this run that were measured "
            "at the same shape: there is nothing to compare.",
        )
    shown = {p.gain.provenance for members in groups.values() if len(members) > 1 for p in members}
    kinds = {
        "read": "Filled markers: the gain was read in the paper.",
        "secondary": "Half-filled markers: the gain is quoted by a secondary source.",
        "recalled": "Hollow markers: the gain was recalled from memory.",
    }
    caption = (
        "Gains are the papers', not measured here: top-1 points over the plain network of the same "
        "paper, so panels do not compare. Cost is the ratio to the baseline, geometric mean over "
        f"{', '.join(points[0].shapes)}, with its 95 % interval. The line is the Pareto front: "
        "who is on it is beaten by none that is cheaper. "
        + " ".join(words for kind, words in kinds.items() if kind in shown)
    )
    return Picture(name, title, caption, panels)


def _gain_panel(paper: str, condition: str, points: Sequence[Point]) -> Panel:
    words = "; ".join(
        f"{p.label} {p.gain.points:+.2f} points at {units.with_interval(p.cost.times(1))} ×"
        for p in points
    )
    front = ", ".join(p.label for p in pareto(points))
    return Panel(
        f"{paper}, {condition}" if condition else paper,
        f"Cost against gain, {paper}: {words}. On the Pareto front: {front}.",
        HEIGHT + 40,
        partial(_draw_gain, points=points),
    )


def _draw_gain(axes: Axes, points: Sequence[Point]) -> None:
    fill: dict[Provenance, FillStyleType] = {
        "read": "full",
        "secondary": "left",
        "recalled": "none",
    }
    looks = styles([p.label.partition("(")[0] for p in points])
    front = pareto(points)
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
            marker=looks[p.label.partition("(")[0]].marker,
            markersize=7,
            markerfacecoloralt=PAPER,
            fillstyle=fill[p.gain.provenance],
            capsize=2,
            elinewidth=1,
            ls="none",
            zorder=2,
        )
    axes.set_xscale("log")
    low = min(p.cost.lo for p in points)
    high = max(p.cost.hi for p in points)
    margin = max(1.01, (high / low) ** 0.08)
    axes.set_xlim(low / margin, high * margin)
    gains = [p.gain.points for p in points]
    room = 0.12 * (max(gains) - min(gains) or 1)
    axes.set_ylim(min(gains) - room, max(gains) + room)
    axes.set_xlabel("measured cost, × baseline")
    axes.set_ylabel("published top-1 gain, points")
    plain_numbers(axes.xaxis)
    _label_points(axes, points)


def _label_points(axes: Axes, points: Sequence[Point]) -> None:
    """Names beside the axes, in the order of the gains, each tied to its point."""
    low, high = axes.get_ylim()
    wanted = [(p.gain.points - low) / (high - low) for p in points]
    for place, p in zip(spread(wanted, 0.056), points, strict=True):
        axes.annotate(
            short(_brief(p.label)),
            (p.cost.value, p.gain.points),
            (1.05, place),
            textcoords="axes fraction",
            va="center",
            fontsize=10,
            annotation_clip=False,
            arrowprops={"arrowstyle": "-", "lw": 0.5, "color": MUTED, "shrinkA": 1, "shrinkB": 5},
        )


def _brief(label: str) -> str:
    """
    >>> _brief("ge_theta(extent=4)"), _brief("se")
    ('ge_theta 4', 'se')
    """
    return label.replace("(extent=", " ").rstrip(")") if "(extent=" in label else label
