"""Whatever ends a run early, what was measured is on disk, and --resume goes on from it."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from program import ROOT, Cli

from attn_bench.store import runs

BLOCKS_BEFORE = 40


class Running:
    """`run --suite smoke --out run`, to be disturbed in the midst of measuring."""

    def __init__(self, folder: Path, *words: str, **options: Any) -> None:
        self.folder = folder / "run"
        self.process = subprocess.Popen(
            [
                *(sys.executable, "-m", "attn_bench", "run", "--suite", "smoke", "--out", "run"),
                # One thread and twice the suite's budget: other work is not the subject here.
                *("--sessions", "2", "--precision", "0.01", "--threads", "1"),
                *("--budget", "8", *words),
            ],
            cwd=folder,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            **options,
        )
        self.stdout = self.stderr = ""

    def wait_for_blocks(self, count: int = BLOCKS_BEFORE) -> None:
        deadline = time.monotonic() + 90
        while time.monotonic() < deadline and self.process.poll() is None:
            if len(self.kept("block")) >= count:
                return
            time.sleep(0.02)
        raise AssertionError("no block was measured in time")

    def kept(self, kind: str) -> list[dict[str, Any]]:
        journal = self.folder / "journal.jsonl"
        if not journal.exists():
            return []
        whole, _, _ = journal.read_text().rpartition("\n")
        return [entry[kind] for line in whole.splitlines() if kind in (entry := json.loads(line))]

    def workers(self) -> list[psutil.Process]:
        children = psutil.Process(self.process.pid).children(recursive=True)
        return [child for child in children if "attn_bench.worker" in child.cmdline()]

    def end(self) -> int:
        self.stdout, self.stderr = self.process.communicate(timeout=120)
        return self.process.returncode


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Running]:
    run = Running(tmp_path)
    yield run
    if run.process.poll() is None:
        run.process.kill()
        run.process.communicate()


def assert_complete(folder: Path) -> None:
    stored = runs.load(folder)
    assert len(stored.rows) == 9
    assert all(row.status == "ok" for row in stored.rows)
    assert stored.info.state == "finished"


def interrupted(running: Running, number: int) -> None:
    running.wait_for_blocks()
    workers = running.workers()
    running.process.send_signal(number)
    assert running.end() == 130
    assert "interrupted" in running.stdout
    assert not [worker for worker in workers if worker.is_running()]
    assert len(runs.load(running.folder).rows) == 9


def test_sigterm_ends_a_run_in_order(running: Running) -> None:
    """Status 130 with a table of what there is, and no worker left."""
    interrupted(running, signal.SIGTERM)


def test_ctrl_c_saves_and_resume_completes(running: Running, cli: Cli) -> None:
    """Ctrl-C does the same; --resume goes on in new sessions, and then there is nothing left."""
    interrupted(running, signal.SIGINT)
    kept = len(running.kept("block"))
    resumed = cli("run", "--resume", "run")
    assert resumed.returncode == 0, resumed.stderr
    assert_complete(running.folder)
    sessions = [block["session"] for block in running.kept("block")]
    assert len(sessions) > kept
    assert not set(sessions[:kept]) & set(sessions[kept:])
    assert "there is nothing to resume" in cli("run", "--resume", "run").stderr


def test_kill_9_of_the_program_loses_nothing(running: Running, cli: Cli) -> None:
    """Its workers die with it, what the journal held stays, and --resume makes the run whole."""
    running.wait_for_blocks()
    workers = running.workers()
    running.process.kill()
    running.process.communicate()
    gone, alive = psutil.wait_procs(workers, timeout=10)
    assert gone
    assert not alive
    with (running.folder / "journal.jsonl").open("a") as journal:
        journal.write('{"block": {"case_id": "cut o')  # as if it had died in the midst of a line
    kept = running.kept("block")
    shown = cli("show", "run")
    assert shown.returncode == 2
    assert "run --resume" in shown.stderr
    assert cli("run", "--resume", "run").returncode == 0
    assert_complete(running.folder)
    assert running.kept("block")[: len(kept)] == kept


def test_a_killed_worker_costs_its_case_alone(running: Running) -> None:
    """The run goes on in a new session, with one row lost and its reason told."""
    running.wait_for_blocks()
    running.workers()[0].kill()
    assert running.end() == 3
    rows = runs.load(running.folder).rows
    lost = [row for row in rows if row.status != "ok"]
    assert len(lost) == 1
    assert "killed by SIGKILL" in (lost[0].error or "")
    assert {block["session"] for block in running.kept("block")} >= {0, 1, 2}


def test_a_full_disk_is_told_and_keeps_what_was_written(tmp_path: Path, cli: Cli) -> None:
    """When no more can be written the run ends with status 3, and --resume goes on from there."""

    def limit() -> None:
        most = 30_000  # the table has room, the journal has not
        resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))

    run = Running(tmp_path, preexec_fn=limit)
    assert run.end() == 3
    assert "cannot be written: File too large" in run.stderr
    assert "Traceback" not in run.stderr
    assert run.kept("block")
    assert cli("run", "--resume", "run").returncode == 0
    assert_complete(run.folder)
