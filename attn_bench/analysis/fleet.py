"""The devices of a fleet beside each other: their costs, and where the order of modules changes.

Ratios never cross hosts: each is to a baseline of the same host, and only two ratios of one host
are divided by each other. Between hosts only orders are compared. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from math import exp, hypot, isfinite, log, sqrt
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtr, stdtrit

from attn_bench.analysis.estimates import CONFIDENCE, SINGLE_SESSION_DF
from attn_bench.model.axes import unusual_words
from attn_bench.model.case import PLAIN
from attn_bench.model.metrics import Interval
from attn_bench.model.row import Row

TAIL = 0.5 + CONFIDENCE / 2
FALSE_CHANGES = 0.05  # the expected share of false ones among the changes of order that are named
DRAWS, SEED = 1000, 0

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Figure:
    """The logarithm of a ratio.

    half: the half-width of its 95 % interval.
    df: the degrees of freedom that its interval has at least.
    """

    log: float
    half: float
    df: float

    @property
    def se(self) -> float:
        return self.half / float(stdtrit(self.df, TAIL))

    @property
    def interval(self) -> Interval:
        return Interval(exp(self.log), exp(self.log - self.half), exp(self.log + self.half))


@dataclass(frozen=True, slots=True)
class Cost:
    """What a module costs on one host.

    ratio: to the baseline.
    over_fastest: to the fastest module, by direct comparison; None if it is not known.
    """

    ratio: Figure
    over_fastest: Figure | None = None


# The modules at one shape or in one network, under one condition -> module -> its cost.
Costs = Mapping[str, Mapping[str, Cost]]


def costs_of(rows: Iterable[Row], baseline: str) -> dict[str, dict[str, Cost]]:
    """The known costs of one host, without those of the baseline and of plain networks."""
    found: dict[str, dict[str, Cost]] = {}
    for row in rows:
        ratio = _figure(row, "ratio")
        if ratio is not None and row.variant not in (baseline, PLAIN):
            cost = Cost(ratio, _figure(row, "over_fastest"))
            found.setdefault(subject_of(row), {})[name_of(row)] = cost
    return found


def subject_of(row: Row) -> str:
    """The network or shape of a row, and its unusual conditions; the same on every device."""
    conditions = unusual_words(row, lambda axis: axis.name != "device")
    return " ".join(filter(None, [row.backbone, row.shape_in_words, *conditions]))


def name_of(row: Row) -> str:
    """The module with its extent and its place."""
    return row.name if row.extent is None else f"{row.name} {row.extent}"


def _figure(row: Row, metric: str) -> Figure | None:
    """The figure of a row, also where it is too imprecise to be shown."""
    value, lo, hi = (getattr(row, metric + end) for end in ("", "_lo", "_hi"))
    if not lo or hi is None or not isfinite(hi):
        return None
    middle = value or sqrt(lo * hi)
    df = row.sessions - 1.0 if row.sessions and row.sessions > 1 else SINGLE_SESSION_DF
    return Figure(log(middle), max(log(middle / lo), log(hi / middle)), df)


def compare(one: Cost, other: Cost) -> Figure:
    """The ratio of two modules of one host, of which the narrower of two estimates counts.

    Both ratios contain the error of what they are to. It cancels, but it is counted here.
    """
    found = [_subtract(one.ratio, other.ratio)]
    if one.over_fastest is not None and other.over_fastest is not None:
        found.append(_subtract(one.over_fastest, other.over_fastest))
    return min(found, key=lambda figure: figure.half)


def _subtract(one: Figure, other: Figure) -> Figure:
    """The difference of two independent logarithms.

    Its degrees of freedom are those of B. L. Welch, The generalization of "Student's" problem when
    several different population variances are involved, Biometrika 34, 1947.
    """
    half = hypot(one.half, other.half)
    if not half:
        return Figure(one.log - other.log, 0.0, min(one.df, other.df))
    parts = (one.half**4 / one.df, other.half**4 / other.df)
    return Figure(one.log - other.log, half, half**4 / sum(parts))


# --- the order of modules -------------------------------------------------------------------------


class Pair(NamedTuple):
    """Two modules of one subject."""

    subject: str
    one: str
    other: str


@dataclass(frozen=True, slots=True)
class OrderChange:
    """A pair of modules whose order on one device is certainly not that on another.

    faster, slower: the order on `here`; on `there` it is the opposite.
    here_ratio, there_ratio: the slower over the faster one, on each device: above 1, and below 1.
    risk: the share of false ones that is expected among all changes as certain as this one.
    """

    subject: str
    faster: str
    slower: str
    here: str
    there: str
    here_ratio: Interval
    there_ratio: Interval
    risk: float


def find_order_changes(
    devices: Mapping[str, Costs], error: float = FALSE_CHANGES
) -> tuple[OrderChange, ...]:
    """The changes of order between any two devices, the surest first.

    That `a` is faster here and slower there is as certain as the less certain of both (R. L.
    Berger, Multiparameter hypothesis testing and acceptance sampling, Technometrics 24, 1982). Of
    all changes that are returned, at most `error` are expected to be false (Y. Benjamini and Y.
    Hochberg, Controlling the false discovery rate, J. R. Statist. Soc. B 57, 1995).
    """
    pairs = list_pairs(devices.values())
    orders = {name: _order(costs, pairs) for name, costs in devices.items()}
    candidates: list[tuple[float, int, str, str, bool]] = []
    tests = 0
    for here, there in combinations(devices, 2):
        for is_first in (True, False):
            risks = np.maximum(orders[here].risk(is_first), orders[there].risk(not is_first))
            tests += int(np.isfinite(risks).sum())
            likely = np.flatnonzero(risks <= error)
            candidates += [(float(risks[i]), int(i), here, there, is_first) for i in likely]
    candidates.sort()
    found: list[OrderChange] = []
    most = 1.0
    for rank in range(len(candidates), 0, -1):
        risk, at, here, there, is_first = candidates[rank - 1]
        most = min(most, risk * tests / rank)
        if most <= error:
            found.append(_describe(devices, pairs[at], (here, there), is_first, most))
    return tuple(reversed(found))


def _describe(
    devices: Mapping[str, Costs], pair: Pair, where: tuple[str, str], is_first: bool, risk: float
) -> OrderChange:
    faster, slower = (pair.one, pair.other) if is_first else (pair.other, pair.one)
    here, there = where
    ratios = []
    for device in where:
        costs = devices[device][pair.subject]
        ratios.append(compare(costs[slower], costs[faster]).interval)
    return OrderChange(pair.subject, faster, slower, here, there, ratios[0], ratios[1], risk)


def list_pairs(tables: Iterable[Costs]) -> list[Pair]:
    """All pairs of modules of each subject."""
    modules: dict[str, dict[str, None]] = {}
    for costs in tables:
        for subject, known in costs.items():
            modules.setdefault(subject, {}).update(dict.fromkeys(known))
    return [
        Pair(subject, one, other)
        for subject, names in modules.items()
        for one, other in combinations(names, 2)
    ]


@dataclass(frozen=True, slots=True)
class _Order:
    """The risks of one host, for each pair, that the first module is not the faster, or slower."""

    faster: Floats
    slower: Floats

    def risk(self, is_faster: bool) -> Floats:
        return self.faster if is_faster else self.slower


def _order(costs: Costs, pairs: Sequence[Pair]) -> _Order:
    """The one-sided probabilities of Student's t; NaN for a pair that is not known."""
    found = np.full((3, len(pairs)), np.nan)
    for i, (subject, one, other) in enumerate(pairs):
        known = costs.get(subject, {})
        if one in known and other in known:
            ratio = compare(known[one], known[other])
            if ratio.half:
                found[:, i] = ratio.log, ratio.se, ratio.df
    logs, errors, df = found
    faster: Floats = stdtr(df, logs / errors)
    slower: Floats = stdtr(df, -logs / errors)
    return _Order(faster, slower)


