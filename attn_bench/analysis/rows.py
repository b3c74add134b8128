"""Makes the rows of the table from outcomes and timings."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import inf
from typing import Any

from attn_bench.analysis.bound import bound_us
from attn_bench.analysis.estimates import Estimate, Timings
from attn_bench.model.axes import DType
from attn_bench.model.case import Case
from attn_bench.model.metrics import EXACT, TIMED, Interval, ends_of
from attn_bench.model.row import Row
from attn_bench.model.run import Outcome, Plan, Rates
from attn_bench.model.units import WIDE, percent, with_interval


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


def make_rows(
    plan: Plan,
    measured: Measurements,
    ended: str = "the budget was spent",
    timed: bool = True,
    overload: str | None = None,
) -> list[Row]:
    """One row for each case, in the plan's order.

    ended: why the run ended; the reason of the cases that it did not reach, which are `skipped`.
    timed: whether a case without latency counts as not reached.
    overload: why no time is valid, if other work took too much of the machine.
    """
    never = f"{ended} before this case had enough rounds"
    timings = measured.timings
    latencies = {m.name: timings.latencies(plan.baseline_of, m.name) for m in TIMED}
    estimates = {
        **latencies,
        "ratio": timings.ratios(plan.baseline_of),
        "over_fastest": compare_with_fastest(
            {i: b for i, b in plan.baseline_of.items() if _is_ok(measured.outcomes.get(i))}, timings
        ),
    }
    scale = {metric.name: 1e6 for metric in TIMED}
    intervals = {
        name: {i: estimate.interval(scale.get(name, 1.0)) for i, estimate in found.items()}
        for name, found in estimates.items()
    }
    intervals["images_per_s"] = {
        case.id: _throughput(case, interval)
        for case in plan.cases
        if (interval := intervals["queued_us"].get(case.id) or intervals["latency_us"].get(case.id))
    }
    return [
        _row(
            case,
            measured.outcomes.get(case.id, Outcome(case.id, "skipped", never)),
            measured,
            {name: found.get(case.id) for name, found in intervals.items()},
            never if timed else None,
            overload,
        )
        for case in plan.cases
    ]


def _throughput(case: Case, one_call_us: Interval) -> Interval:
    """The images per second; without an upper end if a call may have taken no time."""
    images = case.shape.batch * 1e6
    most = images / one_call_us.lo if one_call_us.lo else inf
    return Interval(images / one_call_us.value, images / one_call_us.hi, most)


def _is_ok(outcome: Outcome | None) -> bool:
    return outcome is not None and outcome.status == "ok"


def compare_with_fastest(baseline_of: Mapping[str, str], timings: Timings) -> dict[str, Estimate]:
    """The paired ratio of each case to the fastest one with the same baseline.

    The baselines themselves do not compete. A case without competitors has no ratio.
    """
    competing: dict[str, list[str]] = defaultdict(list)
    latencies = timings.latencies(baseline_of)
    for case_id, baseline in baseline_of.items():
        if case_id in latencies and case_id != baseline:
            competing[baseline].append(case_id)
    found: dict[str, Estimate] = {}
    for cases in competing.values():
        if len(cases) > 1:
            found |= _over_fastest(sorted(cases, key=lambda i: latencies[i].interval().hi), timings)
    return found


def _over_fastest(cases: list[str], timings: Timings) -> dict[str, Estimate]:
    """The ratios to the fastest of `cases`, the first of which is certainly not slow.

    Direct ratios have the last word: a case that is certainly faster takes the place of the first.
    """
    fastest = cases[0]
    ratios: dict[str, Estimate] = {}
    for _ in cases:
        ratios = timings.ratios(dict.fromkeys(cases, fastest))
        faster = [i for i, ratio in ratios.items() if ratio.interval().hi < 1]
        if not faster:
            break
        fastest = min(faster, key=lambda i: ratios[i].log)
    return ratios


def _row(
    case: Case,
    outcome: Outcome,
    measured: Measurements,
    timed: Mapping[str, Interval | None],
    never: str | None,
    overload: str | None,
) -> Row:
    """The row of a case. A figure whose interval is too wide is left out; its ends are kept."""
    latency, timings = timed["latency_us"], measured.timings
    status, error = outcome.status, outcome.error
    if status == "ok" and latency is None and never is not None:
        status, error = "skipped", never
    cells: dict[str, Any] = case.columns()
    unclear = [name for name in ("latency_us", "ratio") if _is_unclear(timed[name])]
    if status == "ok" and latency is not None and (overload or unclear):
        status, error = "unclear", overload or _say_unclear(unclear, timed)
    for name, interval in timed.items():
        cells |= _ends(name, interval, is_hidden=overload is not None)
    if outcome.facts is not None:
        cells |= {name: getattr(outcome.facts, name) for name in EXACT}
        rates = measured.rates.get(case.dtype)
        cells["bound_us"] = rates and bound_us(outcome.facts, case.mode, rates)
    row = Row(
        **cells,
        threads=measured.threads,
        rounds=timings.rounds(case.id) or None,
        sessions=timings.sessions(case.id) or None,
        device_clock=timings.device_clock(case.id),
        status=status,
        error=error,
    )
    if row.status != "ok" or not row.bound_us or row.bounded is None:
        return row
    return replace(row, bound_fraction=row.bound_us / row.bounded.value)


def _ends(
    name: str, interval: Interval | None, *, is_hidden: bool = False
) -> dict[str, float | None]:
    lo, hi = ends_of(name)
    if interval is None:
        return {name: None, lo: None, hi: None}
    value = None if is_hidden or _is_unclear(interval) else interval.value
    return {name: value, lo: interval.lo, hi: interval.hi}


def _is_unclear(interval: Interval | None) -> bool:
    return interval is not None and interval.half_width > WIDE * interval.value


def _say_unclear(names: list[str], timed: Mapping[str, Interval | None]) -> str:
    what = {"latency_us": "latency (µs)", "ratio": "ratio"}
    words = []
    for name in names:
        interval = timed[name]
        assert interval is not None
        words.append(f"{what[name]} {with_interval(interval.times(1))}")
    return f"{', '.join(words)}: not known to ± {percent(WIDE)}"
