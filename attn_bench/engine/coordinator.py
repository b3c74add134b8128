"""Sends cases and blocks to workers, decides when to stop, and replaces workers in trouble.

A case that fails is tried once more in a fresh worker: was it the case, or the process? A worker
that dies, hangs or is poisoned thus costs at most its current case, and none of the budget. Every
result goes to `keep`, the journal, at once.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from math import inf

from attn_bench.analysis.estimates import WARM_UP_ROUNDS, Timings
from attn_bench.analysis.variances import LEAST_SESSIONS
from attn_bench.engine import ahead
from attn_bench.engine.clean import AS_ALONE, fastest, find_harmed
from attn_bench.engine.judges import Judge, Precision
from attn_bench.engine.pair import AnyWorker
from attn_bench.engine.progress import Progress
from attn_bench.engine.workers import Session, Workers
from attn_bench.model import protocol
from attn_bench.model.axes import EXECUTION, DType, Execution
from attn_bench.model.case import Case
from attn_bench.model.run import Block, Outcome, Plan, Rates, Settings
from attn_bench.model.status import BROKEN
from attn_bench.plan.order import calls_in_a_block, round_order

ROUNDS_BEFORE_A_LOOK = 10  # of each session before the first look
LOOK_GROWTH = 1.3  # from look to look, so that looks cost a shrinking share of the time
ROUNDS_WORTH_A_SESSION = 6  # a budget that is too small for these rounds uses fewer sessions
LEAST_SHARE_RESUMED = 0.2  # of the budget


class BlockFailed(Exception):
    """A block has no time, and its worker is not to be trusted. asked_at: when it was begun."""

    def __init__(self, asked_at: float) -> None:
        self.asked_at = asked_at


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
        load = sorted({c.variant.module for c in plan.cases if not c.is_plain})
        self._workers = Workers(worker, settings.seed, load, known.next_session)
        self._judge = judge or Precision(plan, settings.precision, settings.most_ratio)
        self._calls: dict[str, int] = {}
        self._last: tuple[int, Execution] | None = None  # the session and execution of a block
        self.rates: dict[DType, Rates] = {}
        self.outcomes = dict(known.outcomes)
        self.blocks = list(known.blocks)
        self.timings = Timings(known.blocks)
        self._measured_before_s = calling_s(b for b in known.blocks if b.round >= WARM_UP_ROUNDS)
        self.measuring_s = 0.0
        self._suspects: set[str] = set()  # cases that failed once while they were timed
        self._started = 0.0
        self._uncharged_s = 0.0

    def expect_code(self, sources: Mapping[str, str]) -> None:
        """Refuse later workers that load other code than `sources` (`Hello.sources`)."""
        self._workers.sources = sources

    @property
    def sources(self) -> Mapping[str, str]:
        """The digests of all code that the workers have loaded."""
        return self._workers.sources

    def stop(self) -> None:
        self._workers.end()

    @property
    def next_session(self) -> int:
        return self._workers.next_number

    # --- inspecting cases ---------------------------------------------------------------------

    def inspect(self) -> None:
        """Build, check and count every case once, and fill `outcomes`.

        The rates are measured first, while no other worker runs. Nothing else is timed here, so
        the workers of the later sessions start meanwhile, and prepare what takes long.
        """
        self._measure_rates()
        if self._judge.is_sure_to_time:
            self._workers.start(self._settings.sessions)
        self._prepare_ahead()
        cases = self._plan.cases
        self._progress.stage("inspecting", len(cases), "cases")
        failed: list[tuple[Case, Outcome]] = []
        for done, case in enumerate(cases):
            self._progress.step(done, case.id)
            if case.id in self.outcomes:
                continue
            if case.id in self._plan.unsupported:
                reason = self._plan.unsupported[case.id]
                self._settle(Outcome(case.id, "unsupported", reason))
                continue
            outcome = self._inspect_case(case)
            if outcome.status in BROKEN:
                failed.append((case, outcome))
            else:
                self._settle(outcome)
        if failed:
            self._inspect_again(failed)

    def _prepare_ahead(self) -> None:
        """Let other workers export and compile before the first worker inspects the cases."""
        slow = ahead.find_slow(c for c in self._plan.measurable if c.id not in self.outcomes)
        if slow:
            self._progress.stage("preparing", len(slow), "cases")
        for done, case in enumerate(ahead.share_out(self._workers, slow, self._timeout_s)):
            self._progress.step(done, case.id)

    def _inspect_again(self, failed: Sequence[tuple[Case, Outcome]]) -> None:
        """Inspect failed cases once more, all in one fresh worker, in reverse order.

        If a case passes now, the first worker was poisoned, and the fresh one takes its place.
        """
        self._workers.add_first()
        self._progress.stage("inspecting again", len(failed), "cases")
        is_poisoned = False
        for done, (case, first) in enumerate(reversed(failed)):
            self._progress.step(done, case.id)
            outcome = self._inspect_case(case)
            self._settle(outcome)
            if outcome.status == "ok":
                is_poisoned = True
                self._note(case.id, f"failed at first, and not in a fresh process: {first.error}")
        self._workers.drop(1 if is_poisoned else 0)

    def _measure_rates(self) -> None:
        """Measure the rates in each dtype of the plan; an unsupported dtype has none."""
        for dtype in dict.fromkeys(case.dtype for case in self._plan.cases):
            reply = self._workers.ask_first(protocol.MeasureRates(dtype), self._settings.timeout_s)
            if isinstance(reply, protocol.RatesMeasured):
                self.rates[dtype] = reply.rates

    def _inspect_case(self, case: Case) -> Outcome:
        reply = self._workers.ask_first(protocol.Inspect(case), self._timeout_s(case))
        if isinstance(reply, protocol.Failure):
            return Outcome(case.id, reply.status, reply.error)
        assert isinstance(reply, protocol.Inspected), reply
        self._workers.hold_code(reply.facts.sources)
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
        self._workers.start(self._settings.sessions)
        self._progress.stage("measuring", budget_s, "s")
        self._workers.open()
        cycles, next_look = 0, ROUNDS_BEFORE_A_LOOK
        began = self._clock()
        self._started, self._uncharged_s = began, 0.0
        try:
            self._warm_up(waiting, budget_s)
            self._started, self._uncharged_s = self._clock(), 0.0
            waiting = [case for case in waiting if self._is_ok(case)]
            while waiting:
                for index in range(len(self._workers)):
                    if not self._take_turn(index, waiting, budget_s):
                        return
                cycles += 1
                waiting = [case for case in waiting if self._is_ok(case)]
                if cycles > next_look:
                    waiting = self._judge.unfinished(waiting, self.timings, self._all_spent_s())
                    next_look = 1 + round(next_look * LOOK_GROWTH)
        finally:
            self.measuring_s = self._clock() - began

    def _spent_s(self) -> float:
        """The spent part of the budget, without the time that failed blocks cost."""
        return self._clock() - self._started - self._uncharged_s

    def _all_spent_s(self) -> float:
        """The spent part of the budget, with that of an earlier part of the same run."""
        return self._measured_before_s + self._spent_s()

    def _warm_up(self, waiting: Sequence[Case], budget_s: float) -> None:
        """Measure a first round in each session; it also determines the calls of a block.

        Each session prepares its cases meanwhile: it builds and compiles them. That is not charged
        to the budget. Both versions of a case get the same number of calls.
        """
        begun = len(self.blocks)
        self._warm_up_session(0, waiting)
        self._keep_affordable(self.blocks[begun:], budget_s)
        ahead.prepare_all(self._workers, ahead.find_slow(waiting), self._timeout_s)
        for index in range(1, len(self._workers)):
            self._warm_up_session(index, waiting)
        current = {case.id: case.current.id for case in waiting}
        fastest: dict[str, float] = {}
        for block in self.blocks[begun:]:
            one = min(block.seconds / block.calls, block.first_call_s)
            key = current[block.case_id]
            fastest[key] = min(one, fastest.get(key, one))
        calls = calls_in_a_block(fastest, self._settings.block_s)
        self._calls = {case_id: calls[key] for case_id, key in current.items() if key in calls}

    def _warm_up_session(self, index: int, waiting: Sequence[Case]) -> None:
        """Measure a whole first round; if a block fails, begin anew in another session."""
        while True:
            try:
                self._round(index, waiting, inf)
                return
            except BlockFailed:
                self._workers.replace(index)

    def _take_turn(self, index: int, waiting: Sequence[Case], budget_s: float) -> bool:
        """Measure a round of a session. False if the budget ends before the round does.

        If a block fails, a new session takes over and warms up. All sessions wait meanwhile,
        because it would disturb them. Nothing since the failed block began is charged to the
        budget.
        """
        try:
            return self._round(index, waiting, budget_s)
        except BlockFailed as failed:
            self._workers.replace(index)
            self._warm_up_session(index, waiting)
            self._uncharged_s += self._clock() - failed.asked_at
            return True

    def _round(self, index: int, waiting: Sequence[Case], budget_s: float) -> bool:
        """Measure one block of every case. False if the budget ends before the round does.

        Raises BlockFailed.
        """
        session = self._workers[index]
        order = round_order(waiting, self._plan.baseline_of, session.rng)
        for position, case in enumerate(order):
            if self._spent_s() > budget_s:
                return False
            self._measure_block(session, case, position)
            self._progress.step(self._spent_s(), case.id, self._judge.known())
        session.round += 1
        return True

    def _keep_affordable(self, warmed_up: Sequence[Block], budget_s: float) -> None:
        """After a first warm-up, end the sessions for which the budget has too few rounds.

        A round is a call and a block of each case. The first calls of the warm-up do not count:
        some of them compiled.
        """
        block_s, number = self._settings.block_s, self._workers.first.number
        calls_s = [block.seconds / block.calls for block in warmed_up if block.session == number]
        round_s = sum(one + max(one, block_s) for one in calls_s)
        affordable = int(budget_s / (ROUNDS_WORTH_A_SESSION * round_s)) if round_s else 0
        kept = max(LEAST_SESSIONS, affordable)
        while len(self._workers) > kept:
            self._workers.drop(-1)

    def _measure_block(self, session: Session, case: Case, position: int) -> None:
        """Measure one block. Raises BlockFailed."""
        if not self._is_ok(case):
            return
        calls = self._calls.get(case.id, 1) if session.round else 1
        number, round_ = session.number, session.round
        asked_at = self._clock()
        self._let_rest(number, case)
        reply = session.ask(protocol.RunBlock(case, calls, round_), self._timeout_s(case))
        if isinstance(reply, protocol.Failure):
            self._blame(case, reply)
            raise BlockFailed(asked_at)
        assert isinstance(reply, protocol.Timed), reply
        self._workers.hold_code(reply.sources)
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
        for text in reply.notes:
            self._note(case.id, text)

    def _let_rest(self, number: int, case: Case) -> None:
        """Wait until the last block's threads have ended to spin, unless they serve this one."""
        before, self._last = self._last, (number, case.execution)
        if before is not None and before != self._last:
            time.sleep(EXECUTION[before[1]].lingers_s)

    def compare_with(self, clean: AnyWorker, cases: Iterable[Case]) -> None:
        """Add a note to each case whose time differs in a clean process (`engine/clean.py`).

        clean: a worker without the users' modules, which is opened here.
        """
        sessions = list(self._workers)
        timed = fastest([case for case in cases if self._is_ok(case)], self.blocks, len(sessions))
        if not timed or len(sessions) < LEAST_SESSIONS:
            return
        self._progress.stage("comparing with a clean process", 1, "")
        alone = self._workers.open_outside(clean)
        found = find_harmed(alone, sessions, timed, self._calls, self._timeout_s)
        for case_id, factor in found.items():
            self._note(case_id, f"takes {factor:.2g} times {AS_ALONE}")

    def _blame(self, case: Case, failure: protocol.Failure) -> None:
        """Make a case suspect at its first failure while timing; the second one is final."""
        if case.id in self._suspects:
            outcome = self.outcomes[case.id]
            self._settle(replace(outcome, status=failure.status, error=failure.error))
        else:
            self._suspects.add(case.id)
            self._note(case.id, f"failed in one of the sessions: {failure.error}")

    def _note(self, case_id: str, text: str) -> None:
        """Add a note to the facts of a case, once."""
        outcome = self.outcomes[case_id]
        if outcome.facts is not None and text not in outcome.facts.notes:
            facts = replace(outcome.facts, notes=(*outcome.facts.notes, text))
            self._settle(replace(outcome, facts=facts))

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

    def _timeout_s(self, case: Case) -> float:
        return EXECUTION[case.execution].patience * self._settings.timeout_s

    def _is_ok(self, case: Case) -> bool:
        return self.outcomes[case.id].status == "ok"

    def _settle(self, outcome: Outcome) -> None:
        self._keep(outcome)
        self.outcomes[outcome.case_id] = outcome


def calling_s(blocks: Iterable[Block]) -> float:
    """The seconds spent in modules."""
    return sum(block.calling_s for block in blocks)
