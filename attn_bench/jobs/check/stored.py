"""A run against a stored one: exact metrics on any machine, time where the two can be compared."""

from __future__ import annotations

from dataclasses import replace
from math import hypot
from typing import Any

from attn_bench.analysis.estimates import RATIO_SD, Estimate, Timings
from attn_bench.analysis.verdicts import (
    Finding,
    Tolerances,
    Trial,
    exact_changes,
    exact_finding,
    figureless,
    together,
)
from attn_bench.model.axes import AXES
from attn_bench.model.case import PLAIN
from attn_bench.model.row import Row
from attn_bench.model.status import BROKEN
from attn_bench.store import runs
from attn_bench.store.info import RunInfo
from attn_bench.store.runs import StoredRun

# The standard deviation, from run to run, of the logarithm of a ratio to the baseline, beyond what
# the runs' own intervals tell; where no selfcheck has measured it.
RUN_TO_RUN_SD = 0.02
MOST_OTHER_LOAD = 0.5  # cores: beyond, a ratio to the baseline is that of another situation
SAME_INPUT = (
    *("backbone", "batch", "channels", "height", "width"),
    *(axis.name for axis in AXES if not axis.beside_name),
)


def incomparable(old: RunInfo, new: RunInfo) -> str | None:
    """Why times of two runs say nothing about each other; None if they do."""
    then, now = old.environment, new.environment
    for key, words in (
        ("fingerprint", "another machine"),
        ("software", "other software"),
        ("threads", "another number of threads"),
        ("worker_settings", "other settings of the worker"),
    ):
        before, after = getattr(then, key), getattr(now, key)
        if not before or before != after:
            return f"{words} ({_difference(before, after)})"
    for run, environment in (("the baseline's", then), ("this", now)):
        if (other := environment.other_load_cores or 0.0) > MOST_OTHER_LOAD:
            return f"other processes used {other:.1f} cores during {run} run"
    if not old.suite.baseline or old.suite.baseline != new.suite.baseline:
        return "another baseline"
    return None


def run_to_run_sd(fingerprint: str | None) -> tuple[float, str]:
    """The standard deviation to reckon with, and where it is from."""
    info = runs.find_newest("selfcheck", fingerprint)
    measured = ((info and info.selfcheck) or {}).get("run_to_run_sd")
    if isinstance(measured, float):
        # Of a few trials it may come out as nothing at all.
        return max(measured, RATIO_SD), "measured by selfcheck, and at least 1 %"
    return RUN_TO_RUN_SD, "the default; selfcheck measures it"


def compare(
    old: StoredRun, new: StoredRun, tolerances: Tolerances, run_to_run: float | None
) -> list[Finding]:
    """One finding for each case of either. run_to_run: None leaves time out."""
    before = {row.case_id: row for row in old.rows if row.status != "unsupported"}
    after = {row.case_id: row for row in new.rows if row.status != "unsupported"}
    ratios = {} if run_to_run is None else _ratios(old, new, run_to_run)
    trial = Trial({i: after[i].module for i in ratios}, tolerances)
    trial.look(ratios)
    found = []
    for case_id, row in before.items():
        if case_id not in after:
            reason = "it is in the baseline alone"
            found.append(figureless(case_id, row.module, "missing", reason))
    for case_id, row in after.items():
        then = before.get(case_id)
        if row.status in BROKEN:
            reason = f"{row.status}: {row.error}"
            found.append(figureless(case_id, row.module, "failed", reason))
        elif then is None or then.status in BROKEN:
            reason = "it is not in the baseline" if then is None else "the baseline's failed"
            found.append(figureless(case_id, row.module, "new", reason))
        else:
            changes = exact_changes(row.module, then, row, tolerances)
            finding = exact_finding(case_id, row.module, changes)
            if case_id in ratios:
                values = then.latency_us, row.latency_us
                finding = together(finding, trial.finding(case_id, ratios[case_id], values))
            elif _is_baseline(row, new):
                finding = replace(finding, is_baseline=True)
            elif run_to_run is None:
                finding = replace(finding, reason="time was not compared")
            else:
                reason = "it was not timed in both runs"
                untimed = figureless(case_id, row.module, "undecided", reason)
                finding = together(finding, untimed)
            if row.params is None or then.params is None:
                reason = "one of the runs ended before it was inspected"
                finding = figureless(case_id, row.module, "undecided", reason)
            found.append(finding)
    return found


def _ratios(old: StoredRun, new: StoredRun, run_to_run: float) -> dict[str, Estimate]:
    """The new ratio to the baseline over the old one, of the cases that have both."""
    before = Timings(runs.load_blocks(old.path)).ratios(_baselines(old))
    after = Timings(runs.load_blocks(new.path)).ratios(_baselines(new))
    return {
        case_id: _difference_of(before[case_id], after[case_id], run_to_run)
        for case_id in after.keys() & before.keys()
    }


def _difference_of(old: Estimate, new: Estimate, run_to_run: float) -> Estimate:
    """Degrees of freedom after B. L. Welch, Biometrika 34, 1947, the third term being known."""
    se = hypot(old.se, new.se, run_to_run, run_to_run)
    parts = old.se**4 / old.df + new.se**4 / new.df
    df = se**4 / parts if parts else 1e6
    return Estimate(new.log - old.log, se, df, se, se**2, 0.0)


def _baselines(run: StoredRun) -> dict[str, str]:
    """The baseline of each case but the baselines themselves, whose ratio says nothing."""

    def of(row: Row) -> tuple[Any, ...]:
        return tuple(getattr(row, name) for name in SAME_INPUT)

    baselines = {of(row): row.case_id for row in run.rows if _is_baseline(row, run)}
    return {
        row.case_id: baseline
        for row in run.rows
        if (baseline := baselines.get(of(row))) is not None and baseline != row.case_id
    }


def _is_baseline(row: Row, run: StoredRun) -> bool:
    """Of a network, the plain backbone; else what the suite names."""
    variant = PLAIN if row.backbone else run.info.suite.baseline
    return row.variant == variant and row.execution == "eager"


def _difference(then: Any, now: Any) -> str:
    """The first thing that differs, in words."""
    if isinstance(then, dict) and isinstance(now, dict):
        for key in sorted(then.keys() | now.keys()):
            if then.get(key) != now.get(key):
                return f"{key}: {then.get(key)}, now {now.get(key)}"
    return f"{then}, now {now}"
