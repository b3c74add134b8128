"""The tool's own error rates on this machine: false alarms, power, coverage, what it can see.

Pairs of `probe` variants whose true ratio is known, identical ones and ones with 1, 2, 5 and 10 %
more real work, are measured as any suite is: default precision, default number of sessions, the
usual stopping rule. Each trial has sessions of its own. What was found is compared with the truth.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from itertools import count
from math import exp, sqrt
from typing import Any

import numpy as np
from scipy.special import ndtri, stdtrit

from attn_bench.analysis.stats import CONFIDENCE, FAMILY_ERROR, Estimate, Timings, holm
from attn_bench.analysis.table import Measurements, make_rows
from attn_bench.analysis.verdicts import POWER
from attn_bench.engine import measure
from attn_bench.engine.coordinator import Coordinator, Progress, Progressed
from attn_bench.engine.process import Worker
from attn_bench.model import protocol
from attn_bench.model.axes import DeviceName
from attn_bench.model.case import Case, Shape, Variant
from attn_bench.model.metrics import Interval
from attn_bench.model.request import TIMEOUT_S, RunRequest
from attn_bench.model.run import Block, Outcome, Plan, Settings
from attn_bench.model.suite import Grid, Suite
from attn_bench.plan.cases import PRECISION, SECONDS_PER_CASE, SESSIONS
from attn_bench.store.runs import RunFolder

PASSES = 100
SHAPE = Shape(1, 64, 28, 28)
# Modules whose ratio to a copy is followed from trial to trial: they do another kind of work.
UNLIKE = ("se", "cbam", "ge_theta_minus")
LEAST_TRIALS = 4  # for a deviation from run to run
BUDGETS_S = (1.0, 5.0, 20.0)  # of a case, for which the smallest visible slowdown is told


@dataclass(frozen=True)
class Pairs:
    """How many pairs of each true slowdown (in percent) a trial holds."""

    of: Mapping[int, int]

    def plan(self, device: DeviceName) -> tuple[Plan, dict[str, int]]:
        """The cases, and the true slowdown of each pair by the id of its slower half."""
        copies = count()
        cases: list[Case] = []
        baseline_of: dict[str, str] = {}
        truth: dict[str, int] = {}
        for percent, many in self.of.items():
            for _ in range(many):
                slow = _probe(PASSES + percent * PASSES // 100, next(copies), device)
                baseline = _probe(PASSES, next(copies), device)
                cases += [slow, baseline]
                baseline_of |= {slow.id: baseline.id, baseline.id: baseline.id}
                truth[slow.id] = percent
        baseline = Case(Variant("identity"), SHAPE, device=device)
        cases.append(baseline)
        baseline_of[baseline.id] = baseline.id
        for name in UNLIKE:
            case = Case(Variant(name), SHAPE, device=device)
            cases.append(case)
            baseline_of[case.id] = baseline.id
        return Plan(tuple(cases), baseline_of, {}), truth


def _probe(passes: int, copy: int, device: DeviceName) -> Case:
    return Case(Variant("probe", None, (("passes", passes), ("copy", copy))), SHAPE, device=device)


DEFAULT_PAIRS = Pairs({0: 12, 1: 3, 2: 3, 5: 3, 10: 3})


@dataclass(frozen=True)
class Finding:
    """One pair in one trial: what is true of it, and what was found."""

    percent: int
    estimate: Estimate
    is_called_different: bool
    rounds: int

    @property
    def is_covered(self) -> bool:
        interval = self.estimate.interval()
        return interval.lo <= 1 + self.percent / 100 <= interval.hi


@dataclass(frozen=True)
class Rate:
    """How often, of how many."""

    hits: int
    trials: int

    def interval(self) -> Interval:
        """Wilson's: E. B. Wilson, Probable inference, JASA 22, 1927. Holds for rates near 0 and 1.

        >>> [round(x, 3) for x in (Rate(0, 100).interval().lo, Rate(0, 100).interval().hi)]
        [0.0, 0.037]
        """
        n, p, z = self.trials, self.hits / self.trials, float(ndtri(0.5 + CONFIDENCE / 2))
        centre = (p + z * z / (2 * n)) / (1 + z * z / n)
        half = z / (1 + z * z / n) * sqrt(p * (1 - p) / n + z * z / (4 * n * n))
        return Interval(p, max(0.0, centre - half), min(1.0, centre + half))


@dataclass(frozen=True)
class Report:
    """What a selfcheck found; `seconds_a_case` is what a pair's half had on average.

    unlike: the ratios of UNLIKE modules to a copy, trial by trial.
    """

    findings: tuple[Finding, ...]
    unlike: tuple[Mapping[str, Estimate], ...]
    trials: int
    seconds_a_case: float
    seconds_a_round: float

    def false_alarms(self) -> Rate:
        """Identical variants called slower or faster."""
        identical = [f for f in self.findings if f.percent == 0]
        return Rate(sum(f.is_called_different for f in identical), len(identical))

    def power(self) -> dict[int, Rate]:
        """Planted slowdowns that were called slower, by percent."""
        found = {}
        for percent in sorted({f.percent for f in self.findings} - {0}):
            slowed = [f for f in self.findings if f.percent == percent]
            seen = sum(f.is_called_different and f.estimate.log > 0 for f in slowed)
            found[percent] = Rate(seen, len(slowed))
        return found

    def coverage(self) -> Rate:
        """95 % intervals of ratios that hold the true one."""
        return Rate(sum(f.is_covered for f in self.findings), len(self.findings))

    def run_to_run_sd(self) -> float | None:
        """The standard deviation, from trial to trial, of the logarithm of a ratio of unlike
        modules, beyond what each trial's own standard error tells. None for few trials."""
        if len(self.unlike) < LEAST_TRIALS:
            return None
        excess = []
        for case_id in self.unlike[0]:
            found = [trial[case_id] for trial in self.unlike if case_id in trial]
            if len(found) < LEAST_TRIALS:
                return None
            own = np.mean([estimate.se**2 for estimate in found])
            excess.append(np.var([estimate.log for estimate in found], ddof=1) - own)
        return sqrt(max(0.0, float(np.mean(excess))))

    def smallest_visible(self, budget_s: float, sessions: int = SESSIONS) -> Interval:
        """The slowdown that one comparison finds nine times of ten in `budget_s` a case, as a
        fraction, with an interval from resampling the pairs.

        From the variance between sessions and that of rounds within them, as they were found here.
        """
        rounds = max(1.0, budget_s / sessions / self.seconds_a_round)
        df = float(sessions - 1)
        quantiles = float(stdtrit(df, 1 - FAMILY_ERROR / 2)) + float(stdtrit(df, POWER))
        total = np.array([f.estimate.between for f in self.findings])
        inside = np.array([f.estimate.within * f.rounds for f in self.findings])
        excess = total - inside / np.array([f.rounds for f in self.findings])
        rng = np.random.default_rng(0)

        def visible(chosen: Any) -> float:
            variance = max(float(np.mean(excess[chosen])), 0.0) + float(
                np.mean(inside[chosen]) / rounds
            )
            return exp(quantiles * sqrt(variance / sessions)) - 1

        everything = np.arange(total.size)
        resampled = [visible(rng.integers(total.size, size=total.size)) for _ in range(400)]
        lo, hi = np.quantile(resampled, [0.025, 0.975])
        return Interval(visible(everything), float(lo), float(hi))

    def as_json(self) -> dict[str, Any]:
        """For run.json."""
        return {
            "trials": self.trials,
            "seconds_a_case": self.seconds_a_case,
            "false_alarms": _rate_json(self.false_alarms()),
            "power": {str(percent): _rate_json(rate) for percent, rate in self.power().items()},
            "run_to_run_sd": self.run_to_run_sd(),
            "coverage": _rate_json(self.coverage()),
            "smallest_visible": {
                f"{budget_s:g}": asdict(self.smallest_visible(budget_s)) for budget_s in BUDGETS_S
            },
        }


