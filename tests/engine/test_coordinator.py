"""The coordinator with workers that follow a script: each test takes milliseconds."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from itertools import groupby, pairwise
from random import Random
from typing import Any

import pytest
from fakes import FakeWorker, Script, dies, hangs

from attn_bench.analysis.verdicts import Tolerances
from attn_bench.engine.coordinator import (
    LEAST_SESSIONS,
    ROUNDS_BEFORE_A_LOOK,
    Coordinator,
    Progressed,
)
from attn_bench.engine.judges import Judge, Untimed
from attn_bench.engine.progress import Unseen
from attn_bench.engine.workers import CodeChanged
from attn_bench.jobs.check.versions import PairJudge, two_sides
from attn_bench.model.axes import EXECUTION
from attn_bench.model.case import Case, Shape, Variant
from attn_bench.model.protocol import Failure, Inspect, MeasureRates, RunBlock
from attn_bench.model.run import Block, Facts, Outcome, Plan, Settings

# Three sessions and few cases: an interval is never narrower than ±2.5 %.
SETTINGS = Settings(budget_s=100, precision=0.05, sessions=3, seed=0, threads=1, timeout_s=7)
TIMES_S = {"se": 0.002, "simam": 0.004, "identity": 0.001}


def case_of(module: str, **conditions: Any) -> Case:
    return Case(Variant(module), Shape(1, 8, 4, 4), **conditions)


SE, SIMAM, IDENTITY = CASES = tuple(case_of(module) for module in TIMES_S)
PLAN = Plan(CASES, {case.id: IDENTITY.id for case in CASES}, {})


def quiet(case: Case, session: int, round_: int) -> float:
    """Nearly the same time in every session: every ratio is precise at the first look."""
    return TIMES_S[case.variant.module] * scattered(case, session, round_)


def scattered(case: Case, session: int, round_: int) -> float:
    """A factor near 1 that is the same in every run: by 0.1 % in sessions and again in rounds."""
    of_session, of_round = (
        Random(f"{case.id} {place}").gauss(1, 1e-3) for place in (session, (session, round_))
    )
    return of_session * of_round


def noisy(case: Case, session: int, round_: int) -> float:
    """Sessions of `se` differ by a third: its ratio is never precise. All others are quiet."""
    factor = (1.0, 1.3)[session % 2] if case is SE else 1.0
    return factor * quiet(case, session, round_)


class Run:
    """A run by a script, with all that was kept, in its order."""

    def __init__(
        self,
        script: Script,
        plan: Plan = PLAN,
        before: Progressed | None = None,
        judge: Judge | None = None,
        **settings: Any,
    ) -> None:
        self.script = script
        self.kept: list[Outcome | Block] = []
        self.on_keep: Callable[[], None] = lambda: None
        first = FakeWorker(script)
        first.open()
        self.coordinator = Coordinator(
            first,
            plan,
            replace(SETTINGS, **settings),
            self._keep,
            Unseen(),
            before,
            judge,
            clock=script.clock,
        )

    def _keep(self, item: Outcome | Block) -> None:
        self.kept.append(item)
        self.on_keep()

    def whole(self) -> Run:
        try:
            self.coordinator.inspect()
            self.coordinator.measure()
        finally:
            self.coordinator.stop()
        return self

    @property
    def blocks(self) -> list[Block]:
        return [item for item in self.kept if isinstance(item, Block)]

    def statuses(self) -> dict[str, str]:
        """What became of each module."""
        outcomes = self.coordinator.outcomes
        return {case_id.partition("/")[0]: outcome.status for case_id, outcome in outcomes.items()}

    def rounds(self) -> dict[tuple[int, int], list[Block]]:
        """The blocks of each (session, round), in their order."""
        found = defaultdict(list)
        for block in self.blocks:
            found[block.session, block.round].append(block)
        return found


def lost_once(at_block: int, how: Callable[[], BaseException]) -> Callable[..., Any]:
    """Quiet times, but for the block `at_block` of the run, counted from 1: it does not come.

    Where that is one of the baseline's, it is the next that does not.
    """
    return lost(at_block, how, times=1)


def lost(at_block: int, how: Callable[[], BaseException], times: int = 2) -> Callable[..., Any]:
    """As `lost_once`; so are the next blocks of the same case, until `times` were lost."""
    count, left, culprit = 0, times, None

    def seconds(case: Case, session: int, round_: int) -> float | BaseException:
        nonlocal count, left, culprit
        count += 1
        if count >= at_block and left and (culprit or case) is case is not IDENTITY:
            left, culprit = left - 1, case
            return how()
        return quiet(case, session, round_)

    return seconds


def failing(
    module: str, at_round: int, sessions: Sequence[int] | None = None
) -> Callable[..., Any]:
    """Quiet times, but for one round of a module, in all sessions or in some: it raises."""

    def seconds(case: Case, session: int, round_: int) -> float | Failure:
        is_here = sessions is None or session in sessions
        if case.variant.module == module and round_ == at_round and is_here:
            return Failure("failed", "call: late")
        return quiet(case, session, round_)

    return seconds


# --- rounds ---------------------------------------------------------------------------------------


def test_a_round_is_every_case_once_in_random_order() -> None:
    """Each round holds each case once; positions count up; the orders differ."""
    run = Run(Script(quiet)).whole()
    orders = set()
    for blocks in run.rounds().values():
        assert sorted(block.case_id for block in blocks) == sorted(case.id for case in CASES)
        assert [block.position for block in blocks] == [0, 1, 2]
        orders.add(tuple(block.case_id for block in blocks))
    assert len(orders) == 6


def test_sessions_take_turns() -> None:
    """A round of session 0, one of 1, one of 2, and again: none is measured in one go."""
    run = Run(Script(quiet)).whole()
    turns = [turn for turn, _ in groupby((block.round, block.session) for block in run.blocks)]
    assert turns[:6] == [(0, 0), (0, 1), (0, 2), (1, 0), (1, 1), (1, 2)]
    assert turns == sorted(turns)


def test_the_order_follows_from_the_seed() -> None:
    """Equal seeds give equal orders, and another seed another; each session has its own."""

    def orders(seed: int) -> list[str]:
        return [block.case_id for block in Run(Script(quiet), seed=seed).whole().blocks]

    assert orders(0) == orders(0)
    assert orders(0) != orders(1)
    rounds = Run(Script(quiet)).whole().rounds()
    of_session = [
        [[block.case_id for block in rounds[session, round_]] for round_ in range(10)]
        for session in range(3)
    ]
    assert of_session[0] != of_session[1] != of_session[2]


def test_the_warm_up_is_a_call_and_tells_how_many_make_a_block() -> None:
    """The first block of a session is a single call; later ones take about `block_s`."""
    run = Run(Script(quiet), block_s=0.02).whole()
    calls = {
        (block.case_id.partition("/")[0], block.round > 0): block.calls for block in run.blocks
    }
    assert {calls[name, False] for name in TIMES_S} == {1}
    assert (calls["se", True], calls["simam", True], calls["identity", True]) == (10, 5, 20)


def test_what_is_alike_has_as_many_calls() -> None:
    """Cases that take nearly the same time are called equally often in a block."""
    run = Run(Script(lambda case, *_: 0.0010 if case is SE else 0.00105), block_s=0.02).whole()
    calls = {block.calls for block in run.blocks if block.round}
    assert len(calls) == 1


# --- stopping -------------------------------------------------------------------------------------


def test_precise_ratios_end_the_run() -> None:
    """Where all ratios are precise at the first look, there are no rounds after it."""
    run = Run(Script(quiet)).whole()
    assert {block.round for block in run.blocks} == set(range(ROUNDS_BEFORE_A_LOOK + 2))
    assert len(run.blocks) == 3 * 3 * (ROUNDS_BEFORE_A_LOOK + 2)
    assert run.script.clock() < SETTINGS.budget_s / 10


def test_what_is_precise_leaves_its_time_to_the_others() -> None:
    """After a look, a case that is done is left out; one that is not goes on with its baseline."""
    run = Run(Script(noisy), budget_s=20).whole()
    last = {block.case_id: block.round for block in run.blocks}
    assert last[SIMAM.id] == ROUNDS_BEFORE_A_LOOK + 1
    assert last[SE.id] > 10 * ROUNDS_BEFORE_A_LOOK
    assert last[IDENTITY.id] >= last[SE.id] - 1


def test_the_budget_ends_the_run() -> None:
    """What is never precise ends within a block of its budget."""
    run = Run(Script(noisy), budget_s=5).whole()
    assert 5 <= run.script.clock() < 5.05
    assert run.coordinator.measuring_s == pytest.approx(run.script.clock())
    assert run.statuses() == dict.fromkeys(TIMES_S, "ok")


def test_inspecting_is_not_charged_to_the_budget() -> None:
    """However long inspecting takes, the budget is one of measuring."""
    usual = Run(Script(noisy), budget_s=5).whole()
    run = Run(Script(noisy, inspect_s=1000), budget_s=5).whole()
    assert run.script.clock() > 3000
    assert len(run.blocks) == len(usual.blocks)


def test_a_limit_that_is_surely_broken_ends_a_case() -> None:
    """With a most ratio, a case that takes surely more is done before it is precise."""

    def last_round(most_ratio: float | None) -> int:
        run = Run(Script(quiet), precision=1e-6, most_ratio=most_ratio, budget_s=3).whole()
        return max(block.round for block in run.blocks if block.case_id == SE.id)

    assert last_round(1.1) == ROUNDS_BEFORE_A_LOOK + 1  # it takes twice the baseline
    assert last_round(None) > 2 * ROUNDS_BEFORE_A_LOOK
    assert last_round(2.5) > last_round(None)  # simam is above, and leaves its time to it


def test_a_small_budget_has_fewer_sessions() -> None:
    """A budget with few rounds is spent on three sessions, and the other workers end at once."""
    script = Script(noisy)
    run = Run(script, sessions=5, budget_s=0.2)
    ended_early: list[bool] = []
    run.on_keep = lambda: ended_early.append(all(w.is_ended for w in script.workers[3:]))
    run.whole()
    assert {block.session for block in run.blocks} == set(range(LEAST_SESSIONS))
    assert len(script.workers) == 5
    assert ended_early[-1]


def test_untimed_cases_need_no_second_worker() -> None:
    """The judge that times nothing has one worker inspect, and no block is run."""
    script = Script(quiet)
    run = Run(script, judge=Untimed()).whole()
    assert not run.blocks
    assert run.statuses() == dict.fromkeys(TIMES_S, "ok")
    assert len(script.workers) == 1


# --- workers that are lost ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("how", "status", "reason"),
    [(dies, "failed", "killed by SIGKILL"), (hangs, "timeout", "no answer in time")],
)
def test_a_case_that_loses_its_worker_twice_costs_one_row(
    how: Callable[[], BaseException], status: str, reason: str
) -> None:
    """The case has the reason, other workers take over in sessions of their own, and all others
    are measured as if nothing had been."""
    script = Script(lost(7, how))
    run = Run(script).whole()
    lost_ = [item for item in run.coordinator.outcomes.values() if item.status != "ok"]
    assert [item.status for item in lost_] == [status]
    assert reason in (lost_[0].error or "")
    assert lost_[0].facts is not None  # what was counted before stays
    assert len(run.blocks) > 6
    assert Counter(run.statuses().values()) == {"ok": 2, status: 1}
    assert max(block.round for block in run.blocks) == ROUNDS_BEFORE_A_LOOK + 1
    assert len(script.workers) == 5
    assert all(worker.is_ended for worker in script.workers)


@pytest.mark.parametrize("how", [dies, hangs, lambda: Failure("failed", "call: CUDA error")])
def test_a_block_lost_once_costs_no_row(how: Callable[[], Any]) -> None:
    """The case is measured again in a fresh worker; a note of its row has the reason."""
    script = Script(lost_once(7, how))
    run = Run(script).whole()
    assert run.statuses() == dict.fromkeys(TIMES_S, "ok")
    (told,) = [facts.notes for o in run.coordinator.outcomes.values() if (facts := o.facts).notes]
    assert "failed in one of the sessions" in told[0]
    assert len(told) == 1
    assert len(script.workers) == 4
    assert max(block.round for block in run.blocks) == ROUNDS_BEFORE_A_LOOK + 1


def test_a_new_session_warms_up_with_every_case() -> None:
    """It begins with a whole round 0 of single calls; no cold block counts as a round."""
    run = Run(Script(failing("se", 5, sessions=[1])), block_s=0.02).whole()
    rounds = run.rounds()
    first = rounds[3, 0]
    assert sorted(block.case_id for block in first) == sorted(case.id for case in CASES)
    assert {block.calls for block in first} == {1}
    assert len(rounds[3, 1]) == 3
    at = run.blocks.index(first[0])
    assert run.blocks[at : at + 3] == first  # no other session is measured meanwhile


def test_a_poisoned_worker_costs_no_other_case() -> None:
    """From its fault on, a worker fails every case: all but the culprit keep their rows."""
    poisoned: set[int] = set()

    def seconds(case: Case, session: int, round_: int) -> float | Failure:
        if case is SE and round_ == 3:
            poisoned.add(session)
        if session in poisoned:
            return Failure("failed", "call: CUDA error: an illegal memory access")
        return quiet(case, session, round_)

    run = Run(Script(seconds)).whole()
    assert run.statuses() == {"se": "failed", "simam": "ok", "identity": "ok"}
    assert len(run.script.workers) == 5
    assert run.coordinator.timings.sessions(SIMAM.id) >= 3


def test_a_hang_at_the_ninth_call_costs_its_own_row() -> None:
    """Its timeouts and new workers leave all others every round, in a budget of seconds."""

    def seconds(case: Case, session: int, round_: int) -> float | BaseException:
        return hangs() if case is SE and round_ == 4 else quiet(case, session, round_)

    run = Run(Script(seconds, start_s=50.0), budget_s=2, timeout_s=500.0).whole()
    assert run.statuses() == {"se": "timeout", "simam": "ok", "identity": "ok"}
    for case in (SIMAM, IDENTITY):
        blocks = [block for block in run.blocks if block.case_id == case.id]
        assert max(block.round for block in blocks) == ROUNDS_BEFORE_A_LOOK + 1
    assert run.script.clock() > 2 * 500


def test_compiling_takes_no_session_and_no_figure() -> None:
    """Five compiled cases whose first call takes twice the budget, in every session: all timed."""
    names = ("a", "b", "c", "d", "e")
    compiled = [case_of(name, execution="compile") for name in names]
    cases = (*compiled, IDENTITY)
    plan = Plan(cases, {case.id: IDENTITY.id for case in cases}, {})
    script = Script(lambda case, session, round_: 0.001 * scattered(case, session, round_))
    script.first_call_s = lambda case, round_: 23.0 if case is not IDENTITY and not round_ else None
    run = Run(script, plan, sessions=5, budget_s=10).whole()
    assert set(run.statuses().values()) == {"ok"}
    assert {block.session for block in run.blocks} == set(range(5))
    for case in cases:
        assert run.coordinator.timings.rounds(case.id) > 5 * ROUNDS_BEFORE_A_LOOK


def test_a_baseline_that_fails_leaves_its_dependants_done() -> None:
    """They have no ratio to wait for: their latency decides, and the budget is not spent."""
    run = Run(Script(failing("identity", 3))).whole()
    assert run.statuses() == {"se": "ok", "simam": "ok", "identity": "failed"}
    assert run.script.clock() < SETTINGS.budget_s / 10


def test_a_baseline_that_fails_while_inspecting_leaves_its_dependants_done() -> None:
    """The same where the baseline was never timed."""

    def facts(case: Case) -> Facts | Failure:
        return Failure("failed", "forward: no") if case is IDENTITY else Facts(params=3)

    run = Run(Script(quiet, facts)).whole()
    assert run.statuses() == {"se": "ok", "simam": "ok", "identity": "failed"}
    assert run.script.clock() < SETTINGS.budget_s / 10


def test_the_new_worker_has_loaded_what_it_needs() -> None:
    """It imports the modules of the plan before it is asked for a block."""
    script = Script(lost_once(7, dies))
    Run(script).whole()
    assert script.workers[3].load == ["identity", "se", "simam"]


def test_a_replacement_is_not_charged_to_the_budget() -> None:
    """A start that takes a thousand times the budget leaves the others all of their time."""
    run = Run(Script(lost_once(7, dies), start_s=2000.0), budget_s=2).whole()
    assert run.script.clock() > 4 * 2000
    assert max(block.round for block in run.blocks) == ROUNDS_BEFORE_A_LOOK + 1


def test_a_hang_is_not_charged_to_the_budget() -> None:
    """A timeout many times as long as the budget leaves the others all of their time."""
    run = Run(Script(lost_once(12, hangs)), budget_s=2, timeout_s=500.0).whole()
    assert run.script.clock() > 500
    assert max(block.round for block in run.blocks) == ROUNDS_BEFORE_A_LOOK + 1


def test_preparing_a_case_is_not_charged_to_the_budget() -> None:
    """A first call in each session that takes longer than the budget still leaves its rounds."""

    def compiled(case: Case, session: int, round_: int) -> float:
        return 30.0 if session and not round_ else quiet(case, session, round_)

    run = Run(Script(compiled), budget_s=2).whole()
    assert run.statuses() == dict.fromkeys(TIMES_S, "ok")
    assert max(block.round for block in run.blocks) == ROUNDS_BEFORE_A_LOOK + 1


def test_a_worker_lost_while_inspecting_costs_one_case() -> None:
    """The next case is inspected by the next worker; the lost one has no facts and no blocks."""

    def facts(case: Case) -> Facts | BaseException:
        return dies() if case is SE else Facts(params=3)

    run = Run(Script(quiet, facts)).whole()
    outcome = run.coordinator.outcomes[SE.id]
    assert (outcome.status, outcome.facts) == ("failed", None)
    assert run.statuses() == {"se": "failed", "simam": "ok", "identity": "ok"}
    assert asked_to_inspect(run) == [(0, "se"), (3, "simam"), (3, "identity"), (4, "se")]
    assert len(run.script.workers) == 5
    assert {block.case_id for block in run.blocks} == {SIMAM.id, IDENTITY.id}


def asked_to_inspect(run: Run) -> list[tuple[int, str]]:
    """Each inspection: the number of the worker, and the module."""
    asked = run.script.asked
    return [(n, one.case.variant.module) for n, one in asked if isinstance(one, Inspect)]


def test_every_worker_may_be_lost() -> None:
    """Where each block of a case kills its worker, that case is tried twice, and the run ends."""
    run = Run(Script(lambda case, *_: dies() if case is SE else quiet(case, 0, 0))).whole()
    assert run.statuses() == {"se": "failed", "simam": "ok", "identity": "ok"}
    assert len(run.script.workers) == 5


@pytest.mark.parametrize("status", ["failed", "out_of_memory"])
def test_what_fails_while_inspecting_fails_twice(status: Any) -> None:
    """All failed cases are tried again in one fresh worker; the first goes on with the others."""

    def facts(case: Case) -> Facts | Failure:
        return Facts(params=3) if case is IDENTITY else Failure(status, "forward: no")

    run = Run(Script(quiet, facts)).whole()
    assert run.coordinator.outcomes[SE.id] == Outcome(SE.id, status, "forward: no")
    assert asked_to_inspect(run)[3:] == [(3, "simam"), (3, "se")]
    assert len(run.script.workers) == 4
    assert run.statuses()["identity"] == "ok"
    assert {block.session for block in run.blocks} == {0, 1, 2}


def test_what_is_unsupported_is_not_tried_again() -> None:
    """A worker that says so is right the first time."""

    def facts(case: Case) -> Facts | Failure:
        return Failure("unsupported", "not here") if case is SE else Facts(params=3)

    run = Run(Script(quiet, facts)).whole()
    assert run.statuses()["se"] == "unsupported"
    assert len(run.script.workers) == 3


def test_a_worker_poisoned_while_inspecting_costs_one_case() -> None:
    """It fails what comes after the culprit; in reverse order, a fresh worker clears them."""
    poisoned: set[int] = set()
    script = Script(quiet)

    def facts(case: Case) -> Facts | Failure:
        worker = script.asked[-1][0]
        if case is SE:
            poisoned.add(worker)
        return Failure("failed", "forward: no") if worker in poisoned else Facts(params=3)

    script.facts = facts
    run = Run(script).whole()
    assert run.statuses() == {"se": "failed", "simam": "ok", "identity": "ok"}
    assert "not in a fresh process" in run.coordinator.outcomes[SIMAM.id].facts.notes[0]
    assert not [block for block in run.blocks if block.session == 0]  # the poisoned one


def test_a_worker_that_says_it_is_poisoned_is_replaced_at_once() -> None:
    """The case after the culprit is asked of another worker, and needs no second try."""

    def facts(case: Case) -> Facts | Failure:
        if case is SE:
            return Failure("failed", "forward: CUDA error", poisoned=True)
        return Facts(params=3)

    run = Run(Script(quiet, facts)).whole()
    assert asked_to_inspect(run) == [(0, "se"), (3, "simam"), (3, "identity"), (4, "se")]
    assert run.statuses() == {"se": "failed", "simam": "ok", "identity": "ok"}


def test_a_worker_lost_in_the_second_try_is_replaced() -> None:
    """All failed cases are tried again, whatever the others do to the worker of the second try."""

    def facts(case: Case) -> Facts | BaseException:
        return dies() if case in (SE, IDENTITY) else Facts(params=3)

    run = Run(Script(quiet, facts)).whole()
    assert asked_to_inspect(run)[3:] == [(4, "identity"), (5, "se")]
    assert run.statuses() == {"se": "failed", "simam": "ok", "identity": "failed"}
    assert {block.case_id for block in run.blocks} == {SIMAM.id}


def test_an_interrupted_inspection_forgets_what_was_tried_once() -> None:
    """A failure that was not tried again is not in the journal: the resumed run inspects it."""

    def facts(case: Case) -> Facts | BaseException:
        return KeyboardInterrupt() if case is SIMAM else dies()

    run = Run(Script(quiet, facts))
    with pytest.raises(KeyboardInterrupt):
        run.whole()
    assert not run.kept


def test_a_failure_in_later_blocks_keeps_the_facts() -> None:
    """A case that fails twice after a while is not called again; what it was counted stays."""
    run = Run(Script(failing("se", 3))).whole()
    outcome = run.coordinator.outcomes[SE.id]
    assert (outcome.status, outcome.error) == ("failed", "call: late")
    assert outcome.facts is not None
    assert outcome.facts.params == 0
    assert len(run.script.workers) == 5
    assert run.statuses()["simam"] == "ok"


def test_what_a_block_changed_is_told_once() -> None:
    """The notes of timed blocks stand beside those of the inspection."""
    script = Script(quiet, lambda case: Facts(params=0, notes=("warned: x",)))
    script.notes = lambda case: ("changed the number of threads",) if case is SE else ()
    run = Run(script).whole()
    notes = {o.case_id: o.facts.notes for o in run.coordinator.outcomes.values() if o.facts}
    assert notes[SE.id] == ("warned: x", "changed the number of threads")
    assert notes[SIMAM.id] == ("warned: x",)


# --- what is asked --------------------------------------------------------------------------------


def test_what_is_ruled_out_is_never_built() -> None:
    """A case of the plan's `unsupported` has its reason, and no worker hears of it."""
    run = Run(Script(quiet), replace(PLAN, unsupported={SE.id: "extent 8 is too large"})).whole()
    assert run.coordinator.outcomes[SE.id].status == "unsupported"
    asked = [r.case.id for r in run.script.asked_for(Inspect) + run.script.asked_for(RunBlock)]
    assert SE.id not in asked


