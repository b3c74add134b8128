"""A verdict needs a real difference, and one that is beyond the tolerance."""

from __future__ import annotations

from math import log

import numpy as np
import pytest
from test_stats import baselines, noisy_run

from attn_bench.analysis.estimates import Estimate
from attn_bench.analysis.verdicts import (
    Finding,
    Tolerances,
    Trial,
    Verdict,
    combine,
    exact_changes,
    exact_finding,
    exit_status,
    worst_first,
)
from attn_bench.model.row import Row
from attn_bench.model.suite import Tolerance
from attn_bench.view.findings import make_cells

USUAL = Tolerances()


def estimate(ratio: float, se: float) -> Estimate:
    return Estimate(log(ratio), ((se**2, 12.0),), expected_se=se)


@pytest.mark.parametrize(
    ("ratio", "se", "verdict", "severity"),
    [
        (1.10, 0.005, "slower", "fail"),
        (0.90, 0.005, "faster", "pass"),
        (1.001, 0.005, "same", "pass"),
        (1.02, 0.002, "same", "pass"),
        (1.10, 0.050, "undecided", "undecided"),
        (1.03, 0.010, "undecided", "undecided"),
        (1.035, 0.003, "undecided", "undecided"),
    ],
)
def test_each_verdict(ratio: float, se: float, verdict: Verdict, severity: str) -> None:
    """The interval is beyond 3 %, within it, or across it; at a level of one in a hundred."""
    trial = Trial({"a": "se"}, USUAL)
    trial.look({"a": estimate(ratio, se)})
    finding = trial.finding("a", estimate(ratio, se), 1.0)
    assert (finding.verdict, finding.severity) == (verdict, severity)


def test_warning_before_failing() -> None:
    """A slowdown beyond the one threshold and below the other is a warning."""
    rules = Tolerances([Tolerance("latency", fail=0.10, warn=0.02)])
    trial = Trial({"a": "se"}, rules)
    found = estimate(1.06, 0.002)
    trial.look({"a": found})
    assert (trial.finding("a", found, None).verdict, trial.finding("a", found, None).severity) == (
        "slower",
        "warn",
    )
    assert exit_status([trial.finding("a", found, None)]) == 0


def test_what_a_run_sees_is_what_it_calls_slower() -> None:
    """A true slowdown of `visible` is called slower in about nine of ten simulated runs."""
    rng = np.random.default_rng(3)
    se = 0.006
    trial = Trial({"a": "se"}, USUAL)
    trial.look({"a": estimate(1.0, se)})
    finding = trial.finding("a", estimate(1.0, se), None)
    assert finding.times is not None
    true = log(1 + finding.times.visible)
    called = 0
    for _ in range(400):
        # Student's t is a normal deviate over an estimated standard error.
        own_se = se * np.sqrt(rng.chisquare(12) / 12)
        again = Trial({"a": "se"}, USUAL)
        again.look({"a": estimate(float(np.exp(true + se * rng.standard_normal())), own_se)})
        called += "a" in again.decided and again.decided["a"].verdict == "slower"
    assert 0.8 < called / 400 < 0.98


def test_many_looks_at_unchanged_code_call_nothing_slower() -> None:
    """Ten looks at 10 identical pairs, 15 times: at most one run calls anything different.

    benchmarks/check_rates.py measures how often.
    """
    rng = np.random.default_rng(7)
    false_alarms = 0
    for _ in range(15):
        trial = Trial(
            {f"c{i}": "se" for i in range(10)}, Tolerances([Tolerance("latency", fail=0.0)])
        )
        for look in range(1, 11):
            timings = noisy_run(rng, 10, 5, between=0.006, within=0.02)
            trial.look(timings.ratios(baselines(10)), look / 10)
        false_alarms += any(found.verdict != "same" for found in trial.decided.values())
    assert false_alarms <= 1


def test_exact_metrics_may_not_grow() -> None:
    """One parameter more is heavier; fewer are lighter; what is not gated is only told."""
    (change,) = exact_changes("se", Row(params=100), Row(params=101), USUAL)
    assert exact_finding("a", "se", (change,)).severity == "fail"
    fewer = exact_changes("se", Row(params=100), Row(params=99), USUAL)
    assert exact_finding("a", "se", fewer).verdict == "lighter"
    told = exact_changes("se", Row(elementwise_ops=100), Row(elementwise_ops=200), USUAL)
    assert exact_finding("a", "se", told).severity == "pass"
    assert not exact_changes("se", Row(params=None), Row(params=5), USUAL)


