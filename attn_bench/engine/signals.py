"""Ctrl-C, SIGTERM and SIGHUP: heard once, and not at all while results are saved."""

from __future__ import annotations

import signal
import threading

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Interruptible:
    """Inside, the first Ctrl-C, SIGTERM or SIGHUP raises KeyboardInterrupt, and only the first.

    After `deafen`, or after that first one, signals are ignored until the end: results are being
    saved. Outside the main thread, where Python allows no handlers, it does nothing.
    """

    def __enter__(self) -> Interruptible:
        self._listening = True
        self._before = {}
        if threading.current_thread() is threading.main_thread():
            self._before = {number: signal.signal(number, self._heard) for number in SIGNALS}
        return self

    def __exit__(self, *problem: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def listen(self) -> None:
        self._listening = True

    def deafen(self) -> None:
        self._listening = False

    def _heard(self, number: int, frame: object) -> None:
        if self._listening:
            self._listening = False
            raise KeyboardInterrupt