def test_rates_are_measured_once_a_dtype() -> None:
    """Each dtype of the plan has its rates before anything else, but for one that fails."""
    cases = (*CASES, case_of("se", dtype="bfloat16"), case_of("se", dtype="float16"))
    plan = Plan(cases, {case.id: case.id for case in cases}, {})
    run = Run(Script(lambda *_: 0.001, no_rates=["float16"]), plan).whole()
    kinds = [type(request) for _, request in run.script.asked[:4]]
    assert kinds == [MeasureRates, MeasureRates, MeasureRates, Inspect]
    assert list(run.coordinator.rates) == ["float32", "bfloat16"]


def test_compiling_has_more_patience() -> None:
    """A case that is compiled may take a multiple of the timeout, and no other may."""
    compiled = case_of("se", execution="compile")
    plan = Plan((compiled, IDENTITY), {c.id: IDENTITY.id for c in (compiled, IDENTITY)}, {})
    run = Run(Script(lambda *_: 0.001), plan).whole()
    waited = defaultdict(set)
    asked = [request for number, request in run.script.asked if number == 0]
    for request, timeout_s in zip(asked, run.script.workers[0].timeouts_s, strict=True):
        if isinstance(request, Inspect | RunBlock):
            waited[request.case].add(timeout_s)
    assert waited == {compiled: {7 * EXECUTION["compile"].patience}, IDENTITY: {7}}


