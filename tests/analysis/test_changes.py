"""Change points: what is found in a history, what is not, and how large it is."""

from __future__ import annotations

from math import inf, log, nan

import numpy as np
import pytest

from attn_bench.analysis.changes import (
    Reading,
    Step,
    excess_of_neighbours,
    find_steps,
    own_variances,
)

SD, RUNS = 0.01, 60


def history(
    rng: np.random.Generator, steps: dict[int, float], runs: int = RUNS, told: float = 1.0
) -> list[Reading]:
    """Runs of standard deviation SD, one in twenty four times noisier; `told` of it is their error.

    steps: the ratio of each change, by its first run.
    """
    noisy = np.where(rng.random(runs) < 0.05, 4.0, 1.0)
    logs = rng.normal(0, SD * noisy)
    for at, ratio in steps.items():
        logs[at:] += log(ratio)
    errors = SD * told * (noisy if told == 1 else 1) * np.sqrt(rng.chisquare(4, runs) / 4)
    return [Reading(*each) for each in zip(logs.tolist(), errors.tolist(), strict=True)]


def readings(*figures: float, se: float = SD) -> list[Reading]:
    return [Reading(log(figure), se) for figure in figures]


def places(steps: list[Step]) -> list[int]:
    return [step.at for step in steps]


@pytest.mark.parametrize("told", [1.0, 0.3])
def test_unchanged_code_has_no_step(told: float) -> None:
    """At most two of 100 histories get one, also if runs differ by three times their errors."""
    rng = np.random.default_rng(1)
    assert sum(bool(find_steps(history(rng, {}, told=told))) for _ in range(100)) <= 2


@pytest.mark.parametrize("told", [1.0, 0.3])
def test_three_percent_is_found_after_five_runs(told: float) -> None:
    """It is found in at least 55 of 60 histories, up or down."""
    rng = np.random.default_rng(2)
    found = 0
    for number in range(60):
        ratio = 1.03 if number % 2 else 1 / 1.03
        steps = find_steps(history(rng, {55: ratio}, told=told))
        found += any((step.ratio.value > 1) == (ratio > 1) for step in steps)
    assert found >= 55


def test_the_interval_holds_the_ratio() -> None:
    """Of 40 steps of 5 % in the middle, at least 35 intervals of 95 % hold it."""
    rng = np.random.default_rng(3)
    steps = [step for _ in range(40) for step in find_steps(history(rng, {30: 1.05}))]
    assert len(steps) >= 40
    assert sum(step.ratio.lo <= 1.05 <= step.ratio.hi for step in steps) >= 35


def test_a_creep_adds_up() -> None:
    """Four times 2 %, eight runs apart, come out as steps whose product is 8.2 %."""
    rng = np.random.default_rng(4)
    steps = find_steps(history(rng, {20: 1.02, 28: 1.02, 36: 1.02, 44: 1.02}))
    assert len(steps) >= 2
    product = float(np.prod([step.ratio.value for step in steps]))
    assert product == pytest.approx(1.02**4, abs=0.01)


def test_one_run_far_away_is_no_step() -> None:
    """An outlier of 50 % changes nothing, in the middle or at the end; two runs are a step."""
    figures = [1.0, 1.01, 0.99, 1.0, 1.01] * 4
    assert find_steps(readings(*figures[:10], 1.5, *figures[10:])) == []
    assert find_steps(readings(*figures, 1.5)) == []
    assert places(find_steps(readings(*figures, 1.5, 1.51))) == [20]


def test_an_imprecise_run_counts_little() -> None:
    """A run with an error of 100 % leaves ratio and place of a step where they are."""
    without = readings(*[1.0] * 10, *[1.1] * 10)
    steps = find_steps([*without[:10], Reading(2.0, 1.0), *without[10:]])
    (step,) = find_steps(without)
    assert len(steps) == 1
    assert steps[0].at in (10, 11)
    assert steps[0].ratio.value == pytest.approx(step.ratio.value, rel=1e-3)


