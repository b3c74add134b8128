"""What `recommend` chooses, and what it says of it."""

from __future__ import annotations

from dataclasses import replace

from rows import network

from attn_bench.jobs.recommend.choice import Choice, choose
from attn_bench.jobs.recommend.limits import Limit
from attn_bench.model.metrics import Interval
from attn_bench.model.row import Row
from attn_bench.view.recommend.words import give_reasons, list_unknowns

PLAIN = network("plain", 1.0)
GE = "Gather-Excite (arXiv:1810.12348)"


def chosen(*rows: Row, limit: str = "+10%") -> Choice:
    return choose(rows, PLAIN, (Limit.read("latency", limit),))


CHEAP = network("ge_theta_minus(extent=global)", 1.02)  # 1.16 points in its paper
BETTER = network("ge_theta(extent=global)", 1.05)  # 1.30
BEST = network("ge_theta_plus(extent=global)", 1.08)  # 1.42
ECA = network("timm/eca", 1.03)  # 2.28, over another paper's own baseline


def test_the_largest_gain_that_fits_is_taken() -> None:
    """Within the limit the largest gain of the paper counts; beyond it, none does."""
    small = network("ge_theta_minus(extent=8)", 1.02)  # 0.90 points
    found = chosen(small, BEST)
    assert found.chosen is not None
    assert found.chosen.label == "ge_theta_plus(extent=global)"
    assert "this one has the largest" in give_reasons(found)[1]
    tighter = chosen(small, BEST, limit="+7%")
    assert tighter.chosen is not None
    assert tighter.chosen.label == "ge_theta_minus(extent=8)"


def test_gains_that_say_nothing_are_alike() -> None:
    """Of gains within 0.2 points, which one training does not tell apart, the fastest is taken."""
    found = chosen(CHEAP, BETTER, BEST)  # 1.16, 1.30 and 1.42
    assert found.chosen is not None
    assert found.chosen.label == "ge_theta(extent=global)"
    assert "within 0.2 points of the largest (ge_theta_plus" in give_reasons(found)[1]
    assert "ge_theta_minus(extent=global) is faster: it adds" in give_reasons(found)[2]


def test_gains_of_two_papers_are_not_compared() -> None:
    """A larger gain over another paper's baseline does not win; it is told of."""
    found = chosen(CHEAP, BETTER, ECA)
    assert found.paper is not None
    assert str(found.paper).startswith(GE)
    assert found.chosen is not None
    assert found.chosen.label == "ge_theta_minus(extent=global)"
    assert any(
        "not comparable" in words and "timm/eca gains +2.28" in words
        for words in list_unknowns(found)
    )


def test_what_may_not_fit_is_not_taken() -> None:
    """A candidate whose interval reaches across the limit is unclear, and named."""
    found = chosen(CHEAP, replace(BEST, ratio_hi=1.2))
    assert found.chosen is not None
    assert found.chosen.label == "ge_theta_minus(extent=global)"
    assert any(
        "ge_theta_plus" in words and "may or may not fit" in words for words in list_unknowns(found)
    )
    alone = chosen(replace(BEST, ratio_hi=1.2))
    assert alone.chosen is None
    assert alone.is_open


def test_nothing_fits() -> None:
    """Then nothing is taken, and the nearest is named with what it lacks."""
    found = chosen(BEST, BETTER, limit="+1%")
    assert found.chosen is None
    assert not found.is_open
    assert "ge_theta(extent=global)" in give_reasons(found)[1]
    assert "+5.0 ± 1.0 %" in give_reasons(found)[1]


def test_the_pareto_front_is_of_one_paper_and_of_what_fits() -> None:
    """SE gains less than GE-θ⁻ at a higher cost in GE's paper; in its own it stands alone."""
    found = chosen(CHEAP, network("se", 1.04), network("ge_theta_minus(extent=8)", 1.06), BEST)
    on = {candidate.label: candidate.on_front for candidate in found.candidates}
    paper = found.paper
    assert paper in on["ge_theta_minus(extent=global)"]
    assert paper in on["ge_theta_plus(extent=global)"]
    assert paper in on["se"]  # 1.18 points, a little more than GE-θ⁻'s 1.16
    assert paper not in on["ge_theta_minus(extent=8)"]  # 0.90
    assert chosen(BEST, limit="+1%").candidates[0].on_front == frozenset()


