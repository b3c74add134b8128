"""Chooses one candidate from those that keep the limits, by published gain and cost. Pure.

Gains of different papers are never compared. The choice uses one paper (and training): the one with
published gains for most of the candidates that fit.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from attn_bench.jobs.recommend.limits import Fit, Limit, worst
from attn_bench.model.case import NOTHING
from attn_bench.model.metrics import Interval
from attn_bench.model.row import Row
from attn_bench.model.status import COUNTED
from attn_bench.papers.gains import BACKBONE, SUREST, Gain, Paper, gains_of, label_of

# Two gains of a paper that differ by less, in points of top-1, count as equal, because each comes
# from one training. Two papers that trained the same SE-ResNet-50 alike print 22.28 and 22.12 %
# (published.csv).
TIE = 0.2
KNOWN = 0.2  # the half-width of a ratio, as a fraction, beyond which a candidate is unclear


@dataclass(frozen=True, slots=True)
class Candidate:
    """A measured variant with its published gains.

    fits: whether it keeps all limits; "unknown" if it could not be measured.
    keeps: whether it keeps each limit, by its name; empty if it was not measured.
    training: its row in training, if that was asked for beside inference.
    on_front: the papers for which no cheaper candidate that fits has as high a gain.
    """

    label: str
    row: Row
    gains: Mapping[Paper, Gain]
    fits: Fit
    keeps: Mapping[str, Fit] = field(default_factory=dict)
    on_front: frozenset[Paper] = frozenset()
    training: Row | None = None

    @property
    def is_measured(self) -> bool:
        """Whether it was timed, be it precisely or not."""
        return self.row.status in COUNTED and self.row.ratio_lo is not None

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
    replaces: how many attention modules of the backbone each candidate replaces. No gain is shown
        then, since all are over networks without attention.
    of_other_backbone: whether the gains are ResNet-50's, because none is known for the backbone.
    direct: the latency of other candidates over that of the chosen one, paired, by case; empty if
        their figures come from several runs.
    training_baseline: the baseline in training, if that was asked for beside inference.
    """

    baseline: Row | None
    limits: tuple[Limit, ...]
    candidates: tuple[Candidate, ...]
    papers: tuple[Paper, ...]
    of_other_backbone: bool
    chosen: Candidate | None
    direct: Mapping[str, Interval] = field(default_factory=dict)
    replaces: int = 0
    training_baseline: Row | None = None

    @property
    def keeps_own(self) -> bool:
        """Whether the advice is to keep the backbone's own attention, which keeps all limits."""
        baseline = self.baseline
        return (
            self.replaces > 0
            and baseline is not None
            and all(limit.fit(*self._twice(limit)) == "yes" for limit in self.limits)
        )

    def _twice(self, limit: Limit) -> tuple[Row, Row | None]:
        """The baseline as a candidate, and as itself, in the mode of the limit."""
        baseline = self.training_baseline if limit.of_training else self.baseline
        assert baseline is not None
        return baseline, baseline

    def rows_for(self, limit: Limit, candidate: Candidate) -> tuple[Row, Row | None]:
        """The rows of a measured candidate and of the baseline in the mode of the limit."""
        if limit.of_training:
            assert candidate.training is not None
            return candidate.training, self.training_baseline
        return candidate.row, self.baseline

    @property
    def without(self) -> Candidate | None:
        """The candidate that leaves the built-in attention out."""
        return next((c for c in self.candidates if c.row.module == NOTHING), None)

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
        if self.chosen is not None or self.keeps_own:
            return False
        return any(c.fits == "unclear" for c in self.candidates)


def _fit(
    limit: Limit,
    row: Row,
    training: Row | None,
    baseline: Row | None,
    training_baseline: Row | None,
) -> Fit:
    if not limit.of_training:
        return limit.fit(row, baseline)
    return "unknown" if training is None else limit.fit(training, training_baseline)


