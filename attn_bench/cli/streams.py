"""Standard output and error that can always be written, even if nothing reads them."""

from __future__ import annotations

import io
import os
import sys
from contextlib import suppress
from typing import Any


class _Unread(io.FileIO):
    """A file whose reader may go away, as `head` does; what is written then is dropped.

    The command goes on to its end, and its exit status is its answer's.
    dropped: the errors at which this begins.
    """

    dropped: type[OSError] = BrokenPipeError

    def write(self, content: Any, /) -> int:
        try:
            return super().write(content) or 0
        except self.dropped:
            _drop(self.fileno())
            return len(content)


class _LastResort(_Unread):
    """Standard error: if it cannot be written, nothing is left that could report that."""

    dropped = OSError


def make_usable() -> None:
    """Replace closed streams by the null device, and characters that a terminal cannot show."""
    sys.stdout = _usable(sys.stdout, sys.__stdout__, _Unread)
    sys.stderr = _usable(sys.stderr, sys.__stderr__, _LastResort)


def give_up_stdout() -> None:
    """Drop what could not be written, which would fail once more at the end of the process."""
    with suppress(OSError, ValueError):
        _drop(sys.stdout.fileno())


def _drop(descriptor: int) -> None:
    with open(os.devnull, "wb") as nowhere:  # noqa: PTH123
        os.dup2(nowhere.fileno(), descriptor)


def _usable(stream: Any, original: Any, kind: type[_Unread]) -> Any:
    if stream is None:
        return open(os.devnull, "w")  # noqa: PTH123 - open until the process ends
    if not isinstance(stream, io.TextIOWrapper):
        return stream  # of a caller in this process
    stream.reconfigure(errors="backslashreplace")
    if stream is not original:
        return stream
    stream.flush()
    return io.TextIOWrapper(
        io.BufferedWriter(kind(stream.fileno(), "wb", closefd=False)),
        encoding=stream.encoding,
        errors="backslashreplace",
        line_buffering=stream.line_buffering,
    )
