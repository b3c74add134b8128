"""Faults at each stage of a run: it ends with the right status, and what was measured is kept."""

from __future__ import annotations

import errno
import json
import os
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from fakes import FakeWorker, Script
from inside import RealFacts, inside, steady
from program import Cli

from attn_bench.engine import workers
from attn_bench.engine.coordinator import Coordinator
from attn_bench.engine.progress import Unseen
from attn_bench.model import bounds, protocol
from attn_bench.model.case import Case, Shape, Variant
from attn_bench.model.run import Plan, Settings
from attn_bench.store import info, runs
from attn_bench.store.runs import RunFolder

SMOKE = ("run", "--suite", "smoke", "--device", "cpu", "--out", "run")
Message = protocol.Message
SIGNALS = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP]
# How many requests of a type come before the signal.
STAGES: dict[str, tuple[type[Message], int]] = {
    "starting": (protocol.MeasureRates, 1),
    "inspecting": (protocol.Inspect, 4),
    "preparing": (protocol.RunBlock, 1),
    "measuring": (protocol.RunBlock, 60),
}


def interrupted_at(stage: str, number: int) -> RealFacts:
    kind, count = STAGES[stage]
    script = RealFacts(steady)

    def heard(message: Message) -> None:
        if len(script.asked_for(kind)) == count and isinstance(message, kind):
            signal.raise_signal(number)

    script.instead = heard
    return script


@pytest.mark.parametrize(
    ("stage", "number"), list(zip(STAGES, [*SIGNALS, SIGNALS[0]], strict=True))
)
def test_a_signal_at_each_stage(tmp_path: Path, stage: str, number: int) -> None:
    """Status 130, a table of what there is, no worker left; --resume makes it whole."""
    script = interrupted_at(stage, number)
    done = inside(*SMOKE, cwd=tmp_path, script=script)
    assert done.returncode == 130, done.stderr
    assert all(worker.is_ended for worker in script.workers)
    assert len(runs.load(tmp_path / "run").rows) == 9
    assert inside("run", "--resume", "run", cwd=tmp_path).returncode == 0