@dataclass(frozen=True, slots=True)
class Training:
    """The rows in training, beside those in inference: the baseline's, and the candidates'."""

    baseline: Row | None = None
    rows: Mapping[tuple[str, str | None], Row] = field(default_factory=dict)

    @classmethod
    def of(cls, baseline: Row | None, rows: Sequence[Row]) -> Training:
        return cls(baseline, {(row.variant, row.place): row for row in rows})

    def beside(self, row: Row) -> Row | None:
        return self.rows.get((row.variant, row.place))


NO_TRAINING = Training()


def choose(
    rows: Sequence[Row],
    baseline: Row | None,
    limits: tuple[Limit, ...],
    replaces: int = 0,
    training: Training = NO_TRAINING,
) -> Choice:
    """Choose from the candidates in `rows`, which share a backbone or a shape, and conditions.

    replaces: how many modules of the backbone each candidate replaces.
    training: the same candidates in training, for limits of it.
    """
    if replaces:
        return _choose_in_place(rows, baseline, limits, replaces, training)
    backbone = next((row.backbone for row in rows if row.backbone), None)
    of_other_backbone = backbone is None or not any(
        gains_of(row.variant, backbone, row.place) for row in rows
    )
    gains_from = backbone if backbone and not of_other_backbone else BACKBONE
    found = [_candidate(row, baseline, limits, gains_from, training) for row in rows]
    choice = pick(found, baseline, limits)
    return replace(
        choice,
        of_other_backbone=of_other_backbone and bool(choice.papers),
        training_baseline=training.baseline,
    )


def pick(found: Sequence[Candidate], baseline: Row | None, limits: tuple[Limit, ...]) -> Choice:
    """Choose from candidates that are judged already."""
    found = sorted(found, key=_by_cost)
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
    return Choice(baseline, limits, tuple(found), papers, False, chosen)


def _choose_in_place(
    rows: Sequence[Row],
    baseline: Row | None,
    limits: tuple[Limit, ...],
    replaces: int,
    training: Training,
) -> Choice:
    """Choose where the backbone has attention already: that one, if it keeps the limits."""
    found = [
        replace(_candidate(row, baseline, limits, None, training), label=row.variant)
        for row in rows
    ]
    found.sort(key=_by_cost)
    choice = Choice(
        baseline,
        limits,
        tuple(found),
        (),
        False,
        None,
        replaces=replaces,
        training_baseline=training.baseline,
    )
    if choice.keeps_own:
        return choice
    fitting = [c for c in choice.fitting if c.row.module != NOTHING]
    return replace(choice, chosen=next(iter(fitting or choice.fitting), None))


def _by_cost(candidate: Candidate) -> tuple[bool, bool, float]:
    """The key that puts those that fit first, and the cheapest of them first."""
    ratio = candidate.row.ratio
    return candidate.fits != "yes", ratio is None, ratio or 0.0


def _candidate(
    row: Row,
    baseline: Row | None,
    limits: tuple[Limit, ...],
    gains_from: str | None,
    training: Training,
) -> Candidate:
    is_elsewhere = gains_from != row.backbone and label_of(row) != row.variant
    # The stages of another backbone are not those of this one.
    found = gains_of(row.variant, gains_from, row.place) if gains_from and not is_elsewhere else ()
    gains = {gain.paper: gain for gain in found}
    label = label_of(row)
    if row.status not in COUNTED or (row.ratio_lo is None and row.status == "ok"):
        cannot: Fit = "no" if row.status == "unsupported" else "unknown"
        return Candidate(label, row, gains, cannot)
    beside = training.beside(row)
    keeps = {limit.name: _fit(limit, row, beside, baseline, training.baseline) for limit in limits}
    if row.status == "unclear":  # its exact metrics may still decide
        keeps = {
            limit.name: "unclear"
            if keeps[limit.name] == "unknown" and limit.of.kind == "timed"
            else keeps[limit.name]
            for limit in limits
        }
    ratio = row.interval("ratio")
    is_known = ratio is not None and ratio.half_width <= KNOWN * ratio.value
    fits = [*keeps.values()] if is_known else ["unclear", *keeps.values()]
    return Candidate(label, row, gains, worst(fits), keeps, training=beside)


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