def test_a_gated_metric_that_becomes_unknown_is_undecided() -> None:
    """MACs that are unknown now may have grown: the case is undecided, and says it."""
    changes = exact_changes("se", Row(macs=100), Row(macs=None), USUAL)
    finding = exact_finding("a", "se", changes)
    assert (finding.verdict, finding.severity) == ("undecided", "undecided")
    assert exit_status([finding]) == 4
    assert "macs 100 → unknown" in make_cells(finding).why
    more = exact_changes("se", Row(macs=1, params=1), Row(macs=None, params=2), USUAL)
    assert exact_finding("a", "se", more).verdict == "heavier"
    told = exact_changes("se", Row(macs_fvcore=100), Row(macs_fvcore=None), USUAL)
    assert exact_finding("a", "se", told).severity == "pass"
    assert "macs_fvcore 100 → unknown" in make_cells(exact_finding("a", "se", told)).why


def test_peak_memory_belongs_to_its_number_of_threads() -> None:
    """More memory on more threads is no growth; on as many threads it is."""
    one, two = Row(threads=1, peak_memory_bytes=14), Row(threads=2, peak_memory_bytes=22)
    assert not exact_changes("se", one, two, USUAL)
    assert exact_changes("se", one, Row(threads=1, peak_memory_bytes=22), USUAL)


def test_from_nothing_to_something_is_growth() -> None:
    """The first parameter of a module without any is beyond a tolerance of 0 %."""
    changes = exact_changes("ge", Row(params=0), Row(params=8), USUAL)
    assert exact_finding("a", "ge", changes).verdict == "heavier"


def test_the_worse_of_both_kinds_names_the_finding() -> None:
    """Lighter and slower is slower, with both told."""
    lighter = exact_finding("a", "se", exact_changes("se", Row(params=9), Row(params=8), USUAL))
    trial = Trial({"a": "se"}, USUAL)
    trial.look({"a": estimate(1.2, 0.005)})
    both = combine(lighter, trial.finding("a", estimate(1.2, 0.005), None))
    assert both.verdict == "slower"
    assert both.changes


@pytest.mark.parametrize(
    ("findings", "status"),
    [
        ([Finding("a", "m", "same", "pass")], 0),
        ([Finding("a", "m", "same", "pass"), Finding("b", "m", "missing", "fail")], 1),
        ([Finding("a", "m", "failed", "broken"), Finding("b", "m", "slower", "fail")], 1),
        ([Finding("a", "m", "failed", "broken"), Finding("b", "m", "same", "pass")], 3),
        ([Finding("a", "m", "undecided", "undecided"), Finding("b", "m", "same", "pass")], 4),
        ([Finding("a", "m", "new", "pass")], 4),
        ([], 4),
    ],
)
def test_exit_status(findings: list[Finding], status: int) -> None:
    """A regression is 1, a broken module 3, undecided 4; nothing compared is never 0."""
    assert exit_status(findings) == status


def test_undecided_may_be_allowed() -> None:
    """With --allow-undecided that alone is no reason to stop a merge; nothing compared still is."""
    undecided = [Finding("a", "m", "undecided", "undecided")]
    assert exit_status(undecided, allow_undecided=True) == 0
    assert exit_status([], allow_undecided=True) == 4


def test_a_blind_run_is_not_good_where_it_must_see() -> None:
    """With --must-see, 4 where a slowdown of that size could go unseen, or nothing was timed."""
    trial = Trial({"a": "se"}, USUAL)
    found = estimate(1.0, 0.005)
    trial.look({"a": found})
    finding = trial.finding("a", found, None)
    assert exit_status([finding], must_see=0.20) == 0
    assert exit_status([finding], must_see=0.01) == 4
    assert exit_status([Finding("a", "m", "same", "pass")], must_see=0.5) == 4
    assert exit_status([Finding("a", "m", "same", "pass", is_baseline=True)], must_see=0.5) == 0


def test_a_run_that_sees_nothing_says_so() -> None:
    """With one degree of freedom and many looks, no finite slowdown is seen, and nothing breaks."""
    trial = Trial({"a": "m"}, USUAL, spent=0.99)
    blind = Estimate(0.0, ((0.01, 1.0),), 0.1)
    trial.look({"a": blind})
    finding = trial.finding("a", blind, None)
    assert finding.times is not None
    assert finding.times.visible > 100


def test_what_is_likely_is_told() -> None:
    """Undecided, with an interval beyond the tolerance: likely slower."""
    trial = Trial({"a": "se"}, USUAL)
    found = estimate(1.10, 0.025)
    trial.look({"a": found})
    assert trial.finding("a", found, None).verdict == "undecided"
    assert "likely slower" in (trial.finding("a", found, None).reason or "")


def test_worst_first() -> None:
    """Failures stand above broken modules, and these above what is good."""
    ordered = worst_first(
        [
            Finding("a", "m", "same", "pass"),
            Finding("b", "m", "failed", "broken"),
            Finding("c", "m", "slower", "fail"),
        ]
    )
    assert [finding.case_id for finding in ordered] == ["c", "b", "a"]
