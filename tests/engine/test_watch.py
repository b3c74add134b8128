"""The watch tells the work of others from our own, by what the system counts."""

from __future__ import annotations

import subprocess
import sys
from collections import namedtuple
from collections.abc import Sequence

import psutil
import pytest

from attn_bench.engine import watch as watching
from attn_bench.engine.watch import Watch


class Process:
    """A process that has used `cpu_s`, with children that have used theirs."""

    def __init__(self, cpu_s: float, children: Sequence[Process] = ()) -> None:
        self._cpu_s, self._children = cpu_s, children

    def cpu_times(self) -> tuple[float, ...]:
        return (self._cpu_s, 0.0, 0.0, 0.0, 99.0)

    def children(self, recursive: bool) -> Sequence[Process]:
        assert recursive
        return self._children


@pytest.mark.parametrize(
    ("ours_s", "childs_s", "busy_s", "others_cores"),
    [(10, 0, 10, 0.0), (3, 7, 10, 0.0), (3, 7, 20, 1.0), (0, 0, 15, 1.5), (10, 5, 14, 0.0)],
)
def test_other_work_is_told_from_our_own(
    monkeypatch: pytest.MonkeyPatch, ours_s: int, childs_s: int, busy_s: int, others_cores: float
) -> None:
    """In ten seconds, what the machine worked beyond this process and its children is others'."""
    times = namedtuple("times", "user system idle")

    def at(now_s: float, process: Process, busy_s: float) -> None:
        monkeypatch.setattr(watching.time, "monotonic", lambda: now_s)
        monkeypatch.setattr(psutil, "Process", lambda: process)
        monkeypatch.setattr(psutil, "cpu_count", lambda: 2)
        monkeypatch.setattr(psutil, "cpu_times", lambda: times(busy_s, 5.0, 2 * now_s - busy_s))

    watch = Watch()
    at(100, Process(50, [Process(20)]), 300)
    watch.start()
    at(110, Process(50 + ours_s, [Process(20 + childs_s)]), 300 + busy_s)
    watch.stop()
    assert watch.seen.other_load_cores == pytest.approx(others_cores)


def test_the_work_of_a_real_child_is_our_own() -> None:
    """A child that has used half a second of CPU time and is alive is counted as ours."""
    busy = "import time\nwhile time.process_time() < 0.5: pass\nprint(flush=True); input()"
    watch = Watch()
    before = watch._now()
    with subprocess.Popen(
        [sys.executable, "-c", busy], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as child:
        assert child.stdout is not None
        child.stdout.readline()
        after = watch._now()
        child.communicate("\n")
    assert after["own_s"] - before["own_s"] >= 0.45
