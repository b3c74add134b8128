"""The limits of `recommend`: `+10%`, `1.5x`, `80ms`, `30M`, `512MiB`. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import inf
from typing import Literal

from attn_bench.model.metrics import LIMITS, METRIC, Interval, Metric
from attn_bench.model.row import Row

Fit = Literal["yes", "no", "unclear", "unknown"]
# A copy of the input has these; it has neither parameters nor arithmetic.
MODULE_HAS = ("latency", "memory")
NAMES: tuple[str, ...] = tuple(LIMITS)

SI = {"": 1.0, "k": 1e3, "M": 1e6, "G": 1e9}
UNITS: Mapping[str, Mapping[str, float]] = {
    "µs": {"us": 1.0, "µs": 1.0, "μs": 1.0, "ms": 1e3, "s": 1e6},
    "": SI,
    "bytes": {
        **{"B": 1.0, "kB": 1e3, "KB": 1e3, "MB": 1e6, "GB": 1e9},
        **{"KiB": 2.0**10, "MiB": 2.0**20, "GiB": 2.0**30},
    },
}


@dataclass(frozen=True, slots=True)
class Limit:
    """The largest value that a metric may have.

    most: in µs, bytes or a number; if is_relative, a multiple of the baseline's value.

    metric: the name of a limit (`model.metrics.LIMITS`).
    of_training: whether it limits a training step beside a limit of inference.

    >>> Limit.read("latency", "+10%")
    Limit(metric='latency', most=1.1, is_relative=True, text='+10%', of_training=False)
    >>> Limit.read("memory", "1.5 GiB").most
    1610612736.0
    >>> Limit.read("latency", "10%")
    Traceback (most recent call last):
    ValueError: '10%' is not a valid limit (did you mean +10%?)
    """

    metric: str
    most: float
    is_relative: bool
    text: str
    of_training: bool = False

    @classmethod
    def read(cls, metric: str, text: str) -> Limit:
        """The limit that `text` describes. Raises ValueError if it is not a limit."""
        found = re.fullmatch(r"\s*([+-]?)\s*([0-9.]+(?:e[+-]?[0-9]+)?)\s*([%×\w]*)\s*", text)
        try:
            number = float(found[2]) if found else -1.0
        except ValueError:
            number = -1.0
        if found is None or not 0 <= number < 1e15:
            raise ValueError(
                f"{text!r} is not a valid limit (+10%, 1.1x or {LIMITS[metric].example})"
            )
        sign, unit = found[1], found[3]
        if unit == "%":
            if sign != "+":
                raise ValueError(f"{text!r} is not a valid limit (did you mean +{found[2]}%?)")
            return cls(metric, 1 + number / 100, True, text.strip())
        if sign or (number == 0 and metric in MODULE_HAS):
            raise ValueError(
                f"{text!r} is not a valid limit (+10%, 1.1x or {LIMITS[metric].example})"
            )
        if unit in ("x", "×"):
            return cls(metric, number, True, text.strip())
        known = UNITS[LIMITS[metric].unit]
        if unit not in known:
            complaint = f"unknown unit {unit!r}" if unit else "a unit is missing"
            raise ValueError(
                f"{text!r}: {complaint} ({', '.join(u for u in known if u)}, +10% or 1.1x)"
            )
        return cls(metric, number * known[unit], False, text.strip())

    def __str__(self) -> str:
        return f"{self.name} {self.text}"

    @property
    def name(self) -> str:
        return f"training {self.metric}" if self.of_training else self.metric

    @property
    def of(self) -> Metric:
        return LIMITS[self.metric]

    @property
    def is_of_ratio(self) -> bool:
        """Whether it limits the paired ratio to the baseline: a relative limit of latency."""
        return self.is_relative and self.of is LIMITS["latency"]

    def interval(self, row: Row, baseline: Row | None) -> Interval | None:
        """The row's value with its interval, as the limit takes it; None if it is unknown.

        An exact metric is its own interval. A relative limit of a timed metric without paired
        ratios divides by the baseline's estimate.
        """
        if self.is_relative and row is baseline:
            return Interval(1.0, 1.0, 1.0)
        if self.is_of_ratio:
            return known_interval(row, "ratio")
        value = getattr(row, self.of.name)
        found = known_interval(row, self.of.name) if self.of.kind == "timed" else None
        if self.of.kind != "timed" and value is not None:
            found = Interval(value, value, value)
        of = getattr(baseline, self.of.name, None) if self.is_relative else 1.0
        if found is None or of is None:
            return None
        if of == 0:
            return Interval(inf, inf, inf) if found.value else Interval(1.0, 1.0, 1.0)
        return Interval(*found.times(1 / of))

    def fit(self, row: Row, baseline: Row | None) -> Fit:
        """Whether the row keeps the limit; a timed metric is judged by its interval."""
        found = self.interval(row, baseline)
        if found is None:
            return "unknown"
        if found.hi <= self.most:
            return "yes"
        return "no" if found.lo > self.most else "unclear"

    def excess(self, row: Row, baseline: Row | None) -> float | None:
        """The row's value as a multiple of the limit; None if it is unknown."""
        found = self.interval(row, baseline)
        if found is None:
            return None
        return found.value / self.most if self.most else inf if found.value else 1.0


def has_meaning(limit: Limit, *, is_network: bool) -> bool:
    """Whether the baseline has the metric of a relative limit."""
    return is_network or not limit.is_relative or limit.metric in MODULE_HAS


def known_interval(row: Row, metric: str) -> Interval | None:
    """The interval of a timed metric, also where the row withholds its middle as too imprecise."""
    lo, hi = (getattr(row, str(end)) for end in (METRIC[metric].lo, METRIC[metric].hi))
    return row.interval(metric) or (None if lo is None else Interval((lo + hi) / 2, lo, hi))


def worst(fits: Iterable[Fit]) -> Fit:
    """The worst of several fits: no, then unknown, then unclear, then yes.

    >>> worst(["yes", "unclear"]), worst(["unclear", "no"]), worst([])
    ('unclear', 'no', 'yes')
    """
    return max(fits, key=("yes", "unclear", "unknown", "no").index, default="yes")
