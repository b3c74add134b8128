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
from inside import RealFacts, steady
from program import ROOT, Cli

from attn_bench.model.protocol import Message, RunBlock
from attn_bench.model.status import COUNTED
from attn_bench.store import runs

SMOKE = ("run", "--suite", "smoke", "--device", "cpu", "--threads", "1", "--out", "run")
FEW = ("--sessions", "2")  # each is a process that imports torch
BLOCKS_BEFORE = 40
LONG = ("--budget", "20", "--precision", "0.001")  # it is disturbed long before its end


def kept(folder: Path, kind: str) -> list[dict[str, Any]]:
    """What the journal holds in whole lines."""
    journal = folder / "journal.jsonl"
    if not journal.exists():
        return []
    whole, _, _ = journal.read_text().rpartition("\n")
    return [entry[kind] for line in whole.splitlines() if kind in (entry := json.loads(line))]


def assert_complete(folder: Path) -> None:
    stored = runs.load(folder)
    assert len(stored.rows) == 9
    assert all(row.status in COUNTED for row in stored.rows)
    assert stored.info.state == "finished"


# --- in this process ------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_saves_and_resume_completes(cli: Cli, tmp_path: Path, number: int) -> None:
    """Status 130 with a table; --resume goes on in new sessions, and then nothing is left to do."""
    script = RealFacts(steady)

    def heard(message: Message) -> None:
        if len(script.asked_for(RunBlock)) > BLOCKS_BEFORE:
            signal.raise_signal(number)

    script.instead = heard
    done = cli(*SMOKE, script=script)
    assert done.returncode == 130
    assert "interrupted" in done.stdout
    assert all(worker.is_ended for worker in script.workers)
    assert len(runs.load(tmp_path / "run").rows) == 9
    before = kept(tmp_path / "run", "block")
    assert len(before) == BLOCKS_BEFORE
    resumed = cli("run", "--resume", "run")
    assert resumed.returncode == 0, resumed.stderr
    assert_complete(tmp_path / "run")
    after = kept(tmp_path / "run", "block")[len(before) :]
    assert after
    assert not {b["session"] for b in before} & {b["session"] for b in after}
    assert "nothing to resume" in cli("run", "--resume", "run").stderr


MINE = """
from torch import nn
from attn_bench import register
register("mine")(lambda channels: nn.Conv2d(channels, channels, {}, padding="same"))
"""
MY_SUITE = """
title = "Mine"
[[grid]]
module = ["mine", "se", "identity"]
[shapes]
batch = 1
stages = [[16, 8, 8]]
"""


def test_another_code_or_setting_is_not_resumed(cli: Cli, tmp_path: Path) -> None:
    """A run belongs to its code and its settings: --resume names what changed, in one line.

    Users' files are only loaded where they are named again.
    """
    mine, suite = tmp_path / "mine.py", tmp_path / "my.toml"
    mine.write_text(MINE.format(1))
    suite.write_text(MY_SUITE)
    script = RealFacts(steady)

    def heard(message: Message) -> None:
        if len(script.asked_for(RunBlock)) > 10:
            signal.raise_signal(signal.SIGINT)

    script.instead = heard
    words = ("run", "--suite", "my.toml", "--modules-from", "mine.py", *SMOKE[3:])
    assert cli(*words, script=script).returncode == 130
    before = (tmp_path / "run/journal.jsonl").read_bytes()
    unnamed = cli("run", "--resume", "run")
    assert "name it again: attn-bench run --resume run --modules-from mine.py" in unnamed.stderr
    other = cli("run", "--resume", "run", "--modules-from", "my.toml")
    assert "--modules-from my.toml: the run run did not use it" in other.stderr
    assert (unnamed.returncode, other.returncode) == (2, 2)
    mine.write_text(MINE.format(3))
    other_code = cli("run", "--resume", "run", "--modules-from", "mine.py")
    mine.write_text(MINE.format(1))
    other_setting = cli(
        "run", "--resume", "run", "--modules-from", "mine.py", ATEN_CPU_CAPABILITY="default"
    )
    for refused, word in ((other_code, "code"), (other_setting, "ATEN_CPU_CAPABILITY was None")):
        assert refused.returncode == 2
        assert word in refused.stderr
        assert refused.stderr.count("error: ") == 1
    assert (tmp_path / "run/journal.jsonl").read_bytes() == before
    assert cli("run", "--resume", "run", "--modules-from", "mine.py").returncode == 0


