"""Forks twice: a grandchild in another process group spins until the worker ends."""

import os

from evil.gate import Gate
from evil.spinning import spin
from torch import Tensor

from attn_bench import register


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
