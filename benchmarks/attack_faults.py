"""Faults of `attack.py` that need real processes: signals, lost workers, full disks."""

from __future__ import annotations

import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
from attack_sandbox import Sandbox, Section

from attn_bench.store import runs

ROOT = Path(__file__).resolve().parent.parent
TIMEOUT_S = 150
MINE = """
from torch import nn
from attn_bench import register

@register("mine")
def mine(channels):
    "A convolution."
    return nn.Conv2d(channels, channels, 1)
"""
SUITE = """
title = "Attacked"
[[grid]]
module = ["se", "mine", "identity"]
[shapes]
batch = 1
stages = [[16, 8, 8]]
"""
RUN = ("run", "--suite", "mine.toml", "--modules-from", "mine.py", "--threads", "1", "--wait")
SHORT = ("--budget", "1", "--sessions", "2", "--precision", "90")
LONG = ("--budget", "600", "--sessions", "2", "--precision", "0.001", "--timeout", "5")


class Program:
    """The program in a separate process, in `cwd`; what it prints goes to files."""

    def __init__(self, cwd: Path, *words: str, limit: Callable[[], None] | None = None) -> None:
        self.cwd = cwd
        self._out, self._err = (cwd.parent / "tmp" / name for name in ("out", "err"))
        with self._out.open("wb") as out, self._err.open("wb") as err:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "attn_bench", *words],
                cwd=cwd,
                env={**os.environ, "PYTHONPATH": str(ROOT), "TMPDIR": str(cwd.parent / "tmp")},
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                preexec_fn=lambda: _begin(limit),
            )

    @property
    def err(self) -> str:
        return self._err.read_text(errors="replace")

    def wait_for(self, is_so: Callable[[], Any]) -> None:
        deadline = time.monotonic() + TIMEOUT_S
        while self.process.poll() is None and not is_so() and time.monotonic() < deadline:
            time.sleep(0.005)

    def workers(self) -> list[psutil.Process]:
        try:
            children = psutil.Process(self.process.pid).children(recursive=True)
            return [child for child in children if "attn_bench.worker" in child.cmdline()]
        except psutil.Error:
            return []

    def end(self, *expected: int) -> str | None:
        """Wait for its end. The problem: another status, a traceback, or a worker that lives."""
        workers = self.workers()
        try:
            status = self.process.wait(TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            return "hangs"
        if "Traceback" in self.err:
            return f"a traceback: {self.err.strip().splitlines()[-1][:200]}"
        _, alive = psutil.wait_procs(workers, timeout=10)
        if alive:
            return f"{len(alive)} workers live on"
        return None if status in expected else f"status {status}: {self.err[-200:]}"


def _begin(limit: Callable[[], None] | None) -> None:
    signal.signal(signal.SIGHUP, signal.SIG_DFL)  # also if the campaign runs under nohup
    if limit is not None:
        limit()


def prepare(cwd: Path) -> None:
    (cwd / "mine.py").write_text(MINE)
    (cwd / "mine.toml").write_text(SUITE)


def journal_of(cwd: Path) -> str:
    file = cwd / "run" / "journal.jsonl"
    return file.read_text() if file.exists() else ""


def make_resumable(cwd: Path) -> Path:
    """The folder of a run that was killed after some blocks."""
    prepare(cwd)
    program = Program(cwd, *RUN, *LONG, "--out", "run")
    program.wait_for(lambda: journal_of(cwd).count('{"block"') > 8)
    program.process.kill()
    program.process.wait()
    (cwd / "run").rename(cwd / "killed")
    return cwd / "killed"


# --- faults ---------------------------------------------------------------------------------------

STAGES: dict[str, Callable[[Program], object]] = {
    "starting": lambda program: program.workers(),
    "inspecting": lambda program: "inspecting" in program.err,
    "preparing": lambda program: "measuring" in program.err,
    "measuring": lambda program: journal_of(program.cwd).count('{"block"') > 12,
}
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGPIPE, signal.SIGKILL)


def attack_faults(box: Sandbox, section: Section) -> None:
    prepare(box.cwd)
    for fault in (_signals, _signals_while_saving, _workers, _streams, _disks, _others):
        for what, problem in fault(box.cwd):
            section.note(what, problem or box.trespass())
            shutil.rmtree(box.cwd / "run", ignore_errors=True)


def _whole(cwd: Path) -> str | None:
    """Why the run folder cannot be read; None if it can."""
    try:
        runs.load(cwd / "run")
    except Exception as error:  # what is counted
        return f"the folder cannot be read: {error}"
    return None


def _signals(cwd: Path) -> Iterator[tuple[str, str | None]]:
    """Each signal in each stage: the status, and a folder that is whole or can be resumed."""
    for stage, is_reached in STAGES.items():
        for number in SIGNALS:
            program = Program(cwd, *RUN, *LONG, "--out", "run")
            program.wait_for(lambda program=program, is_so=is_reached: is_so(program))
            program.process.send_signal(number)
            if number == signal.SIGPIPE:  # Python ignores it, and so do we
                time.sleep(0.2)
                program.process.send_signal(signal.SIGTERM)
            expected = -number if number == signal.SIGKILL else 130
            problem = program.end(expected)
            if problem is None and number != signal.SIGKILL and (cwd / "run").exists():
                problem = _whole(cwd)
            yield f"{number.name} while {stage}", problem