def test_threads_that_spin_on_are_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """Between an execution whose threads linger and the next, or another session, it waits."""
    slept: list[float] = []
    monkeypatch.setattr("attn_bench.engine.coordinator.time.sleep", slept.append)
    spinning = [case_of(name, execution="onnxruntime") for name in ("a", "b")]
    cases = (*spinning, IDENTITY)
    plan = Plan(cases, {case.id: case.id for case in cases}, {})
    run = Run(Script(lambda *_: 0.001), plan).whole()
    of = {case.id: case.execution for case in cases}
    turns = [(block.session, of[block.case_id]) for block in run.blocks]
    ends = sum(a != b and a[1] == "onnxruntime" for a, b in pairwise(turns))
    lingers_s = EXECUTION["onnxruntime"].lingers_s
    assert slept.count(lingers_s) == ends > 0
    assert set(slept) <= {lingers_s, 0.0}


# --- what is kept, and resuming -------------------------------------------------------------------


def test_everything_is_kept_at_once() -> None:
    """After each answer it is in the journal, before the next request is made."""
    script = Script(quiet)
    run = Run(script)

    def count() -> None:
        answered = len(script.asked_for(Inspect)) + len(script.asked_for(RunBlock))
        assert len(run.kept) == answered

    run.on_keep = count
    run.whole()
    assert run.coordinator.blocks == run.blocks


