"""From raw blocks to figures with intervals and paired ratios; each formula is cited.

Within a session, a figure is a median over rounds: a shared machine delays some blocks by any
amount but never speeds one up. Between sessions, it is a mean. The session is the unit of
replication: each process has its own memory layout, and its rounds depend on each other.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.special import digamma, polygamma, stdtr, stdtrit

from attn_bench.model.metrics import TIMED, Interval
from attn_bench.model.run import Block

CONFIDENCE = 0.95
FAMILY_ERROR = 0.01  # the chance that a run calls any case slower or faster although none is
WARM_UP_ROUNDS = 1  # of each session: stored like the others, but part of no figure
DRIFT_ROUNDS = 15  # of a session, to compare its beginning with the rest
LEAST_ROUNDS = 3  # of a session, for its median to count; a case without such a session is skipped

# The standard deviation of logarithms between sessions, of paired ratios and of latencies. It is
# used if only one session exists, so that it cannot be estimated. Measured on a shared 2-core
# machine: 0.6 to 0.8 % for ratios of identical modules; for latencies, a factor of 1.9 between the
# extremes of twelve processes.
RATIO_SD, LATENCY_SD = 0.01, 0.2
SINGLE_SESSION_DF = 2.0

# A smaller family of variances is not moderated: it says too little about each of them.
LEAST_FAMILY = 8
MOST_PRIOR_DF = 8.0

Floats = NDArray[np.float64]
Sessions = Mapping[int, Mapping[int, float]]


@dataclass(frozen=True, slots=True)
class Estimate:
    """A mean over sessions on the logarithmic scale, with its uncertainty.

    between: the variance between the medians of the sessions.
    within: the part of it that the scatter of rounds within a session explains.
    expected_se: the standard error that follows from the scatter within sessions and from the
        variance between sessions that all cases share. It decides when to stop, because it
        hardly depends on whether the few sessions of this case happen to agree.
    """

    log: float
    se: float
    df: float
    expected_se: float
    between: float
    within: float

    def interval(self, scale: float = 1.0) -> Interval:
        """The 95 % interval (Student's t) back on the original scale, times `scale`."""
        half = self._quantile() * self.se
        lo, value, hi = np.exp([self.log - half, self.log, self.log + half]) * scale
        return Interval(float(value), float(lo), float(hi))

    def is_within(self, precision: float) -> bool:
        """Whether the interval is at most ± `precision` wide, and not by chance alone."""
        return self.safe_half_width() <= precision

    def safe_half_width(self) -> float:
        """The half-width of the interval of `log`, or the expected half-width if that is larger."""
        return self._quantile() * max(self.se, self.expected_se)

    def p_value(self) -> float:
        """The two-sided p-value of the hypothesis that the ratio is 1."""
        if self.se == 0:
            return float(self.log == 0)
        return 2 * float(stdtr(self.df, -abs(self.log) / self.se))

    def differs_from(self, ratio: float, error: float) -> bool:
        """Whether the true value is on the estimate's side of `ratio`; `error` is the risk."""
        return replace(self, log=self.log - float(np.log(ratio))).p_value() < 2 * error

    def _quantile(self) -> float:
        return float(stdtrit(self.df, 0.5 + CONFIDENCE / 2))


class Timings:
    """The blocks of a run up to now: case -> session -> round -> seconds."""

    def __init__(self, blocks: Iterable[Block] = ()) -> None:
        self._kept: dict[str, dict[str, dict[int, dict[int, float]]]] = {m.name: {} for m in TIMED}
        self._calls = self._kept["latency_us"]
        for block in blocks:
            self.add(block)

    def add(self, block: Block) -> None:
        if block.round < WARM_UP_ROUNDS:
            return
        for metric in TIMED:
            seconds = metric.sample(block) if metric.sample else None
            if seconds is not None:
                sessions = self._kept[metric.name].setdefault(block.case_id, {})
                sessions.setdefault(block.session, {})[block.round] = seconds / block.calls

    def rounds(self, case_id: str) -> int:
        return sum(len(rounds) for rounds in self._calls.get(case_id, {}).values())

    def sessions(self, case_id: str) -> int:
        return len(self._calls.get(case_id, {}))

    def latencies_us(self) -> dict[str, Interval]:
        """The time that a caller waits for one call, by case."""
        return self.intervals("latency_us")

    def intervals(self, metric: str) -> dict[str, Interval]:
        """A timed metric in µs, by case; empty if it was not measured."""
        return _latencies_us(self._kept[metric])

    def drift(self) -> float | None:
        """How much slower the first fifth of a session's rounds was than the rest, as a fraction.

        It is the median over cases, of the session with the largest value. None if no case has
        DRIFT_ROUNDS rounds.
        """
        logs: dict[int, list[float]] = {}
        for sessions in self._calls.values():
            for number, rounds in sessions.items():
                if len(rounds) >= DRIFT_ROUNDS:
                    seconds = np.log([rounds[round_] for round_ in sorted(rounds)])
                    first = seconds.size // 5
                    change = np.median(seconds[:first]) - np.median(seconds[first:])
                    logs.setdefault(number, []).append(float(change))
        if not logs:
            return None
        return float(np.expm1(max(np.median(changes) for changes in logs.values())))

    def ratios(self, baseline_of: Mapping[str, str]) -> dict[str, Estimate]:
        """Latency over the baseline's latency, by case, from blocks of the same round.

        A machine that slows down for a while slows both blocks down. Logarithms treat a ratio and
        its inverse alike.
        """
        logs = {
            case_id: _pair_logs(self._calls.get(case_id, {}), self._calls.get(baseline_id, {}))
            for case_id, baseline_id in baseline_of.items()
        }
        return _estimates(logs, RATIO_SD)


def _pair_logs(mine: Sessions, theirs: Sessions) -> list[Floats]:
    return [
        np.log([mine[s][r] / theirs[s][r] for r in sorted(mine[s].keys() & theirs[s].keys())])
        for s in sorted(mine.keys() & theirs.keys())
    ]


def _latencies_us(timings: Mapping[str, Sessions]) -> dict[str, Interval]:
    logs = {
        case_id: [np.log(list(rounds.values())) for rounds in sessions.values()]
        for case_id, sessions in timings.items()
    }
    return {case_id: one.interval(1e6) for case_id, one in _estimates(logs, LATENCY_SD).items()}


def _estimates(logs: Mapping[str, Sequence[Floats]], single_sd: float) -> dict[str, Estimate]:
    """An estimate for each case with rounds; their variances are moderate together."""
    ids, means, counts, between, within = [], [], [], [], []
    for case_id, sessions in logs.items():
        counted = [session for session in sessions if session.size >= LEAST_ROUNDS]
        if counted:
            medians = [float(np.median(session)) for session in counted]
            ids.append(case_id)
            means.append(float(np.mean(medians)))
            counts.append(len(counted))
            between.append(float(np.var(medians, ddof=1)) if len(medians) > 1 else np.nan)
            within.append(float(np.mean([_variance_of_median(s) for s in counted])))
    count = np.array(counts, dtype=float)
    variance, df = moderate(np.array(between), count - 1)
    alone = count == 1
    inside = np.array(within)
    variance = np.where(alone, single_sd**2 + inside, variance)
    df = np.where(alone, SINGLE_SESSION_DF, df)
    excess = (np.array(between) - inside)[(~alone) & (np.array(between) > 0)]
    common = max(float(np.median(excess)), 0.0) if excess.size >= LEAST_FAMILY else single_sd**2
    # A case that is its own baseline has zero variance.
    expected = np.where((inside == 0) & (variance == 0), 0.0, common + inside)
    return {
        case_id: Estimate(
            log=means[i],
            se=float(np.sqrt(variance[i] / count[i])),
            df=float(df[i]),
            expected_se=float(np.sqrt(expected[i] / count[i])),
            between=between[i],
            within=within[i],
        )
        for i, case_id in enumerate(ids)
    }


def _variance_of_median(values: Floats) -> float:
    """π/2 · σ²/n, with σ from the quartiles: robust against single delayed blocks."""
    low, high = np.percentile(values, [25, 75])
    return float(np.pi / 2 * ((high - low) / 1.349) ** 2 / values.size)


def moderate(variances: Floats, df: Floats) -> tuple[Floats, Floats]:
    """Variances of few degrees of freedom, each moved towards their common value.

    The empirical Bayes of G. K. Smyth, Linear models and empirical Bayes methods for assessing
    differential expression in microarray experiments, Statistical Applications in Genetics and
    Molecular Biology 3(1), 2004, sections 3 and 6.2. With five sessions a variance has four degrees
    of freedom. One variance says little; all cases of a run together say more. The prior counts
    for MOST_PRIOR_DF degrees of freedom at most. A family smaller than LEAST_FAMILY has no prior.

    Returns the variances and their degrees of freedom.
    """
    known = np.isfinite(variances) & (variances > 0)
    if known.sum() < LEAST_FAMILY:
        return variances, df
    z = np.log(variances[known])
    half = df[known] / 2
    e = z - digamma(half) + np.log(half)
    spread = e.var(ddof=1) - float(np.mean(polygamma(1, half)))
    if spread > 0:
        prior_half = min(_inverse_trigamma(spread), MOST_PRIOR_DF / 2)
    else:
        prior_half = MOST_PRIOR_DF / 2
    prior = np.exp(e.mean() + digamma(prior_half) - np.log(prior_half))
    prior_df = 2 * prior_half
    moved = (prior_df * prior + df * variances) / (prior_df + df)
    return np.where(known, moved, variances), np.where(known, df + prior_df, df)


def _inverse_trigamma(x: float) -> float:
    """Newton's method on 1/trigamma, which is convex (Smyth 2004, appendix)."""
    y = 0.5 + 1 / x
    for _ in range(50):
        trigamma = float(polygamma(1, y))
        step = trigamma * (1 - trigamma / x) / float(polygamma(2, y))
        y += step
        if abs(step) < 1e-8 * y:
            break
    return y


def holm(p_values: Mapping[str, float], error: float = FAMILY_ERROR) -> set[str]:
    """The keys whose differences are real; the chance that any is not is at most `error`.

    S. Holm, A simple sequentially rejective multiple test procedure, Scandinavian Journal of
    Statistics 6(2), 1979.

    >>> sorted(holm({"a": 0.001, "b": 0.004, "c": 0.006, "d": 0.5}, error=0.01))
    ['a']
    """
    rejected: set[str] = set()
    for rank, (case_id, p) in enumerate(sorted(p_values.items(), key=lambda item: item[1])):
        if p > error / (len(p_values) - rank):
            break
        rejected.add(case_id)
    return rejected
