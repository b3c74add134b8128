"""Good modules of a run, compared with themselves in a process without the users' modules."""

from __future__ import annotations

from fakes import FakeWorker, Script, dies

from attn_bench.engine.clean import AS_ALONE, MOST_S, ROUNDS, fastest
from attn_bench.engine.coordinator import Coordinator
from attn_bench.engine.progress import Unseen
from attn_bench.model.case import Case, Shape, Variant
from attn_bench.model.run import Block, Plan, Settings

SETTINGS = Settings(budget_s=1, precision=0.05, sessions=3, seed=0, threads=1, timeout_s=7)
SE, IDENTITY = CASES = tuple(Case(Variant(name), Shape(1, 8, 4, 4)) for name in ("se", "identity"))
PLAN = Plan(CASES, {case.id: IDENTITY.id for case in CASES}, {})


def compared(script: Script, settings: Settings = SETTINGS) -> dict[str, tuple[str, ...]]:
    """The notes of the cases after a run and the comparison with the last worker."""
    first = FakeWorker(script)
    first.open()
    kept: list[object] = []
    coordinator = Coordinator(first, PLAN, settings, kept.append, Unseen(), clock=script.clock)
    coordinator.inspect()
    coordinator.measure()
    blocks = len(coordinator.blocks)
    clean = first.without_files()
    coordinator.compare_with(clean, CASES)
    clean.end()
    coordinator.stop()
    assert len(coordinator.blocks) == blocks, "its blocks are no figures of the run"
    assert all(worker.is_ended for worker in script.workers)
    return {i: o.facts.notes for i, o in coordinator.outcomes.items() if o.facts and o.facts.notes}


def slower(module: str, *, workers: set[int], factor: float):
    """The times of a run in which the module takes longer in some workers."""

    def seconds(case: Case, worker: int, round_: int) -> float:
        return 0.001 * (factor if case.variant.module == module and worker in workers else 1.0)

    return seconds


def test_a_case_that_takes_longer_in_every_session_than_in_a_clean_process_gets_a_note() -> None:
    """A case that all sessions slow down gets a note with the factor; the others get none."""
    notes = compared(Script(slower("se", workers={0, 1, 2}, factor=1.4)))
    assert notes == {SE.id: (f"takes 1.4 times {AS_ALONE}",)}


def test_a_case_that_takes_less_time_than_in_a_clean_process_gets_a_note() -> None:
    """A module that makes another faster falsifies it, too: it may have turned something off."""
    notes = compared(Script(slower("identity", workers={0, 1, 2}, factor=0.5)))
    assert notes == {IDENTITY.id: (f"takes 0.5 times {AS_ALONE}",)}


def test_one_slow_session_is_luck() -> None:
    """A case that only some sessions slow down has no note: processes differ by themselves."""
    assert compared(Script(slower("se", workers={0, 2}, factor=1.4))) == {}


def test_a_small_difference_is_no_harm() -> None:
    """Processes with the same code differ by some percent, which is not reported."""
    assert compared(Script(slower("se", workers={0, 1, 2}, factor=1.1))) == {}


def test_a_clean_process_that_dies_harms_nothing() -> None:
    """If the clean process dies, the run keeps its figures and has no note."""

    def seconds(case: Case, worker: int, round_: int):
        return dies() if worker == 3 else 0.001

    assert compared(Script(seconds)) == {}


def test_the_fastest_cases_are_compared_as_far_as_the_time_suffices() -> None:
    """Slow cases are left out, so that the comparison takes at most MOST_S."""

    def block(case: Case, seconds: float) -> Block:
        return Block(
            case_id=case.id,
            session=0,
            round=0,
            position=0,
            calls=1,
            seconds=seconds,
            first_call_s=0.0,
        )

    share_s = MOST_S / (ROUNDS * 4)
    blocks = [block(SE, 0.9 * share_s), block(IDENTITY, 0.2 * share_s)]
    assert fastest(CASES, blocks, 3) == [IDENTITY]
    assert fastest(CASES, blocks[:1], 3) == [SE]
