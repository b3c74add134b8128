"""The findings of a check in words: the changes, and what the check detects."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from attn_bench.model import units
from attn_bench.model.status import WITHOUT_TIME

if TYPE_CHECKING:
    from attn_bench.analysis.verdicts import Change, Finding

HEADINGS = ("verdict", "case", "old", "new", "new / old", "detects", "why")


class Cells(NamedTuple):
    """A finding as cells under HEADINGS; a cell without a value is empty.

    detects: the smallest slowdown that this check finds nine times of ten.
    """

    verdict: str
    case: str
    old: str
    new: str
    ratio: str
    detects: str
    why: str


def make_cells(finding: Finding) -> Cells:
    """The cells of a finding: times in µs or ms, the ratio with its interval."""
    why = [_describe_change(change) for change in finding.changes]
    if finding.reason:
        why.append(finding.reason)
    verdict = name_verdict(finding)
    verdict = f"{verdict} (warning)" if finding.severity == "warn" else verdict
    times = finding.times
    if times is None:
        return Cells(verdict, finding.case_id, "", "", "", "", "; ".join(why))
    is_unclear = times.ratio.half_width > units.WIDE * times.ratio.value
    return Cells(
        verdict,
        finding.case_id,
        units.microseconds(times.old_us),
        units.microseconds(None if is_unclear else times.new_us),
        units.with_interval(times.ratio.times(1)),
        _show_visible(times.visible),
        "; ".join(why),
    )


def name_verdict(finding: Finding) -> str:
    """The verdict; without times, equal exact metrics are not called the same."""
    is_exact = finding.verdict == "same" and finding.reason == WITHOUT_TIME
    return "same but for time" if is_exact else finding.verdict


def describe(finding: Finding) -> str:
    """One finding in one line."""
    cells = make_cells(finding)
    parts = [f"{cells.verdict}: {cells.case}"]
    if finding.times:
        parts.append(describe_times(cells))
    if cells.why:
        parts.append(cells.why)
    return "; ".join(parts)


def describe_times(cells: Cells) -> str:
    times = f"old {cells.old}, new {cells.new}; new / old {cells.ratio} in pairs"
    return f"{times}; detects {cells.detects}"


def describe_visibility(findings: Sequence[Finding]) -> str | None:
    """What the check detects, and what its intervals mean."""
    from attn_bench.analysis.estimates import FAMILY_ERROR  # loads scipy: only where times exist

    seen = sorted(finding.times.visible for finding in findings if finding.times)
    if not seen:
        return None
    worst = f" ({_show_visible(seen[-1])} in the worst case)" if len(seen) > 1 else ""
    middle = _show_visible(seen[len(seen) // 2])
    return (
        f"This check detects a slowdown of {middle} nine times of ten{worst}. All intervals of "
        f"new / old hold together with {units.percent(1 - FAMILY_ERROR)} confidence."
    )


def _show_visible(fraction: float) -> str:
    return units.percent(fraction) if fraction < 1 else "> 100 %"


def summarise(findings: Sequence[Finding]) -> str:
    """The number of cases with each verdict.

    findings: the worst comes first.

    >>> from attn_bench.analysis.verdicts import Finding
    >>> summarise([Finding("b", "se", "slower", "fail"), Finding("a", "se", "same", "pass")])
    '2 cases: 1 slower, 1 same'
    """
    counts = Counter(map(name_verdict, findings))
    verdicts = ", ".join(f"{number} {verdict}" for verdict, number in counts.items())
    nothing = " (nothing was compared)" if counts.keys() <= {"new"} else ""
    return f"{units.number(len(findings), 'case')}: {verdicts}{nothing}"


def find_notable(findings: Sequence[Finding]) -> list[Finding]:
    """The findings with a change in any metric."""
    return [f for f in findings if f.verdict != "same" or f.changes]


def _describe_change(change: Change) -> str:
    """A change of a metric, with a mark if it is beyond its tolerance."""
    if change.new is None:
        unknown = ": the operators without a count are in run.json"
        mark = unknown if change.severity == "undecided" else ""
        return f"{change.metric} {change.old:,.0f} → unknown{mark}"
    percent = f", {units.change(change.new / change.old)}" if change.old else ""
    mark = {"fail": ": too much", "warn": ": a warning"}.get(change.severity, "")
    grown = f"{change.new - change.old:+,.0f}{percent}"
    return f"{change.metric} {change.old:,.0f} → {change.new:,.0f} ({grown}){mark}"
