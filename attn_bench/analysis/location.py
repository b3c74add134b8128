"""Where the times of a case, or of a pair of cases, lie within one session. Pure.

Other work delays blocks by any amount. Where the system reports how long threads waited for a core,
the blocks without such waits are used alone. A trimmed mean of them is robust against other delays.
Where a shared cache has fast and slow spells, it moves less than a median does. On recorded twins
it varies least between sessions, beside idle and busy cores, of all estimators tried
(benchmarks/estimators.py, docs/accuracy.md).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import log
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

LEAST_ROUNDS = 3  # of a session, to count; a case without such a session is skipped
CLEAN = 0.03  # the share of a block for which its threads, added up, may have waited for a core
TRIMMED = 0.2  # of the values at either end
LEAST_CLEAN = 5  # values; with fewer, those that waited least are used


class Sample(NamedTuple):
    """The time of one call in one block, and the share of it that threads waited for a core."""

    seconds: float
    waited: float = 0.0


class Location(NamedTuple):
    """The location of logarithms in one session.

    log: their trimmed mean.
    variance: that of `log`, by the scatter of the rounds.
    waited: the mean share that threads waited in the blocks that count; for a pair, the case's
        less the baseline's.
    """

    log: float
    variance: float
    waited: float


Rounds = Mapping[int, Sequence[Sample]]  # the baseline of several cases has several samples a round


def locate(rounds: Rounds, of: Rounds | None = None) -> Location | None:
    """The location of a latency, or of the ratio to `of`, in pairs of the same round.

    Each sample of a round is paired with each one of the other case. So the values are symmetric
    for identical cases, as those of a mean over samples are not, since delays are skewed.
    None for fewer than LEAST_ROUNDS rounds.
    """
    both = sorted(rounds.keys() if of is None else rounds.keys() & of.keys())
    if len(both) < LEAST_ROUNDS:
        return None
    if of is None:
        samples = [sample for round_ in both for sample in rounds[round_]]
        return _location([(log(a.seconds), a.waited, a.waited) for a in samples], len(samples))
    pairs = [(a, b) for round_ in both for a in rounds[round_] for b in of[round_]]
    return _location(
        [
            (log(a.seconds / b.seconds), max(a.waited, b.waited), a.waited - b.waited)
            for a, b in pairs
        ],
        len(both),
    )


def _location(values: Sequence[tuple[float, float, float]], independent: int) -> Location:
    """The location of (logarithm, worst share of waiting, share that shifts the logarithm).

    independent: the number of independent values, of which the undisturbed ones count.
    """
    logs, worst, shift = np.array(values).T
    kept = worst <= CLEAN
    if kept.sum() < min(LEAST_CLEAN, logs.size):
        kept = np.zeros(logs.size, dtype=bool)
        kept[np.argsort(worst, kind="stable")[:LEAST_CLEAN]] = True
    chosen = np.sort(logs[kept])
    count = max(1.0, independent * float(kept.mean()))
    cut = int(TRIMMED * chosen.size)
    middle = chosen[cut : chosen.size - cut]
    return Location(
        float(middle.mean()), _variance(chosen, middle, count), float(shift[kept].mean())
    )


def _variance(chosen: Floats, middle: Floats, count: float) -> float:
    """The variance of a trimmed mean, from the variance of the winsorised values.

    J. W. Tukey and D. H. McLaughlin, Less vulnerable confidence and significance procedures for
    location based on a single sample: trimming/winsorization 1, Sankhyā A 25, 1963.
    """
    winsorised = np.clip(chosen, middle[0], middle[-1])
    spread = float(np.sum(np.square(winsorised - winsorised.mean()))) / max(chosen.size - 1, 1)
    return spread / (middle.size / chosen.size) ** 2 / count
