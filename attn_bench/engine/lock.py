"""Lets one run at a time measure on a host, since two would falsify each other's times.

The lock ends with the process that measures, however that ends. On a CPU a run
has the host for itself. A run on a GPU shares the host with runs on other GPUs.
"""

from __future__ import annotations

import fcntl
import os
import re
import stat
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path

from attn_bench.engine.progress import Progress
from attn_bench.model.axes import AUTO, HOST, split_device
from attn_bench.model.errors import RequestError
from attn_bench.model.text import printable

POLL_S = 0.2
LONGEST_NOTE = 300  # characters of who holds it


@contextmanager
def hold_host(
    device: str, words: Sequence[str], progress: Progress, *, wait: bool
) -> Iterator[None]:
    """Hold the host, and the GPU if `device` is one, inside this context.

    words: the command, which others are shown.
    wait: wait until it is free, instead of raising RequestError with the name of the holder.
    """
    note = f"pid {os.getpid()}, attn-bench {' '.join(words)}, since {datetime.now():%H:%M}"
    is_gpu = device not in (HOST, AUTO)
    wanted = {"host": not is_gpu, **({_gpu(device): True} if is_gpu else {})}
    opened: list[int] = []
    held: list[int] = []
    try:
        for name, is_alone in wanted.items():
            file = _open(Path(tempfile.gettempdir(), f"attn-bench-{name}.lock"))
            if file is None:
                continue  # without a place for the lock, measuring is still possible
            opened.append(file)
            _take(file, progress, is_alone=is_alone, wait=wait)
            if is_alone:
                held.append(file)
            _write(file, note if is_alone else "")
        yield
    finally:
        for file in held:
            _write(file, "")
        for file in opened:
            os.close(file)


def _gpu(device: str) -> str:
    """The GPU behind `device`, whatever this process calls it."""
    _, index = split_device(device)
    visible = [name for name in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if name]
    name = visible[index] if index < len(visible) else str(index)
    return "gpu-" + re.sub(r"[^\w-]", "", name)


def _open(path: Path) -> int | None:
    """Open the file of a lock, which may be another user's; None if that cannot be."""
    flags = os.O_NOFOLLOW | os.O_CLOEXEC
    for mode in (os.O_RDWR, os.O_RDONLY, os.O_RDWR | os.O_CREAT | os.O_EXCL, os.O_RDONLY):
        # It must not be opened with O_CREAT if it exists: Linux forbids that for others' files in a
        # folder that all may write to (sysctl fs.protected_regular).
        with suppress(OSError):
            file = os.open(path, flags | mode, 0o666)
            if not stat.S_ISREG(os.fstat(file).st_mode):
                os.close(file)
                return None
            with suppress(OSError):  # it is another user's
                os.fchmod(file, 0o666)
            return file
    return None


def _take(file: int, progress: Progress, *, is_alone: bool, wait: bool) -> None:
    kind = fcntl.LOCK_EX if is_alone else fcntl.LOCK_SH
    waits = False
    while True:
        try:
            fcntl.flock(file, kind | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            holder = _read(file) or "a run on a GPU"  # those share the host
        if not wait:
            raise RequestError(
                f"another run measures on this machine ({holder}); --wait waits until it has ended"
            )
        if not waits:
            progress.stage(f"waiting for {holder}", 1, "")
            waits = True
        time.sleep(POLL_S)


def _write(file: int, note: str) -> None:
    with suppress(OSError):  # the file may be another user's
        os.ftruncate(file, 0)
        os.pwrite(file, note[:LONGEST_NOTE].encode(errors="replace"), 0)


def _read(file: int) -> str:
    text = os.pread(file, 4 * LONGEST_NOTE, 0).decode(errors="replace")
    return printable(text[:LONGEST_NOTE])
