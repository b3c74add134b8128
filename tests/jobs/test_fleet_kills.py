"""Two `work` processes on one store, which are killed at random, and a simulation of thousands."""

from __future__ import annotations

import random

import pytest

from benchmarks import fleet_claims, fleet_kills


@pytest.mark.parametrize("s3", [False, True], ids=["folder", "s3"])
def test_kills_lose_no_case(s3: bool) -> None:
    """All cases are measured, by one owner at a time, and no file is damaged."""
    random.seed(1)
    found = fleet_kills.measure(2, s3=s3)
    assert not found.is_bad, found
    assert found.kills == 2


@pytest.mark.parametrize("scenario", fleet_claims.scenarios(60), ids=lambda one: one.name)
def test_simulated_claims_have_one_owner(scenario: fleet_claims.Scenario) -> None:
    """Hosts that crash, stall and write slowly, with clocks that differ, measure every shard."""
    server, _ = fleet_claims.simulate(scenario, 1, is_broken=False)
    assert set(fleet_claims.verdict(scenario, server).values()) == {0}


def test_the_simulation_finds_a_store_that_is_not_exclusive() -> None:
    """If `create` looks first and then writes, two hosts own one shard."""
    (scenario,) = (one for one in fleet_claims.scenarios(60) if one.shards == 1)
    server, _ = fleet_claims.simulate(scenario, 1, is_broken=True)
    assert fleet_claims.verdict(scenario, server)["two owners"] > 0
