"""Intervals say how far an estimate can be trusted."""

from __future__ import annotations

import numpy as np

from attn_bench.record import Block
from attn_bench.stats import Timings, median_interval


def blocks(case: str, seconds: list[float], session: int = 0) -> list[Block]:
    return [
        Block(case, session, round_, 0, calls=2, seconds=value)
        for round_, value in enumerate(seconds)
    ]


def test_a_drifting_machine_cancels_in_the_ratio() -> None:
    """Both cases slow down threefold during the session, and their ratio is still exactly 2."""
    drift = np.linspace(1, 3, 40)
    timings = Timings(blocks("a", list(2e-3 * drift)) + blocks("anchor", list(1e-3 * drift)))
    ratio = timings.ratio("a", "anchor")
    assert ratio is not None
    assert abs(ratio.value - 2) < 1e-9
    assert ratio.hi - ratio.lo < 1e-9


def test_seconds_are_per_call_and_the_warm_up_round_is_left_out() -> None:
    """A block of two calls counts half, and round 0 counts nothing."""
    latency = Timings(blocks("a", [9.0, 4e-6, 4e-6, 4e-6])).latency_us("a")
    assert latency is not None
    assert latency.value == 2.0


def test_a_delayed_block_moves_nothing() -> None:
    """One block in ten that takes a hundred times as long leaves the median where it was."""
    values = [1.0] * 27 + [100.0] * 3
    interval = median_interval([np.array(values)])
    assert interval is not None
    assert (interval.value, interval.lo, interval.hi) == (1.0, 1.0, 1.0)


def test_ratio_and_inverse_are_treated_alike() -> None:
    """The ratio of b to a is one over the ratio of a to b, and so is its interval, nearly."""
    rng = np.random.default_rng(1)
    a, b = (list(rng.lognormal(0, 0.1, 60)) for _ in range(2))
    timings = Timings(blocks("a", a) + blocks("b", b))
    ab, ba = timings.ratio("a", "b"), timings.ratio("b", "a")
    assert ab is not None
    assert ba is not None
    assert abs(ab.value * ba.value - 1) < 1e-9
    assert abs(ab.lo * ba.hi - 1) < 0.01


def test_unknown_without_rounds() -> None:
    """A case that has no round has no figure, rather than a zero."""
    assert Timings().latency_us("a") is None
    assert Timings(blocks("a", [1.0, 1.0])).ratio("a", "anchor") is None