@pytest.mark.parametrize("at_block", [1, 7, 40])
def test_an_interrupted_run_keeps_what_was_measured(at_block: int) -> None:
    """Ctrl-C in the midst of a block loses that block alone, and no worker is left."""
    script = Script(lost_once(at_block, KeyboardInterrupt))
    run = Run(script)
    with pytest.raises(KeyboardInterrupt):
        run.whole()
    asked = script.asked_for(RunBlock)
    assert at_block - 1 <= len(run.blocks) == len(run.coordinator.blocks) == len(asked) - 1
    assert run.coordinator.measuring_s == script.clock()
    assert all(worker.is_ended for worker in script.workers)


@pytest.mark.parametrize("at_block", [1, 7, 40])
def test_a_resumed_run_goes_on(at_block: int) -> None:
    """Nothing is inspected twice; new sessions add their blocks, and none stands there twice."""
    first = Run(Script(lost_once(at_block, KeyboardInterrupt)))
    with pytest.raises(KeyboardInterrupt):
        first.whole()
    outcomes = {item.case_id: item for item in first.kept if isinstance(item, Outcome)}
    blocks = list(first.blocks)
    second = Run(Script(quiet), before=Progressed(outcomes, blocks)).whole()
    assert not second.script.asked_for(Inspect)
    assert second.coordinator.outcomes == outcomes
    assert second.coordinator.blocks == blocks + second.blocks
    places = [(b.case_id, b.session, b.round) for b in second.coordinator.blocks]
    assert len(set(places)) == len(places)
    assert not {b.session for b in blocks} & {b.session for b in second.blocks}


