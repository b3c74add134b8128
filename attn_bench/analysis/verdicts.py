"""Compares two versions of a case and gives a verdict. Pure.

Each pair has an interval at each look at the data. All intervals of a check hold the true ratios
together, at all looks, except with the chance FAMILY_ERROR. Every verdict follows from the interval
that is shown with it: beyond the tolerance, within it, or across it. A verdict does not change
later. A difference in an exact metric is always real.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from math import expm1, inf, log, log1p
from typing import Literal

from attn_bench.analysis.estimates import BLIND, FAMILY_ERROR, Estimate
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


@dataclass(frozen=True)
class Tolerances:
    """Rules from general to particular: the last rule that matches metric and module applies.

    >>> loose, strict = Tolerance("latency", fail=0.05), Tolerance("latency", "ge_*", warn=0.0)
    >>> rules = Tolerances([loose, strict])
    >>> rules.of("latency", "se"), rules.of("latency", "ge_theta"), rules.of("params", "se")
    ((0.05, 0.05), (0.05, 0.0), (0.0, 0.0))
    """

    rules: Sequence[Tolerance] = ()

    def unmatched(self, modules: Collection[str]) -> str | None:
        """The first glob that matches none of `modules`; None if every glob matches one."""
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
    """A change of an exact metric; `new` is None if it was known and is unknown now."""

    metric: str
    old: float
    new: float | None
    severity: Severity


@dataclass(frozen=True)
class Times:
    """The times of a pair, and their ratio, new over old.

    ratio: with the interval that decides; `new_us` is `old_us` times the ratio.
    confidence: that of the interval.
    visible: the slowdown that this measurement finds nine times of ten, as a fraction.
    """

    ratio: Interval
    old_us: float | None
    new_us: float | None
    visible: float
    confidence: float = 0.95


@dataclass(frozen=True)
class Finding:
    """The result of a check for one case: the worst verdict, and the reason.

    is_baseline: whether ratios are relative to this case, so that its own ratio has no meaning.
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


# The severity of the verdicts that need no figures.
SEVERITY_WITHOUT_FIGURES: Mapping[Verdict, Severity] = {
    "missing": "fail",
    "failed": "broken",
    "undecided": "undecided",
    "new": "pass",
}


def make_finding(case_id: str, module: str, verdict: Verdict, reason: str) -> Finding:
    return Finding(case_id, module, verdict, SEVERITY_WITHOUT_FIGURES[verdict], reason=reason)


def exact_changes(
    module: str, old: Facts | Row | None, new: Facts | Row | None, tolerances: Tolerances
) -> tuple[Change, ...]:
    """The exact metrics that differ. A metric that was unknown before is not compared.

    A gated metric that is unknown now is undecided, since it may have grown.

    Peak memory is compared at equal threads only, since libraries take a buffer for each thread.
    """
    has_equal_threads = getattr(old, "threads", None) == getattr(new, "threads", None)
    found = []
    for metric in EXACT:
        if metric == "peak_memory_bytes" and not has_equal_threads:
            continue
        before: float | None = getattr(old, metric, None)
        now: float | None = getattr(new, metric, None)
        if before is None or before == now:
            continue
        fail, warn = tolerances.of(metric, module)
        severity: Severity = "pass"
        if now is None:
            severity = "undecided" if fail < inf else "pass"
        elif now > before * (1 + warn):
            severity = "fail" if now > before * (1 + fail) else "warn"
        found.append(Change(metric, before, now, severity))
    return tuple(found)


def exact_finding(case_id: str, module: str, changes: tuple[Change, ...]) -> Finding:
    """`heavier` if a change is beyond its tolerance, `lighter` if metrics only shrank.

    `undecided` if a gated metric is unknown now and no other is beyond its tolerance.
    """
    severities: list[Severity] = [change.severity for change in changes]
    worst: Severity = min(severities, key=SEVERITIES.index) if severities else "pass"
    verdict: Verdict = "same"
    known = [(c.old, c.new) for c in changes if c.new is not None]
    if worst == "undecided":
        verdict = "undecided"
    elif worst != "pass":
        verdict = "heavier"
    elif any(new < old for old, new in known) and all(new <= old for old, new in known):
        verdict = "lighter"
    return Finding(case_id, module, verdict, worst, changes)


@dataclass(frozen=True)
class Decision:
    """The interval of a pair at one look, and what follows from it; None if it decides nothing."""

    ratio: Interval
    confidence: float
    verdict: Verdict | None = None
    severity: Severity = "undecided"

    @property
    def width(self) -> float:
        return self.ratio.hi / max(self.ratio.lo, 1e-9)


