"""The measured cost of variants beside their published gains, as points of a figure. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import exp, log

from attn_bench.model.axes import conditions_of
from attn_bench.model.case import BASELINE
from attn_bench.model.metrics import Interval
from attn_bench.model.row import Row
from attn_bench.papers.gains import BACKBONE, Gain, Paper, gains_of, has_gains
from attn_bench.view.page.lines import name_fully

OWN = Paper("your own training", None, "your network", None)  # the source of an author's gains
NONE: Mapping[str, float] = {}


@dataclass(frozen=True, slots=True)
class Point:
    """The measured cost of a variant, and its published gain.

    name: the label of its marker.
    condition: the backbone, if any, and the value of every axis.
    backbone: the network; None for modules alone.
    cost: the geometric mean over `shapes` of its ratio to the baseline, with an interval.
    """

    module: str
    name: str
    condition: str
    backbone: str | None
    cost: Interval
    gain: Gain
    shapes: tuple[str, ...]


def find_points(rows: Sequence[Row], baseline: str, own: Mapping[str, float] = NONE) -> list[Point]:
    """A point for each variant, condition and paper with a gain and a measured cost.

    own: gains that the author of modules measured, by variant.

    Costs compare only over the same shapes: those at which every variant of a condition with a
    published gain was measured. Without such a shape, the condition has no points.
    """
    if baseline == BASELINE:
        return []  # the ratios of a check are to another version, and no cost
    measured: dict[str, dict[str, list[Row]]] = defaultdict(lambda: defaultdict(list))
    for row in rows:
        is_measured = row.status == "ok" and row.ratio is not None and row.variant != baseline
        if is_measured and _gains(row, own):
            measured[_name_condition(row)][name_fully(row)].append(row)
    return [
        Point(
            members[0].module,
            name,
            condition,
            members[0].backbone,
            _mean(members, shapes),
            gain,
            shapes,
        )
        for condition, variants in measured.items()
        if (shapes := _shared_shapes(list(variants.values())))
        for name, members in variants.items()
        for gain in _gains(members[0], own)
    ]


def _gains(row: Row, own: Mapping[str, float]) -> tuple[Gain, ...]:
    """Its gains in its backbone, or in BACKBONE if no paper has any there; and the author's own."""
    mine = own.get(row.variant)
    found = () if mine is None else (Gain(mine, OWN, "read", "measured by the author"),)
    backbone = row.backbone or BACKBONE
    if not has_gains(backbone):
        backbone = BACKBONE
    return (*gains_of(row.variant, backbone, row.place), *found)


def find_front(points: Iterable[Point]) -> list[Point]:
    """The points for which no cheaper point has a higher gain, the cheapest first; by estimates."""
    front: list[Point] = []
    for point in sorted(points, key=lambda point: (point.cost.value, -point.gain.points)):
        if not front or point.gain.points > front[-1].gain.points:
            front.append(point)
    return front


def _name_condition(row: Row) -> str:
    return ", ".join(word for word in (row.backbone, *conditions_of(row).values()) if word)


def _shared_shapes(variants: Sequence[Sequence[Row]]) -> tuple[str, ...]:
    """The shapes of the first variant that all have, in its order."""
    shapes = [dict.fromkeys(row.shape_in_words for row in members) for members in variants]
    return tuple(shape for shape in shapes[0] if all(shape in other for other in shapes))


def _mean(rows: Iterable[Row], shapes: Sequence[str]) -> Interval:
    """The geometric mean of the ratios at `shapes`.

    Its interval is the mean of the ends. The shapes of a run share its sessions, so their errors
    do not cancel like independent errors.
    """
    by_shape = {row.shape_in_words: row.interval("ratio") for row in rows}
    ratios = [ratio for shape in shapes if (ratio := by_shape[shape]) is not None]

    def mean(values: Iterable[float]) -> float:
        return exp(sum(map(log, values)) / len(ratios))

    return Interval(*(mean(getattr(r, end) for r in ratios) for end in ("value", "lo", "hi")))
