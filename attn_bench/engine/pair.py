"""Two workers that act as one, for versions that one process cannot hold.

Their interpreters differ, and so do torch and timm. Each process has its own memory layout, so
identical modules differ by 3 to 26 % between the two. Many pairs are needed to see less.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Protocol

from attn_bench.engine.process import Worker, WorkerLost
from attn_bench.model import protocol
from attn_bench.model.case import BASELINE
from attn_bench.model.errors import RequestError
from attn_bench.model.protocol import Message, Reply


class AnyWorker(Protocol):
    """The interface of a worker: a process, a pair of processes, or a script in the tests."""

    def open(self) -> protocol.Hello:
        """Wait until it is ready. Raises RequestError if it cannot be started."""

    def share_memory(self, workers: int) -> None:
        """Limit its memory to a share of what is free; `another` copies the limit.

        workers: how many live at once. Raises WorkerLost.
        """

    def another(self, load: Sequence[str]) -> AnyWorker:
        """Start a new worker with the same settings; `load` names the modules to import."""

    def without_files(self) -> AnyWorker:
        """Start a new worker with the same settings that does not load the users' files."""

    def ask(self, message: Message, timeout_s: float) -> Reply:
        """The reply to `message`. After `timeout_s`, ends the worker and raises WorkerLost."""

    def begin(self, message: Message) -> None:
        """Send `message`. Other workers can be asked before `finish` waits for the reply."""

    def finish(self, timeout_s: float) -> Reply:
        """The reply to what was begun. After `timeout_s`, ends the worker and raises WorkerLost."""

    def end(self) -> None:
        """End it and its children; safe to call twice."""


class WorkerPair:
    """Sends the requests about baseline cases to the second worker, all others to the first."""

    def __init__(self, current: Worker, baseline: Worker) -> None:
        self._current = current
        self._baseline = baseline
        self._asked = current
        self.baseline_hello: protocol.Hello | None = None

    def open(self) -> protocol.Hello:
        """Open both workers. Raises RequestError if one of them cannot be started."""
        hello = self._current.open()
        try:
            self.baseline_hello = self._baseline.open()
        except RequestError as problem:
            raise RequestError(f"{self._baseline.python}: {problem}") from None
        here, there = hello, self.baseline_hello
        if (here.device, here.threads) != (there.device, there.threads):
            raise RequestError(
                f"{self._baseline.python}: {there.device} with {there.threads} threads, but here "
                f"{here.device} with {here.threads}: give --device and --threads"
            )
        return hello

    def share_memory(self, workers: int) -> None:
        self._current.share_memory(2 * workers)
        self._baseline.share_memory(2 * workers)

    def another(self, load: Sequence[str]) -> WorkerPair:
        names = sorted({name.removesuffix(BASELINE) for name in load})
        return WorkerPair(self._current.another(names), self._baseline.another(names))

    def without_files(self) -> WorkerPair:
        return WorkerPair(self._current.without_files(), self._baseline.without_files())

    def ask(self, message: Message, timeout_s: float) -> Reply:
        """The reply of one worker. If it is lost, ends both workers and raises WorkerLost."""
        self.begin(message)
        return self.finish(timeout_s)

    def begin(self, message: Message) -> None:
        self._asked = self._current
        if isinstance(message, protocol.OfCase) and message.case.is_baseline:
            self._asked = self._baseline
            message = replace(message, case=message.case.current)
        self._asked.begin(message)

    def finish(self, timeout_s: float) -> Reply:
        """The reply of the worker that was asked. If it is lost, ends both."""
        try:
            return self._asked.finish(timeout_s)
        except WorkerLost:
            self.end()
            raise

    def end(self) -> None:
        self._current.end()
        self._baseline.end()
