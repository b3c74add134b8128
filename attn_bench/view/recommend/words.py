"""A recommendation in words: the question, three sentences about the choice, the caveats."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import ceil, inf

from attn_bench.jobs.recommend.answer import Recommendation
from attn_bench.jobs.recommend.choice import KNOWN, TIE, Candidate, Choice, best_of, covered_by
from attn_bench.jobs.recommend.limits import Limit, known_interval
from attn_bench.model import units
from attn_bench.model.axes import EXECUTION, unusual_words
from attn_bench.model.metrics import LIMITS
from attn_bench.model.row import Row
from attn_bench.papers.gains import Gain, Paper
from attn_bench.view.notes import describe_deviation

MOST_NAMED = 3
PROVENANCE = {"secondary": "quoted by a secondary source", "recalled": "recalled from memory"}


def make_title(answer: Recommendation) -> str:
    """The question in one line."""
    request, case, seen = answer.request, answer.case, answer.info.environment
    limits, own = ", ".join(map(str, request.limits)), answer.choice.replaces
    words = [
        f"{request.backbone or 'a stage'} at {case.shape.in_words}",
        *([f"instead of its {units.number(own, 'attention module')}"] if own else []),
        *unusual_words(case, lambda axis: axis.name not in ("mode", "device")),
        case.mode,
        seen.device,
        units.number(seen.threads or 0, "thread"),
    ]
    return f"{', '.join(words)}; {f'limits: {limits}' if limits else 'no limits'}"


# --- three sentences ------------------------------------------------------------------------------


def give_reasons(choice: Choice) -> tuple[str, str, str]:
    """Three sentences: the recommended module, the reason, and the next best candidate."""
    chosen = choice.chosen
    if chosen is None and choice.keeps_own:
        return _keep(choice)
    if chosen is None:
        return _nothing_fits(choice)
    limits = ", ".join(map(str, choice.limits))
    within = f"within the limits ({limits})" if limits else "and no limit is set"
    take = f"Take {chosen.label}: it {_describe_costs(choice, chosen)}, {within}."
    paper = choice.paper
    if paper is None:
        fitting = len(choice.fitting)
        why = f"It is the fastest of the {fitting} candidates that fit; no paper here gives a gain."
        return take, why, "The choice rests on cost alone."
    covered = covered_by(paper, choice.fitting)
    if len(covered) == 1:
        rest = "No other candidate that fits has a gain from this paper."
        return take, _only_one_with_gain(choice, chosen, paper), rest
    return take, _why_of(choice, chosen, paper, covered), _runner_up(choice, chosen, paper, covered)


def _keep(choice: Choice) -> tuple[str, str, str]:
    """Three sentences: the cost of the built-in attention, why to keep it, what is faster there."""
    assert choice.baseline is not None
    own = units.number(choice.replaces, "attention module")
    keep = (
        f"Keep the {own} that {choice.baseline.backbone} has: what accuracy would be without them, "
        "or with others in their place, is not known here."
    )
    without = choice.without
    if without is None or without.row.ratio is None:
        cost = f"The cost of the {own} is not known to ± {units.percent(KNOWN)}."
    else:
        cost = (
            f"Without its {own}, {choice.baseline.backbone} changes by "
            f"{_list_changes(choice, without)}."
        )
    faster = [c for c in choice.candidates if c is not without and _is_faster(c)]
    if not faster:
        return cost, keep, "No candidate in their place is certainly faster."
    names = ", ".join(f"{c.label} ({show_ratio(c.row)})" for c in faster)
    return cost, keep, f"Faster in their place, but with unknown accuracy: {names}."


def _is_faster(candidate: Candidate) -> bool:
    """Whether a candidate is certainly faster than the baseline."""
    return candidate.row.ratio is not None and (candidate.row.ratio_hi or inf) < 1


def _only_one_with_gain(choice: Choice, chosen: Candidate, paper: Paper) -> str:
    fitting = len(choice.fitting)
    if fitting == 1:
        why = f"It is the only candidate that fits, and {_shorten(paper)} gives its gain"
    else:
        why = (
            f"Of the {fitting} candidates that fit, it is the only one with a gain from "
            f"{_shorten(paper)}"
        )
    return f"{why}{_mention_tie(choice, paper)}: {_points(chosen.gains[paper])}."


def _why_of(choice: Choice, chosen: Candidate, paper: Paper, covered: Sequence[Candidate]) -> str:
    gain = chosen.gains[paper]
    largest = max(covered, key=lambda c: c.gains[paper].points)
    if gain.points == largest.gains[paper].points:
        which = "this one has the largest"
    else:
        which = f"this is the fastest within {TIE:g} points of the largest ({largest.label})"
    return (
        f"Of the {len(choice.fitting)} candidates that fit, {len(covered)} have a gain from "
        f"{_shorten(paper)}{_mention_tie(choice, paper)}; {which}: {_points(gain)}."
    )


def _runner_up(
    choice: Choice, chosen: Candidate, paper: Paper, covered: Sequence[Candidate]
) -> str:
    """A sentence about the best of the faster candidates of the same paper."""
    others = [c for c in covered if c is not chosen]
    faster = [c for c in others if c.cost < chosen.cost]
    if not faster:
        overlapping = [c.label for c in others if choice.is_tied(c)]
        error = f"; {overlapping[0]} is within the measurement error" if overlapping else ""
        return f"No other candidate that fits and has a gain from this paper is faster{error}."
    runner = max(faster, key=lambda c: (c.gains[paper].points, -c.cost))
    gain = runner.gains[paper]
    error = "; the difference in time is within the measurement error"
    return (
        f"{runner.label} is faster: it {_describe_costs(choice, runner)}, for {gain.points:+.2f} "
        f"points{_mention_doubt(gain)}{error if choice.is_tied(runner) else ''}."
    )


def _nothing_fits(choice: Choice) -> tuple[str, str, str]:
    measured = [c for c in choice.candidates if c.is_measured]
    limits = ", ".join(map(str, choice.limits))
    if not measured:
        return (
            "Nothing can be recommended.",
            "No candidate could be measured.",
            "The caveats give the reasons.",
        )
    if choice.is_open:
        possible = [c for c in measured if c.fits == "unclear"]
        return _nothing_known(limits, len(possible), len(measured))

    def beyond(candidate: Candidate) -> float:
        return max(
            inf
            if limit.of_training and candidate.training is None
            else limit.excess(*choice.rows_for(limit, candidate)) or inf
            for limit in choice.limits
        )

    nearest = min(measured, key=beyond)
    stages = (
        ", or put modules into fewer stages: --search places measures each stage alone"
        if nearest.row.backbone
        else "; of a stage, it is relative to a copy of the input (--share-of 80ms: of a network)"
    )
    has_unknown = any(c.fits == "unknown" for c in measured)
    keeps = "is known to keep" if has_unknown else "keeps"
    return (
        f"No candidate {keeps} the limits ({limits}).",
        f"The nearest is {nearest.label}: {', '.join(list_missed(nearest, choice))}.",
        f"Raise a limit{stages}.",
    )


def say_how_long(answer: Recommendation) -> list[str]:
    """Sentences on what would decide about the candidates that are unclear."""
    more = answer.more
    if more is None:
        return []
    found = []
    is_crowded = "other_load" in answer.info.warnings
    if is_crowded:
        found.append("Other programs took much of the machine: close them, and measure again.")
    if more.needs is not None and not is_crowded:
        then = answer.info.settings
        has_more = more.needs.sessions > then.sessions
        # With as many sessions and no more time, the figures of this answer would be reused.
        least_s = 0.0 if has_more else then.budget_s + 1
        words = f"--minutes {ceil(max(more.needs.budget_s, least_s) / 60)}"
        if has_more:
            words += f" --sessions {more.needs.sessions}"
        unclear = sum(candidate.fits == "unclear" for candidate in answer.choice.candidates)
        found.append(
            f"{unclear} of {units.number(len(answer.choice.candidates), 'candidate')} undecided: "
            f"repeat the command with {words}, which reuses the other figures."
        )
    if more.on_limit:
        found.append(f"On the limit, where more time does not decide: {', '.join(more.on_limit)}.")
    if "crowded" in answer.info.warnings and answer.info.environment.threads != 1:
        found.append("Other programs are at work: --threads 1 gives narrower intervals then.")
    return found


def _nothing_known(limits: str, possible: int, measured: int) -> tuple[str, str, str]:
    wide, more = f"± {units.percent(KNOWN)}", "More time narrows the intervals."
    if not limits:
        return f"No candidate is known to {wide}.", "The intervals are too wide to choose.", more
    return (
        f"No candidate certainly keeps the limits ({limits}).",
        f"{possible} of {measured} may keep them: an interval includes a limit, or exceeds {wide}.",
        more,
    )


# --- caveats --------------------------------------------------------------------------------------


def list_caveats(answer: Recommendation) -> list[str]:
    """The assumptions of the choice, and its open questions."""
    run_to_run = answer.run_to_run
    deviation = describe_deviation(run_to_run.sd, is_measured=run_to_run.is_measured)
    found = [
        *list_unknowns(answer.choice),
        "costs hold for this machine, batch size and thread count; ratios differ from run to run "
        f"by {deviation}",
    ]
    if any(limit.of.kind == "timed" and not limit.is_relative for limit in answer.request.limits):
        found.append(
            "a limit in milliseconds holds at the time of measuring only: a shared machine is "
            "slower at times; a relative limit such as +10% still holds then"
        )
    execution = answer.case.execution
    if EXECUTION[execution].exported:
        found.append(
            f"memory is that of the network in PyTorch, which does not see what {execution} takes"
        )
    out = answer.request.request.out
    if out and answer.measured is None:
        found.append(f"all figures were stored already, so {out} was not written")
    return found


def list_unknowns(choice: Choice) -> list[str]:
    """The unknowns: accuracy, the choices of other papers, and candidates that may fit."""
    found = []
    if choice.papers:
        found.append(
            "accuracy was not measured here: a gain is a paper's, from one training on ImageNet at "
            "224×224, over the paper's own plain network"
        )
    if choice.of_other_backbone:
        what = choice.candidates[0].row.backbone or "a single stage"
        found.append(
            f"no published gain is known for {what}: the gains shown are of ResNet-50 as a whole"
        )
    found += _other_papers(choice)
    if bare := [c.label for c in choice.fitting if not c.gains and not choice.replaces]:
        found.append(f"no published gain is known for {_name_few(bare)}")
    if unclear := [c.label for c in choice.candidates if c.fits == "unclear"]:
        what = "may or may not fit" if choice.limits else f"not known to ± {units.percent(KNOWN)}"
        found.append(f"{what}: {_name_few(unclear)}")
    for candidate in choice.candidates:
        figures = ", ".join(list_missed(candidate, choice))
        if candidate.fits == "unknown":
            what = "not known to fit" if candidate.keeps else "not measured"
            found.append(f"{what}: {candidate.label}, {figures}")
        elif candidate.row.status == "unsupported":
            found.append(f"not possible: {candidate.label}, {figures}")
    return found


def _name_few(labels: Sequence[str]) -> str:
    """The names, or their number where the table shows them more clearly."""
    few = len(labels) <= MOST_NAMED
    return units.listing(list(labels)) if few else f"{len(labels)} candidates of the table"


def _other_papers(choice: Choice) -> Iterator[str]:
    """A sentence for each other paper about its choice."""
    for paper in choice.papers:
        best = best_of(choice.fitting, paper)
        if best is not None and paper != choice.paper:
            gain = best.gains[paper]
            yield (
                f"by another training, not comparable ({paper}): {best.label} gains "
                f"{gain.points:+.2f}{_mention_doubt(gain)}"
            )


# --- figures --------------------------------------------------------------------------------------


def list_missed(candidate: Candidate, choice: Choice) -> list[str]:
    """The figures of the limits that the candidate may exceed, or the reason for missing ones."""
    row = candidate.row
    if not candidate.keeps and candidate.fits != "yes":
        return [f"{row.status}: {row.error}"]
    return [
        f"{limit.name} {_show_limited(limit, *choice.rows_for(limit, candidate))}"
        for limit in choice.limits
        if candidate.keeps[limit.name] != "yes"
        and (candidate.training is not None or not limit.of_training)
    ]


def _show_limited(limit: Limit, row: Row, baseline: Row | None) -> str:
    """The figure of the limited metric; relative if the limit is relative."""
    if limit.is_of_ratio:
        return show_ratio(row)
    if limit.of.kind == "timed" and not limit.is_relative:
        found = known_interval(row, limit.of.name)
        return f"{units.with_interval(found.times(1e-3) if found else None)} ms"
    value = getattr(row, limit.of.name)
    if not limit.is_relative:
        return limit.of.show(value)
    of = getattr(baseline, limit.of.name, None)
    ratio = value / of if value is not None and of else None
    return units.change(ratio) if row.backbone else f"{units.multiple(ratio)} ×"


def show_ratio(row: Row) -> str:
    """A network's change from the plain network, or a module's multiple of a copy of its input."""
    ratio = known_interval(row, "ratio")
    if row.backbone is None:
        return f"{units.with_interval(ratio.times(1) if ratio else None)} ×"
    return units.change_with_interval(ratio.times(1) if ratio else None)


def _describe_costs(choice: Choice, candidate: Candidate) -> str:
    """The costs of a candidate as a part of a sentence."""
    row = candidate.row
    if row.backbone is None:
        parameters = units.count(row.params)
        return f"takes {show_ratio(row)} the time of a copy and has {parameters} parameters"
    return f"adds {_list_changes(choice, candidate, ' to the')} of {row.backbone}"


def _list_changes(choice: Choice, candidate: Candidate, link: str = " in") -> str:
    """The changes of latency, parameters and peak memory, as a list."""
    row = candidate.row
    grown = [f"{show_ratio(row)}{link} latency"]
    for metric, name in (("params", "parameters"), ("memory", "peak memory")):
        value, of = (getattr(r, LIMITS[metric].name, None) for r in (row, choice.baseline))
        if value is not None and of:
            grown.append(f"{units.change(value / of)}{link} {name}")
    return f"{', '.join(grown[:-1])} and {grown[-1]}" if len(grown) > 1 else grown[0]


def _points(gain: Gain) -> str:
    return f"{gain.points:+.2f} points of top-1{_mention_doubt(gain)}"


def _mention_tie(choice: Choice, paper: Paper) -> str:
    """A remark if another source has gains for as many candidates; else empty."""
    count = len(covered_by(paper, choice.fitting))
    alike = [p for p in choice.papers if len(covered_by(p, choice.fitting)) == count]
    if len(alike) == 1:
        return ""
    return " (another source covers as many; it is less sure, or its choice is slower)"


def _mention_doubt(gain: Gain) -> str:
    return f" ({PROVENANCE[gain.provenance]})" if gain.provenance in PROVENANCE else ""


def _shorten(paper: Paper) -> str:
    """The name and number of a paper, and its training.

    >>> _shorten(Paper("Gather-Excite", "1810.12348", "ResNet-50", 23.3))
    'Gather-Excite (arXiv:1810.12348; plain top-1 error 23.3 %)'
    """
    if paper.arxiv is None or paper.plain_error is None:
        return str(paper)
    return f"{paper.name} (arXiv:{paper.arxiv}; plain top-1 error {paper.plain_error:g} %)"
