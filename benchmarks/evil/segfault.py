"""Reads address 0 at its ninth call."""

import ctypes

from evil.gate import Gate
from torch import Tensor

from attn_bench import register


@register("segfault")
class Evil(Gate):
    def before(self, x: Tensor) -> None:
        if self.calls == 9:
            ctypes.string_at(0)
