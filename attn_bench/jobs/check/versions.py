"""Two versions of the modules in one run: the plan, the judge of pairs, and the findings."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import ClassVar

from attn_bench.analysis.estimates import Timings
from attn_bench.analysis.verdicts import (
    Finding,
    Tolerances,
    Trial,
    combine,
    exact_changes,
    exact_finding,
    make_finding,
)
from attn_bench.model.case import Case
from attn_bench.model.run import Outcome, Plan


@dataclass(frozen=True)
class Sides:
    """A plan with both versions of every case that has two.

    pairs: case -> its baseline version.
    """

    plan: Plan
    pairs: Mapping[str, str]
    new: tuple[Case, ...]
    missing: tuple[Case, ...]


def two_sides(plan: Plan, current: Collection[str], baseline: Collection[str]) -> Sides:
    """Double the cases of `plan`.

    current, baseline: the modules of each version.
    """
    cases: list[Case] = []
    pairs: dict[str, str] = {}
    unsupported: dict[str, str] = {}
    new, missing = [], []
    for case in plan.cases:
        is_now, was_then = case.variant.module in current, case.variant.module in baseline
        if is_now:
            cases.append(case)
        if is_now and was_then:
            cases.append(case.baseline)
        if (reason := plan.unsupported.get(case.id)) is not None:
            unsupported |= {case.id: reason, case.baseline.id: reason}
        elif is_now and was_then:
            pairs[case.id] = case.baseline.id
        elif is_now:
            new.append(case)
        elif was_then:
            missing.append(case)
    baseline_of = {case.id: pairs.get(case.id, case.id) for case in cases}
    return Sides(Plan(tuple(cases), baseline_of, unsupported), pairs, tuple(new), tuple(missing))


@dataclass
class PairJudge:
    """A pair is done when it is decided. A broken pair is not timed.

    budget_s: that of the whole check.
    fail_fast: whether a pair that has failed by an exact metric is not timed, either.
    timed: whether any pair is timed.
    """

    is_sure_to_time: ClassVar[bool] = False
    sides: Sides
    tolerances: Tolerances
    budget_s: float
    fail_fast: bool = False
    timed: bool = True
    exact: dict[str, Finding] = field(default_factory=dict)
    trial: Trial = field(init=False)

    def __post_init__(self) -> None:
        self.trial = Trial({}, self.tolerances)

    def begin(self, ok: Sequence[Case], outcomes: Mapping[str, Outcome]) -> list[Case]:
        """Compare the exact metrics, and select the pairs that pass for timing."""
        ids = {case.id: case.variant.module for case in ok}
        for new, baseline in self.sides.pairs.items():
            if new in ids and baseline in ids:
                old, now = outcomes[baseline].facts, outcomes[new].facts
                changes = exact_changes(ids[new], old, now, self.tolerances)
                self.exact[new] = exact_finding(new, ids[new], changes)
        timed = {
            new: ids[new]
            for new, found in self.exact.items()
            if self.timed and (found.severity != "fail" or not self.fail_fast)
        }
        self.trial = replace(self.trial, module_of=timed)
        return self._undecided(ok)

    def unfinished(self, waiting: Sequence[Case], timings: Timings, spent_s: float) -> list[Case]:
        self.look(timings, spent_s / self.budget_s)
        return self._undecided(waiting)

    def known(self) -> str:
        return f"{len(self.trial.decided)}/{len(self.trial.module_of)} decided"

    def look(self, timings: Timings, spent: float = 1.0) -> None:
        """Look at all pairs; `spent` is the share of the budget that is spent."""
        pairs = {new: self.sides.pairs[new] for new in self.trial.module_of}
        self.trial.look(timings.ratios(pairs), spent)

    def is_done(self) -> bool:
        return self.trial.module_of.keys() <= self.trial.decided.keys()

    def _undecided(self, cases: Sequence[Case]) -> list[Case]:
        """Both versions of each undecided pair; a pair that has lost a version is left out."""
        there = {case.id for case in cases}
        still = {
            new
            for new in self.trial.module_of.keys() - self.trial.decided.keys()
            if {new, self.sides.pairs[new]} <= there
        }
        return [case for case in cases if case.current.id in still]

    def findings(self, outcomes: Mapping[str, Outcome], timings: Timings) -> list[Finding]:
        """One finding for each possible case of the suite."""
        if not self.is_done():
            self.look(timings)
        estimates = timings.ratios(self.sides.pairs)
        old_us = {
            baseline: estimate.interval(1e6).value
            for baseline, estimate in timings.latencies(
                {baseline: baseline for baseline in self.sides.pairs.values()}
            ).items()
        }
        found = [
            make_finding(c.id, c.variant.module, "missing", "only the baseline has it")
            for c in self.sides.missing
        ]
        found += [
            self._new(case, outcome)
            for case in self.sides.new
            if not _is_unsupported(outcome := outcomes.get(case.id))
        ]
        module_of = {case.id: case.variant.module for case in self.sides.plan.cases}
        for new, baseline in self.sides.pairs.items():
            now, then = outcomes.get(new), outcomes.get(baseline)
            if _is_unsupported(now) and _is_unsupported(then):
                continue
            if broken := _find_broken(new, module_of[new], now, then):
                found.append(broken)
                continue
            if new not in self.exact:
                found.append(_make_undecided(new, module_of[new]))
                continue
            finding = self.exact[new]
            if new in self.trial.module_of:
                timed = self.trial.finding(new, estimates.get(new), old_us.get(baseline))
                finding = combine(finding, timed)
            found.append(finding)
        return found

    def _new(self, case: Case, outcome: Outcome | None) -> Finding:
        if outcome is not None and outcome.status != "ok":
            reason = f"{outcome.status}: {outcome.error}"
            return make_finding(case.id, case.variant.module, "failed", reason)
        return make_finding(case.id, case.variant.module, "new", "the baseline does not have it")


def _is_unsupported(outcome: Outcome | None) -> bool:
    """Whether the worker cannot execute the case here, independent of the module."""
    return outcome is not None and outcome.status == "unsupported"


def _make_undecided(case_id: str, module: str) -> Finding:
    return make_finding(case_id, module, "undecided", "the run ended before this case")


def _find_broken(
    case_id: str, module: str, now: Outcome | None, then: Outcome | None
) -> Finding | None:
    """The finding if one version could not be measured: failed, or new if the baseline failed."""
    if now is None or then is None:
        return _make_undecided(case_id, module)
    if now.status != "ok":
        also = "" if then.status == "ok" else "; the baseline failed too"
        return make_finding(case_id, module, "failed", f"{now.status}: {now.error}{also}")
    if then.status != "ok":
        reason = f"the baseline could not be measured: {then.status}: {then.error}"
        return make_finding(case_id, module, "new" if then.facts is None else "failed", reason)
    return None
