"""How much estimates vary between sessions, and how well that is known. Pure.

Five sessions tell little about a variance. Cases may tell about each other's, but only by what is
independent. All ratios to one baseline contain the same effects of that baseline, so their
agreement is one piece of evidence. So the logarithm of a time is split: what all cases of a group
share in a session, and what is each case's own. The own parts inform each other (`moderate`). The
part of a shared baseline is estimated from itself alone. Effects that only some cases share are not
recognised.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import digamma, polygamma

# A smaller family of variances is not moderated: it says too little about each of them.
LEAST_FAMILY = 8
MOST_PRIOR_DF = 4.0
LEAST_SESSIONS = 3  # to tell a case's own part from the shared one
LEAST_GROUP = 5  # cases, with the baseline; in a smaller group the shared part is not recognised
# The median of N cases takes about this share over N of the variance of each (0.57 for N = 5).
TAKEN_BY_MEDIAN = 0.6

Floats = NDArray[np.float64]
Logs = Mapping[int, float]  # by session


class Part(NamedTuple):
    """One independent part of the variance of one session.

    expected: what the other cases of the family say about it; None without a family. The stopping
        rule uses it.
    """

    variance: float
    df: float
    expected: float | None = None


@dataclass
class Effects:
    """The parts of the variance of log latencies.

    logs: log latency by session, for each case.
    own: what is each case's own, moderated, unless the case is a baseline.
    shared: what the cases of a group share, by baseline.
    group_of: the baseline of each case of a split group.
    """

    logs: Mapping[str, Logs]
    own: dict[str, Part] = field(default_factory=dict)
    shared: dict[str, Part] = field(default_factory=dict)
    group_of: dict[str, str] = field(default_factory=dict)


def split(logs: Mapping[str, Logs], groups: Mapping[str, Collection[str]]) -> Effects:
    """Split the log latencies of each group with enough cases and sessions.

    groups: baseline -> its cases, itself included.
    """
    effects = Effects(logs)
    alone: dict[str, float] = {}
    for baseline, members in groups.items():
        known = [case_id for case_id in members if len(logs.get(case_id, ())) >= LEAST_SESSIONS]
        if len(known) < LEAST_GROUP or baseline not in known:
            continue
        deviations: dict[int, list[float]] = defaultdict(list)
        for case_id in known:
            mean = float(np.mean(list(logs[case_id].values())))
            for session, log in logs[case_id].items():
                deviations[session].append(log - mean)
        common = {session: float(np.median(found)) for session, found in deviations.items()}
        effects.shared[baseline] = _plain(common)
        for case_id in known:
            rest = {session: log - common[session] for session, log in logs[case_id].items()}
            alone[case_id] = _variance(rest) / (1 - TAKEN_BY_MEDIAN / len(known))
            effects.group_of[case_id] = baseline
    family = {i: alone[i] for i in sorted(alone.keys() - groups.keys())}
    effects.own = _moderated(family, {i: len(logs[i]) - 1 for i in family})
    typical = float(np.median(list(family.values()))) if len(family) >= LEAST_FAMILY else None
    for baseline in alone.keys() & groups.keys():
        variance = alone[baseline]
        expected = None if typical is None else max(variance, typical)
        effects.own[baseline] = Part(variance, len(logs[baseline]) - 1, expected)
    return effects


def of_latency(case_id: str, effects: Effects) -> tuple[Part, ...]:
    """The parts of the variance of a log latency."""
    if case_id in effects.own:
        return effects.own[case_id], effects.shared[effects.group_of[case_id]]
    return (_plain(effects.logs[case_id]),)


def of_ratios(
    baseline_of: Mapping[str, str], logs: Mapping[str, Logs], effects: Effects
) -> dict[str, tuple[Part, ...]]:
    """The parts of the variance of each log ratio.

    logs: the log ratios by session, for each case of `baseline_of`.
    """
    uses = Counter(baseline for case_id, baseline in baseline_of.items() if case_id != baseline)
    found: dict[str, tuple[Part, ...]] = {}
    pairs: list[str] = []
    for case_id, baseline in baseline_of.items():
        if case_id == baseline:
            found[case_id] = (Part(0.0, 1.0, 0.0),)
        elif effects.group_of.get(case_id) == baseline:
            found[case_id] = effects.own[case_id], effects.own[baseline]
        elif uses[baseline] == 1:
            pairs.append(case_id)
        else:
            found[case_id] = (_plain(logs[case_id]),)
    variances = {i: _variance(logs[i]) for i in pairs}
    moderated = _moderated(variances, {i: len(logs[i]) - 1 for i in pairs})
    return found | {case_id: (part,) for case_id, part in moderated.items()}


def _variance(logs: Logs) -> float:
    values = list(logs.values())
    return float(np.var(values, ddof=1)) if len(values) > 1 else float("nan")


def _plain(logs: Logs) -> Part:
    variance = _variance(logs)
    return Part(variance, max(len(logs) - 1, 1))


def _moderated(variances: Mapping[str, float], df: Mapping[str, int]) -> dict[str, Part]:
    moved = moderate(
        np.array(list(variances.values())), np.array([df[i] for i in variances], dtype=float)
    )
    return {
        case_id: Part(float(moved.variances[k]), float(moved.df[k]), moved.typical)
        for k, case_id in enumerate(variances)
    }


class Moderated(NamedTuple):
    """Variances and their degrees of freedom; `typical` is None if they were left as they are."""

    variances: Floats
    df: Floats
    typical: float | None


def moderate(variances: Floats, df: Floats) -> Moderated:
    """Variances of few degrees of freedom, each moved towards their common value.

    The empirical Bayes of G. K. Smyth, Linear models and empirical Bayes methods for assessing
    differential expression in microarray experiments, Statistical Applications in Genetics and
    Molecular Biology 3(1), 2004, sections 3 and 6.2. With five sessions a variance has four degrees
    of freedom. One variance says little; all cases of a run together say more. The prior counts
    for MOST_PRIOR_DF degrees of freedom at most, and for at most twice those of a case. A family
    smaller than LEAST_FAMILY has no prior.
    """
    known = np.isfinite(variances) & (variances > 0)
    if known.sum() < LEAST_FAMILY:
        return Moderated(variances, df, None)
    z = np.log(variances[known])
    half = df[known] / 2
    e = z - digamma(half) + np.log(half)
    spread = e.var(ddof=1) - float(np.mean(polygamma(1, half)))
    most_half = min(MOST_PRIOR_DF / 2, 2 * float(np.median(half)))
    prior_half = min(_inverse_trigamma(spread), most_half) if spread > 0 else most_half
    prior = np.exp(e.mean() + digamma(prior_half) - np.log(prior_half))
    prior_df = 2 * prior_half
    moved = (prior_df * prior + df * variances) / (prior_df + df)
    return Moderated(
        np.where(known, moved, variances),
        np.where(known, df + prior_df, df),
        float(np.median(variances[known])),
    )


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
