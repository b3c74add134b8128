"""Hosts that differ from their kind are named, and a change of all of them is not."""

from __future__ import annotations

from math import log

import numpy as np
import pytest

from attn_bench.analysis.fleet import Cost, Costs, Figure
from attn_bench.analysis.sick import LEAST_CASES, find_sick


def host(seed: int, factor: float = 1.0, wider: float = 1.0, cases: int = 12) -> Costs:
    """The ratios of a host, each with an error of 1 %."""
    generator = np.random.default_rng(seed)
    return {
        "shape": {
            f"m{i}": Cost(
                Figure(log((1.2 + i) * factor) + 0.01 * generator.normal(), 0.028 * wider, 4.0)
            )
            for i in range(cases)
        }
    }


def kind(*hosts: Costs, name: str = "A100") -> dict[str, tuple[str, Costs]]:
    return {f"{name}-{i}": (name, each) for i, each in enumerate(hosts)}


def test_healthy_hosts_are_not_named() -> None:
    """Errors of 1 % name nobody, among two hosts and among five."""
    for count in (1, 2, 3, 5):
        assert find_sick(kind(*map(host, range(count)))) == ()


@pytest.mark.parametrize("count", [3, 5])
def test_a_host_with_other_ratios_is_named(count: int) -> None:
    """The one that is 15 % off is named alone, with its deviation."""
    (found,) = find_sick(kind(host(9, 1.15), *map(host, range(count - 1))))
    assert (found.hosts, found.sign, found.cases) == (("A100-0",), "ratios", 12)
    assert found.factor == pytest.approx(1.15, abs=0.02)


def test_a_noisy_host_is_named() -> None:
    """The one with intervals five times as wide is named."""
    (found,) = find_sick(kind(host(0), host(1, wider=5), host(2)))
    assert (found.hosts, found.sign) == (("A100-1",), "noise")
    assert found.factor == pytest.approx(5)


def test_of_two_hosts_both_are_named() -> None:
    """Nobody knows which of two is sick."""
    (found,) = find_sick(kind(host(0), host(1, 1.2)))
    assert found.hosts == ("A100-0", "A100-1")
    (noisy,) = find_sick(kind(host(0, wider=5), host(1)))
    assert (noisy.hosts, noisy.sign) == (("A100-0", "A100-1"), "noise")


def test_kinds_are_not_compared_with_each_other() -> None:
    """Another device may have other ratios."""
    hosts = kind(host(0), host(1)) | kind(host(2, 2.0), host(3, 2.0), name="H100")
    assert find_sick(hosts) == ()


def test_few_cases_say_nothing() -> None:
    """With fewer cases than LEAST_CASES nobody is named."""
    hosts = [host(i, 1.0 if i else 1.5, cases=LEAST_CASES - 1) for i in range(3)]
    assert find_sick(kind(*hosts)) == ()
