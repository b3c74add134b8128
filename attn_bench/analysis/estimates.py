"""From raw blocks to figures with intervals and paired ratios; each formula is cited. Pure.

Within a session, `location` gives one value. Between sessions, a figure is the mean of these. The
session is the unit of replication: each process has its own placement of memory, and its rounds
depend on each other. What cases share is estimated once, from itself: see `variances`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from scipy.special import stdtrit

from attn_bench.analysis import variances
from attn_bench.analysis.location import Location, Rounds, Sample, locate
from attn_bench.analysis.variances import Effects, Part
from attn_bench.model.metrics import DEVICE_CLOCKS, TIMED, DeviceClock, Interval
from attn_bench.model.run import Block

CONFIDENCE = 0.95
FAMILY_ERROR = 0.01  # the chance that any interval of a check misses the true ratio
WARM_UP_ROUNDS = 1  # of each session: stored like the others, but part of no figure
DRIFT_ROUNDS = 15  # of a session, to compare its beginning with the rest

# The standard deviation of logarithms between sessions, of paired ratios and of latencies. It is
# used if only one session exists, so that it cannot be estimated. Measured on a shared 2-core
# machine: 0.3 to 0.8 % for ratios of identical modules, and 1 to 5 % for latencies in huge pages.
RATIO_SD, LATENCY_SD = 0.01, 0.05
SINGLE_SESSION_DF = 2.0
BLIND = 10.0  # a logarithm: what is not known to a factor of 20,000 is not known
SCATTER_DF = 30.0  # of a variance between many rounds

Sessions = Mapping[int, Rounds]


@dataclass(frozen=True, slots=True)
class Estimate:
    """A mean over sessions on the logarithmic scale, with its uncertainty.

    parts: the independent parts of the variance of the mean, each with its degrees of freedom.
    expected_se: the standard error that the other cases lead one to expect; without a family of
        cases, that of RATIO_SD. It decides when to stop, because it does not depend on whether the
        few sessions of this case happen to agree.
    within: the part of the variance that the scatter of rounds explains; more rounds reduce it.
    shorter, longer: how far the true value may lie below or above, as a fraction, if threads that
        waited for a core delayed it; equal waiting of a case and its baseline cancels.
    """

    log: float
    parts: tuple[tuple[float, float], ...]
    expected_se: float
    within: float = 0.0
    sessions: int = 1
    shorter: float = 0.0
    longer: float = 0.0

    @property
    def se(self) -> float:
        return float(np.sqrt(sum(variance for variance, _ in self.parts)))

    def interval(self, scale: float = 1.0, confidence: float = CONFIDENCE) -> Interval:
        """The interval back on the original scale, times `scale`."""
        half = min(self.half_width(confidence), BLIND)
        lo, value, hi = np.exp([self.log - half, self.log, self.log + half]) * scale
        return Interval(
            float(value), float(lo) * max(0.0, 1 - self.shorter), float(hi) * (1 + self.longer)
        )

    def half_width(self, confidence: float = CONFIDENCE) -> float:
        """The half-width of the two-sided interval of `log`.

        Each part has Student's t with the degrees of freedom of that part. S. Banerjee, Approximate
        confidence interval for linear functions of means of k populations when the population
        variances are not equal, Sankhyā 22, 1960: the interval holds the truth at least that often.
        """
        tail = 0.5 + confidence / 2
        return float(np.sqrt(sum(stdtrit(df, tail) ** 2 * part for part, df in self.parts)))

    def is_within(self, precision: float) -> bool:
        """Whether the interval is at most ± `precision` wide, and not by chance alone."""
        if not self.se:
            return not self.expected_se
        half = self.half_width() * max(1.0, self.expected_se / self.se)
        return half + max(self.shorter, self.longer) <= precision

    def differs_from(self, ratio: float, error: float) -> bool:
        """Whether the true value is on the estimate's side of `ratio`; `error` is the risk."""
        found = self.interval(confidence=1 - 2 * error)
        return not found.lo <= ratio <= found.hi


