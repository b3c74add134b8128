"""Runs hostile commands of `attack.py` in a sandbox, and judges how they end."""

from __future__ import annotations

import hashlib
import os
import random
import re
import resource
import signal
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from attn_bench.cli.main import main
from attn_bench.engine.process import Worker
from attn_bench.model.status import Exit

TIMEOUT_S = 60
MEMORY_BYTES = 6 * 2**30
FILE_BYTES = 2**28
CRASHED, WORKER = 70, 99  # exit statuses of a child: an exception, and the start of a worker
COMMAND = re.compile(r"^\s*::[\w-]+(\s.*)?::|##\[", re.MULTILINE)
ACTS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069\u2028\u2029]")


@dataclass(frozen=True)
class Ended:
    """How a command ended.

    loads: the users' files that its worker would load; None if it started none.
    """

    words: tuple[str, ...]
    status: int
    out: str
    err: str
    loads: tuple[str, ...] | None

    def problem(self) -> str | None:
        """What is wrong with that; None if nothing is."""
        if self.status < 0:
            name = signal.Signals(-self.status).name
            return f"killed by {name}" + (" (it hung)" if name == "SIGALRM" else "")
        if self.status == CRASHED or "Traceback" in self.err:
            return f"a traceback: {self.err.strip().splitlines()[-1][:200]}"
        if self.status not in {*map(int, Exit), WORKER}:
            return f"status {self.status}"
        both = self.out + self.err
        if found := ACTS.search(both):
            return f"prints {found[0]!r}"
        if found := COMMAND.search(both):
            return f"prints a command of a runner: {found[0]!r}"
        errors = [line for line in self.err.splitlines() if line.startswith("error: ")]
        if self.status == Exit.BAD_REQUEST and len(errors) != 1 and self.words:
            return f"{len(errors)} lines of errors"
        return None


class ReachedWorker(BaseException):
    """Raised instead of starting a worker: the request was taken for a good one."""


class Sandbox:
    """A folder to run commands in, beside a folder that no command may change."""

    def __init__(self, base: Path, seed: int) -> None:
        self.rng = random.Random(seed)
        self.cwd, self.outside, self._tmp = base / "cwd", base / "outside", base / "tmp"
        for folder in (self.cwd, self.outside, self._tmp):
            folder.mkdir()
        self.canary = self.outside / "canary"
        self.canary.write_text("nothing may change this\n")
        self._before = self._look()

    def _look(self) -> Mapping[str, str]:
        return {
            str(file): hashlib.sha256(file.read_bytes()).hexdigest()
            for file in sorted(self.outside.rglob("*"))
        }

    def run(self, *words: str, **environment: str) -> Ended:
        """`attn-bench WORDS…` in a child of this process, which starts no worker."""

        def child() -> int:
            os.environ.update(environment)
            return int(main(words))

        status = self.call(child)
        out, err = (
            (self._tmp / name).read_bytes().decode(errors="backslashreplace")
            for name in ("out", "err")
        )
        loads = None
        if status == WORKER:
            *lines, last = err.splitlines()
            err, loads = "\n".join(lines), tuple(filter(None, last.split("\0")))
        return Ended(words, status, out, err, loads)

    def err(self) -> str:
        """The last line that a child printed."""
        lines = (self._tmp / "err").read_text(errors="replace").strip().splitlines()
        return lines[-1] if lines else ""

    def call(self, function: Callable[[], int]) -> int:
        """The status of a child that calls `function`; below 0 if a signal ended it."""
        sys.stdout.flush()
        pid = os.fork()
        if pid == 0:
            self._be_the_child(function)
        _, status = os.waitpid(pid, 0)
        return os.waitstatus_to_exitcode(status)

    def _be_the_child(self, function: Callable[[], int]) -> None:
        status = CRASHED
        try:
            signal.alarm(TIMEOUT_S)
            resource.setrlimit(resource.RLIMIT_DATA, (MEMORY_BYTES, MEMORY_BYTES))
            resource.setrlimit(resource.RLIMIT_FSIZE, (FILE_BYTES, FILE_BYTES))
            os.chdir(self.cwd)
            os.environ["TMPDIR"] = str(self._tmp)
            for number, name in ((1, "out"), (2, "err")):
                file = os.open(self._tmp / name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
                os.dup2(file, number)
            sys.stdout = sys.__stdout__ = open(1, "w", encoding="utf-8", closefd=False)  # noqa
            sys.stderr = sys.__stderr__ = open(2, "w", encoding="utf-8", closefd=False)  # noqa
            Worker.__init__ = _reach_worker  # type: ignore[method-assign]
            status = function()
        except ReachedWorker as reached:
            sys.stderr.write("\n" + "\0".join(reached.args))
            status = WORKER
        except BaseException:
            traceback.print_exc()
        finally:
            for stream in (sys.stdout, sys.stderr):
                stream.flush()
            os._exit(status)

    def trespass(self) -> str | None:
        """What changed outside of the sandbox since the last look; None if nothing did."""
        now = self._look()
        if now == self._before:
            return None
        changed = sorted(f for f in {*now, *self._before} if now.get(f) != self._before.get(f))
        self._before = now
        return f"changed {changed[0]}"


def _reach_worker(self: Worker, opening: Any, *others: Any, **more: Any) -> None:
    raise ReachedWorker(*opening.modules_from)


@dataclass
class Section:
    """One part of the campaign: how many were tried, and what was wrong."""

    name: str
    asked: int
    tried: int = 0
    wrong: list[str] | None = None

    def note(self, what: str, problem: str | None) -> None:
        self.tried += 1
        if problem is not None:
            self.wrong = [*(self.wrong or []), f"{what}: {problem}"]


def show_words(words: Sequence[str]) -> str:
    return " ".join(repr(word if len(word) < 60 else f"{word[:60]}…") for word in words)


def until(deadline_s: float, is_so: Callable[[], Any]) -> Iterator[None]:
    """Yields until `is_so`, at most `deadline_s` seconds."""
    import time

    end = time.monotonic() + deadline_s
    while not is_so() and time.monotonic() < end:
        yield
        time.sleep(0.01)
