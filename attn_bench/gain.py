"""What a variant costs here, beside what papers say it gains: the gains are the papers'."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from math import exp, log

from attn_bench import published
from attn_bench.published import Provenance, Published
from attn_bench.record import Interval, Row
from attn_bench.summary import interval_of, shape_in_words

BACKBONE = "ResNet-50"
PAPERS = {
    "1709.01507": "Squeeze-and-Excitation",
    "1810.12348": "Gather-Excite",
    "1807.06521": "CBAM",
    "1910.03151": "ECA-Net",
}
SUREST: tuple[Provenance, ...] = ("read", "secondary", "recalled")


@dataclass(frozen=True, slots=True)
class Point:
    """A variant's measured cost and its published gain.

    cost: geometric mean over `shapes` of its ratio to the anchor, with an interval.
    gain: percentage points of top-1 over the baseline of the same paper and training.
    paper: name, arXiv number, backbone and the baseline's error; gains compare within it alone.
    condition: dtype, mode and the like of the measured cases.
    """

    label: str
    paper: str
    condition: str
    cost: Interval
    gain: float
    provenance: Provenance
    shapes: tuple[str, ...]


def find_points(rows: Sequence[Row], anchor: str) -> list[Point]:
    """A point for each variant, condition and paper, where there is a gain and a measured cost.

    Costs compare only over the same shapes: those at which every variant of a condition that has a
    published gain was measured. Where there is no such shape, there is no point.
    """
    conditions: dict[str, dict[str, dict[str, Interval]]] = defaultdict(lambda: defaultdict(dict))
    for row in rows:
        ratio = interval_of(row, "ratio")
        if row.backbone or row.variant == anchor or row.status != "ok":
            continue  # a whole network's ratio is to the plain one, and of another size
        if ratio and _surest(row.variant):
            conditions[_condition(row)][row.variant][shape_in_words(row)] = ratio
    return [
        Point(
            variant,
            paper,
            condition,
            _mean(ratios[s] for s in shapes),
            gain,
            row.provenance,
            shapes,
        )
        for condition, variants in conditions.items()
        if (shapes := _shared(list(variants.values())))
        for variant, ratios in variants.items()
        for paper, (row, gain) in _surest(variant).items()
    ]


def pareto(points: Iterable[Point]) -> list[Point]:
    """Those that no other beats in cost without losing gain, the cheapest first; by estimates."""
    front: list[Point] = []
    for point in sorted(points, key=lambda point: (point.cost.value, -point.gain)):
        if not front or point.gain > front[-1].gain:
            front.append(point)
    return front


@cache
def _surest(variant: str) -> Mapping[str, tuple[Published, float]]:
    """By paper, the row of the variant whose figure is known best, with its gain."""
    found: dict[str, tuple[Published, float]] = {}
    for row in published.published_as(variant):
        gain = _gains()[row]
        if row.backbone == BACKBONE and gain is not None:
            paper = _paper(row)
            if paper not in found or _doubt(row) < _doubt(found[paper][0]):
                found[paper] = (row, gain)
    return found


@cache
def _gains() -> Mapping[Published, float | None]:
    return published.gains()


def _doubt(row: Published) -> int:
    return SUREST.index(row.provenance)


def _paper(row: Published) -> str:
    """What gains may be compared within: paper, backbone, and the baseline they are gains over."""
    baseline = published.baseline_of(row)
    number = re.search(r"arXiv:(\d{4}\.\d{5})", row.source)
    where = f"{PAPERS.get(number[1], 'paper')} (arXiv:{number[1]})" if number else row.source
    error = "" if baseline is None else f", {baseline.top1_err:g} % top-1 error without"
    return f"{where}: {row.backbone}{error}"


def _condition(row: Row) -> str:
    words = (row.dtype, row.memory_format, row.mode, row.execution, row.device)
    return ", ".join(words)


def _shared(measured: Sequence[Mapping[str, Interval]]) -> tuple[str, ...]:
    """The shapes of the first that all have, in its order."""
    return tuple(shape for shape in measured[0] if all(shape in other for other in measured))


def _mean(ratios: Iterable[Interval]) -> Interval:
    """The geometric mean. Its interval is the mean of the ends, as if all erred together: the
    shapes of a run share its sessions, so their errors do not cancel as independent ones would."""
    chosen = list(ratios)

    def mean(values: Iterable[float]) -> float:
        return exp(sum(map(log, values)) / len(chosen))

    return Interval(*(mean(getattr(r, end) for r in chosen) for end in ("value", "lo", "hi")))
