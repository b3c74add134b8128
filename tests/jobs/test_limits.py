"""The limits of `recommend`."""

from __future__ import annotations

import pytest
from rows import network

from attn_bench.jobs.recommend.choice import choose
from attn_bench.jobs.recommend.limits import Limit, has_meaning
from attn_bench.view.recommend.words import give_reasons, list_unknowns

PLAIN = network("plain", 1.0, params=25_000_000, memory=10_000_000)


@pytest.mark.parametrize(
    ("metric", "text", "most", "is_relative"),
    [
        ("latency", "+5%", 1.05, True),
        ("latency", "+ 5 %", 1.05, True),
        ("latency", "1.2x", 1.2, True),
        ("latency", "1.2×", 1.2, True),
        ("latency", "80ms", 80_000, False),
        ("latency", "0.5 s", 500_000, False),
        ("latency", "5μs", 5, False),
        ("params", "0", 0, False),
        ("params", "30M", 30e6, False),
        ("params", "2.6e7", 2.6e7, False),
        ("macs", "4.1G", 4.1e9, False),
        ("memory", "512MiB", 512 * 2**20, False),
        ("memory", "12 MB", 12e6, False),
    ],
)
def test_what_a_limit_is(metric, text, most, is_relative):
    """It is what may be added, a multiple, or an amount with its unit."""
    limit = Limit.read(metric, text)
    assert limit.most == pytest.approx(most)
    assert limit.is_relative is is_relative


@pytest.mark.parametrize(
    ("metric", "text", "hint"),
    [
        ("latency", "10%", "+10%?"),
        ("latency", "-10%", "+10%?"),
        ("latency", "10", "ms"),
        ("latency", "10 minutes", "ms"),
        ("latency", "0ms", "80ms"),
        ("latency", "+80ms", "80ms"),
        ("latency", "nan", "80ms"),
        ("latency", "inf ms", "80ms"),
        ("latency", "1e999ms", "80ms"),
        ("latency", "1e308s", "80ms"),
        ("latency", "١.١x", "80ms"),
        ("latency", "", "80ms"),
        ("latency", "1.2.3x", "80ms"),
        ("memory", "10M", "MiB"),
        ("params", "10MiB", "M"),
    ],
)
def test_what_is_none(metric, text, hint):
    """What is no limit is refused, with what would be one."""
    with pytest.raises(ValueError, match=r"\(.*\)") as refused:
        Limit.read(metric, text)
    assert hint in str(refused.value)


@pytest.mark.parametrize(
    ("ratio", "half", "fit"), [(1.05, 0.02, "yes"), (1.09, 0.02, "unclear"), (1.2, 0.02, "no")]
)
def test_latency_is_judged_by_its_interval(ratio, half, fit):
    """Within the limit is what surely is; what reaches across it is unclear."""
    row = network("se", ratio, half=half)
    assert Limit.read("latency", "+10%").fit(row, PLAIN) == fit


def test_exact_metrics_are_judged_as_they_are():
    """A parameter more than allowed is too much; an equal number is not."""
    limit = Limit.read("params", "+10%")
    assert limit.fit(network("a", 1.0, params=27_500_000), PLAIN) == "yes"
    assert limit.fit(network("a", 1.0, params=27_500_001), PLAIN) == "no"
    assert limit.fit(network("a", 1.0, params=None), PLAIN) == "unknown"


@pytest.mark.parametrize("text", ["4.1G", "+10%"])
def test_unknown_macs_are_within_no_limit(text):
    """A candidate whose MACs are unknown is not taken under --max-macs, and is named."""
    limit = Limit.read("macs", text)
    found = choose([network("a", 1.01, macs=None), network("b", 1.05)], PLAIN, (limit,))
    assert {c.label: c.fits for c in found.candidates} == {"a": "unknown", "b": "yes"}
    assert found.chosen is not None
    assert found.chosen.label == "b"
    assert any("not known to fit: a, macs" in words for words in list_unknowns(found))
    nothing = choose([network("a", 1.01, macs=None)], PLAIN, (limit,))
    assert nothing.chosen is None
    assert "No candidate is known to keep the limits" in give_reasons(nothing)[0]


def test_the_worst_of_several_limits_counts():
    """A candidate that surely breaks one limit does not fit, whatever the others say."""
    limits = (Limit.read("latency", "+10%"), Limit.read("params", "+1%"))
    rows = [network("a", 1.1, params=30_000_000), network("b", 1.1, params=25_000_000)]
    fits = {c.label: c.fits for c in choose(rows, PLAIN, limits).candidates}
    assert fits == {"a": "no", "b": "unclear"}
    assert choose([network("a", 9.0)], PLAIN, ()).candidates[0].fits == "yes"


def test_a_stage_has_no_parameters_to_add_to():
    """A copy of the input has none, so that +10 % of them says nothing; 10 % more memory does."""
    assert not has_meaning(Limit.read("params", "+10%"), is_network=False)
    assert has_meaning(Limit.read("params", "+10%"), is_network=True)
    assert has_meaning(Limit.read("memory", "+10%"), is_network=False)
    assert has_meaning(Limit.read("params", "10k"), is_network=False)