def test_an_exact_metric_has_a_step_at_every_change() -> None:
    """The ratio is exact, and its interval has no width."""
    steps = find_steps(readings(4, 4, 8, 8, 8, 2, se=0))
    assert places(steps) == [2, 5]
    assert [step.ratio.value for step in steps] == pytest.approx([2, 1 / 4], rel=1e-12)
    assert all(step.ratio.lo == step.ratio.value == step.ratio.hi for step in steps)


def test_few_readings_have_no_step() -> None:
    """A step needs two readings on either side, and more than four to be sure of 10 %."""
    figures = [1.0, 1.1, 1.1, 1.1]
    for count in range(4):
        assert find_steps(readings(*figures[:count])) == []
    assert find_steps(readings(1.0, 1.01, 1.1, 1.11)) == []


def test_equal_readings_have_no_step() -> None:
    """Ties give no excess variance; a change between two tied values is a step of that ratio."""
    assert find_steps(readings(*[1.3] * 30)) == []
    (step,) = find_steps(readings(*[1.3] * 15, *[2.6] * 15))
    assert step.at == 15
    assert step.ratio.value == pytest.approx(2)


def test_a_huge_ratio_is_a_step() -> None:
    """A figure that grows by 100 powers of ten has finite ends."""
    (step,) = find_steps(readings(*[1e-50, 1.01e-50] * 5, *[1e50, 1.01e50] * 5))
    assert step.at == 10
    assert step.ratio.value == pytest.approx(1e100, rel=0.01)
    assert 0 < step.ratio.lo < step.ratio.value < step.ratio.hi < inf


@pytest.mark.parametrize(
    "wrong",
    [(nan, 0.1), (inf, 0.1), (-inf, 0), (301.0, 0.1), (0.0, nan), (0.0, inf), (0.0, -0.1)],
)
def test_what_is_not_finite_is_refused(wrong: tuple[float, float]) -> None:
    """The message names the reading."""
    with pytest.raises(ValueError, match="reading 1 cannot be"):
        find_steps([Reading(0.0, 0.1), Reading(*wrong)])


@pytest.mark.parametrize("errors", [1e-300, 1e300])
def test_any_positive_error_has_an_answer(errors: float) -> None:
    """Errors that underflow or overflow when squared are bounded first."""
    steps = find_steps([Reading(log(1 + k % 2 / 100 + k // 10), errors) for k in range(20)])
    assert places(steps) == ([10] if errors < 1 else [])


def test_the_inverse_figure_has_the_inverse_steps() -> None:
    """A throughput has its steps where the time has them, and their ratios are turned over."""
    rng = np.random.default_rng(5)
    ups = history(rng, {20: 1.06, 40: 1 / 1.04})
    downs = [Reading(5 - each.log, each.se) for each in ups]
    assert places(find_steps(ups)) == places(find_steps(downs)) == [20, 40]
    for up, down in zip(find_steps(ups), find_steps(downs), strict=True):
        assert up.ratio.value * down.ratio.value == pytest.approx(1)
        assert up.ratio.lo * down.ratio.hi == pytest.approx(1)


def test_what_runs_vary_beyond_their_errors_is_estimated() -> None:
    """The excess of 2 % is found to a quarter, and a step of 50 % in the middle moves it little."""
    rng = np.random.default_rng(6)
    logs, variances = rng.normal(0, 0.02, 300), own_variances(np.full(300, 1e-4))
    assert excess_of_neighbours(logs, variances) ** 0.5 == pytest.approx(0.02, rel=0.25)
    logs[150:] += log(1.5)
    assert excess_of_neighbours(logs, variances) ** 0.5 == pytest.approx(0.02, rel=0.25)


def test_a_lucky_error_is_not_believed() -> None:
    """A run whose error came out as 0 counts at most a third more than the usual one."""
    variances = own_variances(np.array([0.0, 0.01, 0.01, 0.01]))
    assert variances[1] / variances[0] == pytest.approx(4 / 3)
