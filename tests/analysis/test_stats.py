"""Intervals say how far an estimate can be trusted."""

from __future__ import annotations

import numpy as np
import pytest

from attn_bench.analysis.estimates import Timings
from attn_bench.analysis.rows import compare_with_fastest
from attn_bench.analysis.variances import moderate
from attn_bench.model.run import Block


def blocks(case: str, seconds: list[float], session: int = 0) -> list[Block]:
    return [
        Block(case_id=case, session=session, round=round_, position=0, calls=2, seconds=value)
        for round_, value in enumerate(seconds)
    ]


def noisy_run(
    rng: np.random.Generator, cases: int, sessions: int, *, between: float, within: float
) -> Timings:
    """`cases` pairs of true ratio 1, on a machine with both kinds of noise, and stragglers."""
    timings = Timings()
    for session in range(sessions):
        for case in range(cases):
            bias = rng.normal(0, between)
            noise = within * rng.standard_t(3, 21)
            for name, logs in ((f"c{case}", bias + noise), (f"a{case}", np.zeros(21))):
                for block in blocks(name, list(2e-3 * np.exp(logs)), session):
                    timings.add(block)
    return timings


def baselines(cases: int) -> dict[str, str]:
    return {f"c{case}": f"a{case}" for case in range(cases)}


def test_a_drifting_machine_cancels_in_the_ratio() -> None:
    """Both cases slow down threefold during the session, and their ratio is still exactly 2."""
    drift = np.linspace(1, 3, 40)
    timings = Timings(blocks("a", list(2e-3 * drift)) + blocks("baseline", list(1e-3 * drift)))
    assert timings.ratios({"a": "baseline"})["a"].interval().value == pytest.approx(2)


def test_seconds_are_per_call_and_the_warm_up_round_is_left_out() -> None:
    """A block of two calls counts half, and round 0 counts nothing."""
    timings = Timings(blocks("a", [9.0, 4e-6, 4e-6, 4e-6]))
    assert timings.latencies({"a": "a"})["a"].interval(1e6).value == pytest.approx(2.0)
    assert timings.rounds("a") == 3


def test_a_session_that_warms_up_is_noticed() -> None:
    """Ten of fifty rounds at twice the time are a drift of 100 %; steady rounds are none."""
    assert Timings(blocks("a", [1.0] + [2.0] * 10 + [1.0] * 40)).drift() == pytest.approx(1.0)
    assert Timings(blocks("a", [9.0] + [1.0] * 50)).drift() == pytest.approx(0.0)
    assert Timings(blocks("a", [1.0] * 5)).drift() is None


def test_a_delayed_block_moves_nothing() -> None:
    """One block in ten that takes a hundred times as long leaves the median where it was."""
    timings = Timings(blocks("a", [1.0] * 27 + [100.0] * 3) + blocks("b", [1.0] * 30))
    assert timings.ratios({"a": "b"})["a"].log == 0


def test_ratio_and_inverse_are_treated_alike() -> None:
    """The ratio of b to a, and its interval, are those of a to b turned over."""
    rng = np.random.default_rng(1)
    a, b = (list(rng.lognormal(0, 0.1, 60)) for _ in range(2))
    ratios = Timings(blocks("a", a) + blocks("b", b)).ratios({"a": "b", "b": "a"})
    ab, ba = ratios["a"].interval(), ratios["b"].interval()
    assert ab.value * ba.value == pytest.approx(1)
    assert ab.lo * ba.hi == pytest.approx(1)


def test_unknown_without_rounds() -> None:
    """A case that has no round has no figure, rather than a zero."""
    assert Timings().latencies({"a": "a"}) == {}
    assert Timings(blocks("a", [1.0, 1.0])).ratios({"a": "baseline"}) == {}


