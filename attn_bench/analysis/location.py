"""Where the times of a case, or of a pair of cases, lie within one session. Pure.

Other work delays blocks by any amount. Where the system reports how long threads waited for a core,
the rounds without such waits are used alone. Their median is robust against other delays. On
recorded twins it varies least between sessions, beside idle and busy cores, of all estimators tried
(benchmarks/estimators.py, docs/accuracy.md).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import log
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

CLEAN = 0.03  # the share of a block that its threads may have waited for a core
LEAST_CLEAN = 5  # rounds; with fewer, those that waited least are used


class Sample(NamedTuple):
    """The time of one call in one block, and the share of it that threads waited for a core."""

    seconds: float
    waited: float = 0.0


class Location(NamedTuple):
    """The location of logarithms in one session.

    log: their median.
    variance: that of `log`, by the scatter of the rounds.
    waited: the mean share that threads waited in the rounds that count; for a pair, the case's
        less the baseline's.
    """

    log: float
    variance: float
    waited: float


Rounds = Mapping[int, Sequence[Sample]]  # the baseline of several cases has several samples a round


def locate(rounds: Rounds, of: Rounds | None = None) -> Location | None:
    """The location of a latency, or of the ratio to `of`, in pairs of the same round.

    None if there are no rounds.
    """
    both = sorted(rounds.keys() if of is None else rounds.keys() & of.keys())
    if not both:
        return None
    mine = _by_round(rounds, both)
    if of is None:
        kept = _least_disturbed(mine[:, 1])
        return _location(mine[kept, 0], mine[kept, 1])
    theirs = _by_round(of, both)
    kept = _least_disturbed(np.maximum(mine[:, 1], theirs[:, 1]))
    return _location(mine[kept, 0] - theirs[kept, 0], mine[kept, 1] - theirs[kept, 1])


def _by_round(rounds: Rounds, wanted: Sequence[int]) -> Floats:
    """Log seconds and the share of waiting: the mean of the samples of each round."""
    return np.array(
        [
            (
                sum(log(s.seconds) for s in found) / len(found),
                sum(s.waited for s in found) / len(found),
            )
            for found in (rounds[round_] for round_ in wanted)
        ]
    )


def _least_disturbed(waited: Floats) -> Sequence[int] | NDArray[np.bool_]:
    clean = waited <= CLEAN
    if clean.sum() >= min(LEAST_CLEAN, waited.size):
        return clean
    least: Sequence[int] = np.argsort(waited, kind="stable")[:LEAST_CLEAN].tolist()
    return least


def _location(logs: Floats, waited: Floats) -> Location:
    return Location(float(np.median(logs)), _variance_of_median(logs), float(waited.mean()))


def _variance_of_median(values: Floats) -> float:
    """π/2 · σ²/n, with σ from the quartiles: robust against single delayed blocks."""
    low, high = np.percentile(values, [25, 75])
    return float(np.pi / 2 * ((high - low) / 1.349) ** 2 / values.size)
