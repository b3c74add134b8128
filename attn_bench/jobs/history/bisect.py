"""Finds the commit that made a case slower, faster, heavier or lighter.

Each commit is compared with the good end in the same processes. It lies after the change if its
ratio is certainly beyond the middle between the ends, on a logarithmic scale, and before it if it
is certainly below. A commit that is neither decides nothing. The commit that is found is compared
with its parent, so that a sum of errors does not accuse an innocent one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from math import exp, log
from typing import Literal

from attn_bench.analysis.verdicts import Finding
from attn_bench.engine.progress import Progress
from attn_bench.jobs.history.pairs import Limits, Pair, list_span, measure_pair
from attn_bench.jobs.history.search import Search, Side
from attn_bench.model.errors import AttnBenchError, RequestError, nearest
from attn_bench.model.metrics import EXACT, LATENCY, Interval
from attn_bench.model.request import RunRequest

LEAST = 0.02  # the smallest change of latency that is searched, as a fraction
INCOMPARABLE = ("missing", "failed", "new")  # verdicts on a case that one end lacks
Outcome = Literal["commit", "range", "same", "undecided", "broken"]


@dataclass(frozen=True)
class BisectRequest:
    """request: its suite and modules hold the case. case: a pattern of case ids.

    least: the smallest change of latency that is searched, as a fraction; all changes of an exact
        metric are.
    """

    request: RunRequest
    good: str
    bad: str
    case: str = "*"
    metric: str = LATENCY
    least: float = LEAST


@dataclass(frozen=True)
class Asked:
    """A commit that was compared with the good end.

    side: None for one that could not be measured; reason says why.
    """

    commit: str
    side: Side | None
    ratio: Interval | None = None
    reason: str | None = None


@dataclass(frozen=True)
class Bisected:
    """What was found.

    commits: the whole span, the good end first.
    ratio: of the whole span, bad over good; None if no case changed.
    first, last: the change came after commit `first`, and is in commit `last`.
    step: the ratio of `last` over `first`, measured as a pair; None if the range is wider.
    reason: why the ends cannot be compared, if one of them is broken.
    """

    outcome: Outcome
    commits: tuple[str, ...]
    metric: str
    case_id: str | None = None
    ratio: Interval | None = None
    first: str | None = None
    last: str | None = None
    step: Interval | None = None
    asked: tuple[Asked, ...] = ()
    reason: str | None = None


def bisect(question: BisectRequest, progress: Progress) -> Bisected:
    """Search the span. Raises AttnBenchError if the ends cannot be compared."""
    known = (LATENCY, *EXACT)
    if question.metric not in known:
        hint = nearest(question.metric, known)
        raise RequestError(f"--metric: unknown metric {question.metric!r}{hint}")
    if not question.request.modules_from:
        raise RequestError("bisect measures the files of --modules-from: name them")
    limits = Limits(question.least, timed=question.metric == LATENCY)
    commits = list_span(question.good, question.bad, "bisect")
    whole = measure_pair(question.request, (commits[0], commits[-1]), limits, progress)
    found = Bisected("same", tuple(commits), question.metric)
    ratios = _find_ratios(question, whole)
    changed = {case: r for case, r in ratios.items() if r and _is_change(r, question.least)}
    if not changed:
        return _tell_unchanged(found, whole, ratios, question.least)
    case_id = max(changed, key=lambda case: abs(log(changed[case].value)))
    found = replace(found, case_id=case_id, ratio=changed[case_id])
    request = replace(question.request, where=f"case_id == {case_id!r}")
    return _search(replace(question, request=request), found, progress)


def _find_ratios(question: BisectRequest, whole: Pair) -> dict[str, Interval | None]:
    """The ratio of each case, bad over good. Raises RequestError if no case matches the pattern."""
    matching = [f for f in whole.findings if fnmatchcase(f.case_id, question.case)]
    if not matching:
        hint = nearest(question.case, [finding.case_id for finding in whole.findings])
        raise RequestError(f"--case {question.case!r}: no case matches{hint}")
    return {finding.case_id: _ratio(finding, question.metric) for finding in matching}


def _is_change(ratio: Interval, least: float) -> bool:
    """Whether a ratio is certainly a change, and one to search: an exact one always is."""
    is_exact = ratio.lo == ratio.hi
    return not ratio.lo <= 1 <= ratio.hi and (is_exact or abs(log(ratio.value)) > least)


def _tell_unchanged(
    found: Bisected, whole: Pair, ratios: Mapping[str, Interval | None], least: float
) -> Bisected:
    """The same if every case is known to be; else broken if an end is, or undecided."""
    known = [ratio for ratio in ratios.values() if ratio is not None]
    broken = [
        f.reason or f.verdict
        for f in whole.findings
        if f.case_id in ratios and f.verdict in INCOMPARABLE
    ]
    if broken:
        return replace(found, outcome="broken", reason=broken[0])
    is_same = all(ratio.lo > 1 / (1 + least) and ratio.hi < 1 + least for ratio in known)
    return replace(found, outcome="same" if is_same and len(known) == len(ratios) else "undecided")


def _ratio(finding: Finding, metric: str) -> Interval | None:
    """New over old; exactly 1 for an exact metric that is the same. None if it is unknown."""
    if finding.verdict in INCOMPARABLE:
        return None
    if metric == LATENCY:
        return finding.times.ratio if finding.times else None
    for change in finding.changes:
        if change.metric == metric:
            return Interval(*[change.new / change.old] * 3) if change.new and change.old else None
    return Interval(1.0, 1.0, 1.0)


def _search(question: BisectRequest, found: Bisected, progress: Progress) -> Bisected:
    """Ask commits between the ends until one is left, or nothing more can be said."""
    assert found.ratio is not None
    middle = log(found.ratio.value) / 2
    search = Search(len(found.commits))
    asked: list[Asked] = []
    while (at := search.next()) is not None:
        between = search.after - search.before - 1
        progress.stage(f"{between} left; {found.commits[at][:10]} and the good end", 1, "")
        answer = _ask(question, found, at, middle, progress)
        asked.append(answer)
        search.tell(at, answer.side or "unknown")
    found = replace(
        found,
        outcome="range",
        first=found.commits[search.before],
        last=found.commits[search.after],
        asked=tuple(asked),
    )
    return _confirm(question, found, middle, progress) if search.is_found else found


def _ask(
    question: BisectRequest, found: Bisected, at: int, middle: float, progress: Progress
) -> Asked:
    """On which side of the change a commit lies."""
    commit, good = found.commits[at], found.commits[0]
    try:
        limits = Limits(exp(abs(middle)) - 1, timed=question.metric == LATENCY)
        pair = measure_pair(question.request, (good, commit), limits, progress)
    except AttnBenchError as problem:
        return Asked(commit, None, reason=str(problem))
    finding = next((f for f in pair.findings if f.case_id == found.case_id), None)
    ratio = _ratio(finding, question.metric) if finding else None
    if ratio is None:
        return Asked(commit, None, reason=finding.reason if finding else "it lacks the case")
    return Asked(commit, _side(ratio, middle), ratio)


def _side(ratio: Interval, middle: float) -> Side:
    """Where the interval lies; the sign of `middle` is that of the change."""
    lo, hi = sorted(log(end) * (1 if middle > 0 else -1) for end in (ratio.lo, ratio.hi))
    if lo > abs(middle):
        return "after"
    return "before" if hi < abs(middle) else "unknown"


def _confirm(
    question: BisectRequest, found: Bisected, middle: float, progress: Progress
) -> Bisected:
    """Compare the commit with the one before it: the change must be there."""
    assert found.first is not None
    assert found.last is not None
    try:
        limits = Limits(question.least, timed=question.metric == LATENCY)
        pair = measure_pair(question.request, (found.first, found.last), limits, progress)
    except AttnBenchError as problem:
        reason = Asked(found.last, None, reason=str(problem))
        return replace(found, asked=(*found.asked, reason))
    finding = next((f for f in pair.findings if f.case_id == found.case_id), None)
    step = _ratio(finding, question.metric) if finding else None
    is_there = step is not None and (step.lo > 1 if middle > 0 else step.hi < 1)
    return replace(found, step=step, outcome="commit" if is_there else "range")