def test_what_is_not_read_is_said() -> None:
    """A gain that a secondary source quotes is told to be that; one that was read is not."""
    assert "quoted by a secondary source" in give_reasons(chosen(CHEAP, BETTER))[1]
    assert "secondary" not in give_reasons(chosen(ECA, network("se(bias=False)", 1.02)))[1]


def test_three_sentences() -> None:
    """What to take, why, and what stands next to it."""
    for found in (chosen(CHEAP, BETTER), chosen(ECA), chosen(BEST, limit="+1%")):
        assert len(give_reasons(found)) == 3
        assert all(words.endswith(".") for words in give_reasons(found))


def test_a_backbone_without_published_gains() -> None:
    """Those of ResNet-50 stand for it, and that is said."""
    row = network("se", 1.02, backbone="convnext_tiny")
    found = choose([row], network("plain", 1.0, backbone="convnext_tiny"), ())
    assert found.of_other_backbone
    assert any(
        "no published gain is known for convnext_tiny" in words for words in list_unknowns(found)
    )


def test_candidates_without_gains() -> None:
    """Where no paper has any gain, the cheapest that fits is taken, and that is said."""
    found = chosen(network("timm/ela", 1.05), network("timm/ese", 1.03))
    assert found.chosen is not None
    assert found.chosen.label == "timm/ese"
    assert found.paper is None
    assert "no paper here gives a gain" in give_reasons(found)[1]


def test_a_candidate_that_could_not_be_measured_is_not_known() -> None:
    """It is listed with its reason, and never taken."""
    broken = replace(BEST, status="failed", error="constructor: no", ratio=None)
    found = chosen(CHEAP, broken)
    assert any("constructor: no" in words for words in list_unknowns(found))
    nothing = chosen(broken)
    assert nothing.chosen is None
    assert "No candidate could be measured." in give_reasons(nothing)


def test_two_sources_that_cover_as_many() -> None:
    """The surer one decides, or the one whose choice costs less; and that there are two is said."""
    found = chosen(BETTER, ECA)  # GE's figures are secondary, ECA's were read
    assert found.chosen is not None
    assert found.chosen.label == "timm/eca"
    assert "another source covers as many" in give_reasons(found)[1]


def test_what_cannot_be_does_not_fit() -> None:
    """An extent beyond the map is no candidate that may fit."""
    beyond = replace(BEST, status="unsupported", error="extent 8 is larger", ratio=None)
    found = chosen(beyond, BETTER, limit="+1%")
    assert not found.is_open
    assert any("not possible: ge_theta_plus" in words for words in list_unknowns(found))


def test_the_nearest_is_the_least_beyond_its_limit() -> None:
    """Of those that break a limit the nearest is by that limit's metric, not by the cheapest."""
    heavy = network("se", 1.01, params=30_000_000)
    light = network("cbam", 1.3, params=26_000_000)
    found = choose([heavy, light], PLAIN, (Limit.read("params", "25.6M"),))
    assert "cbam" in give_reasons(found)[1]


def test_a_direct_ratio_decides_who_is_faster() -> None:
    """Intervals to the plain network overlap, and the pair of the two tells them apart."""
    found = chosen(CHEAP, BETTER)
    assert found.chosen is not None
    (other,) = [c for c in found.candidates if c is not found.chosen]
    apart, tied = Interval(1.03, 1.02, 1.04), Interval(1.0, 0.99, 1.01)
    assert not replace(found, direct={other.row.case_id: apart}).is_tied(other)
    assert replace(found, direct={other.row.case_id: tied}).is_tied(other)


def test_an_unclear_time_fits_no_limit_and_may_break_an_exact_one() -> None:
    """Its exact metrics are known: too many parameters are too many."""
    row = replace(CHEAP, status="unclear", ratio=None, latency_us=None, params=10**9)
    limits = (Limit.read("latency", "+10%"), Limit.read("params", "30M"))
    fits = {limit.metric: choose([row], PLAIN, (limit,)).candidates[0].fits for limit in limits}
    assert fits == {"latency": "unclear", "params": "no"}
