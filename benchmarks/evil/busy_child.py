"""Forks a child that spins until the parent dies."""

import ctypes
import os
import signal

from evil.gate import Gate
from torch import Tensor

from attn_bench import register

PR_SET_PDEATHSIG = 1
LONGEST_S = 45


def spin(of: int) -> None:
    """Spin until the process `of` has ended, at most LONGEST_S; never returns."""
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.alarm(LONGEST_S)
    while True:
        try:
            os.kill(of, 0)
        except OSError:
            os._exit(0)
        sum(range(100_000))


@register("busy_child")
class Evil(Gate):
    def before(self, x: Tensor) -> None:
        if self.calls == 1:
            worker = os.getpid()
            if os.fork() == 0:
                ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
                spin(of=worker)
