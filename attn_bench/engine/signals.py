"""Handles Ctrl-C, SIGTERM and SIGHUP: once, and not while results are saved."""

from __future__ import annotations

import signal
import threading


class Interruptible:
    """Inside this context, the first Ctrl-C, SIGTERM or SIGHUP raises KeyboardInterrupt.

    After it, or after `deafen`, signals are ignored until the end, so that results can be saved.
    Outside the main thread it does nothing, because Python allows no handlers there.
    """

    def __enter__(self) -> Interruptible:
        self._listening = True
        self._is_pending = self._was_raised = False
        self._before = {}
        if threading.current_thread() is threading.main_thread():
            heard = [signal.SIGINT, signal.SIGTERM]
            if signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:  # nohup ignores it
                heard.append(signal.SIGHUP)
            self._before = {number: signal.signal(number, self._handle) for number in heard}
        return self

    def __exit__(self, *problem: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def listen(self) -> None:
        """Hear signals again. Raises KeyboardInterrupt if one came while they were ignored."""
        self._listening = not self._was_raised
        if self._is_pending:
            self._raise()

    def deafen(self) -> None:
        """Remember a signal instead of raising it, until `listen`."""
        self._listening = False

    def _handle(self, number: int, frame: object) -> None:
        if self._listening:
            self._raise()
        self._is_pending = not self._was_raised

    def _raise(self) -> None:
        self._listening = self._is_pending = False
        self._was_raised = True
        raise KeyboardInterrupt
