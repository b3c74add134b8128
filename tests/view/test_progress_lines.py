"""The progress of a command whose standard error is not a terminal."""

from __future__ import annotations

import time

import pytest

from attn_bench.view.console.progress import LINE_S, LiveProgress


def test_a_long_stage_names_the_case_now_and_then(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A line for the stage, and one each half minute with what is done and the case."""
    now = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    progress = LiveProgress()
    progress.stage("measuring", 120, "s")
    for second in range(1, 100):
        now[0] = float(second)
        progress.step(second, f"case {second}", "± 3 %")
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "measuring up to 2 min 00 s …"
    assert [line.split()[-1] for line in lines[1:]] == [str(int(LINE_S) * n) for n in (1, 2, 3)]
    assert lines[1].strip() == "30/120 s ± 3 % case 30"
    progress.close()
