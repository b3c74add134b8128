"""Hangs at its ninth call."""

import time

from evil.gate import Gate
from torch import Tensor

from attn_bench import register


@register("hangs")
class Evil(Gate):
    def before(self, x: Tensor) -> None:
        if self.calls == 9:
            time.sleep(3600)
