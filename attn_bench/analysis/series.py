"""The series of a figure over many runs: where it changed, and where its conditions did. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import groupby, pairwise
from math import log

from scipy.special import ndtri

from attn_bench.analysis.changes import Reading, find_steps
from attn_bench.model.metrics import Interval
from attn_bench.model.row import SMALLEST, Keys

SURE = 2.5  # half-widths of a 95 % interval: a history has hundreds of pairs
LEAST = 0.01  # of a step in pairs: two builds of the same code may differ by less
TWO_SIDED = 2 * float(ndtri(0.975))  # half-widths of a 95 % interval, in standard errors


@dataclass(frozen=True, slots=True)
class Point:
    """A figure of one run."""

    keys: Keys
    value: float
    lo: float
    hi: float

    @property
    def is_exact(self) -> bool:
        return self.lo == self.hi


@dataclass(frozen=True, slots=True)
class Change:
    """A step of a series.

    at: the index of the first point after it.
    ratio: the figure after over the figure before; None where it was 0 before.
    """

    at: int
    ratio: Interval | None


@dataclass(frozen=True)
class Series:
    """A figure of one case on one machine, in the order of the commits.

    in_pairs: whether each commit was compared with the one before it, in the same processes. The
        value is then relative to the first commit, and no drift of the machine is in it.
    changes: its steps, under the same software.
    breaks: the indices of the first points under other software. Nothing is compared across them.
    """

    suite: str
    case_id: str
    module: str
    machine: str
    points: tuple[Point, ...]
    changes: tuple[Change, ...] = ()
    breaks: tuple[int, ...] = ()
    in_pairs: bool = False


def chain(series: Series) -> Series:
    """The series of a case whose points are ratios to the commit before them.

    A step is a ratio that lies more than SURE half-widths from 1, and more than LEAST. Where a
    commit was not compared with the one before it, the series begins anew.
    """
    points: list[Point] = []
    changes: list[Change] = []
    breaks: list[int] = []
    for link in series.points:
        if link.lo < SMALLEST:  # its logarithm says nothing
            continue
        if not points or points[-1].keys.revision != link.keys.against:
            if points:
                breaks.append(len(points))
            start = replace(link.keys, revision=link.keys.against, against=None)
            points.append(Point(start, 1.0, 1.0, 1.0))
        before = points[-1].value
        step = log(link.value), log(link.hi / link.lo) / 2
        if abs(step[0]) > max(SURE * step[1], LEAST):
            changes.append(Change(len(points), Interval(link.value, link.lo, link.hi)))
        points.append(Point(link.keys, *(before * x for x in (link.value, link.lo, link.hi))))
    return replace(
        series,
        points=tuple(points),
        changes=tuple(changes),
        breaks=tuple(breaks),
        in_pairs=True,
    )


def follow(series: Series) -> Series:
    """The series with its changes and breaks."""
    changes: list[Change] = []
    breaks: list[int] = []
    start = 0
    for _, members in groupby(series.points, key=lambda point: point.keys.software):
        points = list(members)
        if start:
            breaks.append(start)
        changes += [Change(start + c.at, c.ratio) for c in _find_changes(points)]
        start += len(points)
    return replace(series, changes=tuple(changes), breaks=tuple(breaks))


def _find_changes(points: Sequence[Point]) -> list[Change]:
    if all(point.is_exact for point in points):
        return [
            Change(i, _exactly(before.value, after.value))
            for i, (before, after) in enumerate(pairwise(points), start=1)
            if before.value != after.value
        ]
    known = [(i, point) for i, point in enumerate(points) if point.lo >= SMALLEST]
    readings = [Reading(log(p.value), log(p.hi / p.lo) / TWO_SIDED) for _, p in known]
    return [Change(known[step.at][0], step.ratio) for step in find_steps(readings)]


def _exactly(before: float, after: float) -> Interval | None:
    return Interval(*[after / before] * 3) if before else None


def in_order(points: Iterable[Point], place: Callable[[Keys], int | None]) -> list[Point]:
    """The points in the order of their commits, and of their time where that is the same.

    place: of a commit; None for a run whose commit is unknown. It stays behind the commits that
        were measured before it.
    """
    placed: list[tuple[int, str, Point]] = []
    newest = -1
    for point in sorted(points, key=lambda p: (p.keys.start or "", p.keys.run or "")):
        known = place(point.keys)
        newest = max(newest, -1 if known is None else known)
        placed.append((newest if known is None else known, point.keys.start or "", point))
    placed.sort(key=lambda each: each[:2])
    return [point for _, _, point in placed]
