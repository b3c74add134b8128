"""What a module may leave behind in a worker: threads and processes that work on, files closed.

None of it can be put back. It disturbs all later measurements, so it spoils the worker.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from types import FrameType
from typing import Literal

import psutil

from attn_bench.catalog.code import is_installed

TASKS = Path("/proc/self/task")
HAS_CHILDREN_FILES = Path("/proc/thread-self/children").exists()  # some kernels lack them
SETTLE_S = 0.05  # after this, a thread pool without work sleeps
WATCH_S = 0.03
BUSY_SHARE = 0.05  # of WATCH_S: a thread without work has none
# When something is looked for: after a user's file was loaded, a compiler was called, or a module.
Stage = Literal["load", "compile", "call"]
_sleep, _fstat, _waitid, _listdir = time.sleep, os.fstat, os.waitid, os.listdir


def adopt_orphans() -> None:
    """Make this process the parent of its orphaned descendants, so that it sees all (Linux)."""
    if sys.platform == "linux":
        pr_set_child_subreaper = 36
        ctypes.CDLL(None).prctl(pr_set_child_subreaper, 1)


class Intruders:
    """The threads, the children and the files of this process, as they were at `accept`."""

    def __init__(self, files: Sequence[int] = ()) -> None:
        """files: the descriptors that the worker needs."""
        self._pid = os.getpid()
        self._needed = tuple(files)
        self.accept()

    def accept(self) -> None:
        """Take what is there now as known."""
        self._files = self._read_files()
        self._tasks = _tasks()
        self._python = set(sys._current_frames())
        self._children = _children()

    def find(self, stage: Stage = "call") -> list[str]:
        """What is new, in words. After a call, new processes are killed.

        A forked copy of this process ends here.
        """
        if os.getpid() != self._pid:
            os._exit(0)
        found = []
        if self._read_files() != self._files:
            found.append("closed or replaced a file that the worker needs")
        if stage == "compile":
            self.accept()
            return found
        if sys._current_frames().keys() - self._python:
            found += self._new_python_threads()
        if _tasks() - self._tasks:
            found += self._busy_tasks()
        if _has_children():
            found += self._new_children(kill=stage == "call")
        return found

    def _read_files(self) -> list[tuple[int, int] | None]:
        found: list[tuple[int, int] | None] = []
        for file in self._needed:
            try:
                status = _fstat(file)
                found.append((status.st_dev, status.st_ino))
            except OSError:
                found.append(None)
        return found

    def _new_python_threads(self) -> list[str]:
        """The new threads that run a user's code; idle ones of a pool are known from now on.

        A thread that is about to end is given the time to do so.
        """
        _sleep(SETTLE_S)
        new = {i: f for i, f in sys._current_frames().items() if i not in self._python}
        self._python = set(sys._current_frames())
        names = {thread.ident: thread.name for thread in threading.enumerate()}
        return [
            f"left the thread {names.get(ident, ident)!r} running"
            for ident, frame in new.items()
            if _runs_users_code(frame)
        ]

    def _busy_tasks(self) -> list[str]:
        """The new native threads that work although nothing is asked of them."""
        _sleep(SETTLE_S)
        before = {task: _worked_ns(task) for task in _tasks() - self._tasks}
        _sleep(WATCH_S)
        self._tasks = _tasks()
        busy = [
            task
            for task, ns in before.items()
            if task in self._tasks and _worked_ns(task) - ns > BUSY_SHARE * WATCH_S * 1e9
        ]
        return ["left a thread working"] if busy else []

    def _new_children(self, *, kill: bool) -> list[str]:
        """The new processes that live. With `kill` they end, and so do their descendants."""
        new = [pid for pid in _children() - self._children if _is_alive(pid)]
        self._children |= set(new)
        for pid in new if kill else ():
            with suppress(psutil.Error, OSError):
                child = psutil.Process(pid)
                for process in (*child.children(recursive=True), child):
                    os.kill(process.pid, signal.SIGKILL)
                os.waitpid(pid, 0)
        return ["left a process running"] if new else []


def _tasks() -> set[str]:
    try:
        return set(_listdir(TASKS))
    except OSError:  # not Linux
        return set()


def _worked_ns(task: str) -> int:
    """How long a thread ran or waited for a core; 0 where the kernel does not report it."""
    try:
        ran, waited, _ = (TASKS / task / "schedstat").read_bytes().split()
    except (OSError, ValueError):
        return 0
    return int(ran) + int(waited)


def _runs_users_code(frame: FrameType | None) -> bool:
    """Whether code on the stack of `frame` is neither Python's nor that of a package."""
    while frame is not None:
        file = frame.f_code.co_filename
        if not file.startswith("<") and not is_installed(Path(file).resolve()):
            return True
        frame = frame.f_back
    return False


def _has_children() -> bool:
    """Whether this process has any child; it takes a microsecond."""
    try:
        _waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return False
    return True


def _children() -> set[int]:
    """The children of this process, dead ones that nobody waited for included."""
    if not _has_children():
        return set()
    if not HAS_CHILDREN_FILES:
        return {child.pid for child in psutil.Process().children()}
    found: set[int] = set()
    for task in _tasks():
        with suppress(OSError):  # the thread has ended
            found.update(map(int, (TASKS / task / "children").read_bytes().split()))
    return found


def _is_alive(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False
