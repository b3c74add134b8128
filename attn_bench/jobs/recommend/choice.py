"""Which candidates keep within the limits, which of these are worth their cost, and which one to
take. Pure.

Gains of two papers are never compared. The choice is made within one paper (and training): the one
that has published gains for most of the candidates that fit.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from attn_bench.jobs.recommend.limits import Fit, Limit, worst
from attn_bench.model.row import Row
from attn_bench.papers.gains import BACKBONE, SUREST, Gain, Paper, gains_of, label_of

# Points of top-1 within which two gains of a paper say nothing: each is of one training. Two papers
# that trained the same SE-ResNet-50 in the same way print 22.28 and 22.12 % (published.csv).
TIE = 0.2


@dataclass(frozen=True, slots=True)
class Candidate:
    """A measured variant, with what papers say it gains.

    fits: within all limits; "unknown" where it could not be measured.
    keeps: each limit, by metric; empty where it was not measured.
    on_front: the papers on whose Pareto front it stands: no cheaper one that fits gains as much.
    """

    label: str
    row: Row
    gains: Mapping[Paper, Gain]
    fits: Fit
    keeps: Mapping[str, Fit] = field(default_factory=dict)
    on_front: frozenset[Paper] = frozenset()

    @property
    def cost(self) -> float:
        """Of the candidates that were timed: the ratio to the baseline."""
        assert self.row.ratio is not None
        return self.row.ratio


@dataclass(frozen=True, slots=True)
class Choice:
    """All candidates, those that fit first, the cheapest first; and what to take.

    baseline: the plain backbone, or a copy of the input; what costs are relative to.
    papers: those with gains for any candidate, by how many of those that fit they cover.
    of_other_backbone: whether the gains are ResNet-50's for want of the backbone's own.
    """

    baseline: Row | None
    limits: tuple[Limit, ...]
    candidates: tuple[Candidate, ...]
    papers: tuple[Paper, ...]
    of_other_backbone: bool
    chosen: Candidate | None

    @property
    def paper(self) -> Paper | None:
        """The paper within which the choice was made, if gains decided it."""
        if self.chosen is None or not self.papers or self.papers[0] not in self.chosen.gains:
            return None
        return self.papers[0]

    @property
    def fitting(self) -> list[Candidate]:
        """Those that surely keep every limit, the cheapest first."""
        return [candidate for candidate in self.candidates if candidate.fits == "yes"]

    @property
    def is_open(self) -> bool:
        """Nothing surely fits, and something may."""
        return self.chosen is None and any(c.fits == "unclear" for c in self.candidates)


def choose(rows: Sequence[Row], baseline: Row | None, limits: tuple[Limit, ...]) -> Choice:
    """`rows`: the candidates, of one backbone or one shape, in one condition."""
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
        chosen = fitting[0]  # no paper has a gain for what fits: the cheapest
    is_borrowed = of_other_backbone and bool(papers)
    return Choice(baseline, limits, tuple(found), papers, is_borrowed, chosen)


def _candidate(
    row: Row, baseline: Row | None, limits: tuple[Limit, ...], gains_from: str
) -> Candidate:
    gains = {gain.paper: gain for gain in gains_of(row.variant, gains_from, row.place)}
    label = label_of(row)
    if row.status != "ok" or row.ratio is None:
        cannot: Fit = "no" if row.status == "unsupported" else "unknown"
        return Candidate(label, row, gains, cannot)
    keeps = {limit.metric: limit.fit(row, baseline) for limit in limits}
    return Candidate(label, row, gains, worst(keeps.values()), keeps)


def _papers(found: Sequence[Candidate]) -> tuple[Paper, ...]:
    """Those that cover most of what fits first; of two alike the one whose figures are surest, then
    the one whose own choice costs least."""

    def rank(paper: Paper) -> tuple[int, int, float, str]:
        covered = covered_by(paper, found)
        doubt = max((SUREST.index(c.gains[paper].provenance) for c in covered), default=0)
        best = best_of(found, paper)
        return -len(covered), doubt, best.cost if best else 0.0, str(paper)

    return tuple(sorted({paper for c in found for paper in c.gains}, key=rank))


def _front(found: Sequence[Candidate], paper: Paper) -> set[str]:
    """The labels of those that fit and that none of the same paper beats in cost without losing
    gain; by estimates."""
    best, front = float("-inf"), set()
    for candidate in sorted(
        covered_by(paper, found), key=lambda c: (c.cost, -c.gains[paper].points)
    ):
        if candidate.gains[paper].points > best:
            best = candidate.gains[paper].points
            front.add(candidate.label)
    return front


def covered_by(paper: Paper, candidates: Sequence[Candidate]) -> list[Candidate]:
    """Those that fit and whose gain the paper has."""
    return [c for c in candidates if c.fits == "yes" and paper in c.gains]


def best_of(candidates: Sequence[Candidate], paper: Paper) -> Candidate | None:
    """Of those that fit, and whose gain in the paper is the largest or within TIE of it, the one
    that takes least time."""
    covered = covered_by(paper, candidates)
    most = max((c.gains[paper].points for c in covered), default=0.0)
    alike = [c for c in covered if c.gains[paper].points > most - TIE]
    return min(alike, key=lambda c: (c.cost, -c.gains[paper].points), default=None)
