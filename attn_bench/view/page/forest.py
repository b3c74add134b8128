"""The forest plots: each case with its interval, the best first, a panel for a shape or network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import partial

from attn_bench.jobs.recommend.limits import Limit, known_interval
from attn_bench.model import units
from attn_bench.model.case import PLAIN
from attn_bench.model.row import LARGEST, SMALLEST, Row
from attn_bench.view.page.drawing import Panel, Picture
from attn_bench.view.page.lines import Mark, draw_intervals, height_of, name_row
from attn_bench.view.page.shown import Role, Shown, group_rows
from attn_bench.view.summary import show_change

NAME, TITLE = "costs", "What each module costs"
SIGNS: Mapping[Role, str] = {
    "own": "Orange squares are modules of your own.",
    "chosen": "The green diamond is the recommended module.",
    "baseline": "Grey is the baseline.",
}
Members = Sequence[tuple[Shown, Row]]


def make_picture(shown: Sequence[Shown]) -> Picture:
    """Latencies at each shape; of each network, what a module adds to its latency."""
    groups = group_rows(shown)
    drawn = {title: _draw(title, members) for title, members in groups.items()}
    found = {title: panel for title, panel in drawn.items() if panel is not None}
    if not found:
        return Picture(NAME, TITLE, missing="No case was timed.")
    roles = {each.role(row) for title in found for each, row in groups[title]}
    signs = [words for role, words in SIGNS.items() if role in roles]
    if any(_limit(groups[title]) is not None for title in found):
        signs.append("The dashed line is the limit.")
    caption = " ".join(["The fastest comes first. A bar is a 95 % interval.", *signs])
    return Picture(NAME, TITLE, caption, list(found.values()))


def _draw(title: str, members: Members) -> Panel | None:
    """The panel of a shape or network; None if no case of it was timed."""
    of_networks = members[0][1].backbone is not None
    marks = _changes(members) if of_networks else _latencies(members)
    if not marks:
        return None
    axis = "added latency, %" if of_networks else "latency, ms"
    plain = f", plain {_latency_of_plain(members)}" if of_networks else ""
    words = "; ".join(f"{mark.name} {mark.figure}" for mark in marks)
    draw = partial(
        draw_intervals, marks=marks, axis=axis, log=not of_networks, limit=_limit(members)
    )
    return Panel(f"{title}{plain}", f"{axis} at {title}: {words}.", height_of(len(marks)), draw)


def _latencies(members: Members) -> list[Mark]:
    found = []
    for each, row in members:
        if (interval := known_interval(row, "latency_us")) is not None:
            scaled = interval.times(1e-3)
            is_known = row.latency_us is not None
            figure = units.with_interval(scaled) if is_known else units.UNCLEAR
            found.append(_mark(each, row, scaled, figure))
    return sorted(found, key=_order)


def _changes(members: Members) -> list[Mark]:
    found = []
    for each, row in members:
        ratio = known_interval(row, "ratio")
        if row.variant != PLAIN and ratio is not None:
            value, lo, hi = (100 * (end - 1) for end in ratio.times(1))
            found.append(_mark(each, row, (value, lo, hi), show_change(row)))
    return sorted(found, key=_order)


def _mark(each: Shown, row: Row, interval: tuple[float, float, float], figure: str) -> Mark:
    name = f"{name_row(row)} · {each.label}" if each.label else name_row(row)
    return Mark(name, interval, figure, each.role(row), is_known=row.latency_us is not None)


def _order(mark: Mark) -> tuple[bool, float]:
    return mark.figure == units.UNCLEAR, mark.interval[0]


def _latency_of_plain(members: Members) -> str:
    plain = next((row for _, row in members if row.variant == PLAIN), None)
    latency = plain.interval("latency_us") if plain else None
    return f"{units.with_interval(latency.times(1e-3) if latency else None)} ms"


def _limit(members: Members) -> float | None:
    """The limit of latency that was asked for, on the axis of the panel."""
    each, row = members[0]
    limit = _latency_limit(each)
    if limit is None:
        return None
    if row.backbone is not None:
        return 100 * (limit.most - 1) if limit.is_relative else None
    baseline = next((r for s, r in members if r.variant == s.baseline), None)
    of = getattr(baseline, "latency_us", None) if limit.is_relative else 1.0
    return None if of is None else limit.most * of * 1e-3


def _latency_limit(each: Shown) -> Limit | None:
    for text in each.kept.limits if each.kept else ():
        metric, _, amount = text.partition(" ")
        if metric != "latency":
            continue
        with suppress(ValueError):  # of a damaged answer
            limit = Limit.read(metric, amount)
            return limit if SMALLEST <= limit.most <= LARGEST else None
    return None
