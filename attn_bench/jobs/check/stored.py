"""Compares a run with a stored run: exact metrics always, time under equal conditions only."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass, replace
from math import sqrt
from typing import Any

from attn_bench.analysis.estimates import RATIO_SD, Estimate, Timings
from attn_bench.analysis.verdicts import (
    Finding,
    Tolerances,
    Trial,
    combine,
    exact_changes,
    exact_finding,
    make_finding,
)
from attn_bench.catalog import code
from attn_bench.jobs.check.notes import Note, note
from attn_bench.model.axes import AXIS_NAMES
from attn_bench.model.case import PLAIN
from attn_bench.model.environment import find_difference
from attn_bench.model.row import Row
from attn_bench.model.run import QUIET, WARNED
from attn_bench.model.status import BROKEN, WITHOUT_TIME
from attn_bench.store import runs
from attn_bench.store.info import RunInfo
from attn_bench.store.runs import StoredRun

# The default standard deviation, from run to run, of the logarithm of a ratio to the baseline. It
# adds to the variance within the runs. A selfcheck measures it.
RUN_TO_RUN_SD = 0.02
KNOWN_DF = 1e6
MOST_OTHER_LOAD = 0.5  # cores: with more, ratios to the baseline are not comparable
SAME_INPUT = (
    *("backbone", "batch", "channels", "height", "width"),
    *AXIS_NAMES,
)


def find_obstacle(old: RunInfo, new: RunInfo) -> Note | None:
    """Why the times of two runs cannot be compared; None if they can.

    The `cause` of the note is a field of the environment that differs (with `key`, `then` and
    `now`), "other_load" (with `run` and `cores`), or "baseline".
    """
    then, now = old.environment, new.environment
    if (difference := find_difference(then, now)) is not None:
        return note("time_not_compared", **asdict(difference))
    for run, environment in (("baseline", then), ("current", now)):
        if (cores := environment.other_load_cores or 0.0) > MOST_OTHER_LOAD:
            return note("time_not_compared", cause="other_load", run=run, cores=cores)
    if not old.suite.baseline or old.suite.baseline != new.suite.baseline:
        return note("time_not_compared", cause="baseline")
    return None


def find_changed_code(old: RunInfo, new: RunInfo) -> list[str] | None:
    """The modules whose code differs between two runs, for people; None if it is not known.

    A run without users' code keeps no packages: only those that both have are compared.
    """
    then, now = old.sources, new.sources
    if not then or not now:
        return None
    names = [
        name
        for name in sorted(then.keys() | now.keys())
        if not name.startswith(code.PACKAGE) or (name in then and name in now)
    ]
    return [code.shown(name) for name in names if then.get(name) != now.get(name)]


def list_own_warnings(old: RunInfo, new: RunInfo) -> list[Note]:
    """The warnings of the modules that only one of the runs has: its figures may be of other code.

    Gather-Excite without its kernel is such a case.
    """
    before, after = _count_warnings(old), _count_warnings(new)
    return [
        note("warned", run=run, warning=warning, cases=own[warning])
        for run, own, others in (("baseline", before, after), ("current", after, before))
        for warning in sorted(own.keys() - others.keys())
    ]


def _count_warnings(info: RunInfo) -> Counter[str]:
    """The number of cases with each warning. Warnings of later versions are left out."""
    return Counter(
        note.removeprefix(WARNED)
        for notes in info.notes.values()
        for note in notes
        if note.startswith(WARNED) and not note.startswith(QUIET)
    )


@dataclass(frozen=True)
class RunToRun:
    """The standard deviation of a ratio from run to run.

    is_measured: whether a selfcheck on this machine measured it; else it is the default.
    """

    sd: float
    is_measured: bool


def find_run_to_run(fingerprint: str | None) -> RunToRun:
    """The deviation on the machine with this fingerprint."""
    info = runs.find_newest("selfcheck", fingerprint)
    measured = info.selfcheck.run_to_run_sd if info and info.selfcheck else None
    if measured is not None:
        # An estimate from a few trials may be zero.
        return RunToRun(max(measured, RATIO_SD), is_measured=True)
    return RunToRun(RUN_TO_RUN_SD, is_measured=False)


def compare(
    old: StoredRun, new: StoredRun, tolerances: Tolerances, run_to_run_sd: float | None
) -> list[Finding]:
    """One finding for each case of either run.

    run_to_run_sd: None leaves time out.
    """
    before = {row.case_id: row for row in old.rows if row.status != "unsupported"}
    after = {row.case_id: row for row in new.rows if row.status != "unsupported"}
    ratios = {} if run_to_run_sd is None else _ratios(old, new, run_to_run_sd)
    trial = Trial({i: after[i].module for i in ratios}, tolerances)
    trial.look(ratios)
    found = [
        make_finding(case_id, row.module, "missing", "only the baseline has it")
        for case_id, row in before.items()
        if case_id not in after
    ]
    for case_id, row in after.items():
        then = before.get(case_id)
        if row.status in BROKEN:
            reason = f"{row.status}: {row.error}"
            found.append(make_finding(case_id, row.module, "failed", reason))
        elif then is None:
            reason = "the baseline does not have it"
            found.append(make_finding(case_id, row.module, "new", reason))
        elif then.status in BROKEN:
            found.append(make_finding(case_id, row.module, "new", "it failed in the baseline"))
        elif row.params is None or then.params is None:
            reason = "one of the runs ended before this case was inspected"
            found.append(make_finding(case_id, row.module, "undecided", reason))
        else:
            changes = exact_changes(row.module, then, row, tolerances)
            finding = exact_finding(case_id, row.module, changes)
            if case_id in ratios:
                timed = trial.finding(case_id, ratios[case_id], then.latency_us)
                finding = combine(finding, timed)
            elif _is_baseline(row, new):
                finding = replace(finding, is_baseline=True)
            else:
                finding = _judge_without_time(finding, is_wanted=run_to_run_sd is not None)
            found.append(finding)
    return found


def _judge_without_time(exact: Finding, *, is_wanted: bool) -> Finding:
    """The finding of a case without times in both runs.

    is_wanted: whether the times of the runs are compared.
    """
    if not is_wanted:
        return replace(exact, reason=WITHOUT_TIME)
    reason = "this case was not timed in both runs"
    return combine(exact, make_finding(exact.case_id, exact.module, "undecided", reason))


def _ratios(old: StoredRun, new: StoredRun, run_to_run_sd: float) -> dict[str, Estimate]:
    """The new ratio to the baseline over the old one, for the cases with both."""
    before = Timings(runs.load_blocks(old.path)).ratios(_baselines(old))
    after = Timings(runs.load_blocks(new.path)).ratios(_baselines(new))
    return {
        case_id: _difference_of(before[case_id], after[case_id], run_to_run_sd)
        for case_id in after.keys() & before.keys()
    }


def _difference_of(old: Estimate, new: Estimate, run_to_run_sd: float) -> Estimate:
    """The difference of two estimates; the variance from run to run is known."""
    between_runs = (2 * run_to_run_sd**2, KNOWN_DF)
    parts = (*old.parts, *new.parts, between_runs)
    return Estimate(
        log=new.log - old.log,
        parts=parts,
        expected_se=sqrt(sum(part for part, _ in parts)),
        shorter=new.shorter + old.longer,
        longer=new.longer + old.shorter,
    )


def _baselines(run: StoredRun) -> dict[str, str]:
    """The baseline of each case; baselines are left out, because their ratio has no meaning."""

    def of(row: Row) -> tuple[Any, ...]:
        return tuple(getattr(row, name) for name in SAME_INPUT)

    baselines = {of(row): row.case_id for row in run.rows if _is_baseline(row, run)}
    return {
        row.case_id: baseline
        for row in run.rows
        if (baseline := baselines.get(of(row))) is not None and baseline != row.case_id
    }


def _is_baseline(row: Row, run: StoredRun) -> bool:
    """Whether the row is the plain backbone of a network, or else the suite's baseline."""
    return row.variant == (PLAIN if row.backbone else run.info.suite.baseline)
