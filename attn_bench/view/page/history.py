"""The history of runs as one HTML page: what changed, then a chart for each series."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import log

from attn_bench.analysis.series import Point, Series
from attn_bench.jobs.history.history import History
from attn_bench.model.metrics import Metric
from attn_bench.view.history import (
    CHANGES,
    Told,
    list_remarks,
    name_commit,
    name_series,
    show_figure,
    show_ratio,
    summarise,
    tell_changes,
)
from attn_bench.view.page.template import fill

WIDTH, HEIGHT, LEAST_SPAN = 600, 132, 0.06  # of a chart, in its units; of its logarithms
MOST_CHARTS = 500  # a page with more would be too large to be read


@dataclass(frozen=True, slots=True)
class Marked:
    """A vertical line of a chart, with its meaning."""

    x: str
    kind: str
    words: str


@dataclass(frozen=True, slots=True)
class Chart:
    """A series as lines of an SVG.

    band: the outline of the intervals. lines: the values, one from each break to the next.
    """

    title: str
    about: str
    band: str
    lines: Sequence[str]
    marks: Sequence[Marked]
    low: str
    high: str
    first: str
    last: str


def render(history: History, commits: str | None = None) -> str:
    """The page as one text, which loads no other file.

    commits: the address of a commit is this and its hash; None where nobody knows it.
    """
    ordered = sorted(history.all_series, key=lambda series: not series.changes)
    drawn = [series for series in ordered if len(series.points) > 1][:MOST_CHARTS]
    names = name_series(history)
    places = {id(series): f"#series-{at}" for at, series in enumerate(drawn, start=1)}
    return fill(
        "history.html",
        title=summarise(history),
        metric=history.metric,
        headings=CHANGES,
        changes=[_cells(told, commits, places) for told in tell_changes(history)],
        remarks=list(list_remarks(history)),
        charts=[_draw(names[id(series)], series, history.metric) for series in drawn],
        left_out=len(ordered) - len(drawn),
        width=WIDTH,
        height=HEIGHT,
    )


def _cells(told: Told, commits: str | None, charts: Mapping[int, str]) -> list[tuple[str, str]]:
    """The cells of a change, and where they lead: the case to its chart, the commit to its page."""
    revision = told.revision or ""
    links = {
        "case": charts.get(id(told.series), ""),
        "commit": f"{commits}{revision}" if commits and revision.isalnum() else "",
    }
    cells = zip(CHANGES, told.cells, strict=True)
    return [(cell, links.get(heading, "")) for heading, cell in cells]


def _draw(title: str, series: Series, metric: Metric) -> Chart:
    points = series.points
    logs = [log(value) for p in points for value in (p.lo, p.hi) if value > 0] or [0.0]
    low, high = min(logs), max(logs)
    if high - low < LEAST_SPAN:
        middle = (low + high) / 2
        low, high = middle - LEAST_SPAN / 2, middle + LEAST_SPAN / 2

    def x(at: int) -> float:
        return WIDTH * at / max(len(points) - 1, 1)

    def y(value: float) -> float:
        return HEIGHT * (high - log(value)) / (high - low) if value > 0 else HEIGHT

    upper = [(x(i), y(p.hi)) for i, p in enumerate(points)]
    lower = [(x(i), y(p.lo)) for i, p in enumerate(points)]
    starts = [0, *series.breaks, len(points)]
    values = [(x(i), y(p.value)) for i, p in enumerate(points)]
    return Chart(
        title,
        f"{series.suite} · {len(points)} runs · machine {series.machine}",
        _path([*upper, *reversed(lower)]),
        [_path(values[a:b]) for a, b in pairwise(starts)],
        [*_mark(series, x), *_mark_breaks(series, x)],
        show_figure(metric, min(points, key=lambda p: p.value)),
        show_figure(metric, max(points, key=lambda p: p.value)),
        _name(points[0]),
        _name(points[-1]),
    )


def _mark(series: Series, x: Callable[[int], float]) -> list[Marked]:
    return [
        Marked(
            f"{x(change.at):.1f}",
            "step",
            f"{_name(series.points[change.at])}: {show_ratio(change.ratio)}",
        )
        for change in series.changes
    ]


def _mark_breaks(series: Series, x: Callable[[int], float]) -> list[Marked]:
    why = "compared with none before it" if series.in_pairs else "other software"
    return [
        Marked(f"{x(at):.1f}", "break", f"{_name(series.points[at])}: {why}")
        for at in series.breaks
    ]


def _name(point: Point) -> str:
    return f"{name_commit(point)} {(point.keys.start or '')[:10]}"


def _path(points: Sequence[tuple[float, float]]) -> str:
    return " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
