"""Draws series: values over a condition, joined and named at the right."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from attn_bench.view.page.drawing import MUTED, PAPER, Style, short, spread

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def draw_across(
    axes: Axes, interval: tuple[float, float, float], ends: tuple[float, float], look: Style
) -> None:
    """Draw one value as a line across, with a band for its interval."""
    value, low, high = interval
    axes.fill_between(ends, low, high, color=look.colour, alpha=0.18, lw=0)
    axes.plot(ends, [value, value], color=look.colour, ls=look.dashes, lw=1.2)


def draw_series(
    axes: Axes,
    places: Sequence[float],
    intervals: Sequence[tuple[float, float, float]],
    look: Style,
) -> None:
    """Draw joined markers with error bars."""
    ends = [
        [value - low for value, low, _ in intervals],
        [high - value for value, _, high in intervals],
    ]
    axes.errorbar(
        places,
        [value for value, _, _ in intervals],
        yerr=ends,
        color=look.colour,
        marker=look.marker,
        ls=look.dashes,
        markerfacecolor=PAPER,
        capsize=2,
        elinewidth=1,
    )


def label_at_right(axes: Axes, labels: Sequence[tuple[float, float, str, Style]]) -> None:
    """Write a name for each line beside the axes, without overlap, joined to the line's end."""
    ends = [axes.transData.transform((x, value)) for x, value, _, _ in labels]
    places = [axes.transAxes.inverted().transform(end)[1] for end in ends]
    for place, (x, value, name, look) in zip(spread(places, 0.068), labels, strict=True):
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
