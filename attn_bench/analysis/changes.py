"""Where the figure of a case changes in a history of runs: steps, with their intervals. Pure.

A history is piecewise constant on the logarithmic scale. Each run has its own standard error, and
runs differ by more than these say, so the excess is estimated from the history itself. The loss of
a reading is bounded: a single run far away is an outlier and not a step. For the same reason, a
step needs two runs on either side.

The segmentation minimises the sum of the losses plus a penalty for each step. A test with Student's
t then confirms each step: a short history knows little about its own scatter.
benchmarks/history_steps.py measures false alarms and power.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import exp, isfinite, sqrt

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri, stdtrit

from attn_bench.analysis.estimates import BLIND, CONFIDENCE
from attn_bench.model.metrics import Interval

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

# The chance of a step in an unchanged history, shared by all of its places (Bonferroni), as if it
# had LEAST_RUNS: outliers are hard to tell in a short one.
SEARCH_ERROR, TEST_ERROR = 0.03, 0.02
LEAST_RUNS = 60
CAP = 2.9  # standard deviations: beyond them, a reading tells nothing about the level
PITCH, REACH = 0.1, 1.5  # the levels that are tried around each reading, in standard deviations
PRIOR = 0.75  # the weight of the typical error against that of a run
MOST_LAG, READINGS_PER_LAG = 5, 10  # of the differences that tell the scatter
HALVINGS = 30  # of an interval that contains a root
LARGEST_LOG = 300.0  # far beyond the logarithm of any figure
LEAST_SE = 1e-9
MEDIAN_OF_SQUARE = float(ndtri(0.75) ** 2)  # of a standard normal variable


@dataclass(frozen=True, slots=True)
class Reading:
    """One run of one case.

    log: the natural logarithm of the figure.
    se: its standard error; 0 for an exact metric.
    """

    log: float
    se: float


@dataclass(frozen=True, slots=True)
class Step:
    """A change between two segments of a history.

    at: the index of the first reading after the change.
    ratio: the figure after over the figure before.
    """

    at: int
    ratio: Interval


@dataclass(frozen=True, slots=True)
class Fit:
    """The segments of a history.

    starts: the first readings of the segments after the first one.
    excess: the variance of a reading beyond that of its error.
    logs: the level of each segment.
    variances: of these levels.
    df: the degrees of freedom of the excess.
    """

    starts: tuple[int, ...]
    excess: float
    logs: tuple[float, ...]
    variances: tuple[float, ...]
    df: int

    def steps(self) -> Iterator[tuple[int, float, float]]:
        """(first reading, logarithm of the ratio, its standard error) of each step."""
        for k, at in enumerate(self.starts):
            se = sqrt(self.variances[k] + self.variances[k + 1])
            yield at, self.logs[k + 1] - self.logs[k], se


def find_steps(readings: Sequence[Reading]) -> list[Step]:
    """The steps of a history in order of time, oldest first.

    If no reading has an error, every change of the value is a step, and its ratio is exact.
    Raises ValueError for a reading that is not finite, a negative standard error, and a logarithm
    beyond LARGEST_LOG.

    >>> [step.at for step in find_steps([Reading(2.0, 0), Reading(2.0, 0), Reading(3.0, 0)])]
    [2]
    """
    for index, reading in enumerate(readings):
        if not abs(reading.log) <= LARGEST_LOG or not isfinite(reading.se) or reading.se < 0:
            raise ValueError(f"reading {index} cannot be {reading.log} with an error {reading.se}")
    logs = np.array([reading.log for reading in readings], dtype=np.float64)
    errors = np.array([reading.se for reading in readings], dtype=np.float64)
    if not errors.any():
        changes = enumerate(pairwise(logs.tolist()), start=1)
        return [Step(at, Interval(*[exp(b - a)] * 3)) for at, (a, b) in changes if a != b]
    fit = _confirmed(logs, own_variances(errors))
    quantile = stdtrit(fit.df, 0.5 + CONFIDENCE / 2)
    found = []
    for at, log, se in fit.steps():
        half = min(float(quantile) * se, BLIND)
        found.append(Step(at, Interval(exp(log), exp(log - half), exp(log + half))))
    return found


def own_variances(errors: Floats) -> Floats:
    """The squares of the standard errors, moved by PRIOR towards that of the median.

    A standard error is itself an estimate. This is the moderated variance of G. K. Smyth, Linear
    models and empirical Bayes methods for assessing differential expression in microarray
    experiments, Statistical Applications in Genetics and Molecular Biology 3(1), 2004, with a prior
    that has three times the degrees of freedom of the estimate.
    """
    known = np.clip(errors, LEAST_SE, BLIND)
    typical = float(np.median(known[errors > 0]))
    variances: Floats = (1 - PRIOR) * known**2 + PRIOR * typical**2
    return variances


def excess_of_neighbours(logs: Floats, variances: Floats) -> float:
    """The variance of a reading beyond that of its error, from differences of near readings.

    It is the one with which half of the squared differences exceed the median of their
    distribution. A difference d of readings with the own variances a and b does so if and only if
    the excess is below (d²/MEDIAN_OF_SQUARE - a - b)/2. So the excess is the median of these
    bounds. A step moves few differences: J. von Neumann et al., The mean square successive
    difference, Annals of Mathematical Statistics 12(2), 1941; here with a median for its mean.
    """
    lags = range(1, 1 + max(1, min(MOST_LAG, logs.size // READINGS_PER_LAG)))
    bounds = [
        (logs[lag:] - logs[:-lag]) ** 2 / MEDIAN_OF_SQUARE - variances[lag:] - variances[:-lag]
        for lag in lags
    ]
    return max(0.0, float(np.median(np.concatenate(bounds))) / 2) if logs.size > 1 else 0.0


def _confirmed(logs: Floats, variances: Floats) -> Fit:
    """The best segmentation, without the steps that may be chance; the weakest one goes first."""
    excess = excess_of_neighbours(logs, variances)
    fit = _fit(logs, variances, excess, _starts(logs, np.sqrt(variances + excess)))
    while fit.starts:
        tests = {at: abs(log) / se for at, log, se in fit.steps()}
        weakest = min(tests, key=tests.__getitem__)
        if tests[weakest] > stdtrit(fit.df, 1 - _tail(TEST_ERROR, logs.size)):
            break
        fit = _fit(logs, variances, fit.excess, [at for at in fit.starts if at != weakest])
    return fit


def _tail(error: float, runs: int) -> float:
    """The probability of either tail at each place."""
    return error / max(runs, LEAST_RUNS) / 2


def _starts(logs: Floats, sigmas: Floats) -> list[int]:
    """The first readings of the segments after the first one, in the best segmentation.

    The loss of a reading is the square of its standardised distance to the level, at most CAP². The
    search is exact but for the pitch of the levels: dynamic programming over the level of the last
    segment. P. Fearnhead and G. Rigaill, Changepoint detection in the presence of outliers, Journal
    of the American Statistical Association 114, 2019 (the biweight loss). The penalty of a step is
    the square of the normal quantile with SEARCH_ERROR shared by all places of a step.
    """
    levels = _levels(logs, float(sigmas.min()))
    losses = np.minimum(((logs[:, None] - levels) / sigmas[:, None]) ** 2, CAP**2)
    penalty = float(ndtri(_tail(SEARCH_ERROR, logs.size)) ** 2)
    is_start = np.zeros(losses.shape, dtype=np.bool_)
    best = np.zeros(logs.size, dtype=np.intp)
    total = losses[0]
    for at in range(1, logs.size):
        best[at] = total.argmin()
        with_step = total[best[at]] + penalty
        is_start[at] = total > with_step
        total = np.minimum(total, with_step) + losses[at]
    level = int(total.argmin())
    starts = []
    for at in range(logs.size - 1, 0, -1):
        if is_start[at, level]:
            starts.append(at)
            level = int(best[at])
    return starts[::-1]


def _levels(logs: Floats, sigma: float) -> Floats:
    """A grid with gaps where no reading is near."""
    pitch = PITCH * sigma
    near = np.arange(-round(REACH / PITCH), round(REACH / PITCH) + 1)
    levels: Floats = np.asarray(np.unique(np.rint(logs / pitch)[:, None] + near) * pitch)
    return levels


def _fit(logs: Floats, variances: Floats, excess: float, starts: Sequence[int]) -> Fit:
    """The levels of given segments: the means of the readings within CAP, weighed by 1/variance.

    excess: a first estimate, which tells the outliers.
    """
    sigmas = np.sqrt(variances + excess)
    bounds = list(pairwise([0, *starts, logs.size]))
    kept = np.concatenate([_near_level(logs[a:b], sigmas[a:b]) for a, b in bounds])
    df = max(1, int(kept.sum()) - len(bounds))
    segment = np.repeat(np.arange(len(bounds)), [b - a for a, b in bounds])[kept]
    found = _excess_of_residuals(logs[kept], variances[kept], segment, df)
    weights = 1 / (variances[kept] + found)
    totals = np.bincount(segment, weights)
    levels = np.bincount(segment, weights * logs[kept]) / totals
    return Fit(tuple(starts), found, tuple(levels.tolist()), tuple((1 / totals).tolist()), df)


def _near_level(logs: Floats, sigmas: Floats) -> Bools:
    """Which readings of a segment are within CAP of its level, the one with the least loss."""
    losses = np.minimum(((logs[:, None] - logs) / sigmas[:, None]) ** 2, CAP**2)
    level = logs[losses.sum(axis=0).argmin()]
    kept = np.zeros(logs.size, dtype=np.bool_)
    for _ in range(logs.size):
        near: Bools = np.abs(logs - level) <= CAP * sigmas
        if (near == kept).all() or not near.any():
            break
        kept = near
        level = np.average(logs[kept], weights=1 / sigmas[kept] ** 2)
    return kept


def _excess_of_residuals(
    logs: Floats, variances: Floats, segment: NDArray[np.intp], df: int
) -> float:
    """The variance beyond the own ones with which the sum of squared residuals is `df`.

    R. C. Paule and J. Mandel, Consensus values and weighting factors, Journal of Research of the
    National Bureau of Standards 87(5), 1982.
    """

    def squares(excess: float) -> float:
        weights = 1 / (variances + excess)
        levels = np.bincount(segment, weights * logs) / np.bincount(segment, weights)
        return float(np.sum(weights * (logs - levels[segment]) ** 2))

    if squares(0.0) <= df:
        return 0.0
    means = np.bincount(segment, logs) / np.bincount(segment)
    low, high = 0.0, float(np.sum((logs - means[segment]) ** 2)) / df
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if squares(middle) > df else (low, middle)
    return high
