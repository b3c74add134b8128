"""Ends its process with status 0 at its ninth call."""

import os

from evil.gate import Gate
from torch import Tensor

from attn_bench import register


@register("os_exit")
class Evil(Gate):
    def before(self, x: Tensor) -> None:
        if self.calls == 9:
            os._exit(0)
