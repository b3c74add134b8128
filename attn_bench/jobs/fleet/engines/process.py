"""A `work` as a separate process on the host that is measured."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from attn_bench.model.text import printable

READ_BYTES = 4096  # of the end of what it prints
POLL_S = 0.2
PATIENCE_S = 60.0  # for a `work` that was interrupted


class WorkProcess:
    """`attn-bench WORDS` in a process.

    It leads a process session, so a Ctrl-C in the terminal does not reach it. It outlives this
    process, because it needs nothing but the store.
    folder: where it runs, if this host has that folder.
    """

    def __init__(
        self,
        words: Sequence[str],
        environment: Mapping[str, str] | None = None,
        folder: str | None = None,
    ) -> None:
        self._printed = tempfile.TemporaryFile()  # noqa: SIM115 - open as long as it runs
        self._process = subprocess.Popen(
            [sys.executable, "-m", "attn_bench", *words],
            stdin=subprocess.DEVNULL,
            stdout=self._printed,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            cwd=folder if folder and Path(folder).is_dir() else None,
            env=environment,
        )

    def poll(self) -> int | None:
        """Its exit status; None while it runs."""
        return self._process.poll()

    def last_line(self) -> str:
        """What it printed last."""
        end = os.fstat(self._printed.fileno()).st_size
        read = os.pread(self._printed.fileno(), READ_BYTES, max(0, end - READ_BYTES))
        lines = read.decode(errors="replace").split("\n")
        return next((printable(line.strip()) for line in reversed(lines) if line.strip()), "")

    def interrupt(self) -> None:
        """Ask it to release its claim and to end."""
        # A process that ignores SIGINT has children that ignore it.
        with suppress(ProcessLookupError):
            self._process.terminate()

    def kill(self) -> None:
        """End it at once."""
        with suppress(ProcessLookupError):
            self._process.kill()

    def wait(self, timeout_s: float) -> bool:
        """Wait until it has ended. Returns whether it has."""
        deadline = time.monotonic() + timeout_s
        while self.poll() is None and time.monotonic() < deadline:
            time.sleep(POLL_S)
        return self.poll() is not None


def work_here(words: Sequence[str]) -> tuple[str, int, str]:
    """Run `attn-bench WORDS` to its end: the host, the exit status, and the last line.

    If it is interrupted, so is the `work`.
    """
    process = WorkProcess(words)
    try:
        while not process.wait(PATIENCE_S):
            pass
    finally:
        process.interrupt()
        process.wait(PATIENCE_S)
    return platform.node(), process.poll() or 0, process.last_line()
