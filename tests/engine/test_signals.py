"""Signals: raised once, remembered while results are saved, and left alone where ignored."""

from __future__ import annotations

import os
import signal

import pytest

from attn_bench.engine.signals import Interruptible


def test_a_signal_while_deaf_is_raised_when_listening_again() -> None:
    """A Ctrl-C between two parts of a run is not lost."""
    with Interruptible() as signals:
        signals.deafen()
        os.kill(os.getpid(), signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            signals.listen()
        signals.listen()  # it is raised once


def test_only_the_first_is_raised() -> None:
    """What was measured is saved without a second interruption."""
    with Interruptible():
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGTERM)


def test_a_hang_up_that_is_ignored_stays_ignored() -> None:
    """Under nohup a hang-up ends nothing."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with Interruptible():
            os.kill(os.getpid(), signal.SIGHUP)
            assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)
