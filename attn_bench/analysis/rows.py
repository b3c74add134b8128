"""Makes the rows of the table from outcomes and timings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from attn_bench.analysis.bound import bound_us
from attn_bench.analysis.estimates import Timings
from attn_bench.model.axes import DType
from attn_bench.model.case import Case
from attn_bench.model.metrics import EXACT, TIMED, Interval, ends_of
from attn_bench.model.row import Row
from attn_bench.model.run import Facts, Outcome, Plan, Rates


@dataclass(frozen=True)
class Measurements:
    """The results of a run.

    rates: the rates of this machine, by dtype.
    threads: the number of threads that PyTorch used.
    """

    outcomes: Mapping[str, Outcome]
    timings: Timings
    rates: Mapping[DType, Rates]
    threads: int | None

    @cached_property
    def intervals(self) -> Mapping[str, Mapping[str, Interval]]:
        """Metric -> case -> interval."""
        return {metric.name: self.timings.intervals(metric.name) for metric in TIMED}


def make_rows(
    plan: Plan,
    measured: Measurements,
    ended: str = "the budget was spent",
    timed: bool = True,
) -> list[Row]:
    """One row for each case, in the plan's order.

    ended: why the run ended; the reason of the cases that it did not reach, which are `skipped`.
    timed: whether a case without latency counts as not reached.
    """
    never = f"{ended} before this case had enough rounds"
    ratios = {i: r.interval() for i, r in measured.timings.ratios(plan.baseline_of).items()}
    return [
        _row(
            case,
            measured.outcomes.get(case.id, Outcome(case.id, "skipped", never)),
            measured,
            ratios.get(case.id),
            never if timed else None,
        )
        for case in plan.cases
    ]


def _row(
    case: Case, outcome: Outcome, measured: Measurements, ratio: Interval | None, never: str | None
) -> Row:
    timed = {name: by_case.get(case.id) for name, by_case in measured.intervals.items()}
    latency, timings = timed["latency_us"], measured.timings
    status, error = outcome.status, outcome.error
    if status == "ok" and latency is None and never is not None:
        status, error = "skipped", never
    cells: dict[str, Any] = {**case.columns(), "ratio": ratio, **timed}
    for name in ("ratio", *timed):
        cells |= _ends(name, cells[name])
    if outcome.facts is not None:
        cells |= {name: getattr(outcome.facts, name) for name in EXACT}
        cells |= _bound(case, outcome.facts, measured, latency)
    return Row(
        **cells,
        threads=measured.threads,
        rounds=timings.rounds(case.id) or None,
        sessions=timings.sessions(case.id) or None,
        status=status,
        error=error,
    )


def _bound(
    case: Case, facts: Facts, measured: Measurements, latency: Interval | None
) -> dict[str, float | None]:
    rates = measured.rates.get(case.dtype)
    bound = None if rates is None else bound_us(facts, case.mode, rates)
    return {
        "bound_us": bound,
        "bound_fraction": bound / latency.value if bound and latency else None,
    }


def _ends(name: str, interval: Interval | None) -> dict[str, float | None]:
    lo, hi = ends_of(name)
    if interval is None:
        return {name: None, lo: None, hi: None}
    return {name: interval.value, lo: interval.lo, hi: interval.hi}