def _rate_json(rate: Rate) -> dict[str, Any]:
    return {"hits": rate.hits, "of": rate.trials, **asdict(rate.interval())}


def selfcheck(
    minutes: float,
    device: str,
    progress: Progress,
    *,
    pairs: Pairs = DEFAULT_PAIRS,
    precision: float = PRECISION,
    seconds_a_case: float = SECONDS_PER_CASE,
    most_trials: int | None = None,
    command: Sequence[str] = (),
) -> tuple[measure.Finished, Report]:
    """Trials for `minutes`, or `most_trials` of them, at least one; kept as a run.

    Raises RequestError for a device that is not there.
    """
    deadline = time.monotonic() + 60 * minutes
    opening = protocol.Open(protocol.VERSION, device, None, [])  # type: ignore[arg-type]
    progress.stage("starting", 1, "")
    with measure.Interruptible() as signals:
        worker = Worker(opening)
        try:
            hello = worker.open()
            plan, truth = pairs.plan(hello.device)
            settings = Settings(
                budget_s=seconds_a_case * len(plan.cases),
                precision=precision,
                sessions=SESSIONS,
                seed=0,
                threads=None,
                timeout_s=TIMEOUT_S,
            )
            suite = _as_suite(plan)
            prepared = measure.Prepared(worker, hello, suite, plan, settings)
            started = datetime.now(UTC)
            folder = RunFolder.create(suite.name, hello.device, started, None)
            info = measure.beginning(
                RunRequest(suite.name, command=tuple(command)), prepared, started
            )
            folder.write_info(info)
        except BaseException:
            worker.end()
            raise
        findings: list[Finding] = []
        unlike: list[dict[str, Estimate]] = []
        blocks: list[Block] = []
        outcomes: dict[str, Outcome] = {}
        trial_s: list[float] = []
        next_session = 0
        state = "finished"
        try:
            while len(trial_s) != most_trials and (
                not trial_s or time.monotonic() + np.mean(trial_s) < deadline
            ):
                began = time.monotonic()
                before = Progressed(outcomes, [], next_session)
                coordinator = Coordinator(worker, plan, settings, folder.keep, progress, before)
                try:
                    coordinator.inspect()
                    coordinator.measure()
                finally:
                    coordinator.stop()
                blocks += coordinator.blocks
                outcomes, next_session = coordinator.outcomes, coordinator.next_session
                findings += judge(coordinator.timings, plan, truth)
                unlike.append(_unlike(coordinator.timings, plan))
                trial_s.append(time.monotonic() - began)
                worker = worker.another([])
                worker.open()
        except KeyboardInterrupt:
            state = "interrupted"
        finally:
            worker.end()
            signals.deafen()
    costs = _costs(blocks, len(trial_s), len(plan.cases))
    report = Report(tuple(findings), tuple(unlike), len(trial_s), *costs)
    rows = make_rows(plan, Measurements(outcomes, Timings(blocks), {}, hello.threads))
    info |= {"state": state, "end": datetime.now(UTC).isoformat(timespec="seconds")}
    info["selfcheck"] = report.as_json() if findings else None
    folder.finish(rows, blocks, info)
    return measure.Finished(
        folder.path, tuple(rows), info, measure.exit_status(rows, state)
    ), report


