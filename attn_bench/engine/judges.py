"""Judges decide which cases need another round: the imprecise ones, or none."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import log
from typing import ClassVar, Protocol

from attn_bench.analysis.estimates import Estimate, Timings
from attn_bench.model.case import Case
from attn_bench.model.run import Outcome, Plan

SURE = 0.001  # the chance of error at which a case counts as beyond a limit


class Judge(Protocol):
    """Decides which cases need another round.

    is_sure_to_time: whether it always times cases, so that workers may start early.
    """

    is_sure_to_time: ClassVar[bool]

    def begin(self, ok: Sequence[Case], outcomes: Mapping[str, Outcome]) -> list[Case]:
        """Select the cases to time from those that can be timed.

        outcomes: their facts; it stays up to date, and shows which cases fail later.
        """

    def unfinished(self, waiting: Sequence[Case], timings: Timings, spent_s: float) -> list[Case]:
        """The cases of `waiting` that are not done yet. It is called now and then.

        spent_s: the spent part of the budget.
        """

    def known(self) -> str:
        """The progress in a few words."""


class Precision:
    """A case is done when its latency and its ratio to its baseline are precise enough.

    A case whose baseline has failed has no ratio: its latency alone must be precise. With a
    limit, a case is done when it is certainly beyond the limit, or when it is precise and certainly
    within the limit.
    """

    is_sure_to_time: ClassVar[bool] = True

    def __init__(self, plan: Plan, precision: float, most_ratio: float | None = None) -> None:
        self._baseline_of = plan.baseline_of
        self._precision = precision
        self._most_ratio = most_ratio
        self._known = ""
        self._outcomes: Mapping[str, Outcome] = {}

    def begin(self, ok: Sequence[Case], outcomes: Mapping[str, Outcome]) -> list[Case]:
        self._outcomes = outcomes
        return list(ok)

    def unfinished(self, waiting: Sequence[Case], timings: Timings, spent_s: float) -> list[Case]:
        """The cases that are not precise yet, and their baselines."""
        ratios = timings.ratios(self._baseline_of)
        latencies = timings.latencies(self._baseline_of)
        precise = {
            i
            for i, latency in latencies.items()
            if (
                i in ratios and self._is_done(ratios[i], latency)
                if self._outcomes[self._baseline_of[i]].status == "ok"
                else latency.is_within(self._precision)
            )
        }
        still = {case.id for case in waiting if case.id not in precise}
        self._known = f"{len(precise)}/{len(latencies)} at ±{100 * self._precision:g} %"
        baselines = {self._baseline_of[case_id] for case_id in still}
        return [case for case in waiting if case.id in still | baselines]

    def _is_done(self, ratio: Estimate, latency: Estimate) -> bool:
        is_precise = ratio.is_within(self._precision)
        if not self._most_ratio:
            return is_precise and latency.is_within(self._precision)
        is_decided = ratio.differs_from(self._most_ratio, SURE)
        return is_decided and (is_precise or ratio.log > log(self._most_ratio))

    def known(self) -> str:
        return self._known


class Untimed:
    """Times no case: time is not requested, or cannot be compared."""

    is_sure_to_time: ClassVar[bool] = False

    def begin(self, ok: Sequence[Case], outcomes: Mapping[str, Outcome]) -> list[Case]:
        return []

    def unfinished(self, waiting: Sequence[Case], timings: Timings, spent_s: float) -> list[Case]:
        return []

    def known(self) -> str:
        return ""
