"""Chooses one candidate from those that keep the limits, by published gain and cost. Pure.

Gains of different papers are never compared. The choice uses one paper (and training): the one with
published gains for most of the candidates that fit.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from attn_bench.jobs.recommend.limits import Fit, Limit, worst
from attn_bench.model.metrics import Interval
from attn_bench.model.row import Row
from attn_bench.model.status import COUNTED
from attn_bench.papers.gains import BACKBONE, SUREST, Gain, Paper, gains_of, label_of

# Two gains of a paper that differ by less, in points of top-1, count as equal, because each comes
# from one training. Two papers that trained the same SE-ResNet-50 alike print 22.28 and 22.12 %
# (published.csv).
TIE = 0.2


@dataclass(frozen=True, slots=True)
class Candidate:
    """A measured variant with its published gains.

    fits: whether it keeps all limits; "unknown" if it could not be measured.
    keeps: whether it keeps each limit, by metric; empty if it was not measured.
    on_front: the papers for which no cheaper candidate that fits has as high a gain.
    """

    label: str
    row: Row
    gains: Mapping[Paper, Gain]
    fits: Fit
    keeps: Mapping[str, Fit] = field(default_factory=dict)
    on_front: frozenset[Paper] = frozenset()

    @property
    def cost(self) -> float:
        """The ratio to the baseline; only for a candidate that was timed."""
        assert self.row.ratio is not None
        return self.row.ratio


@dataclass(frozen=True, slots=True)
class Choice:
    """All candidates, and the recommended one.

    candidates: those that fit come first; among them, the cheapest comes first.
    baseline: costs are relative to it; it is the plain backbone or a copy of the input.
    papers: the papers with gains of candidates; the one that covers most candidates comes first.
    of_other_backbone: whether the gains are ResNet-50's, because none is known for the backbone.
    direct: the latency of other candidates over that of the chosen one, paired, by case; empty if
        their figures come from several runs.
    """

    baseline: Row | None
    limits: tuple[Limit, ...]
    candidates: tuple[Candidate, ...]
    papers: tuple[Paper, ...]
    of_other_backbone: bool
    chosen: Candidate | None
    direct: Mapping[str, Interval] = field(default_factory=dict)

    @property
    def paper(self) -> Paper | None:
        """The paper that decided the choice; None if cost alone decided it."""
        if self.chosen is None or not self.papers or self.papers[0] not in self.chosen.gains:
            return None
        return self.papers[0]

    @property
    def fitting(self) -> list[Candidate]:
        """The candidates that certainly keep every limit, the cheapest first."""
        return [candidate for candidate in self.candidates if candidate.fits == "yes"]

    def is_tied(self, other: Candidate) -> bool:
        """Whether the chosen candidate and `other` cannot be told apart in time."""
        direct = self.direct.get(other.row.case_id)
        if direct is not None:
            return direct.lo <= 1 <= direct.hi
        mine = self.chosen.row.interval("ratio") if self.chosen else None
        theirs = other.row.interval("ratio")
        return bool(mine and theirs and theirs.hi >= mine.lo and mine.hi >= theirs.lo)

    @property
    def is_open(self) -> bool:
        """Whether no candidate certainly fits, but one may fit."""
        return self.chosen is None and any(c.fits == "unclear" for c in self.candidates)


def choose(rows: Sequence[Row], baseline: Row | None, limits: tuple[Limit, ...]) -> Choice:
    """Choose from the candidates in `rows`, which share a backbone or a shape, and conditions."""
    backbone = next((row.backbone for row in rows if row.backbone), None)
    of_other_backbone = backbone is None or not any(
        gains_of(row.variant, backbone, row.place) for row in rows
    )
    gains_from = backbone if backbone and not of_other_backbone else BACKBONE
    found = [_candidate(row, baseline, limits, gains_from) for row in rows]
    found.sort(key=lambda c: (c.fits != "yes", c.row.ratio is None, c.row.ratio or 0.0))
    papers = _papers(found)
    fronts = {paper: _front(found, paper) for paper in papers}
    found = [
        replace(c, on_front=frozenset(p for p, labels in fronts.items() if c.label in labels))
        for c in found
    ]
    fitting = [c for c in found if c.fits == "yes"]
    chosen = best_of(fitting, papers[0]) if papers else None
    if chosen is None and fitting:
        chosen = fitting[0]  # no paper has a gain for a candidate that fits: take the cheapest
    is_borrowed = of_other_backbone and bool(papers)
    return Choice(baseline, limits, tuple(found), papers, is_borrowed, chosen)


def _candidate(
    row: Row, baseline: Row | None, limits: tuple[Limit, ...], gains_from: str
) -> Candidate:
    gains = {gain.paper: gain for gain in gains_of(row.variant, gains_from, row.place)}
    label = label_of(row)
    if row.status not in COUNTED or (row.ratio is None and row.status == "ok"):
        cannot: Fit = "no" if row.status == "unsupported" else "unknown"
        return Candidate(label, row, gains, cannot)
    keeps = {limit.metric: limit.fit(row, baseline) for limit in limits}
    if row.status == "unclear":  # its exact metrics may still decide
        keeps = {name: "unclear" if fit == "unknown" else fit for name, fit in keeps.items()}
        return Candidate(label, row, gains, worst(["unclear", *keeps.values()]), keeps)
    return Candidate(label, row, gains, worst(keeps.values()), keeps)


def _papers(found: Sequence[Candidate]) -> tuple[Paper, ...]:
    """The papers with gains; the one that covers most candidates that fit comes first.

    Ties go to the paper with the most reliable figures, then to the one whose choice costs least.
    """

    def rank(paper: Paper) -> tuple[int, int, float, str]:
        covered = covered_by(paper, found)
        doubt = max((SUREST.index(c.gains[paper].provenance) for c in covered), default=0)
        best = best_of(found, paper)
        return -len(covered), doubt, best.cost if best else 0.0, str(paper)

    return tuple(sorted({paper for c in found for paper in c.gains}, key=rank))


def _front(found: Sequence[Candidate], paper: Paper) -> set[str]:
    """The labels of the candidates that fit and are on the paper's Pareto front, by estimates."""
    best, front = float("-inf"), set()
    for candidate in sorted(
        covered_by(paper, found), key=lambda c: (c.cost, -c.gains[paper].points)
    ):
        if candidate.gains[paper].points > best:
            best = candidate.gains[paper].points
            front.add(candidate.label)
    return front


def covered_by(paper: Paper, candidates: Sequence[Candidate]) -> list[Candidate]:
    """The candidates that fit and have a gain from the paper."""
    return [c for c in candidates if c.fits == "yes" and paper in c.gains]


def best_of(candidates: Sequence[Candidate], paper: Paper) -> Candidate | None:
    """The fastest candidate that fits and whose gain is within TIE of the paper's largest."""
    covered = covered_by(paper, candidates)
    most = max((c.gains[paper].points for c in covered), default=0.0)
    alike = [c for c in covered if c.gains[paper].points > most - TIE]
    return min(alike, key=lambda c: (c.cost, -c.gains[paper].points), default=None)