# --- through real processes -----------------------------------------------------------------------


class Running:
    """A run of the smoke suite in a process of its own, to be disturbed while it measures."""

    def __init__(self, folder: Path, *words: str, **options: Any) -> None:
        self.folder = folder / "run"
        self.process = subprocess.Popen(
            [sys.executable, "-m", "attn_bench", *SMOKE, *FEW, *words],
            cwd=folder,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            **options,
        )
        self.stdout = self.stderr = ""

    def wait_for_blocks(self) -> None:
        while len(kept(self.folder, "block")) < BLOCKS_BEFORE:
            assert self.process.poll() is None, "the run ended before it was disturbed"
            time.sleep(0.02)

    def workers(self) -> list[psutil.Process]:
        children = psutil.Process(self.process.pid).children(recursive=True)
        return [child for child in children if "attn_bench.worker" in child.cmdline()]

    def end(self) -> int:
        self.stdout, self.stderr = self.process.communicate()
        return self.process.returncode


@pytest.fixture
def running(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Running]:
    """A run that goes on until it is ended."""
    run = Running(tmp_path, *LONG)
    yield run
    if run.process.poll() is None:
        run.process.kill()
        run.process.communicate()


def test_sigterm_leaves_no_worker(running: Running) -> None:
    """The program ends with status 130 and its table, and its workers with it."""
    running.wait_for_blocks()
    workers = running.workers()
    running.process.send_signal(signal.SIGTERM)
    assert running.end() == 130
    assert "interrupted" in running.stdout
    assert workers
    assert not [worker for worker in workers if worker.is_running()]
    assert len(runs.load(running.folder).rows) == 9


def test_kill_9_of_the_program_loses_nothing(running: Running, cli: Cli) -> None:
    """Its workers die with it, what the journal held stays, and --resume makes the run whole."""
    running.wait_for_blocks()
    workers = running.workers()
    running.process.kill()
    running.process.communicate()
    gone, _ = psutil.wait_procs(workers)
    assert workers
    assert set(gone) == set(workers)
    with (running.folder / "journal.jsonl").open("a") as journal:
        journal.write('{"block": {"case_id": "cut o')  # as if it had died in the midst of a line
    before = kept(running.folder, "block")
    shown = cli("show", "run")
    assert shown.returncode == 2
    assert "run --resume" in shown.stderr
    assert cli("run", "--resume", "run").returncode == 0
    assert_complete(running.folder)
    assert kept(running.folder, "block")[: len(before)] == before


def test_a_killed_worker_costs_no_case(running: Running) -> None:
    """The run goes on in a new session; the notes of the case that it was on tell the reason."""
    running.wait_for_blocks()
    running.workers()[0].kill()
    while not any(block["session"] == 2 for block in kept(running.folder, "block")):
        assert running.process.poll() is None, "the run ended with its worker"
        time.sleep(0.02)
    running.process.send_signal(signal.SIGINT)
    assert running.end() == 130
    assert {one["status"] for one in kept(running.folder, "outcome")} == {"ok"}
    notes = runs.load(running.folder).info.notes.values()
    (lost,) = [note for many in notes for note in many if "SIGKILL" in note]
    assert lost.startswith("failed in one of the sessions: the worker process was killed")


def test_a_full_disk_keeps_what_was_written(tmp_path: Path, cli: Cli) -> None:
    """When no more can be written the run ends with status 3, and --resume goes on from there."""

    def limit() -> None:
        most = 30_000  # the table has room, the journal has not
        resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))

    run = Running(tmp_path, *LONG, preexec_fn=limit)
    assert run.end() == 3
    assert "cannot be written: File too large" in run.stderr
    assert "Traceback" not in run.stderr
    assert kept(run.folder, "block")
    # The rest is timed by a script, so its sessions are unlike the real ones: times are unclear.
    assert cli("run", "--resume", "run").returncode in (0, 4)
    assert_complete(run.folder)
