"""What a budget and a number of sessions will reach, from the variances of a run. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import sqrt

import numpy as np

from attn_bench.analysis.estimates import Estimate, Timings
from attn_bench.model.run import Needs

SHARE = 0.9  # of the cases that must be precise enough
MORE_BUDGET = tuple(1.25**k for k in range(25))  # factors: up to 200 times
MORE_SESSIONS = (1.0, 1.6, 2.4, 4.0, 6.0)
MOST_SESSIONS = 30


@dataclass(frozen=True, slots=True)
class Forecast:
    """The variances of the ratios of a run, and what it spent.

    estimates: of the ratios that are not 1 by definition.
    """

    estimates: tuple[Estimate, ...]
    budget_s: float
    sessions: int

    def half_widths(self, budget_s: float, sessions: int) -> tuple[float, ...]:
        """The expected half-width of each ratio's interval, as a fraction.

        More rounds reduce the scatter within sessions; only more sessions reduce the variance
        between them.
        """
        found = []
        for one in self.estimates:
            variance = one.se**2 * one.sessions
            within = min(variance, one.within * one.sessions)
            rounds = budget_s / self.budget_s * self.sessions / sessions
            more = max(sessions - 1, 0.5) / max(one.sessions - 1, 0.5)
            parts = tuple((part, df * more) for part, df in one.parts)
            kept = (variance - within + within / rounds) / variance if variance else 1.0
            half = replace(one, parts=parts).half_width()
            found.append(half * sqrt(kept * one.sessions / sessions))
        return tuple(found)

    def reaches(self, budget_s: float, sessions: int) -> float:
        """The half-width that SHARE of the ratios will have at most."""
        return float(np.quantile(self.half_widths(budget_s, sessions), SHARE))

    def needs(self, precision: float) -> Needs | None:
        """The least budget for `precision`; None if no number of sessions is enough."""
        for more in MORE_SESSIONS:
            sessions = min(MOST_SESSIONS, round(self.sessions * more))
            for factor in MORE_BUDGET:
                if self.reaches(self.budget_s * factor, sessions) <= precision:
                    return Needs(precision, self.budget_s * factor, sessions)
        return None


def make_forecast(
    timings: Timings, baseline_of: Mapping[str, str], budget_s: float, sessions: int
) -> Forecast | None:
    """A forecast from the ratios measured so far; None without any."""
    compared = {i: baseline for i, baseline in baseline_of.items() if i != baseline}
    estimates = tuple(timings.ratios(compared).values())
    return Forecast(estimates, budget_s, sessions) if estimates and budget_s > 0 else None
