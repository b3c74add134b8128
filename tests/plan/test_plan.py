"""From a suite to cases and their order."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise
from random import Random

import pytest

from attn_bench.catalog.registry import builtin
from attn_bench.model.errors import RequestError
from attn_bench.model.request import RunRequest
from attn_bench.model.suite import Suite
from attn_bench.plan import suite_file
from attn_bench.plan.cases import make_plan, make_settings
from attn_bench.plan.order import calls_in_a_block, round_order


def loaded(name: str = "ge_extents") -> Suite:
    return suite_file.load(name, builtin())


def test_ge_extents() -> None:
    """60 cases, of which extent 8 at 7×7 is ruled out with its reason, in all three forms."""
    plan = make_plan(loaded(), "cpu")
    assert len(plan.cases) == 60
    assert len(plan.measurable) == 57
    assert set(plan.unsupported.values()) == {"extent 8 is larger than the 7×7 map"}


def test_ids_are_unique_and_stable() -> None:
    """A case's id says everything about it, and no two cases share one."""
    ids = [case.id for case in make_plan(loaded(), "cpu").cases]
    assert len(set(ids)) == len(ids)
    assert ids[0] == "ge_theta_minus(extent=2)/8x256x56x56/float32/contiguous/inference/eager/cpu"


def test_every_case_has_its_baseline_at_the_same_input() -> None:
    """The baseline is the eager identity at the same shape; the baseline's own is itself."""
    plan = make_plan(loaded(), "cpu")
    cases = {case.id: case for case in plan.cases}
    for case in plan.cases:
        baseline = cases[plan.baseline_of[case.id]]
        assert baseline.variant.label == "identity"
        assert baseline.input_key == case.input_key


def test_filters_keep_the_baselines() -> None:
    """--modules and --where thin out a suite, but not what its ratios are to."""
    plan = make_plan(loaded(), "cpu", modules="se", where="channels >= 1024")
    assert [case.variant.module for case in plan.cases] == ["se", "identity"] * 2


def test_leave_out_removes_a_combination() -> None:
    """A rule of the suite leaves out what it describes."""
    text = 'title="t"\nleave_out="extent == 8 and height < 10"\n[[grid]]\nmodule="ge_theta"\n'
    text += "extent=[2,8]\n[shapes]\nstages=[[8,7,7],[8,14,14]]\n"
    plan = make_plan(suite_file.parse(text, builtin(), name="t", source="t.toml"), "cpu")
    assert not plan.unsupported
    assert sum(case.variant.extent == 8 for case in plan.cases) == 1


@pytest.mark.parametrize(
    ("modules", "where", "reason"),
    [
        ("cbma", None, "--modules 'cbma' matches no module of ge_extents .*'cbam'"),
        (None, "channels > 5000", "--where 'channels > 5000' leaves no case"),
        (None, "chanels > 50", "unknown column 'chanels' .*'channels'"),
    ],
)
def test_nothing_left_is_an_error(modules: str | None, where: str | None, reason: str) -> None:
    """A filter that leaves nothing says so, and what it was."""
    with pytest.raises(RequestError, match=reason):
        make_plan(loaded(), "cpu", modules=modules, where=where)


def test_a_round_is_every_case_grouped_by_input() -> None:
    """Rounds differ in order, hold every case once, and change the input as rarely as they can."""
    cases = make_plan(loaded(), "cpu").measurable
    rng = Random(0)
    first, second = round_order(cases, {}, rng), round_order(cases, {}, rng)
    assert first != second
    assert set(first) == set(second) == set(cases)
    changes = sum(a.input_key != b.input_key for a, b in pairwise(first))
    assert changes == len({case.input_key for case in cases}) - 1


def test_a_shared_baseline_comes_several_times_in_a_round() -> None:
    """14 cases share a baseline, so it comes 4 times a round, and a case alone once."""
    plan = make_plan(loaded(), "cpu", where="height == 28")
    found = Counter(case.id for case in round_order(plan.measurable, plan.baseline_of, Random(2)))
    baseline = next(case.id for case in plan.cases if case.variant.module == "identity")
    assert found.pop(baseline) == 4
    assert set(found.values()) == {1}
    alone = {case.id: case.id for case in plan.measurable}
    assert len(round_order(plan.measurable, alone, Random(2))) == len(plan.measurable)


def test_blocks_are_alike_for_what_may_be_alike() -> None:
    """Two measurements of one latency get the same number of calls, wherever rounding would fall;
    every block is between half and twice as long as asked, or a single call."""
    rng = Random(1)
    for _ in range(300):
        latency = 10 ** rng.uniform(-6, -1)
        times = {"a": latency, "b": latency * rng.uniform(1, 1.05)}
        times |= {f"x{i}": 10 ** rng.uniform(-6, -1) for i in range(6)}
        calls = calls_in_a_block(times, 0.003)
        if not any(times["a"] < times[x] < times["b"] * 2.2 for x in times if x[0] == "x"):
            assert calls["a"] == calls["b"]
        for name, number in calls.items():
            assert number == 1 or 0.0015 <= number * times[name] <= 0.006


def test_settings() -> None:
    """What was asked for beats the suite, the suite beats the defaults, --quick is a fifth."""
    plan = make_plan(loaded(), "cpu")
    assert make_settings(loaded(), plan, RunRequest("")).budget_s == 2 * 57
    assert make_settings(loaded(), plan, RunRequest("", quick=True)).budget_s == pytest.approx(
        2 * 57 / 5
    )
    assert make_settings(loaded("smoke"), plan, RunRequest("")).budget_s == 5
    assert (
        make_settings(loaded("smoke"), plan, RunRequest("", budget_s=9, precision=0.1)).precision
        == 0.1
    )
    assert make_settings(loaded("smoke"), plan, RunRequest("", sessions=7)).sessions == 7
