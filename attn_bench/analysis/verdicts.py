"""Two versions of a case -> slower, faster, same, undecided; heavier, missing, new, failed. Pure.

A difference in time is real when Holm's procedure over all cases says so, at this look's share of
the family error; a verdict, once reached, stands. A difference in an exact metric is real as it is.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from math import expm1, inf, log1p
from typing import Literal

from scipy.special import stdtrit

from attn_bench.analysis.estimates import FAMILY_ERROR, Estimate, holm
from attn_bench.model.metrics import EXACT, GATED, LATENCY, Interval
from attn_bench.model.row import Row
from attn_bench.model.run import Facts
from attn_bench.model.status import Exit
from attn_bench.model.suite import LATENCY_TOLERANCE, Tolerance

Verdict = Literal[
    "slower",
    "heavier",
    "missing",
    "failed",
    "undecided",
    "faster",
    "lighter",
    "new",
    "same",
]
Severity = Literal["fail", "broken", "undecided", "warn", "pass"]
SEVERITIES: tuple[Severity, ...] = ("fail", "broken", "undecided", "warn", "pass")  # worst first

POWER = 0.9
BLIND = 10.0  # a logarithm: where a factor of 20,000 is not seen, nothing is


@dataclass(frozen=True)
class Tolerances:
    """Rules from general to particular: of those that name a metric and a module, the last holds.

    >>> loose, strict = Tolerance("latency", fail=0.05), Tolerance("latency", "ge_*", warn=0.0)
    >>> rules = Tolerances([loose, strict])
    >>> rules.of("latency", "se"), rules.of("latency", "ge_theta"), rules.of("params", "se")
    ((0.05, 0.05), (0.05, 0.0), (0.0, 0.0))
    """

    rules: Sequence[Tolerance] = ()

    def unmatched(self, modules: Collection[str]) -> str | None:
        """The first glob that fits none of `modules`."""
        globs = (rule.module for rule in self.rules)
        return next((g for g in globs if not any(fnmatchcase(m, g) for m in modules)), None)

    def of(self, metric: str, module: str) -> tuple[float, float]:
        """(fail, warn) as fractions; infinite for a metric that is not gated."""
        fail = LATENCY_TOLERANCE if metric == LATENCY else 0.0 if metric in GATED else inf
        warn = inf
        for rule in self.rules:
            if rule.metric == metric and fnmatchcase(module, rule.module):
                fail = fail if rule.fail is None else rule.fail
                warn = warn if rule.warn is None else rule.warn
        return fail, min(fail, warn)


@dataclass(frozen=True)
class Change:
    """An exact metric that is not what it was."""

    metric: str
    old: float
    new: float
    severity: Severity

    @property
    def ratio(self) -> float:
        return self.new / self.old if self.old else inf


@dataclass(frozen=True)
class Times:
    """New over old. `visible`: the slowdown that this measurement would have called slower nine
    times of ten, as a fraction."""

    ratio: Interval
    old_us: float | None
    new_us: float | None
    visible: float


@dataclass(frozen=True)
class Finding:
    """What a check found about one case: the worst verdict, and why.

    is_baseline: ratios are relative to this case, so its own ratio has no meaning.
    """

    case_id: str
    module: str
    verdict: Verdict
    severity: Severity
    changes: tuple[Change, ...] = ()
    times: Times | None = None
    reason: str | None = None
    is_baseline: bool = False

    def worse_than(self, other: Finding) -> bool:
        return SEVERITIES.index(self.severity) < SEVERITIES.index(other.severity)


# Verdicts that need no figures, and how bad they are.
FIGURELESS: Mapping[Verdict, Severity] = {
    "missing": "fail",
    "failed": "broken",
    "undecided": "undecided",
    "new": "pass",
}


def figureless(case_id: str, module: str, verdict: Verdict, reason: str) -> Finding:
    return Finding(case_id, module, verdict, FIGURELESS[verdict], reason=reason)


def exact_changes(
    module: str, old: Facts | Row | None, new: Facts | Row | None, tolerances: Tolerances
) -> tuple[Change, ...]:
    """The exact metrics that differ; one that is unknown on either side is not compared."""
    found = []
    for metric in EXACT:
        before: float | None = getattr(old, metric, None)
        now: float | None = getattr(new, metric, None)
        if before is None or now is None or before == now:
            continue
        fail, warn = tolerances.of(metric, module)
        severity: Severity = "pass"
        if now > before * (1 + warn):
            severity = "fail" if now > before * (1 + fail) else "warn"
        found.append(Change(metric, before, now, severity))
    return tuple(found)


def exact_finding(case_id: str, module: str, changes: tuple[Change, ...]) -> Finding:
    """heavier where a change is beyond its tolerance, lighter where all are for the better."""
    severities: list[Severity] = [change.severity for change in changes]
    worst: Severity = min(severities, key=SEVERITIES.index) if severities else "pass"
    verdict: Verdict = "same"
    if worst != "pass":
        verdict = "heavier"
    elif any(c.new < c.old for c in changes) and all(c.new <= c.old for c in changes):
        verdict = "lighter"
    return Finding(case_id, module, verdict, worst, changes)


@dataclass
class Trial:
    """Looks at the times of all pairs, again and again, until each is decided.

    module_of: the pairs, by case, with the module whose tolerance holds.
    """

    module_of: Mapping[str, str]
    tolerances: Tolerances
    looks: int = 0
    decided: dict[str, Verdict] = field(default_factory=dict)

    def look(self, estimates: Mapping[str, Estimate]) -> None:
        """Decide what can be decided. Look k may spend 1/k(k+1) of the family error: however
        many looks there are, they spend no more than the whole of it."""
        self.looks += 1
        level = FAMILY_ERROR / (self.looks * (self.looks + 1))
        different = holm({i: e.p_value() for i, e in estimates.items()}, level)
        for case_id, estimate in estimates.items():
            if case_id in self.decided:
                continue
            fail, least = self._tolerance(case_id)
            if case_id in different and abs(estimate.log) > log1p(least):
                self.decided[case_id] = "slower" if estimate.log > 0 else "faster"
            half = estimate.safe_half_width()
            lies_within = abs(estimate.log) + half <= log1p(fail)
            if case_id not in self.decided and lies_within and estimate.log - half <= log1p(least):
                self.decided[case_id] = "same"

    def finding(
        self,
        case_id: str,
        estimate: Estimate | None,
        latencies_us: tuple[float | None, float | None] | None,
    ) -> Finding:
        module = self.module_of[case_id]
        if estimate is None:
            reason = "the budget was spent before it had enough rounds"
            return Finding(case_id, module, "undecided", "undecided", reason=reason)
        fail, _ = self._tolerance(case_id)
        verdict = self.decided.get(case_id, "undecided")
        severity: Severity = "undecided" if verdict == "undecided" else "pass"
        if verdict == "slower":
            severity = "fail" if estimate.log > log1p(fail) else "warn"
        interval = estimate.interval()
        likely = verdict == "undecided" and interval.lo > 1 + fail
        hint = "likely slower; a larger --budget can decide" if likely else None
        old_us, new_us = latencies_us or (None, None)
        times = Times(interval, old_us, new_us, self._visible(estimate, fail))
        return Finding(case_id, module, verdict, severity, times=times, reason=hint)

    def _tolerance(self, case_id: str) -> tuple[float, float]:
        return self.tolerances.of(LATENCY, self.module_of[case_id])

    def _visible(self, estimate: Estimate, tolerance: float) -> float:
        """What lies so far beyond both bars, significance and tolerance, that it clears them with
        probability POWER."""
        level = FAMILY_ERROR / (max(self.looks, 1) * (max(self.looks, 1) + 1))
        bar = float(stdtrit(estimate.df, 1 - level / 2 / max(len(self.module_of), 1))) * estimate.se
        log = max(bar, log1p(tolerance)) + float(stdtrit(estimate.df, POWER)) * estimate.se
        return expm1(min(log, BLIND))


def together(exact: Finding, timed: Finding) -> Finding:
    """One finding of both kinds: the worse names the verdict; of equals, the time does, if it
    changed."""
    first = exact if exact.worse_than(timed) or timed.verdict == "same" else timed
    return replace(first, changes=exact.changes, times=timed.times, reason=timed.reason)


def worst_first(findings: Iterable[Finding]) -> list[Finding]:
    """By severity, then by how much slower."""

    def key(finding: Finding) -> tuple[int, float]:
        slowdown = finding.times.ratio.value if finding.times else 1.0
        return SEVERITIES.index(finding.severity), -slowdown

    return sorted(findings, key=key)


def exit_status(
    findings: Sequence[Finding], *, allow_undecided: bool = False, must_see: float | None = None
) -> int:
    """1 a regression, 3 something could not be measured, 4 undecided or nothing compared.

    must_see: 4 also where a slowdown of this fraction could have gone unseen.
    """
    severities = {finding.severity for finding in findings}
    if "fail" in severities:
        return Exit.BAD_ANSWER
    if "broken" in severities:
        return Exit.NOT_MEASURED
    if all(finding.verdict == "new" for finding in findings):
        return Exit.UNDECIDED
    if must_see is not None and any(_is_blind(finding, must_see) for finding in findings):
        return Exit.UNDECIDED
    is_open = "undecided" in severities and not allow_undecided
    return Exit.UNDECIDED if is_open else Exit.GOOD


def _is_blind(finding: Finding, must_see: float) -> bool:
    """Whether a slowdown of that size could have gone unseen; a slowdown found has been seen."""
    if finding.verdict in ("new", "slower", "faster") or finding.is_baseline:
        return False
    return finding.times is None or finding.times.visible > must_see
