"""Starts a thread that spins in Python."""

import threading

from evil.gate import Gate
from torch import Tensor

from attn_bench import register


def spin() -> None:
    while True:
        sum(range(1000))


@register("busy_thread")
class Evil(Gate):
    def before(self, x: Tensor) -> None:
        if self.calls == 1:
            threading.Thread(target=spin, daemon=True).start()