def test_a_run_resumed_while_inspecting() -> None:
    """The cases that have no outcome yet are inspected, and those alone."""
    known = {SE.id: Outcome(SE.id, "failed", "forward: no")}
    run = Run(Script(quiet), before=Progressed(dict(known))).whole()
    assert [request.case for request in run.script.asked_for(Inspect)] == [SIMAM, IDENTITY]
    assert run.coordinator.outcomes[SE.id] == known[SE.id]


def test_a_resumed_run_has_the_rest_of_the_budget() -> None:
    """What was measured before counts; a fifth of the budget is left in any case."""
    before = Run(Script(noisy), budget_s=5).whole()
    outcomes, blocks = before.coordinator.outcomes, before.blocks

    def spent_s(budget_s: float) -> float:
        known = Progressed(dict(outcomes), list(blocks))
        return Run(Script(noisy), before=known, budget_s=budget_s).whole().script.clock()

    assert spent_s(8) == pytest.approx(3, abs=0.1)
    assert spent_s(5) == pytest.approx(1, abs=0.1)


# --- two versions ---------------------------------------------------------------------------------


def verdicts(times_s: Mapping[str, Sequence[float]], **settings: Any) -> dict[str, str]:
    """What PairJudge finds; times_s: of the current and the baseline version, by module."""
    cases = [case_of(module) for module in times_s]
    plan = Plan(tuple(cases), {case.id: cases[-1].id for case in cases}, {})
    sides = two_sides(plan, set(times_s), set(times_s))

    def seconds(case: Case, session: int, round_: int) -> float:
        now, then = times_s[case.current.variant.module][:2]
        scatter = times_s[case.current.variant.module][2]
        one = then if case.is_baseline else now
        sign = (-1) ** (session + case.is_baseline)
        return one * (scattered(case, session, round_) + sign * scatter)

    judge = PairJudge(sides, Tolerances(), 1.0)
    run = Run(Script(seconds), sides.plan, judge=judge, **{"sessions": 5, **settings}).whole()
    found = judge.findings(run.coordinator.outcomes, run.coordinator.timings)
    calls = defaultdict(set)
    for block in run.blocks:
        calls[block.case_id.replace("@base", ""), block.round > 0].add(block.calls)
    assert all(len(one) == 1 for one in calls.values())  # both versions alike
    return {finding.module: finding.verdict for finding in found}


