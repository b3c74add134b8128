"""Series: the order of their points, chains of pairs, and what is not compared."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import replace
from math import log

import pytest

from attn_bench.analysis.series import Point, Series, chain, follow, in_order
from attn_bench.model.metrics import Interval
from attn_bench.model.row import Keys


def point(
    value: float, *, revision: str = "", start: str = "", software: str = "s", against: str = ""
) -> Point:
    keys = Keys(
        run=f"{revision}{start}",
        revision=revision,
        start=start,
        software=software,
        against=against or None,
    )
    return Point(keys, value, value * 0.995, value * 1.005)


def series(*points: Point) -> Series:
    return Series("suite", "case", "module", "machine", points)


def test_points_are_in_the_order_of_their_commits() -> None:
    """A commit that was measured later stands where it was made; two runs of one, as measured."""
    places = {"a": 0, "b": 1, "c": 2}
    points = [
        point(1, revision="c", start="1"),
        point(2, revision="a", start="2"),
        point(3, revision="b", start="4"),
        point(4, revision="b", start="3"),
    ]
    ordered = in_order(points, lambda keys: places.get(keys.revision or ""))
    assert [p.value for p in ordered] == [2, 4, 3, 1]


def test_an_unknown_commit_stays_behind_those_measured_before_it() -> None:
    """A run outside git has its place by time."""
    places = {"a": 0, "b": 1}
    points = [
        point(1, revision="a", start="1"),
        point(2, start="2"),
        point(3, revision="b", start="3"),
    ]
    ordered = in_order(points, lambda keys: places.get(keys.revision or ""))
    assert [p.value for p in ordered] == [1, 2, 3]


def test_other_software_begins_anew() -> None:
    """A step that comes with another PyTorch is a break and no change."""
    before = [point(1.0 + 0.001 * (i % 3)) for i in range(10)]
    after = [point(1.2 + 0.001 * (i % 3), software="t") for i in range(10)]
    found = follow(series(*before, *after))
    assert found.breaks == (10,)
    assert found.changes == ()


def test_a_step_has_its_place_and_its_size() -> None:
    """Ten percent more from the tenth run on."""
    values = [1.0 + 0.001 * (i % 3) for i in range(10)]
    found = follow(series(*map(point, values), *(point(1.1 * value) for value in values)))
    (change,) = found.changes
    assert change.at == 10
    assert change.ratio is not None
    assert change.ratio.lo < 1.1 < change.ratio.hi


def test_an_exact_figure_changes_by_what_it_changes() -> None:
    """Each change of it is one, also from 0."""
    values = [0.0, 0.0, 8.0, 16.0]
    found = follow(series(*(Point(Keys(software="s"), v, v, v) for v in values)))
    assert [change.at for change in found.changes] == [2, 3]
    assert found.changes[0].ratio is None
    assert found.changes[1].ratio is not None
    assert found.changes[1].ratio.value == 2


def test_a_chain_multiplies_its_pairs() -> None:
    """Each value is relative to the first commit; a pair that is missing begins anew."""
    found = chain(
        series(
            point(1.1, revision="b", against="a"),
            point(1.0, revision="c", against="b"),
            point(1.1, revision="e", against="d"),
        )
    )
    assert [p.keys.revision for p in found.points] == ["a", "b", "c", "d", "e"]
    assert [round(p.value, 3) for p in found.points] == [1.0, 1.1, 1.1, 1.0, 1.1]
    assert found.breaks == (3,)
    assert [change.at for change in found.changes] == [1, 4]


def test_pairs_that_a_bisection_left_accuse_nobody() -> None:
    """Each of them is beside the first commit; the step lies where it was measured closest."""
    found = chain(
        series(
            point(1.0, revision="c", against="a"),
            point(1.1, revision="d", against="a"),
            point(1.1, revision="d", start="2", against="c"),
            point(1.1, revision="e", against="a"),
            point(1.1, revision="g", against="a"),
        )
    )
    assert [p.keys.revision for p in found.points] == ["a", "c", "d", "e", "g"]
    assert found.breaks == ()
    (change,) = found.changes
    assert found.points[change.at].keys.revision == "d"
    assert change.ratio == Interval(1.1, 1.1 * 0.995, 1.1 * 1.005)


def test_a_step_around_a_commit_has_the_error_of_all_pairs() -> None:
    """Neither is compared with the other, but both with a third."""
    found = chain(
        series(
            point(1.2, revision="b", against="a"),
            point(1.2 * 1.015, revision="c", against="a"),
            point(1.3, revision="d", against="a"),
        )
    )
    assert [found.points[change.at].keys.revision for change in found.changes] == ["b", "d"]
    ratio = found.changes[1].ratio
    assert ratio is not None
    assert ratio.value == pytest.approx(1.3 / 1.218)
    assert log(ratio.hi / ratio.lo) == pytest.approx(2**0.5 * log(1.005 / 0.995))


def test_changes_that_were_not_committed_stay_out_of_the_next_pair() -> None:
    """A check of a changed working tree has a point; the next commit is relative to the commit."""
    changed = point(1.5, revision="b", start="2", against="b")
    changed = replace(changed, keys=replace(changed.keys, dirty=True))
    found = chain(
        series(
            point(1.0, revision="b", against="a"), changed, point(1.0, revision="c", against="b")
        )
    )
    assert [p.value for p in found.points] == [1.0, 1.0, 1.5, 1.0]
    assert [p.keys.dirty for p in found.points] == [False, None, True, None]
    assert found.breaks == ()


def test_a_figure_near_zero_says_nothing() -> None:
    """Its logarithm would be beyond every other."""
    keys = Keys(revision="b", against="a", software="s")
    for value in (0.0, 1e-320):
        tiny = Point(keys, value, 0.0, 1.0)
        assert chain(series(tiny)).points == ()
        assert follow(series(tiny, tiny)).changes == ()


def test_a_small_pair_is_no_step() -> None:
    """Less than 1 % is no change, however narrow its interval."""
    keys = Keys(revision="b", against="a")
    found = chain(series(Point(keys, 1.008, 1.0079, 1.0081)))
    assert found.changes == ()


def test_ratios_to_another_baseline_are_not_compared() -> None:
    """The series begins anew, as after other software."""
    keys = Keys(software="s")
    to_copy = [Point(keys, 2.0, 1.99, 2.01, "identity")] * 5
    to_se = [Point(keys, 1.0, 0.99, 1.01, "se")] * 5
    found = follow(series(*to_copy, *to_se))
    assert found.breaks == (5,)
    assert found.changes == ()


def test_runs_of_unknown_software_are_not_compared() -> None:
    """Each may be of another one."""
    found = follow(series(*(Point(Keys(run=f"run-{i}"), 1.0, 0.99, 1.01) for i in range(3))))
    assert found.breaks == (1, 2)


def test_forty_pairs_show_a_step_and_a_creep_and_nothing_else() -> None:
    """5 % at commit 23, and four times 2 %; each pair is known to 0.6 %. 200 histories."""
    chance = random.Random(0)
    truth = {23: 1.05, 30: 1.02, 32: 1.02, 34: 1.02, 36: 1.02}
    found: Counter[int] = Counter()
    for _ in range(200):
        links = []
        for at in range(1, 40):
            keys = Keys(revision=str(at), against=str(at - 1))
            value = truth.get(at, 1.0) * chance.gauss(1, 0.003)
            links.append(Point(keys, value, value * 0.994, value * 1.006))
        found.update(change.at for change in chain(series(*links)).changes)
    assert set(found) == set(truth)
    assert found[23] == 200
    assert min(found[at] for at in (30, 32, 34, 36)) > 150
