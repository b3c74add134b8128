"""Handles one worker process: starts it, asks it, detects that it died or hangs, ends it."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from attn_bench.model import protocol
from attn_bench.model.axes import Pages
from attn_bench.model.errors import LONGEST_REASON, RequestError
from attn_bench.model.paths import PACKAGE
from attn_bench.model.protocol import Message, Reply
from attn_bench.model.status import Status
from attn_bench.model.text import printable

START_TIMEOUT_S = 180.0
PROFILER = "ActivityProfilerController"  # in the log lines of torch's profiler
LONGEST_LINE = 2**26  # bytes of a reply
PRINTS_BYTES = 2**16  # of what a worker prints, the end is kept
PIPES_MOST_READS = 16  # a pipe holds 1 MiB at most
# Bind each OpenMP thread to a separate core. A busy system may otherwise put two threads on one
# core, where each spins through whole time slices waiting for the other: an SE block of 0.6 ms then
# takes 64 ms (benchmarks/openmp_binding.py). The user's own settings stay.
OPENMP = {"OMP_PROC_BIND": "true", "OMP_PLACES": "cores"}
# Make glibc keep freed memory. By default, some processes return large blocks to the system and
# others do not, depending on the layout of the heap. Each call then waits for fresh pages: at
# 8×256×56×56 one module took 29 ms in one process and 106 ms in another.
MALLOC = {
    "MALLOC_MMAP_THRESHOLD_": str(32 * 2**20),  # the most that glibc takes
    "MALLOC_TRIM_THRESHOLD_": str(16 * 2**30),
    "MALLOC_TOP_PAD_": str(256 * 2**20),
}
# Make PyTorch and glibc ask the kernel for huge pages. A process's small pages lie at random, and
# some processes have unlucky ones for as long as they live: the copy of 8×512×28×28 varied by 8 to
# 30 % between processes, and by 1 to 3 % in huge pages (benchmarks/placement.py).
HUGE_PAGES = {"THP_MEM_ALLOC_ENABLE": "1"}
HUGE_HEAP = "glibc.malloc.hugetlb=1"


def worker_environment(pages: Pages) -> dict[str, str]:
    """Our environment, plus the settings above; those of OpenMP and malloc yield to the user's."""
    found = {**OPENMP, **MALLOC, **os.environ}
    if pages == "huge":
        tunables = [os.environ.get("GLIBC_TUNABLES"), HUGE_HEAP]
        found |= {**HUGE_PAGES, "GLIBC_TUNABLES": ":".join(filter(None, tunables))}
    return found


class WorkerLost(Exception):
    """The worker died or hung; its current request is lost, too."""

    def __init__(self, status: Status, error: str) -> None:
        super().__init__(error)
        self.status: Status = status


