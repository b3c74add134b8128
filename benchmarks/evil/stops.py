"""Stops its process at its ninth call."""

import os
import signal

from evil.gate import Gate
from torch import Tensor

from attn_bench import register


@register("stops")
class Evil(Gate):
    def before(self, x: Tensor) -> None:
        if self.calls == 9:
            os.kill(os.getpid(), signal.SIGSTOP)
