"""A choice in words: what to take and why, in three sentences, and what is left open. Pure."""

from __future__ import annotations

from math import inf

from attn_bench.jobs.recommend.choice import TIE, Candidate, Choice, best_of, covered_by
from attn_bench.jobs.recommend.limits import ratio_in_words
from attn_bench.model import units
from attn_bench.model.metrics import LIMITS
from attn_bench.papers.gains import Gain

ALONE = "So there is nothing of the same source to weigh it against."
PROVENANCE = {"secondary": "quoted by a secondary source", "recalled": "recalled from memory"}


def reasons(choice: Choice) -> tuple[str, str, str]:
    """What to take, why, and what stands next to it."""
    chosen, fitting = choice.chosen, choice.fitting
    if chosen is None:
        return _nothing_fits(choice)
    limits = ", ".join(map(str, choice.limits))
    within = f"within the limits ({limits})" if limits else "and there was no limit to keep"
    take = f"Take {chosen.label}: it {_costs(choice, chosen)}, {within}."
    paper = choice.paper
    if paper is None:
        why = (
            f"It is the fastest of the {len(fitting)} that fit; no gain is published here for any."
        )
        return take, why, "So nothing but cost speaks for it."
    covered = covered_by(paper, fitting)
    gain = chosen.gains[paper]
    points = f"{gain.points:+.2f} points of top-1{_doubt(gain)}"
    if len(covered) == 1:
        why = f"Of the {len(fitting)} that fit it is the one that {_short(paper)} has a gain for"
        why = why if len(fitting) > 1 else f"It alone fits, and {_short(paper)} has a gain for it"
        return take, f"{why}{_ties(choice, paper)}: {points}.", ALONE
    largest = max(covered, key=lambda c: c.gains[paper].points)
    which = (
        "this is the largest of them"
        if chosen.gains[paper].points == largest.gains[paper].points
        else f"this is the fastest of those within {TIE:g} points of the largest ({largest.label})"
    )
    why = (
        f"Of the {len(fitting)} that fit, {_short(paper)} has gains for {len(covered)}"
        f"{_ties(choice, paper)}, and {which}: {points}."
    )
    faster = [c for c in covered if c.cost < chosen.cost and c is not chosen]
    if not faster:
        alike = [c.label for c in covered if c is not chosen and _untold(chosen, c)]
        told = f", though {alike[0]} cannot be told from it in time" if alike else ""
        return take, why, f"None of the others there is faster{told}."
    runner = max(faster, key=lambda c: (c.gains[paper].points, -c.cost))
    other = runner.gains[paper]
    untold = "; which of the two is faster cannot be told from these figures"
    return (
        take,
        why,
        f"Faster there is {runner.label}, which {_costs(choice, runner)}, for {other.points:+.2f} "
        f"points{_doubt(other)}{untold if _untold(chosen, runner) else ''}.",
    )


def unknown(choice: Choice) -> tuple[str, ...]:
    """What the choice rests on, and leaves open."""
    fitting = choice.fitting
    found = []
    if choice.papers:
        found.append(
            "accuracy was not measured here: gains are the papers', of one training each, on "
            "ImageNet at 224×224, over their own plain network"
        )
    if choice.of_other_backbone:
        what = choice.candidates[0].row.backbone or "a single stage"
        found.append(
            f"the published figures here have no gain for {what}: those shown are of ResNet-50 as "
            "a whole"
        )
    for paper in choice.papers:
        best = best_of(fitting, paper)
        if best is not None and paper != choice.paper:
            gain = best.gains[paper]
            found.append(
                f"by another training, not to be compared ({paper}), {best.label} gains "
                f"{gain.points:+.2f}{_doubt(gain)}"
            )
    if bare := [c.label for c in fitting if not c.gains]:
        found.append(f"fits, and the published figures here have no gain for it: {', '.join(bare)}")
    for candidate in choice.candidates:
        figures = ", ".join(candidate.missed)
        if candidate.fits == "unclear":
            found.append(f"may fit or not: {candidate.label}, {figures}")
        elif candidate.fits == "unknown":
            found.append(f"not measured: {candidate.label}, {figures}")
        elif candidate.row.status == "unsupported":
            found.append(f"cannot be: {candidate.label}, {figures}")
    return tuple(found)


def _nothing_fits(choice: Choice) -> tuple[str, str, str]:
    measured = [c for c in choice.candidates if c.row.ratio is not None]
    limits = ", ".join(map(str, choice.limits))
    if not measured:
        return "Nothing can be recommended.", "No candidate could be measured.", "See below why."
    if choice.is_open:
        maybe = [c for c in measured if c.fits == "unclear"]
        return (
            f"Nothing surely keeps the limits ({limits}).",
            f"{len(maybe)} of {len(measured)} may: the intervals reach across a limit.",
            "A larger --budget narrows them.",
        )

    def beyond(candidate: Candidate) -> float:
        return max(limit.excess(candidate.row, choice.baseline) or inf for limit in choice.limits)

    nearest = min(measured, key=beyond)
    stages = ", or put modules into fewer stages (--place)" if nearest.row.backbone else ""
    return (
        f"Nothing keeps the limits ({limits}).",
        f"The nearest is {nearest.label}: {', '.join(nearest.missed)}.",
        f"Raise a limit{stages}.",
    )


def _costs(choice: Choice, candidate: Candidate) -> str:
    """Its costs as a half sentence."""
    row = candidate.row
    if row.backbone is None:
        times = f"{ratio_in_words(row)} the time of a copy of its input"
        return f"takes {times} and has {units.count(row.params)} parameters"
    grown = [f"{ratio_in_words(row)} to the latency"]
    for metric, name in (("params", "the parameters"), ("memory", "the peak memory")):
        value, of = (getattr(r, LIMITS[metric].name, None) for r in (row, choice.baseline))
        if value is not None and of:
            grown.append(f"{units.change(value / of)} to {name}")
    said = f"{', '.join(grown[:-1])} and {grown[-1]}" if len(grown) > 1 else grown[0]
    return f"adds {said} of {row.backbone}"


def _ties(choice: Choice, paper: str) -> str:
    """That other sources cover as many, where they do."""
    count = len(covered_by(paper, choice.fitting))
    alike = [p for p in choice.papers if len(covered_by(p, choice.fitting)) == count]
    if len(alike) == 1:
        return ""
    return " (another source covers as many, and is less sure, or its choice is slower)"


def _untold(chosen: Candidate, other: Candidate) -> bool:
    """Whether the two times cannot be told apart."""
    mine, theirs = chosen.row.interval("ratio"), other.row.interval("ratio")
    return bool(mine and theirs and theirs.hi >= mine.lo and mine.hi >= theirs.lo)


def _doubt(gain: Gain) -> str:
    return f" ({PROVENANCE[gain.provenance]})" if gain.provenance in PROVENANCE else ""


def _short(paper: str) -> str:
    """Name and number of a paper, with the training where that is said.

    >>> _short("Gather-Excite (arXiv:1810.12348): ResNet-50, 23.3 % top-1 error without")
    'Gather-Excite (arXiv:1810.12348; 23.3 % top-1 error without)'
    """
    name, _, rest = paper.rpartition("): ")
    _, _, training = rest.partition(", ")
    return f"{name}; {training})" if name and training else paper