def test_two_versions_are_told_apart() -> None:
    """6 % more is slower, 6 % less is faster, and the same time is the same."""
    times = {
        "se": (0.00212, 0.002, 0.0),
        "simam": (0.00376, 0.004, 0.0),
        "identity": (0.001, 0.001, 0.0),
    }
    assert verdicts(times) == {"se": "slower", "simam": "faster", "identity": "same"}


def test_what_scatters_is_undecided() -> None:
    """Where sessions contradict each other until the budget is spent, nothing is claimed."""
    times = {"se": (0.002, 0.002, 0.1), "identity": (0.001, 0.001, 0.0)}
    assert verdicts(times, budget_s=10) == {"se": "undecided", "identity": "same"}


@pytest.mark.parametrize("fail_fast", [False, True])
def test_a_heavier_version_is_timed_unless_it_must_fail_fast(fail_fast: bool) -> None:
    """What has grown fails by that alone: with --fail-fast, no block is spent on it."""
    plan = Plan((SE, IDENTITY), {SE.id: IDENTITY.id, IDENTITY.id: IDENTITY.id}, {})
    sides = two_sides(plan, {"se", "identity"}, {"se", "identity"})
    judge = PairJudge(sides, Tolerances(), 1.0, fail_fast)
    script = Script(
        lambda *_: 0.001, lambda case: Facts(params=2 if case.variant.module == "se" else 1)
    )
    run = Run(script, sides.plan, judge=judge, sessions=5).whole()
    found = judge.findings(run.coordinator.outcomes, run.coordinator.timings)
    assert [finding.verdict for finding in found] == ["heavier", "same"]
    timed = {block.case_id for block in run.blocks}
    assert {IDENTITY.id, IDENTITY.baseline.id} <= timed
    assert ({SE.id, SE.baseline.id} <= timed) is not fail_fast


def test_two_codes_are_not_mixed() -> None:
    """A worker that loads another version of a file ends the run; what was measured is kept."""
    script = Script(quiet, loads=lambda number: {"helper": "edited" if number == 2 else "first"})
    run = Run(script)
    with pytest.raises(CodeChanged, match="the code of helper changed while the run measured"):
        run.whole()
    assert {block.session for block in run.blocks} == {0, 1}
    assert all(worker.is_ended for worker in script.workers)