class Timings:
    """The blocks of a run up to now: case -> session -> round -> sample."""

    def __init__(self, blocks: Iterable[Block] = ()) -> None:
        self._kept: dict[str, dict[str, dict[int, dict[int, list[Sample]]]]] = {
            metric.name: {} for metric in TIMED
        }
        self._calls = self._kept["latency_us"]
        self._clocks: dict[str, set[DeviceClock]] = defaultdict(set)
        for block in blocks:
            self.add(block)

    def add(self, block: Block) -> None:
        if block.round < WARM_UP_ROUNDS:
            return
        if block.device_clock is not None:
            self._clocks[block.case_id].add(block.device_clock)
        for metric in TIMED:
            seconds = metric.sample(block) if metric.sample else None
            if seconds is not None:
                waited = min(1.0, max(0.0, block.waited_s or 0.0) / block.seconds)
                sessions = self._kept[metric.name].setdefault(block.case_id, {})
                rounds = sessions.setdefault(block.session, {})
                rounds.setdefault(block.round, []).append(Sample(seconds / block.calls, waited))

    def rounds(self, case_id: str) -> int:
        return sum(len(rounds) for rounds in self._calls.get(case_id, {}).values())

    def sessions(self, case_id: str) -> int:
        return len(self._calls.get(case_id, {}))

    def device_clock(self, case_id: str) -> DeviceClock | None:
        """How the device was timed in the worst of the case's blocks; None if it was not timed."""
        return max(self._clocks.get(case_id, ()), key=DEVICE_CLOCKS.index, default=None)

    def drift(self) -> float | None:
        """How much slower the first fifth of a session's rounds was than the rest, as a fraction.

        It is the median over cases, of the session with the largest value. None if no case has
        DRIFT_ROUNDS rounds.
        """
        logs: dict[int, list[float]] = {}
        for sessions in self._calls.values():
            for number, rounds in sessions.items():
                if len(rounds) >= DRIFT_ROUNDS:
                    seconds = np.log([rounds[round_][0].seconds for round_ in sorted(rounds)])
                    first = seconds.size // 5
                    change = np.median(seconds[:first]) - np.median(seconds[first:])
                    logs.setdefault(number, []).append(float(change))
        if not logs:
            return None
        return float(np.expm1(max(np.median(changes) for changes in logs.values())))

    def latencies(
        self, baseline_of: Mapping[str, str], metric: str = "latency_us"
    ) -> dict[str, Estimate]:
        """A timed metric in seconds, by case; empty if it was not measured.

        baseline_of: the cases; those of one baseline run next to each other and share a part of
            what differs between sessions.
        """
        located = self._located(baseline_of, metric)
        effects = _effects_by_group(located, baseline_of)
        return {
            case_id: _estimate(located[case_id], variances.of_latency(case_id, effects), LATENCY_SD)
            for case_id in baseline_of
            if case_id in located
        }

    def ratios(self, baseline_of: Mapping[str, str]) -> dict[str, Estimate]:
        """Latency over the baseline's latency, by case, from blocks of the same rounds.

        A machine that slows down for a while slows both blocks down. Logarithms treat a ratio and
        its inverse alike.
        """
        pairs = {
            case_id: found
            for case_id, baseline_id in baseline_of.items()
            if (found := self._locate_pair(case_id, baseline_id))
        }
        baseline_of = {case_id: baseline_of[case_id] for case_id in pairs}
        alone = self._located(baseline_of, "latency_us")
        effects = _effects_by_group(alone, baseline_of)
        logs = {case_id: _logs(located) for case_id, located in pairs.items()}
        parts = variances.of_ratios(baseline_of, logs, effects)
        for case_id in pairs.keys() & effects.own.keys():
            # Fewer rounds are undisturbed in both blocks of a pair than in each of them.
            apart = _scatter(alone[case_id]) + _scatter(alone[baseline_of[case_id]])
            more = max(0.0, _scatter(pairs[case_id]) - apart)
            parts[case_id] = (*parts[case_id], Part(more, SCATTER_DF, more))
        return {i: _estimate(located, parts[i], RATIO_SD) for i, located in pairs.items()}

    def _locate_pair(self, case_id: str, baseline_id: str) -> dict[int, Location]:
        """The locations of a ratio by session; that of a case to itself is exactly 1."""
        if case_id == baseline_id:
            alone = _locate(self._calls.get(case_id, {}))
            return dict.fromkeys(alone, Location(0.0, 0.0, 0.0))
        return _locate(self._calls.get(case_id, {}), self._calls.get(baseline_id, {}))

    def _located(
        self, baseline_of: Mapping[str, str], metric: str
    ) -> dict[str, Mapping[int, Location]]:
        return {
            case_id: found
            for case_id in {*baseline_of, *baseline_of.values()}
            if (found := _locate(self._kept[metric].get(case_id, {})))
        }


def _locate(sessions: Sessions, of: Sessions | None = None) -> dict[int, Location]:
    """The locations by session, of the sessions with enough rounds."""
    found = {}
    for session in sorted(sessions.keys() if of is None else sessions.keys() & of.keys()):
        if located := locate(sessions[session], None if of is None else of[session]):
            found[session] = located
    return found


def _scatter(located: Mapping[int, Location]) -> float:
    """The variance of a location that the scatter of rounds explains; the mean over sessions."""
    return float(np.mean([at.variance for at in located.values()]))


def _logs(located: Mapping[int, Location]) -> dict[int, float]:
    return {session: at.log for session, at in located.items()}


def _effects_by_group(
    located: Mapping[str, Mapping[int, Location]], baseline_of: Mapping[str, str]
) -> Effects:
    groups: dict[str, set[str]] = defaultdict(set)
    for case_id, baseline_id in baseline_of.items():
        groups[baseline_id] |= {case_id, baseline_id}
    return variances.split({i: _logs(found) for i, found in located.items()}, groups)


def _estimate(
    located: Mapping[int, Location], parts: tuple[Part, ...], single_sd: float
) -> Estimate:
    """The mean over sessions. Its variance is the sum of `parts`, unless there is one session."""
    count = len(located)
    within = _scatter(located)
    waited = float(np.mean([at.waited for at in located.values()]))
    if count == 1 and within:
        alone = single_sd**2 + within
        parts = (Part(alone, SINGLE_SESSION_DF),)
    variance = sum(part.variance for part in parts)
    if count == 2 and variance < within:  # two sessions may agree by chance
        parts = (*parts, Part(within - variance, SCATTER_DF))
        variance = within
    typical = [part.expected for part in parts if part.expected is not None]
    if not variance and not within:  # a case that is its own baseline
        expected = 0.0
    elif len(typical) < len(parts):
        expected = RATIO_SD**2 + within
    else:
        expected = max(sum(typical), within)
    return Estimate(
        log=float(np.mean([at.log for at in located.values()])),
        parts=tuple((part.variance / count, part.df) for part in parts),
        expected_se=float(np.sqrt(expected / count)),
        within=within / count,
        sessions=count,
        shorter=max(0.0, waited),
        longer=1 / (1 - min(-waited, 0.99)) - 1 if waited < 0 else 0.0,
    )
