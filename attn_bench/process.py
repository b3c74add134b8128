"""One worker, seen from outside: start it, ask it, notice that it died or hangs, end it."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path

from attn_bench import protocol
from attn_bench.errors import RequestError
from attn_bench.protocol import Reply, Request
from attn_bench.record import Status

START_TIMEOUT_S = 180.0
# Each OpenMP thread stays on a core of its own. Left to itself, a busy system may put two on one,
# where each spins through whole time slices waiting for the other: an SE block that takes 0.6 ms
# then takes 64 ms (benchmarks/openmp_binding.py). What the user has set is left as it is.
OPENMP = {"OMP_PROC_BIND": "true", "OMP_PLACES": "cores"}


class WorkerLost(Exception):
    """The worker died or hung: what it was asked is lost, and so is the worker."""

    def __init__(self, status: Status, error: str) -> None:
        super().__init__(error)
        self.status: Status = status


class Worker:
    """A worker process of its own session, so that ending it ends what it started too.

    Constructing starts it and returns at once; `open` waits until it is ready.
    """

    def __init__(self, opening: protocol.Open) -> None:
        self._opening = opening
        root = str(Path(__file__).resolve().parent.parent)
        path = os.environ.get("PYTHONPATH")
        environment = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join([root, path]) if path else root,
        }
        for name, value in OPENMP.items():
            environment.setdefault(name, value)
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 - closed in `end`
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", "attn_bench.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            start_new_session=True,
            env=environment,
        )
        self._unread = b""

    @property
    def pid(self) -> int:
        return self._process.pid

    def open(self) -> protocol.Hello:
        """Raises RequestError where there is no such device, or a user's file cannot be loaded."""
        try:
            reply = self.ask(self._opening, START_TIMEOUT_S)
        except WorkerLost as lost:
            raise RequestError(f"no worker could be started: {lost}") from None
        if isinstance(reply, protocol.Failure):
            raise RequestError(reply.error)
        assert isinstance(reply, protocol.Hello), reply
        return reply

    def successor(self) -> Worker:
        """A fresh worker, open in the same way as this one, which is ended."""
        self.end()
        worker = Worker(self._opening)
        try:
            worker.open()
        except BaseException:
            worker.end()
            raise
        return worker

    def ask(self, request: Request, timeout_s: float) -> Reply:
        """The worker's reply. Raises WorkerLost, with the worker ended, after `timeout_s`."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(protocol.encode(request))
            self._process.stdin.flush()
        except OSError:
            raise self._died() from None
        return protocol.decode(self._line(timeout_s))  # type: ignore[return-value]

    def end(self) -> None:
        """Kill the worker and everything it started; safe to call twice."""
        if self._process.poll() is None:
            with suppress(ProcessLookupError):  # it may end by itself just now
                os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout, self._log):
            if stream is not None:
                with suppress(OSError):  # a pipe whose other end is gone cannot be flushed
                    stream.close()

    def _line(self, timeout_s: float) -> bytes:
        assert self._process.stdout is not None
        source = self._process.stdout.fileno()
        deadline = time.monotonic() + timeout_s
        while b"\n" not in self._unread:
            left = deadline - time.monotonic()
            ready, _, _ = select.select([source], [], [], max(0.0, left))
            if not ready:
                self.end()
                raise WorkerLost("timeout", f"no answer within {timeout_s:g} s")
            chunk = os.read(source, 1 << 16)
            if not chunk:
                raise self._died()
            self._unread += chunk
        line, _, self._unread = self._unread.partition(b"\n")
        return line

    def _died(self) -> WorkerLost:
        code = self._process.wait()
        self._log.seek(0)
        said = self._log.read().decode(errors="replace").strip().splitlines()
        self.end()
        if code < 0:
            name = signal.Signals(-code).name
            hint = " (the kernel's out-of-memory killer?)" if name == "SIGKILL" else ""
            return WorkerLost("failed", f"the worker process was killed by {name}{hint}")
        last = f": {said[-1][:300]}" if said else ""
        return WorkerLost("failed", f"the worker process ended with status {code}{last}")
