"""The order of modules on two devices: changes that are certain, and rank agreement."""

from __future__ import annotations

from dataclasses import replace
from math import log

import numpy as np
import pytest
from rows import network

from attn_bench.analysis.fleet import (
    Cost,
    Costs,
    Figure,
    compare,
    costs_of,
    find_agreements,
    find_order_changes,
)


def costs(half: float = 0.02, **ratios: float) -> Costs:
    """Made up, each ratio known to ± `half`, at one shape."""
    return {"8×64×8×8": {name: Cost(Figure(log(r), half, 4.0)) for name, r in ratios.items()}}


def test_a_certain_change_of_order_is_found_with_both_ratios() -> None:
    """The faster module is named as on the first device; each ratio is of one device."""
    (change,) = find_order_changes(
        {"A": costs(se=1.0, eca=1.5, simam=3.0), "B": costs(se=2.0, eca=1.0, simam=3.0)}
    )
    assert (change.faster, change.slower, change.here, change.there) == ("se", "eca", "A", "B")
    assert change.here_ratio.value == pytest.approx(1.5)
    assert change.there_ratio.value == pytest.approx(0.5)
    assert change.here_ratio.lo > 1 > change.there_ratio.hi
    assert 0 < change.risk < 0.01


@pytest.mark.parametrize("there", [1.0, 0.99, 1.3])
def test_an_order_that_is_not_certain_on_both_is_no_change(there: float) -> None:
    """A tie on one device, or the same order, is not reported."""
    first, second = costs(se=1.0, eca=1.5), costs(se=1.0, eca=there)
    assert find_order_changes({"A": first, "B": second}) == ()


def test_more_pairs_need_more_certainty() -> None:
    """A change that is named among two modules is not named among a hundred unrelated pairs."""
    few = {"A": costs(se=1.0, eca=1.05), "B": costs(se=1.05, eca=1.0)}
    assert len(find_order_changes(few)) == 1
    others = {f"m{i}": 2.0 + i for i in range(14)}
    many = {
        "A": costs(se=1.0, eca=1.05, **others),
        "B": costs(se=1.05, eca=1.0, **others),
    }
    assert find_order_changes(many) == ()


def test_few_changes_are_false() -> None:
    """Of ten devices with the same true ratios, one run in ten at most names a change."""
    generator = np.random.default_rng(1)
    truth = np.log(np.linspace(1.2, 3.0, 12))
    false = 0
    for _ in range(20):
        devices = {}
        for device in range(10):
            spread = 0.01 * np.sqrt(generator.chisquare(4, truth.size) / 4)
            logs = truth + 0.01 * generator.standard_normal(truth.size)
            devices[f"d{device}"] = {
                "shape": {
                    f"m{i}": Cost(Figure(float(at), 2.776 * float(se), 4.0))
                    for i, (at, se) in enumerate(zip(logs, spread, strict=True))
                }
            }
        false += bool(find_order_changes(devices))
    assert false <= 2


def test_the_narrower_estimate_compares_two_modules() -> None:
    """A direct comparison with the fastest module replaces the ratios to the baseline."""
    wide, narrow = Figure(0.5, 0.1, 4.0), Figure(0.3, 0.01, 4.0)
    fastest = Cost(Figure(0.2, 0.1, 4.0), Figure(0.0, 0.0, 4.0))
    found = compare(Cost(wide, narrow), fastest)
    assert (found.log, found.half) == (pytest.approx(0.3), pytest.approx(0.01))
    alone = compare(Cost(wide), fastest)
    assert (alone.log, alone.half) == (pytest.approx(0.3), pytest.approx(0.1 * 2**0.5))
    assert alone.df == pytest.approx(8.0)


def test_the_same_order_has_a_tau_of_one() -> None:
    """The opposite one has -1; the interval is from the errors, the same in every call."""
    up = costs(0.001, a=1.0, b=2.0, c=3.0)
    down = costs(0.001, a=3.0, b=2.0, c=1.0)
    same, opposite, _ = find_agreements({"A": up, "B": up, "C": down})
    assert (same.tau.value, same.tau.lo, same.tau.hi) == (1.0, 1.0, 1.0)
    assert (opposite.tau.value, opposite.pairs) == (-1.0, 3)
    vague = {"A": costs(0.5, a=1.0, b=1.2, c=1.4), "B": costs(0.5, a=1.0, b=1.2, c=1.4)}
    (found,) = find_agreements(vague)
    assert found.tau.lo < 0 < found.tau.value == found.tau.hi == 1
    assert find_agreements(vague) == (found,)


def test_errors_do_not_exclude_the_same_order() -> None:
    """Of devices with the same true ratios, 1 is in most intervals, though no estimate is 1."""
    generator = np.random.default_rng(3)
    truth = np.linspace(0.2, 0.6, 30)
    devices = {
        f"d{device}": {
            "shape": {
                f"m{i}": Cost(Figure(float(at + 0.01 * generator.standard_normal()), 0.028, 4.0))
                for i, at in enumerate(truth)
            }
        }
        for device in range(8)
    }
    found = find_agreements(devices, draws=200)
    assert all(each.tau.value < 1 for each in found)
    assert sum(each.tau.hi == 1 for each in found) >= 0.9 * len(found)


def test_modules_are_compared_at_the_same_shape_alone() -> None:
    """What one device does not know, and other shapes, count for nothing."""
    one = {"x": costs(a=1.0, b=2.0)["8×64×8×8"], "y": costs(a=9.0, b=0.1)["8×64×8×8"]}
    other = {"x": costs(a=1.0, b=2.0)["8×64×8×8"], "y": costs(a=9.0)["8×64×8×8"]}
    (found,) = find_agreements({"A": one, "B": other})
    assert (found.tau.value, found.pairs) == (1.0, 1)
    assert find_agreements({"A": one, "B": {}}) == ()


def test_costs_are_those_of_rows() -> None:
    """Baselines are left out; a ratio that is withheld counts by its ends."""
    rows = [
        network("plain", 1.0),
        network("se", 1.1, sessions=5),
        replace(network("eca", 1.2, device="cuda"), ratio=None, ratio_lo=1.0, ratio_hi=1.44),
        replace(network("bad", 1.3), ratio=None, ratio_lo=None, ratio_hi=None, status="failed"),
    ]
    (found,) = costs_of(rows, "identity").values()
    assert [*found] == ["se", "eca"]
    assert found["se"].ratio.df == 4
    assert found["eca"].ratio.log == pytest.approx(log(1.2))
