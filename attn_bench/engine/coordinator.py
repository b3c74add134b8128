"""Sends cases and blocks to workers, decides when to stop, and replaces lost workers.

A worker that dies, hangs or runs out of memory costs only its current case, not the run. Every
result goes to `keep`, the journal, at once.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, field
from math import inf
from random import Random

from attn_bench.analysis.estimates import WARM_UP_ROUNDS, Timings
from attn_bench.analysis.variances import LEAST_SESSIONS
from attn_bench.engine.judges import Judge, Precision
from attn_bench.engine.pair import AnyWorker
from attn_bench.engine.process import WorkerLost
from attn_bench.engine.progress import Progress
from attn_bench.model import protocol
from attn_bench.model.axes import EXECUTION, DType
from attn_bench.model.case import Case
from attn_bench.model.run import Block, Outcome, Plan, Rates, Settings
from attn_bench.plan.order import calls_in_a_block, round_order

ROUNDS_BEFORE_A_LOOK = 10  # of each session before the first look
LOOK_GROWTH = 1.3  # from look to look, so that looks cost a shrinking share of the time
ROUNDS_WORTH_A_SESSION = 6  # a budget that is too small for these rounds uses fewer sessions
LEAST_SHARE_RESUMED = 0.2  # of the budget


@dataclass(slots=True)
class Session:
    """A worker and its rounds; round 0 is the warm-up.

    If the worker is lost, the session ends. A new session with a new number takes its place.
    """

    number: int
    worker: AnyWorker
    rng: Random
    is_open: bool
    round: int = 0


@dataclass(slots=True)
class Progressed:
    """The results of a run so far: none, or those of a journal."""

    outcomes: dict[str, Outcome] = field(default_factory=dict)
    blocks: list[Block] = field(default_factory=list)
    next_session: int = 0

    def __post_init__(self) -> None:
        after = 1 + max((block.session for block in self.blocks), default=-1)
        self.next_session = max(self.next_session, after)


class Coordinator:
    """Measures the plan of one run with several sessions."""

    def __init__(
        self,
        worker: AnyWorker,
        plan: Plan,
        settings: Settings,
        keep: Callable[[Outcome | Block], None],
        progress: Progress,
        before: Progressed | None = None,
        judge: Judge | None = None,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Take an open worker; `stop` ends it and all workers that the coordinator starts.

        before: the results of an earlier, interrupted part of the same run.
        judge: decides when a case is done; by default, when its latency and ratio are precise.
        clock: the time in seconds, which also counts the budget.
        """
        known = before or Progressed()
        self._plan = plan
        self._settings = settings
        self._keep = keep
        self._clock = clock
        self._progress = progress
        self.next_session = known.next_session
        self._sessions = [self._session(worker, is_open=True)]
        self._load = sorted({c.variant.module for c in plan.cases if not c.is_plain})
        self._judge = judge or Precision(plan, settings.precision, settings.most_ratio)
        self._calls: dict[str, int] = {}
        self.rates: dict[DType, Rates] = {}
        self.outcomes = dict(known.outcomes)
        self.blocks = list(known.blocks)
        self.timings = Timings(known.blocks)
        self._measured_before_s = calling_s(b for b in known.blocks if b.round >= WARM_UP_ROUNDS)
        self.measuring_s = 0.0
        self._started = 0.0
        self._replacing_s = 0.0

    def stop(self) -> None:
        for session in self._sessions:
            session.worker.end()

    # --- inspecting cases ---------------------------------------------------------------------

    def inspect(self) -> None:
        """Build, check and count every case once, and fill `outcomes`.

        The rates are measured first, while no other worker runs. Nothing else is timed here, so
        the workers of the later sessions start meanwhile.
        """
        self._measure_rates()
        if self._judge.is_sure_to_time:
            self._start_others()
        cases = self._plan.cases
        self._progress.stage("inspecting", len(cases), "cases")
        for done, case in enumerate(cases):
            self._progress.step(done, case.id)
            if case.id in self.outcomes:
                continue
            if case.id in self._plan.unsupported:
                reason = self._plan.unsupported[case.id]
                self._settle(Outcome(case.id, "unsupported", reason))
            else:
                self._settle(self._inspect_case(case))

    def _start_others(self) -> None:
        for _ in range(self._settings.sessions - len(self._sessions)):
            self._sessions.append(self._session(self._sessions[0].worker.another(self._load)))

    def _measure_rates(self) -> None:
        """Measure the rates in each dtype of the plan; an unsupported dtype has none."""
        for dtype in dict.fromkeys(case.dtype for case in self._plan.cases):
            reply = self._ask(self._sessions[0], protocol.MeasureRates(dtype))
            if isinstance(reply, protocol.RatesMeasured):
                self.rates[dtype] = reply.rates

    def _inspect_case(self, case: Case) -> Outcome:
        reply = self._ask(self._sessions[0], protocol.Inspect(case), _patience(case))
        if isinstance(reply, protocol.Failure):
            return Outcome(case.id, reply.status, reply.error)
        assert isinstance(reply, protocol.Inspected), reply
        return Outcome(case.id, "ok", facts=reply.facts)

    # --- timing cases -------------------------------------------------------------------------

    def measure(self) -> None:
        """Measure rounds in every session in turn, until every case is done or the budget is spent.

        Cases that are done early leave their time to the others.
        """
        ok = [case for case in self._plan.cases if self._is_ok(case)]
        waiting = self._judge.begin(ok, self.outcomes)
        whole_s = self._settings.budget_s
        budget_s = whole_s - self._measured_before_s
        if self._measured_before_s:  # new sessions need a few rounds before they count
            budget_s = max(budget_s, whole_s * LEAST_SHARE_RESUMED)
        if not waiting:
            return
        self._start_others()
        self._progress.stage("measuring", budget_s, "s")
        for session in self._sessions:
            self._open(session)
        cycles, next_look = 0, ROUNDS_BEFORE_A_LOOK
        began = self._clock()
        self._started, self._replacing_s = began, 0.0
        try:
            self._warm_up(waiting, budget_s)
            self._started, self._replacing_s = self._clock(), 0.0
            waiting = [case for case in waiting if self._is_ok(case)]
            while waiting:
                for index in range(len(self._sessions)):
                    if not self._round(index, waiting, budget_s):
                        return
                cycles += 1
                if cycles > next_look:
                    waiting = self._judge.unfinished(waiting, self.timings, self._all_spent_s())
                    next_look = 1 + round(next_look * LOOK_GROWTH)
                waiting = [case for case in waiting if self._is_ok(case)]
        finally:
            self.measuring_s = self._clock() - began

    def _spent_s(self) -> float:
        """The spent part of the budget, without the time to lose and replace workers."""
        return self._clock() - self._started - self._replacing_s

    def _all_spent_s(self) -> float:
        """The spent part of the budget, with that of an earlier part of the same run."""
        return self._measured_before_s + self._spent_s()

    def _warm_up(self, waiting: Sequence[Case], budget_s: float) -> None:
        """Measure a first round in each session; it also determines the calls of a block.

        Each session prepares its cases meanwhile: it builds and compiles them. That is not charged
        to the budget. Both versions of a case get the same number of calls.
        """
        begun = len(self.blocks)
        for index in range(len(self._sessions)):
            if index < len(self._sessions):
                self._round(index, waiting, inf)
            if index == 0:  # its cases were prepared when they were inspected
                self._keep_affordable(self._spent_s(), budget_s)
        current = {case.id: case.current.id for case in waiting}
        fastest: dict[str, float] = {}
        for block in self.blocks[begun:]:
            one = min(block.seconds / block.calls, block.first_call_s)
            key = current[block.case_id]
            fastest[key] = min(one, fastest.get(key, one))
        calls = calls_in_a_block(fastest, self._settings.block_s)
        self._calls = {case_id: calls[key] for case_id, key in current.items() if key in calls}

    def _round(self, index: int, waiting: Sequence[Case], budget_s: float) -> bool:
        """Measure one block of every case. False if the budget ends before the round does."""
        order = round_order(waiting, self._plan.baseline_of, self._sessions[index].rng)
        for position, case in enumerate(order):
            if self._spent_s() > budget_s:
                return False
            self._measure_block(self._sessions[index], case, position)
            self._progress.step(self._spent_s(), case.id, self._judge.known())
        self._sessions[index].round += 1
        return True

    def _keep_affordable(self, first_round_s: float, budget_s: float) -> None:
        """After the first round, end the sessions for which the budget has too few rounds."""
        affordable = int(budget_s / (ROUNDS_WORTH_A_SESSION * first_round_s))
        kept = max(LEAST_SESSIONS, affordable)
        for session in self._sessions[kept:]:
            session.worker.end()
        del self._sessions[kept:]

    def _measure_block(self, session: Session, case: Case, position: int) -> None:
        if not self._is_ok(case):
            return
        calls = self._calls.get(case.id, 1)
        number, round_ = session.number, session.round
        reply = self._ask(session, protocol.RunBlock(case, calls, round_), _patience(case))
        if isinstance(reply, protocol.Failure):
            facts = self.outcomes[case.id].facts
            self._settle(Outcome(case.id, reply.status, reply.error, facts))
            return
        assert isinstance(reply, protocol.Timed), reply
        block = Block(
            case_id=case.id,
            session=number,
            round=round_,
            position=position,
            calls=calls,
            **asdict(reply.timing),
        )
        self._keep(block)
        self.blocks.append(block)
        self.timings.add(block)

    def hold(self, blocks: list[Block], measuring_s: float) -> None:
        """Take over the blocks and the measuring time of other coordinators of the same run."""
        self.blocks = blocks
        self.timings = Timings(blocks)
        self.measuring_s = measuring_s

    @property
    def calling_share(self) -> float | None:
        """The share of the measuring time spent in modules; None before the first block."""
        if not self.measuring_s:
            return None
        return (calling_s(self.blocks) - self._measured_before_s) / self.measuring_s

    # --- sessions -----------------------------------------------------------------------------

    def _session(self, worker: AnyWorker, is_open: bool = False) -> Session:
        """A new session; its number seeds its random order."""
        number = self.next_session
        self.next_session += 1
        return Session(number, worker, Random(f"{self._settings.seed} {number}"), is_open)

    def _open(self, session: Session) -> None:
        if not session.is_open:
            session.worker.open()
            session.is_open = True

    def _ask(
        self, session: Session, message: protocol.Message, patience: float = 1.0
    ) -> protocol.Reply:
        """The worker's reply. If the worker is lost, replace it; its current case has failed.

        All sessions wait while the new worker starts, because it would disturb them. None of that
        time is charged to the budget.
        """
        asked_at = self._clock()
        try:
            return session.worker.ask(message, patience * self._settings.timeout_s)
        except WorkerLost as lost:
            index = self._sessions.index(session)
            self._sessions[index] = self._session(session.worker.another(self._load))
            self._open(self._sessions[index])
            self._replacing_s += self._clock() - asked_at
            return protocol.Failure(lost.status, str(lost))

    def _is_ok(self, case: Case) -> bool:
        return self.outcomes[case.id].status == "ok"

    def _settle(self, outcome: Outcome) -> None:
        self._keep(outcome)
        self.outcomes[outcome.case_id] = outcome


def calling_s(blocks: Iterable[Block]) -> float:
    """The seconds spent in modules."""
    return sum(block.calling_s for block in blocks)


def _patience(case: Case) -> float:
    return EXECUTION[case.execution].patience