def test_a_signal_while_results_are_saved_is_too_late(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The run is whole, and ends well."""
    write = RunFolder.write_samples

    def heard(self: RunFolder, blocks: Any) -> None:
        for number in SIGNALS:
            signal.raise_signal(number)
        write(self, blocks)

    monkeypatch.setattr(RunFolder, "write_samples", heard)
    assert inside(*SMOKE, cwd=tmp_path).returncode == 0
    assert runs.load(tmp_path / "run").info.state == "finished"


@pytest.fixture
def full_at(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str, int], None]]:
    """A disk that is full when the file NAME is written for the Nth time."""

    def set_up(name: str, time: int) -> None:
        written: list[str] = []
        write = runs.write_atomically

        def fails(file: Path, content: Any) -> None:
            written.append(file.name)
            if file.name == name and written.count(name) == time:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            write(file, content)

        for module in (runs, info):
            monkeypatch.setattr(module, "write_atomically", fails)

    return set_up


@pytest.mark.parametrize(
    ("name", "time"),
    [("samples.parquet", 1), ("table.csv", 1), ("table.parquet", 1), ("run.json", 2)],
)
def test_a_disk_that_is_full_at_each_file(
    tmp_path: Path, full_at: Callable[[str, int], None], name: str, time: int
) -> None:
    """Status 3, one line with the file, and --resume writes what is missing."""
    full_at(name, time)
    done = inside(*SMOKE, cwd=tmp_path)
    assert done.returncode == 3
    assert f"run/{name}: cannot be written: No space left on device" in done.stderr
    assert "Traceback" not in done.stderr
    blocks = (tmp_path / "run/journal.jsonl").read_text().count('{"block"')
    assert blocks > 100
    assert inside("run", "--resume", "run", cwd=tmp_path).returncode == 0
    assert runs.load(tmp_path / "run").info.state == "finished"
    assert len(runs.load_blocks(tmp_path / "run")) >= blocks


def test_a_disk_that_is_full_at_the_start(
    tmp_path: Path, full_at: Callable[[str, int], None]
) -> None:
    """Nothing is measured that could not be kept."""
    full_at("run.json", 1)
    script = RealFacts(steady)
    assert inside(*SMOKE, cwd=tmp_path, script=script).returncode == 3
    assert not script.asked_for(protocol.Inspect)
    assert all(worker.is_ended for worker in script.workers)


def test_a_clock_that_jumps_ends_the_budget(tmp_path: Path) -> None:
    """After a suspended night the run ends with the figures that it has, and none is negative."""
    script = RealFacts(steady)

    def jumps(message: Message) -> None:
        if len(script.asked_for(protocol.RunBlock)) == 100:
            script.clock.now_s += 1e6

    script.instead = jumps
    done = inside(*SMOKE, cwd=tmp_path, script=script)
    assert done.returncode in (0, 3, 4), done.stderr
    stored = runs.load(tmp_path / "run")
    assert stored.info.state == "finished"
    assert all((row.latency_us or 1) > 0 for row in stored.rows)


def test_ten_thousand_cases_are_planned(tmp_path: Path, cli: Cli) -> None:
    """`--dry-run` lists them, and measures nothing."""
    (tmp_path / "many.toml").write_text(
        'title = "many"\n[[grid]]\nmodule = ["se"]\n[shapes]\n'
        f"batch = {list(range(1, 5001))}\nstages = [[8, 4, 4]]\n"
    )
    done = cli("run", "--suite", "many.toml", "--dry-run")
    assert done.returncode == 0
    assert "10000 cases" in done.stdout


BROKEN_TORCH = {
    "raises": ("raise ImportError('no torch here')", "no torch here"),
    "exits": ("import os; os._exit(7)", "ended with status 7"),
    "dies": ("import os; os.kill(os.getpid(), 11)", "killed by SIGSEGV"),
}


@pytest.mark.parametrize("name", BROKEN_TORCH)
def test_a_worker_that_cannot_start(tmp_path: Path, real: Cli, name: str) -> None:
    """One line with the reason, status 2, and no run folder."""
    body, reason = BROKEN_TORCH[name]
    (tmp_path / "torch.py").write_text(body)
    path = os.pathsep.join([str(tmp_path), *filter(None, sys.path)])
    done = real(*SMOKE, PYTHONPATH=path)
    assert done.returncode == 2
    assert done.stderr.count("error: ") == 1
    assert f"a worker cannot be started: the worker process {reason}" in done.stderr or (
        reason in done.stderr
    )
    assert not (tmp_path / "run").exists()


# --- many workers ---------------------------------------------------------------------------------


def test_workers_start_a_few_at_a_time() -> None:
    """A hundred sessions never have more than four workers that are not ready."""
    script = Script()
    most = 0

    class Counting(FakeWorker):
        def __init__(self, script: Script, load: Any = ()) -> None:
            super().__init__(script, load)
            nonlocal most
            most = max(most, sum(not worker.is_open for worker in script.workers))

        def another(self, load: Any) -> FakeWorker:
            return Counting(script, load)

    first = Counting(script)
    first.open()
    case = Case(Variant("a"), Shape(1, 8, 4, 4))
    plan = Plan((case,), {case.id: case.id}, {})
    settings = Settings(5.0, 0.5, 100, 0, 1, 60.0)
    coordinator = Coordinator(
        first,
        plan,
        settings,
        lambda _: None,
        Unseen(),
        clock=script.clock,  # type: ignore[arg-type]
    )
    coordinator.inspect()
    assert len(script.workers) == 1 + workers.MOST_AT_ONCE
    coordinator.measure()
    coordinator.stop()
    assert len(script.workers) == 100
    assert most == workers.MOST_AT_ONCE


def test_sessions_that_the_memory_has_no_room_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are refused with the number that there is room for, from options, suites and runs."""
    script = interrupted_at("measuring", signal.SIGINT)
    assert inside(*SMOKE, cwd=tmp_path, script=script).returncode == 130
    file = tmp_path / "run/run.json"
    values = json.loads(file.read_text())
    values["settings"]["sessions"] = 100
    file.write_text(json.dumps(values))
    suite = '[[grid]]\nmodule = "se"\n[shapes]\nbatch = 1\nstages = [[8, 4, 4]]\n'
    (tmp_path / "many.toml").write_text(f'title = "t"\nsessions = 100\n{suite}')
    monkeypatch.setattr("attn_bench.model.machine.free_memory_bytes", lambda: 2 * 2**30)
    for words in (
        ("run", "--suite", "smoke", "--sessions", "100"),
        ("run", "--suite", "many.toml"),
        ("run", "--resume", "run"),
    ):
        done = inside(*words, cwd=tmp_path)
        assert done.returncode == 2
        assert "100 sessions need 25 GiB, and 2.0 GiB of memory are free: use --sessions 8" in (
            done.stderr
        )
    (tmp_path / "many.toml").write_text(f'title = "t"\nsessions = 1000000\n{suite}')
    assert (
        "sessions: must be less than or equal to 100"
        in inside("run", "--suite", "many.toml", cwd=tmp_path).stderr
    )
    assert bounds.LEAST_MEMORY_GIB == 0.25
