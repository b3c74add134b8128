"""What a variant costs here, beside what papers say it gains: the gains are the papers'."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from math import exp, log

from attn_bench.catalog.backbones import Place, one_spelling
from attn_bench.model.case import USUAL_PLACE
from attn_bench.model.metrics import Interval
from attn_bench.model.row import Row
from attn_bench.papers import published
from attn_bench.papers.published import Provenance, Published

BACKBONE = "resnet50"  # whose gains stand for a module that is measured alone
PAPERS = {
    "1807.06514": "BAM",
    "1903.06586": "SKNet",
    "1904.11492": "GCNet",
    "2010.03045": "Triplet attention",
    "2103.02907": "Coordinate attention",
    "1709.01507": "Squeeze-and-Excitation",
    "1810.12348": "Gather-Excite",
    "1807.06521": "CBAM",
    "1910.03151": "ECA-Net",
}
SUREST: tuple[Provenance, ...] = ("read", "secondary", "recalled")


@dataclass(frozen=True, slots=True)
class Gain:
    """Percentage points of top-1 over the plain backbone of the same paper and training.

    paper: name, arXiv number, backbone and the baseline's error; gains compare within it alone.
    """

    points: float
    paper: str
    provenance: Provenance
    source: str


@dataclass(frozen=True, slots=True)
class Point:
    """A variant's measured cost and its published gain.

    cost: geometric mean over `shapes` of its ratio to the baseline, with an interval.
    condition: dtype, mode and the like of the measured cases; of whole networks, the backbone.
    """

    label: str
    condition: str
    cost: Interval
    gain: Gain
    shapes: tuple[str, ...]


def gains_of(variant: str, backbone: str = BACKBONE, place: str | None = None) -> tuple[Gain, ...]:
    """What the papers print for our variant at `place` in our backbone, by default where they put
    it: of each paper (and training) the figure that is known best. Empty where no paper has any.

    >>> for gain in gains_of("ge_theta(extent=8)"):
    ...     print(gain.points, gain.paper)
    1.17 Gather-Excite (arXiv:1810.12348): ResNet-50, 23.3 % top-1 error without
    >>> gains_of("ge_theta(extent=8)", place="stage")
    ()
    """
    return _gains_of(variant, backbone, place or published_place(variant, backbone))


@cache
def published_place(variant: str, backbone: str = BACKBONE) -> str:
    """Where the papers put the variant in `backbone`; else where they put it in ResNet-50, if
    `backbone` has that place; else before the sum with the shortcut.

    >>> published_place("bam"), published_place("simam"), published_place("se", "convnext_tiny")
    ('stage 1-3', 'inner', 'block')
    """
    for of in dict.fromkeys((backbone, BACKBONE)):
        places = Counter(place for _, place in _rows(variant, of))
        if USUAL_PLACE in places:
            return USUAL_PLACE
        for place, _ in places.most_common():
            if Place.read(place).problem_in(backbone) is None:
                return one_spelling(place, backbone)
    return USUAL_PLACE


@cache
def _gains_of(variant: str, backbone: str, place: str) -> tuple[Gain, ...]:
    found: dict[str, Gain] = {}
    for row, where in _rows(variant, backbone):
        points = _gains()[row]
        if where == place and points is not None:
            paper = _paper(row)
            if paper not in found or _doubt(row.provenance) < _doubt(found[paper].provenance):
                found[paper] = Gain(points, paper, row.provenance, row.source)
    return tuple(found.values())


def _rows(variant: str, backbone: str) -> list[tuple[Published, str]]:
    """The published rows of a variant in one of our backbones, each with its place."""
    rows = published.published_as(variant, backbone)
    places = [ours[1] for row in rows if (ours := published.ours(row)) is not None]
    return [(row, one_spelling(p, backbone)) for row, p in zip(rows, places, strict=True)]


@cache
def _gains() -> Mapping[Published, float | None]:
    return published.gains()


def _doubt(provenance: Provenance) -> int:
    return SUREST.index(provenance)


def _paper(row: Published) -> str:
    baseline = published.baseline_of(row)
    number = re.search(r"arXiv:(\d{4}\.\d{5})", row.source)
    where = f"{PAPERS.get(number[1], 'paper')} (arXiv:{number[1]})" if number else row.source
    error = "" if baseline is None else f", {baseline.top1_err:g} % top-1 error without"
    return f"{where}: {row.backbone}{error}"


def find_points(rows: Sequence[Row], baseline: str) -> list[Point]:
    """A point for each variant, condition and paper, where there is a gain and a measured cost.

    Costs compare only over the same shapes: those at which every variant of a condition that has a
    published gain was measured. Where there is no such shape, there is no point.
    """
    conditions: dict[str, dict[tuple[str, str], dict[str, Interval]]]
    conditions = defaultdict(lambda: defaultdict(dict))
    gains: dict[tuple[str, str], tuple[Gain, ...]] = {}
    for row in rows:
        ratio = row.interval("ratio")
        if row.variant == baseline or row.status != "ok" or ratio is None:
            continue
        of = gains_of(row.variant, row.backbone or BACKBONE, row.place)
        if of:
            condition, label = _condition(row), label_of(row)
            conditions[condition][condition, label][row.shape_in_words] = ratio
            gains[condition, label] = of
    return [
        Point(label, condition, _mean(ratios[s] for s in shapes), gain, shapes)
        for condition, variants in conditions.items()
        if (shapes := _shared(list(variants.values())))
        for (_, label), ratios in variants.items()
        for gain in gains[condition, label]
    ]


def pareto(points: Iterable[Point]) -> list[Point]:
    """Those that no other beats in cost without losing gain, the cheapest first; by estimates."""
    front: list[Point] = []
    for point in sorted(points, key=lambda point: (point.cost.value, -point.gain.points)):
        if not front or point.gain.points > front[-1].gain.points:
            front.append(point)
    return front


def label_of(row: Row) -> str:
    """The variant, with its place in a network where that is not the papers'."""
    if row.backbone and row.place != published_place(row.variant, row.backbone):
        return f"{row.variant} at {row.place}"
    return row.variant


def _condition(row: Row) -> str:
    words = (row.backbone, row.dtype, row.memory_format, row.mode, row.execution, row.device)
    return ", ".join(word for word in words if word)


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
