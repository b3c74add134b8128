"""What is exported or compiled is prepared by several workers, before it is inspected and timed."""

from __future__ import annotations

from dataclasses import replace

import pytest
from fakes import Script, dies
from test_coordinator import PLAN as EAGER
from test_coordinator import Run, quiet

from attn_bench.engine import ahead
from attn_bench.model import protocol
from attn_bench.model.case import Case
from attn_bench.model.protocol import Inspect, Prepare, RunBlock
from attn_bench.model.run import Plan


@pytest.fixture(autouse=True)
def two_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ahead, "_cores", lambda: 2)


CASES = tuple(replace(case, execution="compile") for case in EAGER.cases)
PLAN = Plan(CASES, {case.id: CASES[-1].id for case in CASES}, {})


def compiled(script: Script) -> Run:
    """A run of compiled cases in four sessions."""
    return Run(script, PLAN, sessions=4, budget_s=10)


def test_two_workers_prepare_before_the_first_one_inspects() -> None:
    """Each case is prepared once, by the second and third worker in turn."""
    script = Script(quiet)
    compiled(script).whole()
    kinds = [type(message) for _, message in script.asked]
    first = kinds.index(Inspect)
    before = [(n, m.case.id) for n, m in script.asked[:first] if isinstance(m, Prepare)]
    assert [case_id for _, case_id in before] == [case.id for case in CASES]
    assert [number for number, _ in before] == [1 + i % 2 for i in range(len(before))]


def test_every_other_session_prepares_all_cases_before_its_first_round() -> None:
    """The first session has them from its inspection."""
    script = Script(quiet)
    compiled(script).whole()
    cases = {case.id for case in CASES}
    for number in (1, 2, 3):
        mine = [message for n, message in script.asked if n == number]
        first = next(i for i, message in enumerate(mine) if isinstance(message, RunBlock))
        assert {m.case.id for m in mine[:first] if isinstance(m, Prepare)} == cases
    assert not [m for n, m in script.asked if n == 0 and isinstance(m, Prepare)]


def test_a_worker_that_dies_while_it_prepares_costs_nothing() -> None:
    """Another takes its place, and every case is measured."""
    killed: list[int] = []

    def prepared(case: Case, number: int) -> protocol.Reply | BaseException:
        if number in (1, 3) and number not in killed:
            killed.append(number)
            return dies()
        return protocol.Prepared()

    script = Script(quiet, prepared=prepared)
    run = compiled(script)
    run.whole()
    assert killed == [1, 3]
    assert set(run.statuses().values()) == {"ok"}
    assert {block.case_id for block in run.blocks} == {case.id for case in CASES}


def test_eager_cases_are_not_prepared() -> None:
    """They are built in moments."""
    script = Script(quiet)
    Run(script, sessions=4).whole()
    assert script.asked_for(Prepare) == []
