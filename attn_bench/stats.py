"""Intervals and paired ratios, from raw blocks; each formula with its source.

All figures are medians over rounds: a shared machine delays some blocks by any amount, and never
hurries one.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from attn_bench.record import Block, Interval

CONFIDENCE = 0.95
RESAMPLES = 1000
WARM_UP_ROUNDS = 1  # of each session: stored like all others, and left out of every figure

Floats = NDArray[np.float64]


class Timings:
    """The blocks of a run, as far as they have come in: case -> session -> round -> seconds."""

    def __init__(self, blocks: Iterable[Block] = ()) -> None:
        self._calls: dict[str, dict[int, dict[int, float]]] = defaultdict(lambda: defaultdict(dict))
        self._device: dict[str, dict[int, dict[int, float]]] = defaultdict(
            lambda: defaultdict(dict)
        )
        for block in blocks:
            self.add(block)

    def add(self, block: Block) -> None:
        if block.round < WARM_UP_ROUNDS:
            return
        self._calls[block.case_id][block.session][block.round] = block.seconds / block.calls
        if block.device_seconds is not None:
            self._device[block.case_id][block.session][block.round] = (
                block.device_seconds / block.calls
            )

    def rounds(self, case_id: str) -> int:
        return sum(len(rounds) for rounds in self._calls.get(case_id, {}).values())

    def sessions(self, case_id: str) -> int:
        return len(self._calls.get(case_id, {}))

    def latency_us(self, case_id: str) -> Interval | None:
        """What a caller waits, in µs."""
        return _median_us(self._calls.get(case_id, {}))

    def device_us(self, case_id: str) -> Interval | None:
        """The time on the device alone, in µs; None where it was not taken."""
        return _median_us(self._device.get(case_id, {}))

    def ratio(self, case_id: str, anchor_id: str) -> Interval | None:
        """Latency over the anchor's, paired: only blocks of one round of one session are compared.

        Worked on log ratios, so that a machine that is slow for a while is slow for both, and a
        ratio and its inverse are treated alike.
        """
        mine, theirs = self._calls.get(case_id, {}), self._calls.get(anchor_id, {})
        logs = [
            np.array([np.log(mine[s][r] / theirs[s][r]) for r in mine[s].keys() & theirs[s].keys()])
            for s in mine.keys() & theirs.keys()
        ]
        found = median_interval(logs)
        if found is None:
            return None
        return Interval(*(float(np.exp(end)) for end in (found.value, found.lo, found.hi)))


def _median_us(sessions: Mapping[int, Mapping[int, float]]) -> Interval | None:
    return median_interval([1e6 * np.array(list(rounds.values())) for rounds in sessions.values()])


def median_interval(sessions: Sequence[Floats]) -> Interval | None:
    """The median over rounds with its percentile bootstrap interval; None without rounds.

    Sessions are resampled first, then rounds inside them: the two-stage bootstrap of Davison and
    Hinkley, Bootstrap Methods and Their Application (1997), section 3.8. The estimate is the mean
    over sessions of each one's median. The same data give the same interval.

    >>> median_interval([np.array([1.0, 2.0, 2.0, 2.0, 9.0])]).value
    2.0
    """
    filled = [session for session in sessions if session.size]
    if not filled:
        return None
    rng = np.random.default_rng(0)
    estimate = float(np.mean([np.median(session) for session in filled]))
    medians = np.stack([_resampled_medians(session, rng) for session in filled], axis=1)
    drawn = rng.integers(len(filled), size=(RESAMPLES, len(filled)))
    means = np.take_along_axis(medians, drawn, axis=1).mean(axis=1)
    tail = (1 - CONFIDENCE) / 2
    lo, hi = np.quantile(means, [tail, 1 - tail])
    return Interval(estimate, min(float(lo), estimate), max(float(hi), estimate))


def _resampled_medians(values: Floats, rng: np.random.Generator) -> Floats:
    drawn = rng.integers(values.size, size=(RESAMPLES, values.size))
    medians: Floats = np.median(values[drawn], axis=1)
    return medians
