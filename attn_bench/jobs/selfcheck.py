"""Measures the error rates of the tool: false alarms, power, coverage, smallest visible slowdown.

The `probe` variants come in pairs of known true ratio: identical ones, and ones with 1, 2, 5 and
10 % more work. Other identical variants share one baseline, as the cases of a run do. They are
measured like any suite, with the default precision, number of sessions and stopping rule. Each
trial uses new sessions. The measured ratios are compared with the true ones.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import count
from math import exp, sqrt
from typing import Any

import numpy as np
from scipy.special import ndtri, stdtrit

from attn_bench.analysis.estimates import CONFIDENCE, FAMILY_ERROR, Estimate, Timings
from attn_bench.analysis.verdicts import POWER, Tolerances, Trial
from attn_bench.engine.coordinator import Progressed
from attn_bench.engine.progress import Progress
from attn_bench.engine.run import Begun, Finished, Measured, Prepared, begin, measure, renew, save
from attn_bench.engine.session import open_session
from attn_bench.engine.watch import Watch
from attn_bench.model.axes import AUTO, DeviceName
from attn_bench.model.case import Case, Shape, Variant
from attn_bench.model.metrics import Interval
from attn_bench.model.request import TIMEOUT_S, RunRequest
from attn_bench.model.run import Block, HitRate, Plan, SelfcheckRates, Settings
from attn_bench.model.suite import Grid, Suite, Tolerance
from attn_bench.plan.cases import PRECISION, SECONDS_PER_CASE, SESSIONS

PASSES = 100
SHAPE = Shape(1, 64, 28, 28)
# The ratio of these modules to a copy is compared across trials, since their work is unlike a copy.
UNLIKE = ("se", "cbam", "ge_theta_minus")
LEAST_TRIALS = 4  # for a deviation from run to run
BUDGETS_S = (1.0, 5.0, 20.0)  # of a case, for which the smallest visible slowdown is reported


@dataclass(frozen=True)
class Pairs:
    """The number of pairs of each true slowdown (in percent) in a trial.

    sharing: the number of identical variants that share one baseline.
    """

    of: Mapping[int, int]
    sharing: int = 0

    def plan(self, device: DeviceName) -> tuple[Plan, dict[str, int]]:
        """The cases, and the true slowdown of each pair by the id of its slower case."""
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
        if self.sharing:
            shared = _probe(PASSES, next(copies), device)
            twins = [_probe(PASSES, next(copies), device) for _ in range(self.sharing)]
            cases += [*twins, shared]
            baseline_of |= dict.fromkeys((case.id for case in [*twins, shared]), shared.id)
            truth |= dict.fromkeys((case.id for case in twins), 0)
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


DEFAULT_PAIRS = Pairs({0: 6, 1: 3, 2: 3, 5: 3, 10: 3}, sharing=6)


@dataclass(frozen=True)
class PairTrial:
    """One pair in one trial: its true ratio and its estimate.

    shares: whether other pairs have the same baseline.
    """

    percent: int
    shares: bool
    estimate: Estimate
    is_called_different: bool
    rounds: int

    @property
    def is_covered(self) -> bool:
        interval = self.estimate.interval()
        return interval.lo <= 1 + self.percent / 100 <= interval.hi


@dataclass(frozen=True)
class Rate:
    """A rate: the number of hits of all tries."""

    hits: int
    trials: int

    def interval(self) -> Interval:
        """Wilson's interval (Probable inference, JASA 22, 1927), valid for rates near 0 and 1, too.

        >>> [round(x, 3) for x in (Rate(0, 100).interval().lo, Rate(0, 100).interval().hi)]
        [0.0, 0.037]
        """
        n, p, z = self.trials, self.hits / self.trials, float(ndtri(0.5 + CONFIDENCE / 2))
        centre = (p + z * z / (2 * n)) / (1 + z * z / n)
        half = z / (1 + z * z / n) * sqrt(p * (1 - p) / n + z * z / (4 * n * n))
        return Interval(p, max(0.0, centre - half), min(1.0, centre + half))

    def kept(self) -> HitRate:
        """The rate for run.json."""
        interval = self.interval()
        return HitRate(hits=self.hits, of=self.trials, lo=interval.lo, hi=interval.hi)


@dataclass(frozen=True)
class Report:
    """The results of a selfcheck.

    case_s: the mean time for one case of a pair.
    unlike: the ratios of UNLIKE modules to a copy, trial by trial.
    """

    findings: tuple[PairTrial, ...]
    unlike: tuple[Mapping[str, Estimate], ...]
    trials: int
    case_s: float
    round_s: float

    def false_alarms(self) -> Rate:
        """Identical variants called slower or faster."""
        identical = [f for f in self.findings if f.percent == 0]
        return Rate(sum(f.is_called_different for f in identical), len(identical))

    def power(self) -> dict[int, Rate]:
        """The true slowdowns that were called slower, by percent."""
        found = {}
        for percent in sorted({f.percent for f in self.findings} - {0}):
            slowed = [f for f in self.findings if f.percent == percent]
            seen = sum(f.is_called_different and f.estimate.log > 0 for f in slowed)
            found[percent] = Rate(seen, len(slowed))
        return found

    def coverage(self, *, shares: bool) -> Rate:
        """The 95 % intervals of ratios that contain the true ratio.

        shares: those of cases that share a baseline, or those of the other pairs.
        """
        found = [f for f in self.findings if f.shares == shares]
        return Rate(sum(f.is_covered for f in found), len(found))

    def run_to_run_sd(self) -> float | None:
        """The standard deviation between trials of the logarithm of a ratio of unlike modules.

        The standard errors of the trials are subtracted. None for fewer than LEAST_TRIALS trials.
        """
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
        """The slowdown that one comparison finds nine times of ten, as a fraction.

        budget_s: the budget of a case.
        It follows from the measured variances between sessions and between rounds. The interval
        comes from resampling the pairs.
        """
        rounds = max(1.0, budget_s / sessions / self.round_s)
        df = float(sessions - 1)
        quantiles = float(stdtrit(df, 1 - FAMILY_ERROR / 2)) + float(stdtrit(df, POWER))
        estimates = [f.estimate for f in self.findings]
        total = np.array([e.se**2 * e.sessions for e in estimates])
        within = np.array([e.within * e.sessions for e in estimates])
        excess = total - within
        inside = within * np.array([f.rounds for f in self.findings])
        rng = np.random.default_rng(0)

        def visible(sample: Any) -> float:
            variance = max(float(np.mean(excess[sample])), 0.0) + float(
                np.mean(inside[sample]) / rounds
            )
            return exp(quantiles * sqrt(variance / sessions)) - 1

        everything = np.arange(total.size)
        resampled = [visible(rng.integers(total.size, size=total.size)) for _ in range(400)]
        lo, hi = np.quantile(resampled, [0.025, 0.975])
        return Interval(visible(everything), float(lo), float(hi))

    def rates(self) -> SelfcheckRates:
        """The results for run.json."""
        has_sharing = any(f.shares for f in self.findings)
        return SelfcheckRates(
            trials=self.trials,
            case_s=self.case_s,
            false_alarms=self.false_alarms().kept(),
            power={str(percent): rate.kept() for percent, rate in self.power().items()},
            coverage=self.coverage(shares=False).kept(),
            coverage_of_sharing=self.coverage(shares=True).kept() if has_sharing else None,
            run_to_run_sd=self.run_to_run_sd(),
            smallest_visible={
                f"{budget_s:g}": self.smallest_visible(budget_s) for budget_s in BUDGETS_S
            },
        )


@dataclass(frozen=True)
class SelfcheckRequest:
    """The length of a selfcheck and the content of a trial.

    minutes: the time for all trials; at least one trial runs.
    most_trials: the largest number of trials.
    case_s: the budget of a trial for each of its cases.
    """

    minutes: float
    device: str = AUTO
    pairs: Pairs = DEFAULT_PAIRS
    precision: float = PRECISION
    case_s: float = SECONDS_PER_CASE
    most_trials: int | None = None
    command: tuple[str, ...] = ()
    wait: bool = False


def selfcheck(request: SelfcheckRequest, progress: Progress) -> tuple[Finished, Report]:
    """Run trials and store them as one run. Raises RequestError if the device does not exist."""
    deadline, began = time.monotonic() + 60 * request.minutes, datetime.now(UTC)
    run_request = RunRequest(
        "selfcheck", device=request.device, command=request.command, wait=request.wait
    )
    with open_session(run_request, progress, times=True) as session:
        plan, truth = request.pairs.plan(session.hello.device)
        settings = Settings(
            budget_s=request.case_s * len(plan.cases),
            precision=request.precision,
            sessions=SESSIONS,
            seed=0,
            threads=None,
            timeout_s=TIMEOUT_S,
            pages=run_request.pages,
        )
        prepared = Prepared(session, _as_suite(plan), plan, settings)
        begun = begin(prepared, run_request, began, progress, "selfcheck")
        trials = Trials(prepared, begun, truth)
        trials.measure(progress)
        while _has_time(trials, deadline, request.most_trials) and trials.renew():
            trials.measure(progress)
        session.signals.deafen()
        report = trials.report()
        found = report.rates() if report.findings else None
        begun = replace(begun, info=replace(begun.info, selfcheck=found))
        return save(trials.whole(), begun), report


def _has_time(trials: Trials, deadline: float, most: int | None) -> bool:
    if trials.measured.state != "finished" or trials.count == most:
        return False
    return time.monotonic() + (trials.mean_s or 0.0) < deadline


class Trials:
    """The trials of one selfcheck, each with new sessions, on the engine of `run`."""

    def __init__(self, prepared: Prepared, begun: Begun, truth: Mapping[str, int]) -> None:
        self._prepared, self._begun, self._truth = prepared, begun, truth
        self._findings: list[PairTrial] = []
        self._unlike: list[dict[str, Estimate]] = []
        self._blocks: list[Block] = []
        self._complete_blocks: list[Block] = []
        self._passed_s: list[float] = []
        self._measuring_s = 0.0
        self._watch = Watch()
        self.measured: Measured

    @property
    def count(self) -> int:
        """The number of complete trials."""
        return len(self._passed_s)

    @property
    def mean_s(self) -> float | None:
        """The mean time of a trial; None before the first."""
        return float(np.mean(self._passed_s)) if self._passed_s else None

    def measure(self, progress: Progress) -> None:
        """Measure one trial. The facts of the cases stay, and the blocks start anew."""
        began, before = time.monotonic(), Progressed()
        if self._passed_s:
            done = self.measured.coordinator
            before = Progressed(done.outcomes, [], done.next_session)
        folder = self._begun.folder
        self.measured = measure(self._prepared, folder, progress, before, watch=self._watch)
        coordinator = self.measured.coordinator
        self._blocks += coordinator.blocks
        self._measuring_s += coordinator.measuring_s
        if self.measured.state == "finished":
            plan = self._prepared.plan
            self._complete_blocks += coordinator.blocks
            self._findings += judge(coordinator.timings, plan, self._truth)
            self._unlike.append(_unlike(coordinator.timings, plan))
            self._passed_s.append(time.monotonic() - began)

    def renew(self) -> bool:
        """Open the first worker of the next trial. False if that was interrupted or failed."""
        self.measured = renew(self.measured)
        return self.measured.state == "finished"

    def whole(self) -> Measured:
        """The results of all trials as one run."""
        self.measured.coordinator.hold(self._blocks, self._measuring_s)
        return self.measured

    def report(self) -> Report:
        costs = _costs(self._complete_blocks, self.count, len(self._prepared.plan.cases))
        return Report(tuple(self._findings), tuple(self._unlike), self.count, *costs)


def judge(timings: Timings, plan: Plan, truth: Mapping[str, int]) -> list[PairTrial]:
    """The result of one trial for each pair; all pairs form one family.

    A pair is called different if its interval leaves out 1, as in a check without tolerance.
    """
    baseline_of = {slow: plan.baseline_of[slow] for slow in truth}
    uses = Counter(baseline_of.values())
    ratios = timings.ratios(baseline_of)
    trial = Trial(dict.fromkeys(ratios, "probe"), Tolerances([Tolerance("latency", fail=0.0)]))
    trial.look(ratios)
    different = {i for i, found in trial.decided.items() if found.verdict != "same"}
    return [
        PairTrial(
            truth[slow],
            uses[baseline_of[slow]] > 1,
            ratio,
            slow in different,
            timings.rounds(slow) // SESSIONS,
        )
        for slow, ratio in ratios.items()
    ]


def _unlike(timings: Timings, plan: Plan) -> dict[str, Estimate]:
    modules = {case.id: case.variant.module for case in plan.cases}
    return timings.ratios({i: a for i, a in plan.baseline_of.items() if modules[i] in UNLIKE})


def _as_suite(plan: Plan) -> Suite:
    grid = Grid(modules=("probe", *UNLIKE, "identity"))
    title = "Selfcheck: pairs of known ratio, compared like any two variants"
    return Suite("selfcheck", title, "selfcheck", (grid,), (SHAPE,), "identity")


def _costs(blocks: Iterable[Block], trials: int, cases: int) -> tuple[float, float]:
    """Seconds for a case in a trial, and seconds for a block, including untimed calls."""
    seconds = [block.seconds + block.first_call_s for block in blocks]
    if not seconds:
        return 0.0, 0.0
    return sum(seconds) / max(trials, 1) / cases, float(np.mean(seconds))
