"""What a budget and a number of sessions will reach, from the variances of a run. Pure.

Only ratios are forecast: a latency is known better than its ratio.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from math import sqrt

import numpy as np

from attn_bench.analysis.estimates import WARM_UP_ROUNDS, Estimate, Timings
from attn_bench.model.run import Block, Needs

SHARE = 0.9  # of the cases that must be precise enough
MORE_BUDGET = tuple(1.25**k for k in range(25))  # factors: up to 200 times
MORE_SESSIONS = (1.0, 1.6, 2.4, 4.0, 6.0)
MOST_SESSIONS = 30


@dataclass(frozen=True, slots=True)
class Forecast:
    """The variances of the ratios of a run, and the part of a budget that they took.

    estimates: of the ratios that are not 1 by definition.
    """

    estimates: tuple[Estimate, ...]
    budget_s: float

    @property
    def sessions(self) -> int:
        return max(estimate.sessions for estimate in self.estimates)

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
        """What reaches `precision` in the least time; None if no number of sessions is enough."""
        return self._least(
            precision, lambda budget_s, sessions: self.reaches(budget_s, sessions) <= precision
        )

    def needs_for(self, half_widths: Sequence[float]) -> Needs | None:
        """What reaches a half-width for each ratio in the least time; None if nothing does."""

        def reaches(budget_s: float, sessions: int) -> bool:
            expected = self.half_widths(budget_s, sessions)
            return all(half <= most for half, most in zip(expected, half_widths, strict=True))

        return self._least(min(half_widths), reaches)

    def _least(self, precision: float, is_enough: Callable[[float, int], bool]) -> Needs | None:
        found = []
        for more in MORE_SESSIONS:
            sessions = max(self.sessions, min(MOST_SESSIONS, round(self.sessions * more)))
            for factor in MORE_BUDGET:
                if is_enough(self.budget_s * factor, sessions):
                    found.append(Needs(precision, self.budget_s * factor, sessions))
                    break
        return min(found, key=lambda needs: (needs.budget_s, needs.sessions), default=None)


def make_forecast(
    blocks: Sequence[Block], baseline_of: Mapping[str, str], calling_share: float | None
) -> Forecast | None:
    """A forecast from the blocks of these cases; None if they have no ratio.

    calling_share: the share of the measuring time that was spent calling modules.
    """
    mine = [b for b in blocks if b.case_id in baseline_of and b.round >= WARM_UP_ROUNDS]
    compared = {i: baseline for i, baseline in baseline_of.items() if i != baseline}
    estimates = tuple(Timings(mine).ratios(compared).values())
    called_s = sum(block.calling_s for block in mine)
    if not estimates or max(estimate.sessions for estimate in estimates) == 1:
        return None  # one session does not tell how sessions vary
    return Forecast(estimates, called_s / (calling_share or 1.0))