def judge(timings: Timings, plan: Plan, truth: Mapping[str, int]) -> list[Finding]:
    """What one trial says of each pair, all pairs being one family."""
    ratios = timings.ratios({slow: plan.baseline_of[slow] for slow in truth})
    different = holm({slow: ratio.p_value() for slow, ratio in ratios.items()})
    return [
        Finding(truth[slow], ratio, slow in different, timings.rounds(slow) // SESSIONS)
        for slow, ratio in ratios.items()
    ]


def _unlike(timings: Timings, plan: Plan) -> dict[str, Estimate]:
    modules = {case.id: case.variant.module for case in plan.cases}
    return timings.ratios({i: a for i, a in plan.baseline_of.items() if modules[i] in UNLIKE})


def _as_suite(plan: Plan) -> Suite:
    grid = Grid(modules=("probe", *UNLIKE, "identity"))
    title = "Selfcheck: pairs of known ratio, compared as any two variants are"
    return Suite("selfcheck", title, "selfcheck", (grid,), (SHAPE,), "identity")


def _costs(blocks: Iterable[Block], trials: int, cases: int) -> tuple[float, float]:
    """Seconds a case and trial, and seconds a block, untimed calls included."""
    seconds = [block.seconds + block.first_call_seconds for block in blocks]
    if not seconds:
        return 0.0, 0.0
    return sum(seconds) / max(trials, 1) / cases, float(np.mean(seconds))
