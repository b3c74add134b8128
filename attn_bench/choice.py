"""Which candidates keep within the limits, which of these are worth their cost, and which one to
take: why, and what that rests on. Pure.

Gains of two papers are never compared. The choice is made within one paper (and training): the one
that has published gains for most of the candidates that fit.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from attn_bench import units
from attn_bench.gain import BACKBONE, SUREST, Gain, gains_of, label_of
from attn_bench.limits import COLUMNS, Fit, Limit, all_fit, ratio_in_words
from attn_bench.record import Row
from attn_bench.summary import interval_of

ALONE = "It is the only one of that source, so nothing there is weighed against it."
PROVENANCE = {"secondary": "quoted by a secondary source", "recalled": "recalled from memory"}


@dataclass(frozen=True, slots=True)
class Candidate:
    """A measured variant, with what papers say it gains.

    fits: within all limits. missed: the limits that it does not keep, or may not, with its figures.
    on_front: the papers within which none of those that fit is cheaper and gains as much.
    """

    label: str
    row: Row
    gains: Mapping[str, Gain]
    fits: Fit
    missed: tuple[str, ...] = ()
    on_front: frozenset[str] = frozenset()

    @property
    def cost(self) -> float:
        """Of the candidates that were timed: the ratio to the anchor."""
        assert self.row.ratio is not None
        return self.row.ratio


@dataclass(frozen=True, slots=True)
class Choice:
    """All candidates, those that fit first, the cheapest first; and what to take.

    anchor: the plain backbone, or a copy of the input; what costs are relative to.
    papers: those with gains for any candidate, by how many of those that fit they cover.
    of_other_backbone: whether the gains are ResNet-50's for want of the backbone's own.
    reasons: what to take and why, in three sentences. unknown: what that rests on and leaves open.
    """

    anchor: Row | None
    limits: tuple[Limit, ...]
    candidates: tuple[Candidate, ...]
    papers: tuple[str, ...]
    of_other_backbone: bool
    chosen: Candidate | None
    reasons: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()

    @property
    def paper(self) -> str | None:
        """The paper within which the choice was made, if gains decided it."""
        if self.chosen is None or not self.papers or self.papers[0] not in self.chosen.gains:
            return None
        return self.papers[0]

    @property
    def is_open(self) -> bool:
        """Nothing surely fits, and something may."""
        fits = {candidate.fits for candidate in self.candidates}
        return self.chosen is None and not fits.isdisjoint(("unclear", "unknown"))


@dataclass(frozen=True)
class Recommendation:
    """title: what was asked, in words. info: run.json of the run that the anchor's figures are of.

    notes: what to know of the figures. reused: how many are of which stored run. path: of what was
    measured now, if anything was. trouble: why that ended early, where it did.
    """

    title: str
    choice: Choice
    info: Mapping[str, Any]
    notes: tuple[str, ...]
    reused: Mapping[str, int]
    exit_status: int
    path: Path | None = None
    trouble: str | None = None


def choose(rows: Sequence[Row], anchor: Row | None, limits: tuple[Limit, ...]) -> Choice:
    """`rows`: the candidates, of one backbone or one shape, in one condition."""
    backbone = next((row.backbone for row in rows if row.backbone), None)
    of_other_backbone = backbone is None or not any(
        gains_of(row.variant, backbone, row.place) for row in rows
    )
    gains_from = backbone if backbone and not of_other_backbone else BACKBONE
    found = [_candidate(row, anchor, limits, gains_from) for row in rows]
    fitting = [c for c in found if c.fits == "yes"]
    papers = _papers(found, fitting)
    fronts = {paper: _front(fitting, paper) for paper in papers}
    found = [_with_fronts(candidate, fronts) for candidate in found]
    found.sort(key=lambda c: (c.fits != "yes", c.row.ratio is None, c.row.ratio or 0.0))
    fitting = [c for c in found if c.fits == "yes"]
    chosen = _best(fitting, papers[0] if papers else None)
    is_borrowed = of_other_backbone and bool(papers)
    choice = Choice(anchor, limits, tuple(found), papers, is_borrowed, chosen)
    return replace(choice, reasons=_reasons(choice), unknown=_unknown(choice))


def _candidate(
    row: Row, anchor: Row | None, limits: tuple[Limit, ...], gains_from: str
) -> Candidate:
    gains = {gain.paper: gain for gain in gains_of(row.variant, gains_from, row.place)}
    if row.status != "ok" or row.ratio is None:
        return Candidate(label_of(row), row, gains, "unknown", (f"{row.status}: {row.error}",))
    missed = tuple(
        f"{limit.metric} {limit.shown(row, anchor)}"
        for limit in limits
        if limit.fit(row, anchor) != "yes"
    )
    return Candidate(label_of(row), row, gains, all_fit(limits, row, anchor), missed)


def _papers(found: Sequence[Candidate], fitting: Sequence[Candidate]) -> tuple[str, ...]:
    """Those that cover most of what fits first; of two alike the one whose figures are surest,
    then the one that covers most of all."""

    def rank(paper: str) -> tuple[int, int, int, str]:
        covered = [c.gains[paper] for c in fitting if paper in c.gains]
        doubt = max((SUREST.index(gain.provenance) for gain in covered), default=len(SUREST))
        return -len(covered), doubt, -sum(paper in c.gains for c in found), paper

    return tuple(sorted({paper for c in found for paper in c.gains}, key=rank))


def _front(fitting: Sequence[Candidate], paper: str) -> set[str]:
    """The labels of those that none of the same paper beats in cost without losing gain; by
    estimates."""
    best, front = float("-inf"), set()
    covered = [c for c in fitting if paper in c.gains]
    for candidate in sorted(covered, key=lambda c: (c.cost, -c.gains[paper].points)):
        if candidate.gains[paper].points > best:
            best = candidate.gains[paper].points
            front.add(candidate.label)
    return front


def _with_fronts(candidate: Candidate, fronts: Mapping[str, set[str]]) -> Candidate:
    if candidate.fits != "yes":
        return candidate
    on = frozenset(paper for paper, labels in fronts.items() if candidate.label in labels)
    return replace(candidate, on_front=on)


def _best(fitting: Sequence[Candidate], paper: str | None) -> Candidate | None:
    """The largest gain in the paper; where it has none for what fits, the cheapest."""
    covered = [c for c in fitting if paper in c.gains]
    if paper is None or not covered:
        return fitting[0] if fitting else None
    return max(covered, key=lambda c: (c.gains[paper].points, -c.cost))


# --- in words -------------------------------------------------------------------------------------


def _reasons(choice: Choice) -> tuple[str, str, str]:
    """What to take, why, and what stands next to it."""
    chosen, candidates = choice.chosen, choice.candidates
    if chosen is None:
        return _nothing_fits(choice)
    fitting = [c for c in candidates if c.fits == "yes"]
    take = f"Take {chosen.label}: it {_costs(choice, chosen)}"
    limits = ", ".join(map(str, choice.limits))
    take += f", within the limits ({limits})." if limits else "; there was no limit to keep."
    paper = choice.paper
    if paper is None:
        why = f"It is the cheapest of the {len(fitting)} that fit, and no paper has a gain for any."
        return take, why, "So nothing but cost speaks for it."
    covered = [c for c in fitting if paper in c.gains]
    gain = chosen.gains[paper]
    why = (
        f"Of the {len(fitting)} that fit, {_short(paper)} has gains for {len(covered)}, as many as "
        f"any source, and this is the largest of them: {gain.points:+.2f} points of "
        f"top-1{_doubt(gain)}."
    )
    cheaper = [c for c in covered if paper in c.on_front and c is not chosen]
    if not cheaper:
        return take, why, "None of the others is cheaper." if len(covered) > 1 else ALONE
    runner = max(cheaper, key=lambda c: c.gains[paper].points)
    other = runner.gains[paper]
    return (
        take,
        why,
        f"The next on the Pareto front, {runner.label}, {_costs(choice, runner)}, for "
        f"{other.points:+.2f} points{_doubt(other)}"
        f"{_tie(chosen, runner)}.",
    )


def _nothing_fits(choice: Choice) -> tuple[str, str, str]:
    maybe = [c for c in choice.candidates if c.fits == "unclear"]
    limits = ", ".join(map(str, choice.limits))
    if not choice.candidates or all(c.row.ratio is None for c in choice.candidates):
        return "Nothing can be recommended.", "No candidate could be measured.", "See below why."
    if maybe:
        first = f"Nothing surely keeps the limits ({limits})."
        return (
            first,
            f"{len(maybe)} of {len(choice.candidates)} may: their intervals reach across a limit.",
            "A larger --budget, with --fresh, narrows them.",
        )
    nearest = min(
        (c for c in choice.candidates if c.row.ratio is not None),
        key=lambda c: (len(c.missed), c.cost),
    )
    return (
        f"Nothing keeps the limits ({limits}).",
        f"The nearest is {nearest.label}, with {', '.join(nearest.missed)}.",
        "Raise the limit, or take fewer stages (--place 'block 3,4').",
    )


def _costs(choice: Choice, candidate: Candidate) -> str:
    """Its costs as a half sentence."""
    row = candidate.row
    if row.backbone is None:
        params = units.count(row.params)
        return f"takes {ratio_in_words(row)} a copy of its input and has {params} parameters"
    grown = [f"{ratio_in_words(row)} to the latency"]
    for metric in ("params", "memory"):
        value, of = (getattr(r, COLUMNS[metric], None) for r in (row, choice.anchor))
        if value is not None and of:
            name = "the parameters" if metric == "params" else "the peak memory"
            grown.append(f"{units.change(value / of)} to {name}")
    said = f"{', '.join(grown[:-1])} and {grown[-1]}" if len(grown) > 1 else grown[0]
    return f"adds {said} of {row.backbone}"


def _tie(chosen: Candidate, other: Candidate) -> str:
    """Whether the two costs can be told apart."""
    mine, theirs = interval_of(chosen.row, "ratio"), interval_of(other.row, "ratio")
    if mine and theirs and theirs.hi >= mine.lo:
        return "; this run cannot tell which of the two is cheaper"
    return ""


def _doubt(gain: Gain) -> str:
    return f" ({PROVENANCE[gain.provenance]})" if gain.provenance in PROVENANCE else ""


def _short(paper: str) -> str:
    return paper.partition(":")[0] if "arXiv" not in paper else paper.partition("):")[0] + ")"


def _unknown(choice: Choice) -> tuple[str, ...]:
    """What the choice does not know."""
    fitting = [c for c in choice.candidates if c.fits == "yes"]
    found = []
    if choice.papers:
        found.append(
            "accuracy was not measured here: gains are the papers', of one training each, on "
            "ImageNet at 224×224, over their own plain network"
        )
    if choice.of_other_backbone:
        what = choice.candidates[0].row.backbone or "a single stage"
        found.append(f"no paper has gains for {what}: those shown are of ResNet-50 as a whole")
    recalled = sorted(c.label for c in fitting if _only_recalled(c))
    if recalled:
        found.append(f"recalled from memory, and not read: the gains of {_listed(recalled)}")
    for paper in choice.papers:
        best = _best([c for c in fitting if paper in c.gains], paper)
        if best is not None and paper != choice.paper:
            gain = best.gains[paper]
            found.append(
                f"another training, not to be compared: {paper}: {best.label} "
                f"{gain.points:+.2f}{_doubt(gain)}"
            )
    if bare := [c.label for c in fitting if not c.gains]:
        found.append(f"fits, and no gain over its own plain network is known: {_listed(bare)}")
    for candidate in choice.candidates:
        if candidate.fits == "unclear":
            found.append(f"may fit or not: {candidate.label}, {', '.join(candidate.missed)}")
        elif candidate.fits == "unknown":
            found.append(f"not measured: {candidate.label}, {', '.join(candidate.missed)}")
    return tuple(found)


def _only_recalled(candidate: Candidate) -> bool:
    provenances = {gain.provenance for gain in candidate.gains.values()}
    return provenances == {"recalled"}


def _listed(labels: Iterable[str]) -> str:
    return ", ".join(labels)