def test_the_baseline_is_its_own_unit() -> None:
    """A case over itself is 1, exactly, and no difference."""
    run = noisy_run(np.random.default_rng(0), 1, 3, between=0.01, within=0.01)
    ratio = run.ratios({"a0": "a0"})["a0"]
    assert ratio.interval().lo == ratio.interval().hi == 1
    assert not ratio.half_width()


@pytest.mark.parametrize(("cases", "sessions"), [(1, 5), (30, 5), (30, 3)])
def test_intervals_cover_the_truth(cases: int, sessions: int) -> None:
    """95 % intervals hold the true ratio in 92 to 98 % of 600 simulated comparisons or more."""
    rng = np.random.default_rng(cases + sessions)
    covered = []
    for _ in range(max(600 // cases, 20)):
        run = noisy_run(rng, cases, sessions, between=0.007, within=0.03)
        for ratio in run.ratios(baselines(cases)).values():
            interval = ratio.interval()
            covered.append(interval.lo <= 1 <= interval.hi)
    assert 0.92 <= np.mean(covered) <= 0.98


@pytest.mark.parametrize("sessions", [2, 3, 5])
def test_a_shared_baseline_counts_once(sessions: int) -> None:
    """Where the baseline is the noisiest case of a shape, 91 to 99 % of the intervals hold."""
    rng = np.random.default_rng(sessions)
    covered = []
    for _ in range(120):
        timings = Timings()
        for session in range(sessions):
            process = rng.normal(0, 0.02)
            for case in range(13):
                own = rng.normal(0, 0.02 if case == 0 else 0.003)
                noise = rng.normal(0, 0.01, 9)
                for block in blocks(f"c{case}", list(np.exp(process + own + noise)), session):
                    timings.add(block)
        ratios = timings.ratios({f"c{case}": "c0" for case in range(1, 13)})
        held = [r.interval().lo <= 1 <= r.interval().hi for r in ratios.values()]
        covered.append(np.mean(held))
    assert 0.91 <= np.mean(covered) <= 0.99


def test_a_noisy_baseline_does_not_widen_direct_ratios() -> None:
    """Two cases are compared on their own, however much their common baseline varies."""
    rng = np.random.default_rng(8)
    timings = Timings()
    for session in range(5):
        for case in range(13):
            own = rng.normal(0, 0.1 if case == 0 else 0.002)
            for block in blocks(f"c{case}", list(np.exp(own + rng.normal(0, 0.01, 9))), session):
                timings.add(block)
    through = timings.ratios({f"c{case}": "c0" for case in range(1, 13)})["c2"]
    direct = timings.ratios({f"c{case}": "c1" for case in range(2, 13)})["c2"]
    assert direct.interval().half_width < 0.2 * through.interval().half_width


def test_rounds_in_which_threads_waited_are_left_out() -> None:
    """Where two of three blocks waited for a core, the figure is that of the third."""
    timings = Timings()
    for round_ in range(30):
        waited = 0.0 if round_ % 3 == 0 else 2.0
        timings.add(
            Block(
                case_id="a",
                session=0,
                round=round_,
                position=0,
                calls=1,
                seconds=1.0 + waited,
                waited_s=waited,
            )
        )
    found = timings.latencies({"a": "a"})["a"]
    assert found.interval().value == pytest.approx(1.0)
    assert found.shorter == 0


def test_a_figure_from_waiting_threads_alone_is_wide() -> None:
    """Where every block waited for half of its time, the true latency may be half as long."""
    timings = Timings()
    for session in range(5):
        for round_ in range(9):
            timings.add(
                Block(
                    case_id="a",
                    session=session,
                    round=round_,
                    position=0,
                    calls=1,
                    seconds=2.0,
                    waited_s=1.0,
                )
            )
    interval = timings.latencies({"a": "a"})["a"].interval()
    assert interval.lo <= 1.0
    assert interval.value == pytest.approx(2.0)


def test_few_sessions_cost_width() -> None:
    """With two sessions an interval is several times wider than with eight, and with one it is
    wider than the scatter of its rounds can tell."""
    rng = np.random.default_rng(4)
    half = {
        n: np.median(
            [
                noisy_run(rng, 1, n, between=0.01, within=0.001)
                .ratios(baselines(1))["c0"]
                .interval()
                .half_width
                for _ in range(30)
            ]
        )
        for n in (1, 2, 8)
    }
    assert half[2] > 3 * half[8]
    assert half[1] > 0.02


def test_a_case_is_not_done_because_its_sessions_happen_to_agree() -> None:
    """Stopping looks at the scatter of rounds too: noisy rounds with agreeing medians go on."""
    rng = np.random.default_rng(5)
    values = np.concatenate([[1.0], np.exp(rng.normal(0, 0.5, 40))])
    timings = Timings()
    for session in range(5):
        for name, seconds in (("a", values), ("b", np.ones_like(values))):
            for block in blocks(name, list(seconds), session):
                timings.add(block)
    ratio = timings.ratios({"a": "b"})["a"]
    assert ratio.interval().half_width < 1e-9
    assert not ratio.is_within(0.02)


def test_moderation_moves_variances_towards_each_other() -> None:
    """Extreme variances of few degrees of freedom come closer; the order stays, and few cases
    are left as they are."""
    variances = np.array([1e-6, 1e-5, 2e-5, 3e-5, 5e-5, 8e-5, 1e-4, 1e-3])
    moved, df, _ = moderate(variances, np.full(8, 4.0))
    assert moved[0] > variances[0]
    assert moved[-1] < variances[-1]
    assert (np.diff(moved) > 0).all()
    assert (df > 4).all()
    same, _, _ = moderate(variances[:7], np.full(7, 4.0))
    assert (same == variances[:7]).all()


def test_many_samples_of_a_baseline_do_not_shift_identical_cases() -> None:
    """Skewed delays, and a baseline with four samples a round: the ratio of twins stays at 1."""
    rng = np.random.default_rng(11)
    logs = []
    for _ in range(40):
        timings = Timings()
        for case, samples in (("a", 1), ("b", 4)):
            for _ in range(samples):
                for block in blocks(case, list(1 + 0.03 * rng.exponential(size=61))):
                    timings.add(block)
        logs.append(timings.ratios({"a": "b"})["a"].log)
    assert abs(float(np.mean(logs))) < 0.002


def test_the_fastest_is_found_by_direct_ratios() -> None:
    """A baseline does not compete, a case alone has no rival, and pairs decide between the rest."""
    timings = Timings(
        blocks("copy", [0.5] * 9)
        + blocks("a", [1.0] * 9)
        + blocks("b", [1.2] * 9)
        + blocks("other copy", [0.1] * 9)
        + blocks("alone", [0.2] * 9)
    )
    baseline_of = {"copy": "copy", "a": "copy", "b": "copy", "alone": "other copy"}
    found = compare_with_fastest(baseline_of, timings)
    assert found.keys() == {"a", "b"}
    assert found["a"].interval().value == 1
    assert found["b"].interval().value == pytest.approx(1.2)


@pytest.mark.parametrize("cases", [12, 40])
def test_the_part_of_a_shared_baseline_is_known_from_its_sessions_alone(cases: int) -> None:
    """However many cases share it, five sessions give four degrees of freedom."""
    rng = np.random.default_rng(cases)
    timings = Timings()
    for session in range(5):
        for case in range(cases + 1):
            own = rng.normal(0, 0.01)
            for block in blocks(f"c{case}", list(np.exp(own + rng.normal(0, 0.01, 9))), session):
                timings.add(block)
    ratios = timings.ratios({f"c{case}": "c0" for case in range(1, cases + 1)})
    for ratio in ratios.values():
        (_, own_df), (_, baseline_df), _ = ratio.parts
        assert baseline_df == 4
        assert own_df > 4
