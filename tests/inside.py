"""The program in this process. Its workers build and count for real; their times are a script's.

No process is started, nothing is waited for, and a budget passes on a clock of its own. What needs
a real process (crashes, hangs, limits of memory, what is imported) goes through `program`.
"""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random
from typing import ClassVar

import pytest
import torch
from fakes import FakeWorker, Script
from program import ROOT

from attn_bench.catalog import code
from attn_bench.cli.main import main
from attn_bench.engine.coordinator import Coordinator
from attn_bench.engine.process import Worker, worker_environment
from attn_bench.engine.watch import Watch
from attn_bench.model import protocol
from attn_bench.model.case import Case
from attn_bench.model.errors import RequestError
from attn_bench.model.protocol import Failure, Message, Reply
from attn_bench.worker.bench import Bench, open_bench
from attn_bench.worker.devices.cpu import Cpu

# A machine that is left alone: what `Watch` counts does not change.
NOTHING_ELSE = dict.fromkeys(
    ("wall_s", "busy_s", "own_s", "stolen_s", "throttled", "swapped_in"), 0.0
)


def steady(case: Case, session: int, round_: int) -> float:
    """A millisecond, twice that in training, and more for a module whose name is longer.

    It scatters by 0.1 %, in every run alike.
    """
    of_round = Random(f"{case.id} {session} {round_}").gauss(1, 1e-3)
    letters = 0 if case.is_plain else len(case.current.variant.module)
    return 0.001 * (2 if case.mode == "training" else 1) * (1 + 0.1 * letters) * of_round


@dataclass
class RealFacts(Script):
    """A script of times alone. instead: an answer in place of the bench's or the script's."""

    instead: Callable[[Message], Reply | BaseException | None] = lambda _: None


class BenchWorker(FakeWorker):
    """What is asked but times is answered by a real bench, in this process."""

    def __init__(
        self, script: Script, opening: protocol.Open, load: Sequence[str], python: str
    ) -> None:
        super().__init__(script, load)
        self.opening, self.python = opening, python
        self._bench: Bench | None = None

    known_modules: ClassVar[set[str]] = set()  # not the code under test

    def open(self) -> protocol.Hello:
        super().open()
        _forget(self.known_modules)
        # Threads that are told to keep to their cores wait for each other where others are at work.
        self._bench, reply = open_bench(replace(self.opening, threads=self.opening.threads or 1))
        if isinstance(reply, Failure):
            raise RequestError(reply.error)
        assert isinstance(reply, protocol.Hello)
        return replace(reply, settings=protocol.settings_in(worker_environment(self.opening.pages)))

    def _answer(self, message: Message) -> Reply | BaseException:
        assert isinstance(self.script, RealFacts)
        if (answer := self.script.instead(message)) is not None:
            return answer
        if isinstance(message, protocol.RunBlock | protocol.MeasureRates | protocol.Prepare):
            return super()._answer(message)
        assert self._bench is not None
        return self._bench.answer(message)


def _forget(known: set[str]) -> None:
    """Forget the code under test, as a new process has not loaded it."""
    for name in sys.modules.keys() - known:
        place = code.place_of(sys.modules[name])
        if place is not None and not code.is_installed(place) and not place.is_relative_to(ROOT):
            del sys.modules[name]


@contextmanager
def played(script: RealFacts) -> Iterator[None]:
    """Inside, every worker of this process follows `script`, and time is on its clock."""

    def start(
        self: Worker, opening: protocol.Open, load: Sequence[str] = (), python: str = sys.executable
    ) -> None:
        self.opening, self.python = opening, python
        self.fake = BenchWorker(script, opening, load, python)  # type: ignore[attr-defined]

    threads, path, modules = torch.get_num_threads(), list(sys.path), set(sys.modules)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Worker, "__init__", start)
        for name in ("open", "ask", "begin", "finish", "end"):

            def method(self: Worker, *words: object, called: str = name) -> object:
                return getattr(self.fake, called)(*words)  # type: ignore[attr-defined]

            patch.setattr(Worker, name, method)
        patch.setattr(sys, "dont_write_bytecode", True)  # a file changes within a second, unseen
        patch.setattr(BenchWorker, "known_modules", modules)
        patch.setattr(Cpu, "limit_memory", lambda self, limit_bytes: None)
        patch.setattr(Watch, "_now", lambda self: NOTHING_ELSE)
        patch.setitem(Coordinator.__init__.__kwdefaults__, "clock", script.clock)
        try:
            yield
        finally:
            torch.set_num_threads(threads)
            sys.path[:] = path
            _forget(modules)


def inside(
    *words: str, cwd: Path, script: RealFacts | None = None, **environment: str
) -> subprocess.CompletedProcess[str]:
    """`attn-bench WORDS…` in `cwd`, to its end, as `program.program` gives it."""
    encoding = environment.pop("PYTHONIOENCODING", "utf-8")
    out, err = (io.TextIOWrapper(io.BytesIO(), encoding=encoding) for _ in range(2))
    heard = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)}
    before = Path.cwd()
    with pytest.MonkeyPatch.context() as patch:
        for name, value in environment.items():
            patch.setenv(name, value)
        patch.setattr(sys, "argv", ["attn-bench", *words])
        os.chdir(cwd)
        try:
            with redirect_stdout(out), redirect_stderr(err), played(script or RealFacts(steady)):
                status = main(words)
        finally:
            os.chdir(before)
            for number, handler in heard.items():
                signal.signal(number, handler)
    told = []
    for stream in (out, err):
        stream.flush()
        told.append(stream.buffer.getvalue().decode(encoding))  # type: ignore[attr-defined]
    return subprocess.CompletedProcess(list(words), status, *told)
