"""The series of a figure over many runs: where it changed, and where its conditions did. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import groupby, pairwise
from math import exp, hypot, log

from scipy.special import ndtri

from attn_bench.analysis.changes import Reading, find_steps
from attn_bench.model.metrics import Interval
from attn_bench.model.row import SMALLEST, Keys

SURE = 2.5  # half-widths of a 95 % interval: a history has hundreds of pairs
LEAST = 0.01  # of a step in pairs: two builds of the same code may differ by less
TWO_SIDED = 2 * float(ndtri(0.975))  # half-widths of a 95 % interval, in standard errors


@dataclass(frozen=True, slots=True)
class Point:
    """A figure of one run. baseline: what a ratio is to."""

    keys: Keys
    value: float
    lo: float
    hi: float
    baseline: str = ""

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

    in_pairs: whether each commit was compared with an earlier one, in the same processes. The value
        is then relative to the first commit, and no drift of the machine is in it.
    changes: its steps, under the same software.
    breaks: the indices of the first points under other software or to another baseline, or, in
        pairs, of those that were compared with none before them. Nothing is compared across them.
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
    """The series of a case whose points are ratios to an earlier commit.

    Each value is relative to the first commit, through the commits that were compared. A step
    differs from the point before it by more than SURE half-widths, and by more than LEAST. Where a
    commit was compared with none of the series, the series begins anew.
    """
    links: list[_Link] = []
    known: dict[str | None, int] = {}  # the places of the commits since the last break
    changes: list[Change] = []
    breaks: list[int] = []
    for _, same in groupby(series.points, key=lambda p: (p.keys.revision, p.keys.dirty)):
        measured = [each for each in same if each.lo >= SMALLEST]  # other logarithms say nothing
        if not measured:
            continue
        pair = max(measured, key=lambda each: known.get(each.keys.against, -1))
        base = known.get(pair.keys.against)
        if base is None:
            if links:
                breaks.append(len(links))
            start = replace(pair.keys, revision=pair.keys.against, against=None, dirty=False)
            base, known = len(links), {pair.keys.against: len(links)}
            links.append(_Link(Point(start, 1.0, 1.0, 1.0), None, 0.0))
        step = _step(links, base, pair)
        if abs(log(step.value)) > max(SURE * log(step.hi / step.lo) / 2, LEAST):
            changes.append(Change(len(links), step))
        if not pair.keys.dirty:
            known[pair.keys.revision] = len(links)
        ends = Interval(pair.value, pair.lo, pair.hi).times(links[base].point.value)
        links.append(_Link(Point(pair.keys, *ends), base, log(pair.hi / pair.lo) / 2))
    return replace(
        series,
        points=tuple(link.point for link in links),
        changes=tuple(changes),
        breaks=tuple(breaks),
        in_pairs=True,
    )


@dataclass(frozen=True, slots=True)
class _Link:
    """A point of a chain.

    base: the place of the point that it was compared with; None for a first one.
    half: the half-width of the logarithm of their ratio.
    """

    point: Point
    base: int | None
    half: float


def _step(links: Sequence[_Link], base: int, pair: Point) -> Interval:
    """The ratio of `pair`, which was compared with the point at `base`, to the last point.

    Its error is that of all pairs on the way.
    """
    last = len(links) - 1
    if base == last:
        return Interval(pair.value, pair.lo, pair.hi)
    way = _list_bases(links, base) ^ _list_bases(links, last)
    half = hypot(log(pair.hi / pair.lo) / 2, *(links[at].half for at in way))
    value = pair.value * links[base].point.value / links[last].point.value
    return Interval(value, value * exp(-half), value * exp(half))


def _list_bases(links: Sequence[_Link], at: int | None) -> set[int]:
    """The places of a point and of those through which its value is relative to the first one."""
    found = set()
    while at is not None:
        found.add(at)
        at = links[at].base
    return found


def follow(series: Series) -> Series:
    """The series with its changes and breaks."""
    changes: list[Change] = []
    breaks: list[int] = []
    start = 0
    for _, members in groupby(series.points, key=_conditions):
        points = list(members)
        if start:
            breaks.append(start)
        changes += [Change(start + c.at, c.ratio) for c in _find_changes(points)]
        start += len(points)
    return replace(series, changes=tuple(changes), breaks=tuple(breaks))


def _conditions(point: Point) -> tuple[str | None, str]:
    """What two points share if they can be compared; unknown software is like no other."""
    return point.keys.software or point.keys.run, point.baseline


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