def _signals_while_saving(cwd: Path) -> Iterator[tuple[str, str | None]]:
    """A signal that comes when the first table is written does not stop the others."""
    for number in SIGNALS[:4]:
        program = Program(cwd, *RUN, *SHORT, "--out", "run")
        program.wait_for(lambda: any((cwd / "run").glob("*samples.parquet*")))
        program.process.send_signal(number)
        yield f"{number.name} while saving", program.end(0, 4, 130) or _whole(cwd)


def _workers(cwd: Path) -> Iterator[tuple[str, str | None]]:
    """A worker that is killed or stopped costs its case at most; the run goes on."""
    for stage in ("inspecting", "preparing", "measuring"):
        for number in (signal.SIGKILL, signal.SIGSTOP, signal.SIGSEGV):
            words = ("--budget", "8", "--sessions", "2", "--precision", "0.001", "--timeout", "3")
            program = Program(cwd, *RUN, *words, "--out", "run")
            program.wait_for(lambda program=program, stage=stage: STAGES[stage](program))
            for worker in program.workers()[:1]:
                worker.send_signal(number)
            yield f"a worker gets {number.name} while {stage}", program.end(0, 3, 4) or _whole(cwd)


def _streams(cwd: Path) -> Iterator[tuple[str, str | None]]:
    """The status is that of the answer, whatever reads it; a full device is reported."""
    reference = ROOT / "results" / "reference" / "ge_extents-cpu"
    shown = {"show": (0, f"show {reference}"), "list": (0, "list backbones")}
    shown["compare"] = (0, f"compare {reference} {reference} --tolerance latency=900")
    shown["report"] = (0, f"report {reference} --out page.html")
    shown["wrong"] = (2, "show nosuch")
    ways = {"| true": None, ">&-": None, "2>&-": None, ">/dev/full": 3}
    for name, (status, words) in shown.items():
        for way, full in ways.items():
            if name == "wrong" and way != "2>&-":
                continue
            command = f"{sys.executable} -m attn_bench {words} {way}; exit ${{PIPESTATUS[0]}}"
            done = subprocess.run(
                ["bash", "-c", command],
                cwd=cwd,
                env={**os.environ, "PYTHONPATH": str(ROOT)},
                capture_output=True,
                text=True,
                timeout=TIMEOUT_S,
            )
            expected = full if full is not None else status
            is_wrong = done.returncode not in (expected, 4) or "Traceback" in done.stderr
            found = f"status {done.returncode}: {done.stderr[-200:]}" if is_wrong else None
            yield f"{name} {way}", found


def _disks(cwd: Path) -> Iterator[tuple[str, str | None]]:
    """A disk that is full at one file after another: a status of ours, and one line."""
    for most in (0, 200, 2_000, 4_000, 8_000, 12_000, 20_000, 40_000):

        def limit(most: int = most) -> None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))

        # The streams are files, too, but short.
        program = Program(cwd, *RUN, *LONG[:-2], "--budget", "4", "--out", "run", limit=limit)
        yield f"files of at most {most} bytes", program.end(2, 3, 0, 4, 1)
    with _read_only(cwd / "locked"):
        for words in (
            (*RUN, *SHORT, "--out", "locked/run"),
            ("report", "latest", "--out", "locked/x"),
        ):
            yield f"{words[0]} into a read-only folder", Program(cwd, *words).end(2)


@contextmanager
def _read_only(folder: Path) -> Iterator[None]:
    """A folder that even root cannot write into, where such a one can be made."""
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "ro", "tmpfs", str(folder)], capture_output=True, check=False
    )
    folder.chmod(0o500) if mounted.returncode else None
    try:
        yield
    finally:
        if not mounted.returncode:
            subprocess.run(["umount", str(folder)], check=True)
        folder.rmdir()


def _others(cwd: Path) -> Iterator[tuple[str, str | None]]:
    """Two runs at once, many cases, workers that cannot start."""
    words = RUN[:-1]
    first = Program(cwd, *words, *LONG, "--out", "run")
    first.wait_for(lambda: journal_of(cwd))
    second = Program(cwd, *words, *SHORT, "--out", "second")
    refused = second.end(2)
    first.process.send_signal(signal.SIGINT)
    yield "two runs at once", refused or first.end(130) or _whole(cwd)
    many = SUITE.replace('"mine", ', "").replace("batch = 1", f"batch = {list(range(1, 5001))}")
    (cwd / "many.toml").write_text(many)
    yield "10,000 cases", Program(cwd, "run", "--suite", "many.toml", "--dry-run").end(0)
    for name, body in {
        "raises": "raise ImportError('no torch here')",
        "exits": "import os; os._exit(7)",
        "dies": "import os; os.kill(os.getpid(), 11)",
    }.items():
        broken = cwd / f"torch_{name}"
        broken.mkdir()
        (broken / "torch.py").write_text(body)
        with _environment(PYTHONPATH_FIRST=str(broken)):
            yield f"a torch that {name}", _run_with_torch(cwd, broken)


@contextmanager
def _environment(**values: str) -> Iterator[None]:
    before = dict(os.environ)
    os.environ.update(values)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def _run_with_torch(cwd: Path, folder: Path) -> str | None:
    """A run whose workers load another torch."""
    done = subprocess.run(
        [sys.executable, "-m", "attn_bench", "run", "--suite", "smoke", "--wait"],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": f"{folder}:{ROOT}", "TMPDIR": str(cwd.parent / "tmp")},
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
    )
    errors = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    is_wrong = done.returncode != 2 or len(errors) != 1 or "Traceback" in done.stderr
    return f"status {done.returncode}: {done.stderr[-300:]}" if is_wrong else None
