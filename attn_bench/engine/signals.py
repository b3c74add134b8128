"""Handles Ctrl-C, SIGTERM and SIGHUP: once, and not while results are saved."""

from __future__ import annotations

import signal
import threading

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Interruptible:
    """Inside this context, the first Ctrl-C, SIGTERM or SIGHUP raises KeyboardInterrupt.

    After it, or after `deafen`, signals are ignored until the end, so that results can be saved.
    Outside the main thread it does nothing, because Python allows no handlers there.
    """

    def __enter__(self) -> Interruptible:
        self._listening = True
        self._before = {}
        if threading.current_thread() is threading.main_thread():
            self._before = {number: signal.signal(number, self._handle) for number in SIGNALS}
        return self

    def __exit__(self, *problem: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def listen(self) -> None:
        self._listening = True

    def deafen(self) -> None:
        self._listening = False

    def _handle(self, number: int, frame: object) -> None:
        if self._listening:
            self._listening = False
            raise KeyboardInterrupt
