"""Outcomes and timings -> the rows of the table."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from attn_bench.analysis.stats import Timings
from attn_bench.model.record import Case, Facts, Interval, Outcome, Plan, Row


def make_rows(
    plan: Plan,
    outcomes: Mapping[str, Outcome],
    timings: Timings,
    threads: int | None,
    ended: str = "the budget was spent",
    timed: bool = True,
) -> list[Row]:
    """One row a case, in the plan's order; a case without figures is `skipped`, since the run
    `ended` before it was reached. timed: whether a case without latency lacks anything."""
    never = f"{ended} before this case had enough rounds"
    latencies, device = timings.latencies_us(), timings.device_us()
    ratios = {i: ratio.interval() for i, ratio in timings.ratios(plan.anchor_of).items()}
    return [
        _row(
            case,
            outcomes.get(case.id, Outcome(case.id, "skipped", never)),
            timings,
            threads,
            never if timed else None,
            *(intervals.get(case.id) for intervals in (latencies, device, ratios)),
        )
        for case in plan.cases
    ]


def _row(
    case: Case,
    outcome: Outcome,
    timings: Timings,
    threads: int | None,
    never: str | None,
    latency: Interval | None,
    device: Interval | None,
    ratio: Interval | None,
) -> Row:
    status, error = outcome.status, outcome.error
    if status == "ok" and latency is None and never is not None:
        status, error = "skipped", never
    facts = outcome.facts
    cells: dict[str, Any] = {
        **case.columns(),
        **_static(facts),
        **_ends("latency_us", "latency_{}_us", latency),
        **_ends("device_us", "device_{}_us", device),
        **_ends("ratio", "ratio_{}", ratio),
    }
    return Row(
        **cells,
        threads=threads,
        bound_fraction=facts.bound_us / latency.value
        if facts and facts.bound_us and latency
        else None,
        rounds=timings.rounds(case.id) or None,
        sessions=timings.sessions(case.id) or None,
        status=status,
        error=error,
    )


def _static(facts: Facts | None) -> dict[str, float | None]:
    if facts is None:
        return {}
    run_json_only = ("uncounted", "operations", "notes", "source_hash")
    return {name: value for name, value in asdict(facts).items() if name not in run_json_only}


def _ends(name: str, pattern: str, interval: Interval | None) -> dict[str, float]:
    if interval is None:
        return {}
    return {
        name: interval.value,
        pattern.format("lo"): interval.lo,
        pattern.format("hi"): interval.hi,
    }