# --- rank agreement -------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Agreement:
    """How far two devices have the modules in the same order.

    tau: 1 for the same order, 0 for unrelated ones, -1 for the opposite.
    pairs: the pairs of modules that both know.
    """

    here: str
    there: str
    tau: Interval
    pairs: int


def find_agreements(
    devices: Mapping[str, Costs], draws: int = DRAWS, seed: int = SEED
) -> tuple[Agreement, ...]:
    """Kendall's tau of each two devices, over the pairs of modules of each subject.

    M. G. Kendall, A new measure of rank correlation, Biometrika 30, 1938. The interval is from
    `draws` sets of ratios, drawn around the estimates with their errors (Student's t).
    """
    pairs = list_pairs(devices.values())
    generator = np.random.default_rng(seed)
    signs = {name: _signs(costs, pairs, draws, generator) for name, costs in devices.items()}
    found = []
    for here, there in combinations(devices, 2):
        both = np.flatnonzero((signs[here][0] != 0) & (signs[there][0] != 0))
        if both.size:
            products = signs[here][:, both] * signs[there][:, both]
            value, *others = products.mean(axis=1, dtype=float)
            tau = _interval(float(value), np.array(others))
            found.append(Agreement(here, there, tau, int(both.size)))
    return tuple(found)


def _interval(value: float, drawn: Floats) -> Interval:
    """The estimate of tau with its 95 % interval.

    Errors move tau towards 0, in proportion to their standard deviation. The drawn values have the
    error twice, so they moved by sqrt(2) - 1 times as much again as the estimate did. So the true
    value is expected on the other side of the estimate. The interval reaches from there, and from
    the drawn values, as far as these scatter.
    """
    mean = float(drawn.mean())
    least, most = map(float, np.quantile(drawn, [1 - TAIL, TAIL]))
    true = value + (value - mean) / (sqrt(2) - 1)
    lo = min(value, least, true - (most - mean))
    hi = max(value, most, true + (mean - least))
    return Interval(value, max(lo, -1.0), min(hi, 1.0))


def _signs(
    costs: Costs, pairs: Sequence[Pair], draws: int, generator: np.random.Generator
) -> NDArray[np.int8]:
    """Which of each pair is faster: by the estimates, then by each draw; 0 if it is not known."""
    places: dict[tuple[str, str], int] = {}
    figures: list[Figure] = []
    for subject, known in costs.items():
        for name, cost in known.items():
            places[subject, name] = len(figures)
            figures.append(cost.ratio)
    signs = np.zeros((draws + 1, len(pairs)), dtype=np.int8)
    if not figures:
        return signs
    logs, errors, df = np.array([(f.log, f.se, f.df) for f in figures]).T
    drawn = logs + errors * generator.standard_t(df, size=(draws, len(figures)))
    values = np.vstack([logs, drawn])
    for i, (subject, one, other) in enumerate(pairs):
        if (subject, one) in places and (subject, other) in places:
            signs[:, i] = np.sign(
                values[:, places[subject, one]] - values[:, places[subject, other]]
            )
    return signs
