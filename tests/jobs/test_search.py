"""Bisection by numbers: never a wrong commit with confidence."""

from __future__ import annotations

from math import exp
from random import Random
from typing import Any

import pytest

from attn_bench.analysis.verdicts import Finding, Times
from attn_bench.engine.progress import Unseen
from attn_bench.jobs.history import bisect as job
from attn_bench.jobs.history.bisect import Bisected, BisectRequest
from attn_bench.jobs.history.pairs import Pair
from attn_bench.jobs.history.search import Search
from attn_bench.model.errors import RequestError
from attn_bench.model.metrics import Interval
from attn_bench.model.request import RunRequest

REQUEST = RunRequest("smoke", modules_from=("mine.py",))
COMMITS = [str(number) for number in range(40)]


def pairs(logs: list[float], error: float, seed: int, broken: frozenset[int] = frozenset()) -> Any:
    """What measuring two of these commits tells: an interval of 99.9 % around a noisy ratio."""
    rnd = Random(seed)

    def measure(request: RunRequest, commits: tuple[str, str], *_: object) -> Pair:
        old, new = commits
        if {int(old), int(new)} & broken:
            raise RequestError("it does not load")
        log = logs[int(new)] - logs[int(old)] + rnd.gauss(0, error)
        ratio = Interval(exp(log), exp(log - 3.3 * error), exp(log + 3.3 * error))
        finding = Finding("mine/case", "mine", "same", "pass", times=Times(ratio, 1.0, 1.0, 0.01))
        return Pair(old, new, (finding,), None)

    return measure


def search(patch: pytest.MonkeyPatch, measure: Any) -> Bisected:
    patch.setattr(job, "list_span", lambda *_: COMMITS)
    patch.setattr(job, "measure_pair", measure)
    return job.bisect(BisectRequest(REQUEST, "0", "39"), Unseen())


def test_a_step_is_found_in_noise(monkeypatch: pytest.MonkeyPatch) -> None:
    """A step of 5 % at commit 23, each pair known to 1 %: mostly the commit, never another one."""
    logs = [0.05 * (i >= 23) for i in range(40)]
    found = [search(monkeypatch, pairs(logs, 0.003, seed)) for seed in range(60)]
    assert not [f.last for f in found if f.outcome == "commit" and f.last != "23"]
    assert sum(f.outcome == "commit" for f in found) >= 55
    for each in found:
        assert int(each.first or 0) < 23 <= int(each.last or 39)


def test_nothing_changed(monkeypatch: pytest.MonkeyPatch) -> None:
    """No commit is accused where only noise differs."""
    found = [search(monkeypatch, pairs([0.0] * 40, 0.001, seed)) for seed in range(60)]
    assert {each.outcome for each in found} == {"same"}


def test_noise_is_not_searched(monkeypatch: pytest.MonkeyPatch) -> None:
    """An interval that leaves out 1 by chance is below the smallest change that is searched."""
    found = [search(monkeypatch, pairs([0.0] * 40, 0.005, seed)) for seed in range(60)]
    assert {each.outcome for each in found} <= {"same", "undecided"}


def of_findings(*findings: Finding) -> Any:
    return lambda request, commits, *_: Pair(*commits, findings, None)


def test_what_is_not_known_is_not_called_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    """A wide interval is undecided, whatever the verdict on the other metrics."""
    wide = Times(Interval(1.0, 0.5, 2.0), 1.0, 1.0, 1.0)
    found = search(monkeypatch, of_findings(Finding("c", "m", "heavier", "fail", times=wide)))
    assert found.outcome == "undecided"


def test_a_broken_end_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is said of a change."""
    broken = Finding("c", "m", "failed", "broken", reason="forward: it raises (mine.py:3)")
    found = search(monkeypatch, of_findings(broken))
    assert (found.outcome, found.reason) == ("broken", "forward: it raises (mine.py:3)")


def test_a_creep_has_no_culprit(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where every commit adds a little, no single one is named with confidence."""
    logs = [0.002 * i for i in range(40)]
    found = [search(monkeypatch, pairs(logs, 0.003, seed)) for seed in range(20)]
    assert {each.outcome for each in found} == {"range"}


def test_broken_commits_around_the_step_leave_a_range(monkeypatch: pytest.MonkeyPatch) -> None:
    """The range holds the step, and every broken commit that was asked is named."""
    logs = [0.1 * (i >= 23) for i in range(40)]
    found = search(monkeypatch, pairs(logs, 0.002, 1, frozenset({22, 23, 24})))
    assert (found.outcome, found.first, found.last) == ("range", "21", "25")
    assert {each.commit for each in found.asked if each.side is None} == {"22", "23", "24"}


def test_each_commit_is_asked_once() -> None:
    """A search around unknown commits ends."""
    unsure = Search(10)
    asked = []
    while (at := unsure.next()) is not None:
        asked.append(at)
        unsure.tell(at, "unknown")
    assert sorted(asked) == list(range(1, 9))
    assert not unsure.is_found
