"""Forks twice: a grandchild in another process group spins until the worker ends."""

import os
import signal

from evil.gate import Gate
from torch import Tensor

from attn_bench import register

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


@register("busy_grandchild")
class Evil(Gate):
    def before(self, x: Tensor) -> None:
        if self.calls == 1:
            worker = os.getpid()
            child = os.fork()
            if child == 0:
                os.setsid()
                if os.fork() == 0:
                    spin(of=worker)
                os._exit(0)
            os.waitpid(child, 0)