@dataclass
class Trial:
    """Repeated looks at the times of all pairs, until each pair is decided.

    module_of: the pairs, by case, with the module whose tolerance applies.
    spent: the share of the budget that was spent at the last look.
    narrowest: the narrowest interval of each pair so far; all of them are valid.
    """

    module_of: Mapping[str, str]
    tolerances: Tolerances
    spent: float = 0.0
    decided: dict[str, Decision] = field(default_factory=dict)
    narrowest: dict[str, Decision] = field(default_factory=dict)

    def look(self, estimates: Mapping[str, Estimate], spent: float = 1.0) -> None:
        """Decide every pair that can be decided.

        spent: the share of the budget that is spent; 1 at the last look.
        Up to a share t of the budget, the looks spend t² of the error. K. Kim and D. L. DeMets,
        Design and analysis of group sequential tests based on the type I error spending rate
        function, Biometrika 74(1), 1987. Each pair gets an equal share (Bonferroni).
        """
        spent = min(1.0, spent)
        error = FAMILY_ERROR * max(0.0, spent**2 - self.spent**2) / max(len(self.module_of), 1)
        self.spent = max(spent, self.spent)
        if not error:
            return
        for case_id, estimate in estimates.items():
            if case_id not in self.decided:
                found = self._decide(case_id, estimate.interval(confidence=1 - error), 1 - error)
                known = self.narrowest.get(case_id)
                if known is None or found.width < known.width:
                    self.narrowest[case_id] = found
                if found.verdict is not None:
                    self.decided[case_id] = found

    def _decide(self, case_id: str, ratio: Interval, confidence: float) -> Decision:
        fail, warn = self._tolerance(case_id)
        lo, hi = (log(end) if end > 0 else -inf for end in (ratio.lo, ratio.hi))
        most, least = log1p(fail), log1p(warn)
        if lo > most:
            return Decision(ratio, confidence, "slower", "fail")
        if lo > least and hi <= most:
            return Decision(ratio, confidence, "slower", "warn")
        if hi < -least:
            return Decision(ratio, confidence, "faster", "pass")
        if -most <= lo <= least and hi <= most:
            return Decision(ratio, confidence, "same", "pass")
        return Decision(ratio, confidence)

    def finding(self, case_id: str, estimate: Estimate | None, old_us: float | None) -> Finding:
        """The finding of a pair; `old_us` is the latency of its baseline."""
        module = self.module_of[case_id]
        decision = self.decided.get(case_id) or self.narrowest.get(case_id)
        if estimate is None or decision is None:
            reason = "the budget was spent before this case had enough rounds"
            return Finding(case_id, module, "undecided", "undecided", reason=reason)
        fail, _ = self._tolerance(case_id)
        is_open = decision.verdict is None
        likely = is_open and estimate.interval().lo > 1 + fail
        hint = "likely slower; a larger --budget can decide" if likely else None
        times = Times(
            decision.ratio,
            old_us,
            None if old_us is None else old_us * decision.ratio.value,
            self._visible(estimate, fail, decision.confidence),
            decision.confidence,
        )
        verdict: Verdict = decision.verdict or "undecided"
        return Finding(case_id, module, verdict, decision.severity, times=times, reason=hint)

    def _tolerance(self, case_id: str) -> tuple[float, float]:
        return self.tolerances.of(LATENCY, self.module_of[case_id])

    def _visible(self, estimate: Estimate, tolerance: float, confidence: float) -> float:
        """The slowdown that an interval of this width finds beyond the tolerance nine times of ten.

        The chance is POWER.
        """
        spread = estimate.half_width(confidence) + estimate.half_width(2 * POWER - 1)
        return expm1(min(log1p(tolerance) + spread + estimate.shorter, BLIND))


def combine(exact: Finding, timed: Finding) -> Finding:
    """One finding from both. The worse one gives the verdict; if equal, a change in time does."""
    first = exact if exact.worse_than(timed) or timed.verdict == "same" else timed
    return replace(first, changes=exact.changes, times=timed.times, reason=timed.reason)


def worst_first(findings: Iterable[Finding]) -> list[Finding]:
    """The findings sorted by severity, then by slowdown."""

    def key(finding: Finding) -> tuple[int, float]:
        slowdown = finding.times.ratio.value if finding.times else 1.0
        return SEVERITIES.index(finding.severity), -slowdown

    return sorted(findings, key=key)


def exit_status(
    findings: Sequence[Finding], *, allow_undecided: bool = False, must_see: float | None = None
) -> int:
    """The exit status: 1 regression, 3 not measured, 4 undecided or nothing compared, else 0.

    must_see: the status is also 4 if a slowdown of this fraction could have stayed unseen.
    """
    severities = {finding.severity for finding in findings}
    if "fail" in severities:
        return Exit.BAD_ANSWER
    if "broken" in severities:
        return Exit.NOT_MEASURED
    if all(finding.verdict == "new" for finding in findings):
        return Exit.UNDECIDED
    if must_see is not None and any(is_blind(finding, must_see) for finding in findings):
        return Exit.UNDECIDED
    is_open = "undecided" in severities and not allow_undecided
    return Exit.UNDECIDED if is_open else Exit.GOOD


def is_blind(finding: Finding, must_see: float) -> bool:
    """Whether a slowdown of this size could have stayed unseen. A found slowdown was seen."""
    if finding.verdict in ("new", "slower", "faster") or finding.is_baseline:
        return False
    return finding.times is None or finding.times.visible > must_see