class Worker:
    """A worker process. It leads a process session, so that `end` also ends its children.

    The constructor starts the process and returns at once. `open` waits until it is ready.
    load: names of modules whose code the worker imports first.
    python: the interpreter, which brings its torch and timm.
    """

    def __init__(
        self, opening: protocol.Open, load: Sequence[str] = (), python: str = sys.executable
    ) -> None:
        self.opening = opening
        self.python = python
        self._load = list(load)
        self._alone: tempfile.TemporaryDirectory[str] | None = None
        root = str(PACKAGE.parent)
        if python != sys.executable:
            # Another interpreter must find this package, and not another version installed there.
            self._alone = tempfile.TemporaryDirectory(prefix="attn-bench-")
            root = self._alone.name
            Path(root, PACKAGE.name).symlink_to(PACKAGE)
        path = os.environ.get("PYTHONPATH") if python == sys.executable else None
        environment = worker_environment(opening.pages)
        environment["PYTHONPATH"] = os.pathsep.join([root, path]) if path else root
        self._process = subprocess.Popen(
            [python, "-P", "-m", "attn_bench.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
            env=environment,
        )
        assert self._process.stderr is not None
        os.set_blocking(self._process.stderr.fileno(), False)
        self._unread, self._printed = bytearray(), b""
        self._prints = True
        self._asked: type[Message] = protocol.Open
        with suppress(OSError):  # it has ended already: `open` reports that
            self._post(opening)
            if load:
                self._post(protocol.Load(self._load))

    @property
    def pid(self) -> int:
        return self._process.pid

    def open(self) -> protocol.Hello:
        """Wait until the worker is ready.

        Raises RequestError if the device does not exist, or a user's file cannot be loaded.
        """
        try:
            reply = self._reply(protocol.Open, START_TIMEOUT_S)
            if isinstance(reply, protocol.Hello) and self._load:
                self._reply(protocol.Load, START_TIMEOUT_S)
        except WorkerLost as lost:
            raise RequestError(f"a worker cannot be started: {lost}") from None
        if isinstance(reply, protocol.Failure):
            raise RequestError(reply.error)
        assert isinstance(reply, protocol.Hello), reply
        return reply

    def share_memory(self, workers: int) -> None:
        """Limit its memory, and that of workers started by `another`, to a share of what is free.

        workers: how many live at once. A limit that the user gave stays.
        Raises WorkerLost.
        """
        if self.opening.memory_bytes is not None:
            return
        reply = self.ask(protocol.ShareMemory(workers), START_TIMEOUT_S)
        assert isinstance(reply, protocol.MemoryShared), reply
        self.opening = replace(self.opening, memory_bytes=reply.limit_bytes)

    def another(self, load: Sequence[str]) -> Worker:
        """Start a new worker with the same settings as this one."""
        return Worker(self.opening, load, self.python)

    def without_files(self) -> Worker:
        """Start a new worker with the same settings that does not load the users' files."""
        return Worker(replace(self.opening, modules_from=[]), python=self.python)

    def ask(self, message: Message, timeout_s: float) -> Reply:
        """The worker's reply. After `timeout_s`, ends the worker and raises WorkerLost."""
        self.begin(message)
        return self.finish(timeout_s)

    def begin(self, message: Message) -> None:
        """Send a request, to whose reply `finish` comes back."""
        self._asked = type(message)
        with suppress(OSError):  # it has ended: `finish` reports that
            self._post(message)

    def finish(self, timeout_s: float) -> Reply:
        """The reply to what was begun. After `timeout_s`, ends the worker and raises WorkerLost."""
        return self._reply(self._asked, timeout_s)

    def _post(self, message: Message) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(protocol.encode(message))
        self._process.stdin.flush()

    def _reply(self, to: type[Message], timeout_s: float) -> Reply:
        """The reply to a request of this type. Ends the worker if anything else comes."""
        line = self._line(timeout_s)
        try:
            reply = protocol.decode(line)
        except ValueError:
            reply = None
        if isinstance(reply, protocol.ANSWER[to] | protocol.Failure):
            return reply
        self.end()
        raise WorkerLost("failed", "the worker process sent something else than an answer")

    def end(self) -> None:
        """Kill the worker and its children; safe to call twice."""
        if self._process.returncode is None:  # not reaped yet, so its process group still exists
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
        if self._alone is not None:
            self._alone.cleanup()
        for stream in (self._process.stdin, self._process.stdout, self._process.stderr):
            if stream is not None:
                with suppress(OSError):  # a pipe without a reader cannot be flushed
                    stream.close()

    def _line(self, timeout_s: float) -> bytes:
        """The next line of the replies. Takes what the worker prints meanwhile off its pipe."""
        assert self._process.stdout is not None
        assert self._process.stderr is not None
        replies, prints = self._process.stdout.fileno(), self._process.stderr.fileno()
        deadline = time.monotonic() + timeout_s
        is_whole = b"\n" in self._unread
        while not is_whole:
            left = deadline - time.monotonic()
            sources = [replies, prints] if self._prints else [replies]
            ready, _, _ = select.select(sources, [], [], max(0.0, left))
            if not ready:
                self.end()
                raise WorkerLost("timeout", f"no answer within {timeout_s:g} s")
            if prints in ready:
                self._take_prints()
            if replies not in ready:
                continue
            chunk = os.read(replies, 1 << 16)
            if not chunk:
                raise self._died()
            self._unread += chunk
            is_whole = b"\n" in chunk
            if len(self._unread) > LONGEST_LINE:
                self.end()
                raise WorkerLost("failed", "the worker process sent an answer without an end")
        line, _, self._unread = self._unread.partition(b"\n")
        return bytes(line)

    def _take_prints(self) -> None:
        """Read what the worker has printed, and keep the end of it: a module may print for ever."""
        assert self._process.stderr is not None
        with suppress(BlockingIOError):
            chunk = os.read(self._process.stderr.fileno(), 1 << 16)
            self._printed = (self._printed + chunk)[-PRINTS_BYTES:]
            self._prints = bool(chunk)

    def _died(self) -> WorkerLost:
        """Why the worker closed its pipe. Ends the worker if it still runs."""
        ended = self._how_it_ended()
        message = self._last_words()
        self.end()
        if ended is None:
            return WorkerLost("failed", "the worker process closed its connection")
        if ended.si_code == os.CLD_EXITED:
            status = f"the worker process ended with status {ended.si_status}"
            if ended.si_status == 0:  # what it printed last is not a reason
                return WorkerLost("failed", status)
            return WorkerLost("failed", f"{status}: {message}" if message else status)
        name = signal.Signals(ended.si_status).name
        hint = " (the kernel's out-of-memory killer?)" if name == "SIGKILL" else ""
        return WorkerLost("failed", f"the worker process was killed by {name}{hint}")

    def _how_it_ended(self) -> os.waitid_result | None:
        """How the process ended, without reaping it: its children may still need to be ended."""
        for _ in range(50):
            self._take_prints()  # a full pipe would keep it from ending
            ended = os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOWAIT | os.WNOHANG)
            if ended is not None:
                return ended
            time.sleep(0.1)
        return None

    def _last_words(self) -> str:
        """The last line that an ended worker printed."""
        for _ in range(PIPES_MOST_READS):
            if self._prints:
                self._take_prints()
        lines = self._printed.decode(errors="replace").strip().splitlines()
        lines = [line for line in lines if PROFILER not in line]
        return printable(lines[-1][:LONGEST_REASON]) if lines else ""
