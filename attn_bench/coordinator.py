"""Sends cases and blocks to a worker, decides when to stop, and replaces a worker that is lost.

A worker that dies, hangs or runs out of memory costs the case it was on, not the run. Everything
that comes in goes to `keep` at once: the journal.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from random import Random
from typing import Protocol

from attn_bench import protocol
from attn_bench.plan import round_order
from attn_bench.process import Worker, WorkerLost
from attn_bench.record import Block, Case, DType, Outcome, Plan, Settings
from attn_bench.stats import Timings

LEAST_ROUNDS = 10
LOOK_GROWTH = 1.3  # a look costs a bootstrap of every case, so looks come ever more rarely
COMPILE_PATIENCE = 5  # compiling takes that much longer than anything else a case does


class Progress(Protocol):
    """Where the user sees what happens; the console's business."""

    def stage(self, title: str, total: float) -> None:
        """A new stage begins, of `total` cases or seconds."""

    def step(self, done: float, doing: str) -> None:
        """`done` of the stage's total; `doing` says what is measured now."""


class Coordinator:
    """One run's measuring: the plan, the worker that is on it, and what has come in."""

    def __init__(
        self,
        worker: Worker,
        plan: Plan,
        settings: Settings,
        keep: Callable[[Outcome | Block], None],
        progress: Progress,
    ) -> None:
        """`worker` is open; the coordinator ends it, and those that replace it, in `stop`."""
        self._worker = worker
        self._plan = plan
        self._settings = settings
        self._keep = keep
        self._progress = progress
        self._session = 0
        self._round = 0
        self._calls: dict[str, int] = {}
        self.rates: dict[DType, protocol.Rates] = {}
        self.outcomes: dict[str, Outcome] = {}
        self.blocks: list[Block] = []
        self.timings = Timings()
        self.measuring_s = 0.0

    def stop(self) -> None:
        self._worker.end()

    # --- what a case is -----------------------------------------------------------------------

    def inspect(self) -> None:
        """Build, check and count every case once: fills `outcomes`."""
        cases = self._plan.cases
        self._progress.stage("inspecting", len(cases))
        for done, case in enumerate(cases):
            self._progress.step(done, case.id)
            if case.id in self._plan.unsupported:
                outcome = Outcome(case.id, "unsupported", self._plan.unsupported[case.id])
            else:
                outcome = self._inspected(case)
            self._settle(outcome)

    def _inspected(self, case: Case) -> Outcome:
        if case.dtype not in self.rates:
            rates = self._ask(protocol.MeasureRates(case.dtype))
            if isinstance(rates, protocol.Failure):
                return Outcome(case.id, rates.status, rates.error)
            assert isinstance(rates, protocol.Rates), rates
            self.rates[case.dtype] = rates
        request = protocol.Inspect(case, self.rates[case.dtype], self._settings.block_s)
        reply = self._ask(request, _patience(case))
        if isinstance(reply, protocol.Failure):
            return Outcome(case.id, reply.status, reply.error)
        assert isinstance(reply, protocol.Inspected), reply
        self._calls[case.id] = reply.calls
        return Outcome(case.id, "ok", facts=reply.facts)

    # --- how long it takes --------------------------------------------------------------------

    def measure(self) -> None:
        """Rounds of blocks, until every ratio is as precise as asked or the budget is spent."""
        budget_s = self._settings.budget_s
        self._progress.stage("measuring", budget_s)
        rng = Random(self._settings.seed)
        waiting = [case for case in self._plan.cases if self._is_ok(case)]
        next_look = LEAST_ROUNDS
        started = time.monotonic()
        try:
            while waiting:
                for position, case in enumerate(round_order(waiting, rng)):
                    if time.monotonic() - started > budget_s:
                        return
                    self._measure_block(case, position)
                    self._progress.step(time.monotonic() - started, case.id)
                self._round += 1
                if self._round > next_look:
                    waiting = self._imprecise(waiting)
                    next_look = 1 + round(next_look * LOOK_GROWTH)
                waiting = [case for case in waiting if self._is_ok(case)]
        finally:
            self.measuring_s += time.monotonic() - started

    @property
    def calling_share(self) -> float | None:
        """The part of the measuring time that was spent calling modules; None before any."""
        if not self.measuring_s:
            return None
        calling_s = sum(block.seconds + block.first_call_seconds for block in self.blocks)
        return calling_s / self.measuring_s

    def _measure_block(self, case: Case, position: int) -> None:
        if not self._is_ok(case):
            return
        session, round_, calls = self._session, self._round, self._calls[case.id]
        reply = self._ask(protocol.RunBlock(case, calls), _patience(case))
        if isinstance(reply, protocol.Failure):
            facts = self.outcomes[case.id].facts
            self._settle(Outcome(case.id, reply.status, reply.error, facts))
            return
        assert isinstance(reply, protocol.Timing), reply
        block = Block(
            case_id=case.id,
            session=session,
            round=round_,
            position=position,
            calls=calls,
            seconds=reply.seconds,
            device_seconds=reply.device_seconds,
            first_call_seconds=reply.first_call_seconds,
            throttled=reply.throttled,
        )
        self._keep(block)
        self.blocks.append(block)
        self.timings.add(block)

    def _imprecise(self, waiting: Sequence[Case]) -> list[Case]:
        """The cases whose ratio is not yet as precise as asked, and their anchors."""
        anchor_of = self._plan.anchor_of

        def is_wide(case: Case) -> bool:
            ratio = self.timings.ratio(case.id, anchor_of[case.id])
            return ratio is not None and ratio.half_width > self._settings.precision * ratio.value

        still = {case.id for case in waiting if is_wide(case)}
        anchors = {anchor_of[case_id] for case_id in still}
        return [case for case in waiting if case.id in still | anchors]

    # --- the worker ---------------------------------------------------------------------------

    def _ask(self, request: protocol.Request, patience: float = 1.0) -> protocol.Reply:
        """The worker's reply. A worker that is lost is replaced, and what it was on has failed."""
        try:
            return self._worker.ask(request, patience * self._settings.timeout_s)
        except WorkerLost as lost:
            self._worker = self._worker.successor()
            self._session += 1
            self._round = 0
            return protocol.Failure(lost.status, str(lost))

    def _is_ok(self, case: Case) -> bool:
        return self.outcomes[case.id].status == "ok"

    def _settle(self, outcome: Outcome) -> None:
        self._keep(outcome)
        self.outcomes[outcome.case_id] = outcome


def _patience(case: Case) -> float:
    return COMPILE_PATIENCE if case.execution == "compile" else 1.0
