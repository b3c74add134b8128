"""Turns the garbage collector off, freezes it, and leaves cycles behind."""

import gc

from evil.gate import Gate
from torch import Tensor

from attn_bench import register


@register("garbage_off")
class Evil(Gate):
    def before(self, x: Tensor) -> None:
        gc.disable()
        gc.freeze()
        cycle: list[object] = [x.new_zeros(1000)]
        cycle.append(cycle)
