"""A run tells what a larger budget, or more sessions, would reach."""

from __future__ import annotations

import numpy as np
import pytest
from test_stats import baselines, noisy_run

from attn_bench.analysis.forecast import Forecast, make_forecast


def forecast(between: float, within: float) -> Forecast:
    run = noisy_run(np.random.default_rng(2), 20, 5, between=between, within=within)
    return Forecast(tuple(run.ratios(baselines(20)).values()), budget_s=10)


def test_rounds_narrow_what_scatters_between_rounds() -> None:
    """Where only rounds scatter, four times the budget narrows the intervals by a quarter to half.

    By chance, the sessions of some cases differ more than their rounds explain.
    """
    found = forecast(between=1e-6, within=0.05)
    assert 0.45 < found.reaches(40, 5) / found.reaches(10, 5) < 0.8
    needs = found.needs(found.reaches(10, 5) * 0.9)
    assert needs is not None
    assert needs.sessions >= 5
    assert needs.budget_s < 40


def test_only_sessions_narrow_what_differs_between_sessions() -> None:
    """Where only sessions differ, a larger budget gains nothing, and more sessions are named."""
    found = forecast(between=0.02, within=1e-5)
    assert found.reaches(1000, 5) == pytest.approx(found.reaches(10, 5), rel=0.01)
    needs = found.needs(found.reaches(10, 5) / 1.5)
    assert needs is not None
    assert needs.sessions > 5
    assert found.needs(1e-6) is None


def test_no_ratio_no_forecast() -> None:
    """A run without a measured ratio forecasts nothing."""
    assert make_forecast([], {"a": "b"}, 0.9) is None
