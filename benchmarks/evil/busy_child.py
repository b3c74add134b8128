"""Forks a child that spins until the parent dies."""

import ctypes
import os
import signal

from evil.gate import Gate
from evil.spinning import spin
from torch import Tensor

from attn_bench import register

PR_SET_PDEATHSIG = 1


@register("busy_child")
class Evil(Gate):
    def before(self, x: Tensor) -> None:
        if self.calls == 1:
            worker = os.getpid()
            if os.fork() == 0:
                ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
                spin(of=worker)
