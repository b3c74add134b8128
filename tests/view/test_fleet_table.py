"""The table of `fleet`: a live one on a terminal, lines in a pipe."""

from __future__ import annotations

from dataclasses import replace

import pytest

from attn_bench.jobs.fleet.engines.base import Work
from attn_bench.jobs.fleet.start import Seen
from attn_bench.model.fleet import Shard
from attn_bench.view.console.fleet import FleetTable

SHARD = Shard("f00d", "EPYC 9B14", "one", "held", 3, 8, "se/8x8", 1.0, 75.0)


def printed(capsys: pytest.CaptureFixture[str], *looks: Seen, step_s: float = 1.0) -> list[str]:
    now = iter(range(0, 10**6))
    table = FleetTable(clock=lambda: next(now) * step_s)
    for seen in looks:
        table.show(seen)
    table.close()
    return capsys.readouterr().err.splitlines()


def test_a_pipe_gets_a_line_for_each_change(capsys: pytest.CaptureFixture[str]) -> None:
    """Progress alone is a line each minute; a change of state is one at once."""
    running = (Work("", "one", "running"),)
    looks = [Seen(running, (replace(SHARD, done=done),)) for done in (3, 4, 5)]
    done = Seen((Work("", "one", "ended", 0),), (replace(SHARD, state="done", done=8),))
    lines = printed(capsys, *looks, done)
    assert lines == [
        "one, EPYC 9B14, measuring, se/8x8, 3 of 8, 1 min 15 s",
        "one, EPYC 9B14, done, 8 of 8",
    ]
    assert len(printed(capsys, *looks, step_s=61.0)) == 3


def test_lost_and_failed_works_have_a_reason(capsys: pytest.CaptureFixture[str]) -> None:
    """The last line of a `work` that failed is shown, with its status."""
    works = (
        Work("H200", "", "waiting"),
        Work("", "two", "lost", None, "the actor died"),
        Work("", "three", "ended", 2, "error: [bold]no plan"),
    )
    assert printed(capsys, Seen(works, ())) == [
        "H200, waiting for a host",
        "two, lost: the actor died",
        "three, ended with status 2: error: [bold]no plan",
    ]


def test_two_works_of_one_host_have_a_line_each(capsys: pytest.CaptureFixture[str]) -> None:
    """A lost one and its replacement do not take turns in a pipe."""
    works = (Work("", "one", "lost", None, "killed"), Work("", "one", "running"))
    assert len(printed(capsys, *[Seen(works, ())] * 5)) == 2


def test_a_host_that_stands_by_has_no_shard(capsys: pytest.CaptureFixture[str]) -> None:
    """Its `work` runs, and another host measures the shard of its device."""
    works = (Work("", "one", "running"), Work("", "two", "running"))
    lines = printed(capsys, Seen(works, (SHARD,)))
    assert lines[1:] == ["two, without a shard"]


def test_a_terminal_gets_a_table(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has a row for each host; nothing of a name is markup."""
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    works = (Work("", "one", "running"), Work("", "[red]two", "lost", None, "its node is gone"))
    text = "\n".join(printed(capsys, Seen(works, (SHARD,))))
    for words in ("time left", "EPYC 9B14", "3 of 8", "1 min 15 s", "[red]two", "its node is gone"):
        assert words in text
